use std::fmt;

use bindu_did::PublicKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Members that are not printed.
const SECRET_MEMBERS: [&str; 2] = ["client_secret", "registration_access_token"];

/// A client as Hydra's admin API has it: JSON with the members of RFC 7591, section 2, and
/// Hydra's own.
///
/// All members are kept, also those that nobody here knows, so that a client can be read,
/// changed and written back. `Debug` leaves secrets out.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OAuthClient(Map<String, Value>);

impl OAuthClient {
    /// A client with these members.
    #[must_use]
    pub fn new(members: Map<String, Value>) -> Self {
        Self(members)
    }

    /// A client of an answer; empty if that is no object.
    pub(crate) fn of(body: Value) -> Self {
        match body {
            Value::Object(members) => Self(members),
            _ => Self::default(),
        }
    }

    /// All members.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// All members, to change.
    pub fn members_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
    }

    /// Its id: of an agent, the DID.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        self.text("client_id")
    }

    /// What it may ask for.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.text("scope").unwrap_or_default().split_ascii_whitespace()
    }

    /// How it may ask.
    pub fn grant_types(&self) -> impl Iterator<Item = &str> {
        self.list("grant_types")
    }

    /// Whom its tokens may be for.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.list("audience")
    }

    /// A member of its `metadata`.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&Value> {
        self.0.get("metadata")?.get(name)
    }

    /// The agent's Ed25519 key, if there is one that can be read.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        self.metadata("public_key")?.as_str()?.parse().ok()
    }

    pub(crate) fn secret(&self) -> Option<&str> {
        self.text("client_secret")
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        Value::Object(self.0.clone()).to_string().into_bytes()
    }
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in &self.0 {
            if SECRET_MEMBERS.contains(&name.as_str()) {
                map.entry(name, &"[redacted]");
            } else {
                map.entry(name, value);
            }
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_that_cannot_be_read_is_none() {
        let client = |key: Value| OAuthClient::of(json!({ "metadata": { "public_key": key } }));
        let good = "4zvwRjXUKGfvwnParsHAS3HuSVzV5cA4McphgmoCtajS";
        assert_eq!(client(json!(good)).public_key().unwrap().to_base58(), good);
        for bad in [json!(null), json!(""), json!("0OIl"), json!(7), json!(format!("z{good}"))] {
            assert_eq!(client(bad.clone()).public_key(), None, "{bad}");
        }
        assert_eq!(OAuthClient::of(json!({ "metadata": [] })).public_key(), None);
        assert_eq!(OAuthClient::of(json!("no client")).public_key(), None);
    }

    #[test]
    fn secrets_are_not_printed() {
        let client = OAuthClient::of(json!({ "client_id": "a", "client_secret": "hunter2" }));
        let printed = format!("{client:?}");
        assert!(printed.contains("client_id") && !printed.contains("hunter2"), "{printed}");
    }
}
