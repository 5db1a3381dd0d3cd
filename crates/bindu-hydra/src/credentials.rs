//! What an agent proves itself with, and the file it is kept in.

mod entries;
mod file;

use std::time::SystemTime;

use bindu_protocol::Timestamp;
use serde_json::{Value, json};

use crate::Secret;

pub use self::file::{CredentialsFile, CredentialsLock};

/// What an agent proves itself to Hydra with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The agent's id.
    pub agent_id: String,
    /// The OAuth2 client: the DID.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// When it was registered, as ISO 8601 in UTC.
    pub created_at: String,
    /// The scopes that its tokens are requested with.
    pub scopes: Vec<String>,
}

impl Credentials {
    /// Reads an entry of the file. `None` if there is no id or no secret.
    fn from_json(entry: &Value) -> Option<Self> {
        let text = |name| entry.get(name).and_then(Value::as_str);
        let required = |name| text(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let scopes = entry.get("scopes").and_then(Value::as_array);
        Some(Self {
            agent_id: text("agent_id").unwrap_or_default().to_owned(),
            client_id: required("client_id")?,
            client_secret: Secret::from(required("client_secret")?),
            created_at: text("created_at").unwrap_or_default().to_owned(),
            scopes: scopes
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
        })
    }

    fn to_json(&self) -> Value {
        json!({
            "agent_id": self.agent_id,
            "client_id": self.client_id,
            "client_secret": self.client_secret.reveal(),
            "created_at": self.created_at,
            "scopes": self.scopes,
        })
    }
}

/// `2026-01-02T03:04:05.678901+00:00`.
pub(crate) fn iso(now: SystemTime) -> String {
    Timestamp::from(now).to_string()
}
