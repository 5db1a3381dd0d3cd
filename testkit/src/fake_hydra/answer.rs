//! What is answered to what.

use http::request::Parts;
use http::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::log::Seen;
use super::world::World;

/// Where tokens are introspected.
pub(super) const INTROSPECT: &str = "/admin/oauth2/introspect";

/// Where clients are.
const CLIENTS: &str = "/admin/clients";

/// A status, and JSON if there is something to say.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body) }
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, body: None }
    }

    pub(super) fn error(status: StatusCode, error: &str) -> Self {
        Self::new(status, json!({ "error": error }))
    }

    fn ok(body: Value) -> Self {
        Self::new(StatusCode::OK, body)
    }

    fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Not Found")
    }
}

impl World {
    pub(super) fn answer(&mut self, head: &Parts, seen: &Seen) -> Answer {
        let path = head.uri.path();
        let id = path.strip_prefix(CLIENTS).and_then(|rest| rest.strip_prefix('/'));
        if let Some(id) = id {
            let id = percent_decode_str(id).decode_utf8_lossy().into_owned();
            return self.client(&head.method, id, &seen.body);
        }
        match (head.method.as_str(), path) {
            ("POST", INTROSPECT) => self.introspect(seen.text("token").unwrap_or_default()),
            ("POST", "/admin/oauth2/revoke" | "/oauth2/revoke") => Answer::empty(StatusCode::OK),
            ("POST", "/oauth2/token") => Answer::ok(json!({
                "access_token": "tok-service",
                "token_type": "bearer",
                "expires_in": 3599,
                "scope": seen.text("scope").unwrap_or_default(),
            })),
            ("GET", "/admin/health/ready" | "/health/ready") => Answer::ok(json!({"status": "ok"})),
            ("GET", "/.well-known/jwks.json") => Answer::ok(json!({"keys": []})),
            ("GET", CLIENTS) => Answer::ok(self.clients.values().cloned().map(public).collect()),
            ("POST", CLIENTS) => self.create(seen),
            _ => Answer::not_found(),
        }
    }

    fn introspect(&self, token: &str) -> Answer {
        if token.starts_with("tok-hydra-500") {
            return Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
        }
        // `tok-good.anything` is one more of the kind `tok-good`.
        let kind = token.split_once('.').map_or(token, |(kind, _)| kind);
        Answer::ok(self.token(kind).unwrap_or_else(|| json!({ "active": false })))
    }

    fn create(&mut self, seen: &Seen) -> Answer {
        let Some(id) = seen.text("client_id").map(str::to_owned) else {
            return Answer::error(StatusCode::BAD_REQUEST, "invalid_client_metadata");
        };
        if self.clients.contains_key(&id) {
            return Answer::error(StatusCode::CONFLICT, "conflict");
        }
        self.clients.insert(id, seen.body.clone());
        Answer::new(StatusCode::CREATED, seen.body.clone())
    }

    fn client(&mut self, method: &Method, id: String, body: &Value) -> Answer {
        match *method {
            Method::GET => match self.clients.get(&id) {
                Some(client) => Answer::ok(public(client.clone())),
                None => Answer::not_found(),
            },
            Method::PUT => {
                self.clients.insert(id, body.clone());
                Answer::ok(body.clone())
            }
            Method::DELETE => match self.clients.remove(&id) {
                Some(_) => Answer::empty(StatusCode::NO_CONTENT),
                None => Answer::empty(StatusCode::NOT_FOUND),
            },
            _ => Answer::not_found(),
        }
    }
}

/// A client as others may see it.
fn public(mut client: Value) -> Value {
    if let Some(client) = client.as_object_mut() {
        client.remove("client_secret");
    }
    client
}
