//! What was asked.

use http::request::Parts;
use serde_json::{Value, json};
use url::form_urlencoded;

/// All that was asked, in order.
#[derive(Debug, Default)]
pub(super) struct Log(Vec<Seen>);

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Without its query.
    pub(super) path: String,
    /// Null if there was none, or none that is JSON.
    pub(super) body: Value,
}

impl Seen {
    pub(super) fn new(head: &Parts, body: &[u8]) -> Self {
        Self {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            body: serde_json::from_slice(body).unwrap_or_default(),
        }
    }

    pub(super) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    /// Whether its body has this text in it.
    pub(super) fn says(&self, text: &str) -> bool {
        self.body.to_string().contains(text)
    }

    pub(super) fn to_value(&self) -> Value {
        let Self { method, path, body } = self;
        json!({ "method": method, "path": path, "body": body })
    }
}

impl Log {
    pub(super) fn keep(&mut self, seen: Seen) {
        self.0.push(seen);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Seen> {
        self.0.iter()
    }

    /// Answers a request for what was asked; a query chooses.
    pub(super) fn answer(&self, query: &str) -> Value {
        let chosen = self.0.iter().map(Seen::to_value);
        let chosen: Vec<_> = chosen.filter(|seen| is_chosen(seen, &seen["body"], query)).collect();
        json!({ "count": chosen.len(), "requests": chosen })
    }
}

/// Whether a query chooses this: its members as they are, or a text that the body contains.
pub(super) fn is_chosen(value: &Value, body: &Value, query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).all(|(key, wanted)| match &*key {
        "contains" => body.to_string().contains(&*wanted),
        key => value.get(key).and_then(Value::as_str) == Some(&*wanted),
    })
}
