//! A skill, as scoring looks at it.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::words::words;
use super::{Config, Rules};
use crate::skills::Skill;

/// What matters of a skill, made once.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) id: String,
    pub(super) name: String,
    /// Everything it is found by.
    pub(super) keywords: HashSet<String>,
    pub(super) tags: Vec<Label>,
    pub(super) capabilities: Vec<Label>,
    pub(super) tools: Vec<String>,
    /// Texts that speak against it, in lower case.
    pub(super) anti_patterns: Vec<String>,
    /// What it does best, in lower case, and by how much that raises its score.
    pub(super) specializations: Vec<(String, f64)>,
    /// How long it takes, in milliseconds.
    pub(super) latency_ms: Option<f64>,
    /// What it is about, for an embedder.
    pub(super) text: String,
}

/// A tag or a capability, and the words of it.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) text: String,
    pub(super) words: Vec<String>,
}

impl Label {
    fn of(text: &str, config: &Config) -> Self {
        Self { text: text.to_owned(), words: owned_words(text, config) }
    }
}

fn owned_words(text: &str, config: &Config) -> Vec<String> {
    words(&text.to_lowercase(), config).map(str::to_owned).collect()
}

impl Profile {
    pub(super) fn of(skill: &Skill, config: &Config) -> Self {
        let none = Map::new();
        let assessment = skill.assessment.as_ref().unwrap_or(&none);
        let keywords: Vec<&str> = texts(assessment.get("keywords")).collect();
        let capabilities = skill.capabilities_detail.as_ref().unwrap_or(&none);

        let tags: Vec<_> = skill.tags.iter().map(|tag| Label::of(tag, config)).collect();
        let labels: Vec<_> = capabilities.keys().map(|key| Label::of(key, config)).collect();
        let mut found_by: HashSet<String> = match config.rules {
            Rules::Reference => keywords.iter().map(|keyword| keyword.to_lowercase()).collect(),
            Rules::Improved => {
                keywords.iter().flat_map(|keyword| owned_words(keyword, config)).collect()
            }
        };
        found_by.extend(owned_words(&skill.name, config));
        found_by.extend(tags.iter().chain(&labels).flat_map(|label| label.words.iter().cloned()));

        let joined = |texts: &mut dyn Iterator<Item = &str>| texts.collect::<Vec<_>>().join(" ");
        let parts = [
            skill.name.clone(),
            skill.description.clone(),
            skill.tags.join(" "),
            keywords.join(" "),
            joined(&mut capabilities.keys().map(String::as_str)),
        ];
        let parts: Vec<&str> =
            parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();

        let lower = |text: &str| Some(text.to_lowercase()).filter(|text| !text.is_empty());
        let specializations = assessment.get("specializations").and_then(Value::as_array);
        let latency = skill.performance.as_ref().and_then(|it| it.get("avg_processing_time_ms"));
        Self {
            id: skill.id.clone(),
            name: skill.name.clone(),
            keywords: found_by,
            tags,
            capabilities: labels,
            tools: texts(skill.allowed_tools.as_ref()).map(str::to_owned).collect(),
            anti_patterns: texts(assessment.get("anti_patterns")).filter_map(lower).collect(),
            specializations: specializations
                .into_iter()
                .flatten()
                .filter_map(|it| {
                    let domain = lower(it.get("domain")?.as_str()?)?;
                    Some((domain, it.get("confidence_boost")?.as_f64()?))
                })
                .collect(),
            latency_ms: latency.and_then(Value::as_f64).filter(|time| *time >= 0.0),
            text: parts.join(" "),
        }
    }
}

/// The strings of a list, or one string.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let (list, one) = match value {
        Some(Value::Array(list)) => (list.as_slice(), None),
        Some(Value::String(text)) => (&[][..], Some(text.as_str())),
        _ => (&[][..], None),
    };
    list.iter().filter_map(Value::as_str).chain(one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_number_or_empty_does_not_count() {
        let skill = Skill::from_value(json!({
            "name": "n", "description": "d", "allowed_tools": "Read",
            "performance": {"avg_processing_time_ms": "fast"},
            "assessment": {
                "anti_patterns": [""],
                "specializations": [
                    {"domain": "", "confidence_boost": 1}, {"domain": "Art", "confidence_boost": "1"},
                    {"domain": "Law"}, {"domain": "Tax", "confidence_boost": 0.1},
                ],
            },
        }))
        .unwrap();
        let profile = Profile::of(&skill, &Config::default());
        assert_eq!(profile.specializations, [("tax".to_owned(), 0.1)]);
        assert_eq!((profile.latency_ms, profile.anti_patterns.len()), (None, 0));
        assert_eq!(profile.tools, ["Read"]);
        assert_eq!(profile.text, "n d");
    }
}
