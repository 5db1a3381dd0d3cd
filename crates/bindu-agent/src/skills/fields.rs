//! Taking typed members out of a skill's description.

use serde_json::{Map, Value};

use super::SkillError;

/// The members of a description that were not taken yet. `null` counts as absent throughout.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn new(value: Value) -> Result<Self, SkillError> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            other => Err(SkillError::NotAMapping { found: kind(&other) }),
        }
    }

    pub(super) fn any(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn required_text(&mut self, name: &'static str) -> Result<String, SkillError> {
        self.text(name)?.ok_or(SkillError::Missing { field: name })
    }

    /// A string, or a scalar's text; an empty one is absent.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, SkillError> {
        let Some(value) = self.any(name) else {
            return Ok(None);
        };
        match scalar(value) {
            Ok(text) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
            Err(value) => Err(shape(name, "a string", kind(&value))),
        }
    }

    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, SkillError> {
        self.any(name).map(|value| strings(name, value)).transpose()
    }

    pub(super) fn map(&mut self, name: &str) -> Result<Option<Map<String, Value>>, SkillError> {
        match self.any(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(shape(name, "a mapping", kind(&other))),
        }
    }

    /// A list of tools, or one string of them separated by commas or blanks.
    pub(super) fn tool_list(&mut self, name: &str) -> Result<Option<Value>, SkillError> {
        Ok(match self.any(name) {
            Some(Value::String(text)) => Some(split_tools(&text).into()),
            Some(list) => Some(strings(name, list)?.into()),
            None => None,
        })
    }

    /// The assessment, with lists of strings and of mappings where scoring reads such.
    pub(super) fn assessment(&mut self) -> Result<Option<Map<String, Value>>, SkillError> {
        let Some(mut assessment) = self.map("assessment")? else {
            return Ok(None);
        };
        assessment.retain(|_, value| !value.is_null());
        for name in ["keywords", "anti_patterns"] {
            if let Some(value) = assessment.get_mut(name) {
                *value = strings(&format!("assessment.{name}"), value.take())?.into();
            }
        }
        if let Some(value) = assessment.get("specializations") {
            mappings("assessment.specializations", value)?;
        }
        if let Some(value) = assessment.get_mut("complexity_indicators") {
            let field = "assessment.complexity_indicators";
            let Value::Object(levels) = value else {
                return Err(shape(field, "a mapping", kind(value)));
            };
            levels.retain(|_, value| !value.is_null());
            for (level, value) in levels {
                *value = strings(&format!("{field}.{level}"), value.take())?.into();
            }
        }
        Ok(Some(assessment))
    }
}

/// A list of strings; one scalar is a list of one.
fn strings(field: &str, value: Value) -> Result<Vec<String>, SkillError> {
    let expected = "a list of strings";
    match value {
        Value::Array(items) => items
            .into_iter()
            .map(scalar)
            .collect::<Result<_, _>>()
            .map_err(|item| shape(field, expected, format!("{} among them", kind(&item)))),
        value => scalar(value)
            .map(|text| vec![text])
            .map_err(|value| shape(field, expected, kind(&value))),
    }
}

fn mappings(field: &str, value: &Value) -> Result<(), SkillError> {
    let expected = "a list of mappings";
    let Value::Array(items) = value else {
        return Err(shape(field, expected, kind(value)));
    };
    match items.iter().find(|item| !item.is_object()) {
        None => Ok(()),
        Some(item) => Err(shape(field, expected, format!("{} among them", kind(item)))),
    }
}

/// The text of a string, number or boolean; anything else comes back.
fn scalar(value: Value) -> Result<String, Value> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        other => Err(other),
    }
}

/// Splits at commas and blanks, but not inside parentheses: `Bash(git add:*)` is one tool.
fn split_tools(text: &str) -> Vec<String> {
    let mut tools = vec![String::new()];
    let mut depth = 0_usize;
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (character == ',' || character.is_whitespace()) {
            tools.push(String::new());
        } else if let Some(tool) = tools.last_mut() {
            tool.push(character);
        }
    }
    tools.retain(|tool| !tool.is_empty());
    tools
}

fn shape(field: &str, expected: &'static str, found: impl Into<String>) -> SkillError {
    SkillError::Shape { field: field.to_owned(), expected, found: found.into() }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
