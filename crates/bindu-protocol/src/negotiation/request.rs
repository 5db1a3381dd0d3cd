//! What an agent is asked: whether it can do a task.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest summary of a task, in characters.
pub const MAX_SUMMARY_CHARS: usize = 10_000;

/// The most entries that a list of a [`NegotiationRequest`] may have.
pub const MAX_NEGOTIATION_LIST: usize = 1_000;

/// Asks an agent whether it can do a task, and how well: the body of `POST /agent/negotiation`.
///
/// The route is Bindu's own; A2A has no such request. Members are written in `snake_case`.
///
/// ```
/// use bindu_protocol::NegotiationRequest;
///
/// let mut request = NegotiationRequest::new("Extract the tables of this PDF");
/// request.max_latency_ms = Some(5_000.0);
/// let body = serde_json::to_vec(&request)?;
/// assert_eq!(NegotiationRequest::from_json(&body)?, request);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NegotiationRequest {
    /// What is to be done, in at most [`MAX_SUMMARY_CHARS`] characters. Never empty.
    pub task_summary: String,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_details: Option<String>,
    /// Media types of what will be sent, of which the agent must take one. Empty: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input_mime_types: Vec<String>,
    /// Media types that are wanted back, of which the agent must give one. Empty: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output_mime_types: Vec<String>,
    /// How long the work should take at most, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<f64>,
    /// What it may cost at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_amount: Option<CostAmount>,
    /// Tools that the agent must have, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_tools: Vec<String>,
    /// Tools that it must not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forbidden_tools: Vec<String>,
    /// The score from which the agent accepts; 0 if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_score: Option<f64>,
    /// How much each consideration counts.
    #[serde(skip_serializing_if = "NegotiationWeights::is_empty")]
    pub weights: NegotiationWeights,
}

/// How much each consideration counts, relative to the others. What is not said is left to the
/// agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct NegotiationWeights {
    /// That a skill suits the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill_match: Option<f64>,
    /// That media types fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_compatibility: Option<f64>,
    /// That it is fast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance: Option<f64>,
    /// That it has little else to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// That it is cheap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

