//! `did.json`: the DIDs of the agents that use a directory's key.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use uuid::Uuid;

use super::{error::KeyDirError, files};
use crate::{did::Did, key::PublicKey};

/// How agents that are new to a directory get their DID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Rule {
    /// It ends in a fingerprint of the key.
    #[default]
    Key,
    /// It ends in the agent id: the directory was made by the Python reference.
    AgentId,
}

/// What `did.json` holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    #[serde(rename = "newIdentities", default)]
    pub(super) rule: Rule,
    /// The directory's key. Missing until the private key is written.
    #[serde(
        rename = "publicKeyBase58",
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_key",
        deserialize_with = "read_key"
    )]
    pub(super) public_key: Option<PublicKey>,
    /// When the key was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    /// DIDs by agent id.
    #[serde(default)]
    pub(super) identities: BTreeMap<Uuid, Did>,
}

impl Record {
    pub(super) fn read(path: &Path) -> Result<Option<Self>, KeyDirError> {
        let Some(text) = files::read_optional(path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| not_understood(path, error))
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), KeyDirError> {
        let mut text =
            serde_json::to_string_pretty(self).map_err(|error| not_understood(path, error))?;
        text.push('\n');
        files::write(path, text.as_bytes(), files::PUBLIC, true)
    }

    /// Whether one of the DIDs is a fingerprint of the key.
    pub(super) fn depends_on_key(&self) -> bool {
        self.public_key
            .is_some_and(|key| self.identities.values().any(|did| did.is_self_certified(&key)))
    }

    /// Drops the key, and the DIDs that are a fingerprint of it.
    pub(super) fn forget_key(&mut self) {
        self.created = None;
        if let Some(key) = self.public_key.take() {
            self.identities.retain(|_, did| !did.is_self_certified(&key));
        }
    }

    /// Writes down the DID of an agent and the key that is now in use.
    pub(super) fn adopt(&mut self, agent: Uuid, did: &Did, key: &PublicKey, created: &str) {
        if self.public_key != Some(*key) {
            self.forget_key();
            self.public_key = Some(*key);
        }
        self.created = Some(created.to_owned());
        self.identities.insert(agent, did.clone());
    }
}

/// The DID that an OAuth2 credentials file names for an agent.
pub(super) fn did_in_credentials(path: &Path, agent: Uuid) -> Result<Option<Did>, KeyDirError> {
    Ok(credentials(path)?.remove(&agent))
}

/// The DIDs in an OAuth2 credentials file by agent id; none if there is no file.
///
/// The file maps DIDs to credentials, which hold the agent's id.
pub(super) fn credentials(path: &Path) -> Result<BTreeMap<Uuid, Did>, KeyDirError> {
    let Some(text) = files::read_optional(path)? else { return Ok(BTreeMap::new()) };
    let entries: BTreeMap<String, Value> =
        serde_json::from_str(&text).map_err(|error| not_understood(path, error))?;
    let agent = |entry: &Value| {
        let id = entry.get("agent_id").and_then(Value::as_str);
        id.and_then(|id| Uuid::try_parse(id).ok())
    };
    let named = entries.iter().filter_map(|(did, entry)| Some((agent(entry)?, did)));
    named
        .map(|(id, did)| Ok((id, did.parse().map_err(|error| not_understood(path, error))?)))
        .collect()
}

fn not_understood(
    path: &Path,
    source: impl std::error::Error + Send + Sync + 'static,
) -> KeyDirError {
    KeyDirError::Record { path: path.to_owned(), source: Box::new(source) }
}

#[expect(clippy::ref_option, reason = "serde passes fields by reference")]
fn write_key<S: Serializer>(key: &Option<PublicKey>, serializer: S) -> Result<S::Ok, S::Error> {
    key.map(|key| key.to_base58()).serialize(serializer)
}

fn read_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PublicKey>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
}
