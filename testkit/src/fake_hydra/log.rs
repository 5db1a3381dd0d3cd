//! What was asked.

use http::request::Parts;
use http::{Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::answer::Answer;

/// Where what was asked is read, and cleared; asking for it is not kept.
pub(super) const PATH: &str = "/__log";

/// The headers that are kept.
const KEPT: [header::HeaderName; 3] = [header::CONTENT_TYPE, header::ACCEPT, header::AUTHORIZATION];

/// All that was asked, in order.
#[derive(Debug, Default)]
pub(super) struct Log(Vec<Seen>);

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    method: String,
    /// With its query, percent-decoded.
    path: String,
    headers: Map<String, Value>,
    /// JSON whatever it is declared as, a form as an object, or null.
    pub(super) body: Value,
}

impl Seen {
    pub(super) fn new(head: &Parts, body: &[u8]) -> Self {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let headers = KEPT.iter().filter_map(|name| {
            let value = String::from_utf8_lossy(head.headers.get(name)?.as_bytes());
            Some((name.as_str().to_owned(), Value::from(value)))
        });
        let body = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(_) if body.is_empty() => Value::Null,
            Err(_) => Value::Object(pairs(body).map(|(key, value)| (key, value.into())).collect()),
        };
        Self {
            method: head.method.to_string(),
            path: percent_decode_str(path).decode_utf8_lossy().into_owned(),
            headers: headers.collect(),
            body,
        }
    }

    /// A member of the body that is a text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.body.get(key)?.as_str()
    }

    pub(super) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    /// Whether this was asked: by method, by path, or by a token or client id in the body.
    pub(super) fn has(&self, key: &str, value: &str) -> bool {
        match key {
            "method" => self.method == value,
            "path" => self.path == value,
            "token" | "client_id" => self.text(key) == Some(value),
            _ => false,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let Self { method, path, headers, body } = self;
        json!({ "method": method, "path": path, "headers": headers, "body": body })
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
    pub(super) fn answer(&mut self, head: &Parts) -> Answer {
        if head.method == Method::DELETE {
            self.0.clear();
            return Answer::empty(StatusCode::NO_CONTENT);
        }
        let query: Vec<_> = pairs(head.uri.query().unwrap_or_default().as_bytes()).collect();
        let chosen = self.0.iter().filter(|seen| query.iter().all(|(k, v)| seen.has(k, v)));
        let chosen: Vec<_> = chosen.map(Seen::to_value).collect();
        Answer::new(StatusCode::OK, json!({ "count": chosen.len(), "requests": chosen }))
    }
}

/// What a form or a query says.
fn pairs(text: &[u8]) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(text).into_owned()
}