impl NegotiationWeights {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A price or a budget: a number, or a text such as `0.50` or `$0.50`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CostAmount {
    /// A number.
    Number(f64),
    /// A text that holds one.
    Text(String),
}

impl CostAmount {
    /// The amount; `None` if there is none in the text. Of a text the digits and dots count and
    /// nothing else, and no digits are zero.
    ///
    /// ```
    /// use bindu_protocol::CostAmount;
    ///
    /// let amount = |text: &str| CostAmount::from(text).amount();
    /// assert_eq!(amount("$0.50"), Some(0.5));
    /// assert_eq!(amount("free"), Some(0.0));
    /// assert_eq!(amount("1.2.3"), None);
    /// assert_eq!(CostAmount::from(2.0).amount(), Some(2.0));
    /// ```
    #[must_use]
    pub fn amount(&self) -> Option<f64> {
        let amount = match self {
            Self::Number(number) => *number,
            Self::Text(text) => {
                let digits: String =
                    text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
                if digits.is_empty() { 0.0 } else { digits.parse().ok()? }
            }
        };
        Some(amount).filter(|amount| amount.is_finite())
    }
}

impl From<f64> for CostAmount {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for CostAmount {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Why a body is no [`NegotiationRequest`]. The texts are for whoever sent it: they name the member
/// and nothing of what it held. Where there was a text before, it is the Python reference's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NegotiationRequestError {
    /// It is not JSON.
    #[error("Invalid JSON payload")]
    NotJson,
    /// It is not an object.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// There is no summary, or an empty one.
    #[error("'task_summary' is required")]
    SummaryMissing,
    /// The summary is longer than [`MAX_SUMMARY_CHARS`].
    #[error("task_summary exceeds maximum length of {MAX_SUMMARY_CHARS} characters")]
    SummaryTooLong,
    /// A member has a type or a value that it cannot have.
    #[error("'{member}' must be {expected}")]
    Wrong {
        /// Its name.
        member: &'static str,
        /// What it can be.
        expected: &'static str,
    },
    /// A list has more than [`MAX_NEGOTIATION_LIST`] entries.
    #[error("'{0}' must have at most {MAX_NEGOTIATION_LIST} entries")]
    TooMany(&'static str),
    /// A weight is below zero.
    #[error("Invalid weights: Weight '{0}' must be non-negative")]
    NegativeWeight(&'static str),
}

use NegotiationRequestError as Error;

impl NegotiationRequest {
    /// Asks about a task, with no conditions.
    #[must_use]
    pub fn new(task_summary: impl Into<String>) -> Self {
        Self { task_summary: task_summary.into(), ..Self::default() }
    }

    /// Reads the body of a request. `null` reads as absent, and members that are not known are
    /// passed over.
    ///
    /// # Errors
    ///
    /// [`NegotiationRequestError`], whose text may be shown to whoever sent the body.
    pub fn from_json(body: &[u8]) -> Result<Self, NegotiationRequestError> {
        let value: Value = serde_json::from_slice(body).map_err(|_| Error::NotJson)?;
        let Value::Object(object) = value else { return Err(Error::NotAnObject) };
        let mut members = Members(object);
        let task_summary = members.text("task_summary")?.unwrap_or_default();
        if task_summary.is_empty() {
            return Err(Error::SummaryMissing);
        }
        if task_summary.chars().nth(MAX_SUMMARY_CHARS).is_some() {
            return Err(Error::SummaryTooLong);
        }
        Ok(Self {
            task_summary,
            task_details: members.text("task_details")?,
            input_mime_types: members.texts("input_mime_types")?,
            output_mime_types: members.texts("output_mime_types")?,
            max_latency_ms: members.not_negative("max_latency_ms")?,
            max_cost_amount: members.cost("max_cost_amount")?,
            required_tools: members.texts("required_tools")?,
            forbidden_tools: members.texts("forbidden_tools")?,
            min_score: members.number("min_score", "a number")?,
            weights: members.weights()?,
        })
    }
}

/// The members that were not taken yet.
struct Members(Map<String, Value>);

impl Members {
    fn take<T>(
        &mut self,
        member: &'static str,
        expected: &'static str,
        read: impl FnOnce(Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        match self.0.remove(member) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or(Error::Wrong { member, expected }),
        }
    }

    fn text(&mut self, member: &'static str) -> Result<Option<String>, Error> {
        self.take(member, "a string", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    fn texts(&mut self, member: &'static str) -> Result<Vec<String>, Error> {
        let texts = self.take(member, "a list of strings", |value| {
            let Value::Array(entries) = value else { return None };
            let texts = entries.into_iter().map(|entry| match entry {
                Value::String(text) => Some(text),
                _ => None,
            });
            texts.collect::<Option<Vec<_>>>()
        })?;
        let texts = texts.unwrap_or_default();
        if texts.len() > MAX_NEGOTIATION_LIST { Err(Error::TooMany(member)) } else { Ok(texts) }
    }

    fn number(
        &mut self,
        member: &'static str,
        expected: &'static str,
    ) -> Result<Option<f64>, Error> {
        self.take(member, expected, |value| value.as_f64())
    }

    fn not_negative(&mut self, member: &'static str) -> Result<Option<f64>, Error> {
        let expected = "a number, 0 or more";
        let number = self.number(member, expected)?;
        match number {
            Some(number) if number < 0.0 => Err(Error::Wrong { member, expected }),
            number => Ok(number),
        }
    }

    fn cost(&mut self, member: &'static str) -> Result<Option<CostAmount>, Error> {
        self.take(member, "a number or a string", |value| match value {
            Value::String(text) => Some(CostAmount::Text(text)),
            value => value.as_f64().map(CostAmount::Number),
        })
    }

    fn weights(&mut self) -> Result<NegotiationWeights, Error> {
        let weights = self.take("weights", "an object of numbers", |value| match value {
            Value::Object(weights) => Some(weights),
            _ => None,
        })?;
        let mut weights = Self(weights.unwrap_or_default());
        let mut weight = |name: &'static str, member: &'static str| {
            let weight = match weights.0.remove(name) {
                None | Some(Value::Null) => return Ok(None),
                Some(value) => value.as_f64(),
            };
            match weight {
                Some(weight) if weight < 0.0 => Err(Error::NegativeWeight(name)),
                Some(weight) => Ok(Some(weight)),
                None => Err(Error::Wrong { member, expected: "a number" }),
            }
        };
        Ok(NegotiationWeights {
            skill_match: weight("skill_match", "weights.skill_match")?,
            io_compatibility: weight("io_compatibility", "weights.io_compatibility")?,
            performance: weight("performance", "weights.performance")?,
            load: weight("load", "weights.load")?,
            cost: weight("cost", "weights.cost")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<NegotiationRequest, NegotiationRequestError> {
        NegotiationRequest::from_json(body.to_string().as_bytes())
    }

    fn refusal(body: &Value) -> String {
        read(body).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_request_is_refused_by_the_known_texts() {
        let broken = NegotiationRequest::from_json(b"{").unwrap_err();
        assert_eq!(broken.to_string(), "Invalid JSON payload");
        assert_eq!(refusal(&json!([1])), "the body must be a JSON object");
        for empty in [json!({}), json!({"task_summary": ""}), json!({"task_summary": null})] {
            assert_eq!(refusal(&empty), "'task_summary' is required");
        }
        let long = "ä".repeat(MAX_SUMMARY_CHARS);
        assert!(read(&json!({ "task_summary": long })).is_ok());
        assert_eq!(
            refusal(&json!({ "task_summary": long + "!" })),
            "task_summary exceeds maximum length of 10000 characters"
        );
        assert_eq!(
            refusal(&json!({"task_summary": "x", "weights": {"load": -0.1}})),
            "Invalid weights: Weight 'load' must be non-negative"
        );
    }

    #[test]
    fn a_wrong_type_is_named_and_what_was_sent_is_not_repeated() {
        for (member, value, expected) in [
            ("task_summary", json!(5), "'task_summary' must be a string"),
            ("task_details", json!({}), "'task_details' must be a string"),
            ("input_mime_types", json!("secret"), "'input_mime_types' must be a list of strings"),
            ("output_mime_types", json!([1]), "'output_mime_types' must be a list of strings"),
            ("max_latency_ms", json!("secret"), "'max_latency_ms' must be a number, 0 or more"),
            ("max_latency_ms", json!(-1), "'max_latency_ms' must be a number, 0 or more"),
            ("max_cost_amount", json!(true), "'max_cost_amount' must be a number or a string"),
            ("required_tools", json!({}), "'required_tools' must be a list of strings"),
            ("forbidden_tools", json!([null]), "'forbidden_tools' must be a list of strings"),
            ("min_score", json!("0.5"), "'min_score' must be a number"),
            ("weights", json!([]), "'weights' must be an object of numbers"),
            ("weights", json!({"cost": "a"}), "'weights.cost' must be a number"),
        ] {
            let mut body = json!({"task_summary": "x"});
            body[member] = value;
            assert_eq!(refusal(&body), expected);
        }
    }

    #[test]
    fn lists_have_an_end() {
        let list = vec!["a"; MAX_NEGOTIATION_LIST + 1];
        assert_eq!(
            refusal(&json!({"task_summary": "x", "required_tools": list})),
            "'required_tools' must have at most 1000 entries"
        );
    }

    #[test]
    fn what_is_not_said_is_not_written() {
        let request = NegotiationRequest::new("x");
        assert_eq!(serde_json::to_value(&request).unwrap(), json!({"task_summary": "x"}));
        assert_eq!(read(&json!({"task_summary": "x", "min_score": null, "new": 1})), Ok(request));
    }

    #[test]
    fn what_is_said_comes_back() {
        let body = json!({
            "task_summary": "x", "task_details": "y", "input_mime_types": ["a/b"],
            "output_mime_types": ["c/d"], "max_latency_ms": 5000.0, "max_cost_amount": "$1",
            "required_tools": ["Read"], "forbidden_tools": ["Bash"], "min_score": 0.5,
            "weights": {"load": 1.0},
        });
        assert_eq!(serde_json::to_value(read(&body).unwrap()).unwrap(), body);
    }
}
