//! Loosely typed results, as a Python or TypeScript handler returns them.
//!
//! Such a handler returns a string, a dictionary, a list of chat messages or yields values, and
//! may hide a state among them. [`reply`] is the one place where that becomes a [`Reply`]:
//!
//! | result | reply |
//! |---|---|
//! | a string, number, boolean or null | its text (`42`, `1.5`, `True`; nothing for null) |
//! | a generator | its last value |
//! | `{"content": …}` without a state | the content |
//! | a list | its last element, or the content of that |
//! | `{"state": "input-required", "prompt": …}`, also as the whole of a string | a pause |
//! | `{"state": "failed", …}`, or `rejected` | the end, with the reason given |
//! | a text, file or data part; a list of parts and strings | those parts |
//! | any other dictionary | one data part, `{"result": …}` |
//!
//! ```
//! use bindu_agent::{Reply, loose};
//! use serde_json::json;
//!
//! let asked = loose::reply(json!({"state": "input-required", "prompt": "Which colour?"}));
//! assert!(matches!(asked, Reply::Paused { .. }));
//! ```

mod text;

use std::borrow::Cow;

use bindu_protocol::{JsonObject, Part, TaskState};
use serde_json::{Map, Value};

use self::text::{plain_text, python_text};
use crate::reply::said_data;
use crate::{Completed, Reply};

/// A loosely typed result.
#[derive(Clone, Debug, PartialEq)]
pub enum Loose {
    /// A value that was returned.
    Value(Value),
    /// The values of a generator, in order; only the last one counts.
    Generator(Vec<Value>),
}

impl From<Value> for Loose {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

impl Loose {
    /// The result of an SDK's handler, which comes as separate fields; an empty string is a field
    /// that is not there. Without a state only the content counts. With one, all fields are
    /// members of a dictionary, in which `metadata` comes last and wins.
    ///
    /// ```
    /// use bindu_agent::loose::Loose;
    /// use serde_json::json;
    ///
    /// let extra = [("service".to_owned(), "paintshop".to_owned())];
    /// assert_eq!(
    ///     Loose::response("", "auth-required", "Sign in", extra),
    ///     json!({"state": "auth-required", "prompt": "Sign in", "service": "paintshop"}).into(),
    /// );
    /// ```
    pub fn response(
        content: impl Into<String>,
        state: impl Into<String>,
        prompt: impl Into<String>,
        metadata: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let (content, state, prompt) = (content.into(), state.into(), prompt.into());
        if state.is_empty() {
            return Self::Value(content.into());
        }
        let fields = [("prompt", prompt), ("content", content)];
        let fields = fields.into_iter().filter(|(_, text)| !text.is_empty());
        let mut map = Map::new();
        map.insert("state".into(), state.into());
        map.extend(fields.map(|(name, text)| (name.to_owned(), text.into())));
        map.extend(metadata.into_iter().map(|(name, text)| (name, text.into())));
        Self::Value(map.into())
    }
}

/// Turns a loosely typed result into a reply.
///
/// Text that merely quotes a state, in prose or among other text, stays text: only a string that
/// is the JSON object as a whole, perhaps inside one code fence, counts.
#[must_use]
pub fn reply(result: impl Into<Loose>) -> Reply {
    let value = match result.into() {
        Loose::Value(value) => value,
        Loose::Generator(values) => values.into_iter().next_back().unwrap_or_default(),
    };
    let value = normalise(value);
    stated(&value)
        .and_then(|members| with_state(&members, &value))
        .unwrap_or_else(|| completed(value))
}

/// Finds the result in what was returned. Happens once: a content is taken as it is.
fn normalise(value: Value) -> Value {
    match value {
        Value::Object(map) if map.contains_key("state") => map.into(),
        Value::Object(map) => content_or_self(map),
        Value::Array(items) if is_parts(&items) => items.into(),
        Value::Array(items) => match items.into_iter().next_back() {
            None => "[]".into(),
            Some(Value::Object(map)) => content_or_self(map),
            Some(last) => last,
        },
        Value::Null => "".into(),
        Value::Bool(_) | Value::Number(_) => python_text(&value).into(),
        Value::String(_) => value,
    }
}

fn content_or_self(mut map: Map<String, Value>) -> Value {
    map.remove("content").unwrap_or(Value::Object(map))
}

/// The dictionary with a state that the value is, or that its text is.
fn stated(value: &Value) -> Option<Cow<'_, Map<String, Value>>> {
    let members = match value {
        Value::Object(map) => Cow::Borrowed(map),
        Value::String(text) => Cow::Owned(serde_json::from_str(whole_object(text)?).ok()?),
        _ => return None,
    };
    members.contains_key("state").then_some(members)
}

