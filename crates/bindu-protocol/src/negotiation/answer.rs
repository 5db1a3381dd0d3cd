//! What an agent answers when it is asked whether it can do a task.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// Whether an agent can do a task, and how well: the answer of `POST /agent/negotiation`.
///
/// Members are written in `snake_case`; those without a value are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NegotiationAnswer {
    /// Whether it takes the task on.
    pub accepted: bool,
    /// How well it suits, from 0 to 1, rounded to 4 places.
    pub score: f64,
    /// How sure it is of that, from 0 to 1, rounded to 4 places.
    pub confidence: f64,
    /// Why it does not take the task on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection_reason: Option<RejectionReason>,
    /// Skills that suit, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skill_matches: Vec<SkillMatch>,
    /// Their tags that the task mentions, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched_tags: Vec<String>,
    /// Their capabilities that the task mentions, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched_capabilities: Vec<String>,
    /// How long the work will take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "whole_if_it_is")]
    pub latency_estimate_ms: Option<f64>,
    /// How many tasks the agent has that are not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_depth: Option<u64>,
    /// What the score is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscores: Option<Subscores>,
}

/// A skill that suits a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SkillMatch {
    /// The skill.
    pub skill_id: String,
    /// Its name.
    pub skill_name: String,
    /// How well it suits, from 0 to 1, rounded to 4 places.
    pub score: f64,
    /// Why, for people.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// What a score is made of, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subscores {
    /// How well the best skill suits.
    pub skill_match: f64,
    /// Whether media types fit.
    pub io_compatibility: f64,
    /// How little else there is to do.
    pub load: f64,
    /// How far below the budget the price is.
    pub cost: f64,
    /// How fast, against what was asked for.
    pub performance: f64,
}

/// Why an agent does not take a task on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectionReason {
    /// It has no skills.
    NoSkillsAdvertised,
    /// It takes none of the media types.
    InputMimeUnsupported,
    /// It gives none of the media types.
    OutputMimeUnsupported,
    /// It lacks a tool.
    RequiredToolMissing,
    /// It has a tool that it must not have.
    ForbiddenToolPresent,
    /// It costs more than it may.
    CostExceedsBudget,
    /// It takes more than twice as long as it may.
    LatencyExceedsConstraint,
    /// It does not suit well enough, or not at all.
    ScoreBelowThreshold,
    /// A reason of another agent that is not known here.
    #[serde(other)]
    Other,
}

impl RejectionReason {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSkillsAdvertised => "no_skills_advertised",
            Self::InputMimeUnsupported => "input_mime_unsupported",
            Self::OutputMimeUnsupported => "output_mime_unsupported",
            Self::RequiredToolMissing => "required_tool_missing",
            Self::ForbiddenToolPresent => "forbidden_tool_present",
            Self::CostExceedsBudget => "cost_exceeds_budget",
            Self::LatencyExceedsConstraint => "latency_exceeds_constraint",
            Self::ScoreBelowThreshold => "score_below_threshold",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for RejectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Writes whole milliseconds as whole numbers, as skills state them.
#[expect(clippy::ref_option, reason = "serde hands over a reference")]
fn whole_if_it_is<S: Serializer>(time: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    /// Up to here every whole number is a double of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match *time {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        Some(time) if time.fract() == 0.0 && (0.0..=EXACT).contains(&time) => {
            serializer.serialize_u64(time as u64)
        }
        Some(time) => serializer.serialize_f64(time),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_without_a_value_are_left_out() {
        let mut answer = NegotiationAnswer { confidence: 1.0, ..NegotiationAnswer::default() };
        answer.rejection_reason = Some(RejectionReason::NoSkillsAdvertised);
        let text = serde_json::to_string(&answer).unwrap();
        assert_eq!(
            text,
            r#"{"accepted":false,"score":0.0,"confidence":1.0,"rejection_reason":"no_skills_advertised"}"#
        );
        assert_eq!(serde_json::from_str::<NegotiationAnswer>(&text).unwrap(), answer);
    }

    #[test]
    fn whole_times_are_whole_numbers() {
        let text = |time| {
            let latency_estimate_ms = Some(time);
            let answer = NegotiationAnswer { latency_estimate_ms, ..NegotiationAnswer::default() };
            serde_json::to_value(&answer).unwrap()["latency_estimate_ms"].to_string()
        };
        assert_eq!(text(2000.0), "2000");
        assert_eq!(text(0.5), "0.5");
        assert_eq!(text(1e300), "1e+300");
    }

    #[test]
    fn the_names_of_reasons_are_those_on_the_wire() {
        for reason in [
            RejectionReason::NoSkillsAdvertised,
            RejectionReason::InputMimeUnsupported,
            RejectionReason::OutputMimeUnsupported,
            RejectionReason::RequiredToolMissing,
            RejectionReason::ForbiddenToolPresent,
            RejectionReason::CostExceedsBudget,
            RejectionReason::LatencyExceedsConstraint,
            RejectionReason::ScoreBelowThreshold,
            RejectionReason::Other,
        ] {
            assert_eq!(serde_json::to_value(reason).unwrap(), json!(reason.as_str()));
        }
        let foreign: RejectionReason = serde_json::from_value(json!("full_moon")).unwrap();
        assert_eq!(foreign, RejectionReason::Other);
    }

    #[test]
    fn an_answer_with_whole_numbers_and_news_is_read() {
        let answer: NegotiationAnswer = serde_json::from_value(json!({
            "accepted": true, "score": 1, "confidence": 1, "queue_depth": 3, "new": {},
            "skill_matches": [{"skill_id": "a", "skill_name": "b", "score": 1}],
        }))
        .unwrap();
        assert_eq!((answer.queue_depth, answer.skill_matches.len()), (Some(3), 1));
    }
}
