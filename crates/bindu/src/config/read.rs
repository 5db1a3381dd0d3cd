//! Reads the keys of a JSON object and keeps what was wrong with them.

use serde_json::{Map, Value};

use super::Problem;
use crate::settings::closest;

/// The keys of one object. What is wrong goes to `problems` and `warnings`, and reading goes
/// on, so that a user sees all of it at once.
#[derive(Debug)]
pub(super) struct Keys<'a> {
    object: &'a Map<String, Value>,
    prefix: &'static str,
    asked: Vec<&'static str>,
    findings: &'a mut Findings,
}

/// What was found wrong, or odd.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(
        object: &'a Map<String, Value>,
        prefix: &'static str,
        findings: &'a mut Findings,
    ) -> Self {
        Self { object, prefix, asked: Vec::new(), findings }
    }

    /// The value of a key that is there and not null.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.asked.push(key);
        self.object.get(key).filter(|value| !value.is_null())
    }

    /// A problem with one of the keys.
    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.findings.problems.push(Problem::new(format!("'{}{key}'", self.prefix), message));
    }

    pub(super) fn findings(&mut self) -> &mut Findings {
        self.findings
    }

    /// Reads a value, or says what it had to be and is not.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        must_be: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let found = read(value);
        if found.is_none() {
            self.problem(key, format!("must be {must_be}, not {}", name_type(value)));
        }
        found
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.read(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn secret(&mut self, key: &'static str) -> Option<crate::settings::Secret> {
        self.read(key, "a string", |value| value.as_str().map(Into::into))
    }

    pub(super) fn bool(&mut self, key: &'static str) -> Option<bool> {
        self.read(key, "true or false", Value::as_bool)
    }

    pub(super) fn whole<T: TryFrom<u64>>(&mut self, key: &'static str) -> Option<T> {
        self.read(key, "a whole number, 0 or more", |value| value.as_u64()?.try_into().ok())
    }

    pub(super) fn map(&mut self, key: &'static str) -> Option<&'a Map<String, Value>> {
        self.read(key, "an object", Value::as_object)
    }

    pub(super) fn list(&mut self, key: &'static str) -> Option<&'a Vec<Value>> {
        self.read(key, "a list", Value::as_array)
    }

    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.read(key, "a list of strings", |value| {
            value.as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect()
        })
    }

    /// Warns about the keys that nobody asked for.
    pub(super) fn finish(self) {
        for key in self.object.keys() {
            if self.asked.contains(&key.as_str()) {
                continue;
            }
            let meant = match closest(key, self.asked.iter().copied()) {
                Some(meant) => format!(", did you mean '{}{meant}'?", self.prefix),
                None => " and has no effect".to_owned(),
            };
            self.findings.warnings.push(format!(
                "'{}{key}' is not a key of the agent configuration{meant}",
                self.prefix
            ));
        }
    }
}

/// What a value is, without showing it: it may be a secret in the wrong place.
pub(super) fn name_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(number) if number.as_i64().is_some_and(|it| it < 0) => "a negative number",
        Value::Number(number) if number.is_f64() => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