/// The text, or the inside of the one code fence around it, if it may be a JSON object.
fn whole_object(text: &str) -> Option<&str> {
    let mut text = text.trim();
    if let Some(fenced) = text.strip_prefix("```") {
        let (_language, inside) = fenced.split_once('\n')?;
        text = inside.strip_suffix("```")?.trim();
    }
    (text.starts_with('{') && text.ends_with('}')).then_some(text)
}

/// The reply for a state that is more than a word in the result.
fn with_state(members: &Map<String, Value>, raw: &Value) -> Option<Reply> {
    let prompt = members.get("prompt").filter(|prompt| !prompt.is_null());
    let (state, message) = match members.get("state")?.as_str()? {
        "input-required" => (TaskState::InputRequired, prompt.unwrap_or(raw)),
        "auth-required" => (TaskState::AuthRequired, prompt.unwrap_or(raw)),
        "payment-required" => return Some(payment(members)),
        "failed" => return Some(Reply::failed(reason(members))),
        "rejected" => return Some(Reply::rejected(reason(members))),
        _ => return None,
    };
    let message = message_parts(inner_prompt(message));
    Some(Reply::Paused { state, message, metadata: None, remarks: None })
}

/// A price is asked as any other question. Where the question is a text, the terms are the
/// message's metadata, so that they are not lost.
fn payment(members: &Map<String, Value>) -> Reply {
    let whole = Value::Object(members.clone());
    let message = inner_prompt(&whole);
    let terms = (message != &whole).then(|| JsonObject::from(members.clone()));
    Reply::Paused {
        state: TaskState::InputRequired,
        message: message_parts(message),
        metadata: terms,
        remarks: None,
    }
}

/// A dictionary that has something to ask asks that.
fn inner_prompt(message: &Value) -> &Value {
    match message.get("prompt") {
        Some(prompt) if is_truthy(prompt) => prompt,
        _ => message,
    }
}

fn reason(members: &Map<String, Value>) -> String {
    ["prompt", "content", "reason", "message", "error"]
        .iter()
        .filter_map(|name| members.get(*name))
        .find(|value| is_truthy(value))
        .map_or_else(|| "no reason was given".to_owned(), plain_text)
}

/// Whether Python would take the value for true.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn completed(value: Value) -> Reply {
    match value {
        Value::String(text) => Reply::text(text),
        value => Completed::with_result(message_parts(&value), artifact_parts(value)).into(),
    }
}

/// What joins the history.
fn message_parts(value: &Value) -> Vec<Part> {
    match value {
        Value::Array(items) if !items.is_empty() => items.iter().map(message_part).collect(),
        value => vec![message_part(value)],
    }
}

fn message_part(value: &Value) -> Part {
    match value {
        Value::Object(map) => {
            part(map).unwrap_or_else(|| said_data(JsonObject::from(map.clone()).into_json()))
        }
        value => Part::text(plain_text(value)),
    }
}

/// What the artifact holds.
fn artifact_parts(value: Value) -> Vec<Part> {
    match value {
        Value::String(text) => vec![Part::text(text)],
        Value::Array(items) if is_parts(&items) => items.iter().map(message_part).collect(),
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_string) => {
            let lines: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            vec![Part::text(lines.join("\n"))]
        }
        value => vec![value.as_object().and_then(part).unwrap_or_else(|| {
            Part::data(JsonObject::from(Map::from_iter([("result".to_owned(), value)])))
        })],
    }
}

/// Whether a list is meant as parts: it has one at least, and strings beside them.
fn is_parts(items: &[Value]) -> bool {
    let is_part = |item: &Value| item.as_object().is_some_and(|map| part(map).is_some());
    items.iter().any(Value::is_object) && items.iter().all(|item| item.is_string() || is_part(item))
}

/// The part that a dictionary is: its `kind` says which, and the member of that name holds what
/// such a part holds. Members that no part has are kept.
fn part(map: &Map<String, Value>) -> Option<Part> {
    let known: &[&str] = match map.get("kind")?.as_str()? {
        "text" => &["kind", "text", "metadata", "embeddings"],
        "file" => &["kind", "file", "text", "metadata", "embeddings"],
        "data" => &["kind", "data", "text", "metadata", "embeddings"],
        _ => return None,
    };
    let (own, extra): (Map<_, _>, Map<_, _>) = map
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .partition(|(name, _)| known.contains(&name.as_str()));
    let mut part: Part = serde_json::from_value(own.into()).ok()?;
    part.extra = (!extra.is_empty()).then(|| extra.into());
    Some(part)
}
