//! How a key directory is laid out and whose identity it holds.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::Deserialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::did::Did;

/// Where an agent's identity lies, and how a new one is made.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The directory; made with mode 0700 if it is missing. Default: `.bindu`.
    pub dir: PathBuf,
    /// The file of the private key, in `dir`. Default: `private.pem`.
    pub private_key_file: String,
    /// The file of the public key, in `dir`. Default: `public.pem`.
    pub public_key_file: String,
    /// The file of the DIDs, in `dir`. Default: `did.json`.
    pub did_file: String,
    /// The OAuth2 credentials that may name a DID this agent already goes by.
    /// Default: `oauth_credentials.json` in `dir`.
    pub credentials_file: Option<PathBuf>,
    /// The agent's author, as configured; usually an e-mail address.
    pub author: String,
    /// The agent's name, as configured.
    pub name: String,
    /// The agent's id, if it is not to be made from author and name.
    pub agent_id: Option<Uuid>,
    /// How the DID ends.
    pub suffix: DidSuffix,
    /// A DID this agent is known by elsewhere, for example in a database. Used by
    /// [`DidSuffix::Auto`] if the directory has none for the agent.
    pub known_did: Option<Did>,
    /// The password of the private key: to read an encrypted one, and to encrypt
    /// a new one (feature `encryption`).
    pub password: Option<KeyPassword>,
    /// Makes a new key at every start, over the old one. DIDs that are a
    /// fingerprint of the old key are made anew as well.
    pub recreate_keys: bool,
    /// Takes a private key that other users of the machine can read.
    pub allow_lax_permissions: bool,
}

impl Config {
    pub(super) fn credentials_path(&self) -> PathBuf {
        match &self.credentials_file {
            Some(path) => path.clone(),
            None => self.dir.join("oauth_credentials.json"),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: ".bindu".into(),
            private_key_file: "private.pem".to_owned(),
            public_key_file: "public.pem".to_owned(),
            did_file: "did.json".to_owned(),
            credentials_file: None,
            author: String::new(),
            name: String::new(),
            agent_id: None,
            suffix: DidSuffix::Auto,
            known_did: None,
            password: None,
            recreate_keys: false,
            allow_lax_permissions: false,
        }
    }
}

/// What the last segment of an agent's DID is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DidSuffix {
    /// The DID that the agent has: the one in `did.json`; else the one that its
    /// credentials or [`known_did`](Config::known_did) name; else, in a directory
    /// with a key but without `did.json` (made by the Python reference), the one
    /// that ends in the agent id. A new identity gets a fingerprint of its key.
    #[default]
    Auto,
    /// A fingerprint of the key, whatever the agent was called before.
    Key,
    /// The agent id, whatever the agent was called before.
    AgentId,
}

impl FromStr for DidSuffix {
    type Err = UnknownSuffix;

    fn from_str(text: &str) -> Result<Self, UnknownSuffix> {
        match text {
            "auto" => Ok(Self::Auto),
            "key" => Ok(Self::Key),
            "agent-id" => Ok(Self::AgentId),
            _ => Err(UnknownSuffix),
        }
    }
}

/// A text names no [`DidSuffix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not one of: auto, key, agent-id")]
pub struct UnknownSuffix;

/// The password of a private key. Wiped when dropped, and never printed.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct KeyPassword(Zeroizing<String>);

impl KeyPassword {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for KeyPassword {
    fn from(password: String) -> Self {
        Self(Zeroizing::new(password))
    }
}

impl fmt::Debug for KeyPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
