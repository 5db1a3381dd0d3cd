//! An agent's identity, kept in a directory.
//!
//! [`open`] is what an agent calls at start. The first time, it makes a key and a
//! DID and writes them down; ever after, it reads them.
//!
//! | file | mode | content |
//! |---|---|---|
//! | `private.pem` | 0600 | the private key, PKCS#8; never overwritten unless asked |
//! | `public.pem` | 0644 | the public key; derived again if lost or wrong |
//! | `did.json` | 0644 | the DIDs of the agents that use the key |
//! | `.lock` | 0600 | held while the directory is read and written |
//!
//! Files are written beside their place, flushed to disk and renamed, and a lock
//! keeps processes apart, so that two agents started at once agree on one key.
//! All agents of a directory share its key; each has its own DID.
//!
//! ```
//! use std::time::SystemTime;
//! use bindu_did::key_dir::{self, Config};
//!
//! # let parent = tempfile::tempdir()?;
//! # let dir = parent.path().join(".bindu");
//! let config = Config {
//!     dir,
//!     author: "ann@example.com".to_owned(),
//!     name: "echo".to_owned(),
//!     ..Config::default()
//! };
//! let identity = key_dir::open(&config, SystemTime::now())?;
//! assert!(identity.did().is_self_certified(&identity.key().public_key()));
//!
//! // A restart finds the same.
//! let again = key_dir::open(&config, SystemTime::now())?;
//! assert_eq!(again.document(), identity.document());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This module blocks on files; call it before the async runtime has work to do.

mod config;
mod error;
pub(crate) mod files;
mod record;

use std::{path::Path, time::SystemTime};

use uuid::Uuid;
use zeroize::Zeroizing;

pub use config::{Config, DidSuffix, KeyPassword, UnknownSuffix};
pub use error::KeyDirError;
use record::{Record, Rule};

use crate::{
    did::{Did, agent_id},
    document::DidDocument,
    error::DidError,
    key::{PublicKey, SigningKey},
    timestamp::isoformat,
};

/// Who an agent is: its key, its DID, and the document that ties them together.
#[derive(Debug)]
pub struct Identity {
    key: SigningKey,
    agent_id: Uuid,
    document: DidDocument,
    replaced: Option<Did>,
}

impl Identity {
    /// An identity that is not kept anywhere: for tests, and for callers made
    /// from a seed.
    #[must_use]
    pub fn new(key: SigningKey, did: &Did, agent_id: Uuid, created: SystemTime) -> Self {
        let document = DidDocument::new(did, &key.public_key(), created);
        Self { key, agent_id, document, replaced: None }
    }

    /// The key, ready to sign.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The DID.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.document.id
    }

    /// The id on the agent's card: [`agent_id`], or the one in the configuration.
    #[must_use]
    pub fn agent_id(&self) -> Uuid {
        self.agent_id
    }

    /// The document to publish. Its `created` is when the key was made, and stays
    /// the same over restarts.
    #[must_use]
    pub fn document(&self) -> &DidDocument {
        &self.document
    }

    /// The DID this agent had until now, if this start gave it another: because
    /// the configuration forces a rule, or the key was made anew. Worth a warning.
    #[must_use]
    pub fn replaced(&self) -> Option<&Did> {
        self.replaced.as_ref()
    }
}

/// Reads the identity in a directory, or makes one at `now`.
///
/// # Errors
///
/// [`KeyDirError`]. Above all: the private key can be read by others, is under
/// another password, or is lost while `did.json` names a DID made from it.
/// Nothing is written in these cases.
pub fn open(config: &Config, now: SystemTime) -> Result<Identity, KeyDirError> {
    files::create_dir(&config.dir)?;
    let _lock = files::lock(&config.dir)?;
    let private = config.dir.join(&config.private_key_file);
    let record_path = config.dir.join(&config.did_file);
    let record = Record::read(&record_path)?;

    let exists = files::exists(&private)?;
    let fresh = config.recreate_keys || !exists;
    let foreign = record.is_none() && exists;
    let mut record = record.unwrap_or_else(|| Record {
        rule: if exists { Rule::AgentId } else { Rule::Key },
        ..Record::default()
    });
    let key = if fresh {
        if !config.recreate_keys && record.depends_on_key() {
            return Err(KeyDirError::KeyLost { private, record: record_path });
        }
        SigningKey::generate().map_err(|source| key_error(&private, source))?
    } else {
        read_private(&private, config)?
    };
    let public = key.public_key();
    let same_key = record.public_key.is_none_or(|recorded| recorded == public);
    if !fresh && !same_key && record.depends_on_key() {
        return Err(KeyDirError::OtherKey { private, record: record_path });
    }

    let agent_id = config.agent_id.unwrap_or_else(|| agent_id(&config.author, &config.name));
    let did = choose_did(config, &record, agent_id, &public)?;
    let replaced = record.identities.get(&agent_id).filter(|old| **old != did).cloned();
    let created = match &record.created {
        _ if fresh => isoformat(now),
        Some(created) if same_key => created.clone(),
        _ => isoformat(files::modified(&private)?),
    };

    let private_text = if fresh { Some(private_pem(&private, &key, config)?) } else { None };
    let before = record.clone();
    if let Some(text) = private_text {
        // If we are stopped between the two files, the next start must neither
        // take our key for the reference's nor look for a key that never was.
        record.forget_key();
        record.write(&record_path)?;
        files::write(&private, text.as_bytes(), files::PRIVATE, config.recreate_keys)?;
    }
    write_public(&config.dir.join(&config.public_key_file), &public)?;
    record.adopt(agent_id, &did, &public, &created);
    if fresh || record != before {
        match record.write(&record_path) {
            // A mounted secret may be read-only. What the reference made is found
            // again by its rule, so nothing is lost.
            Err(error) if foreign && error.is_read_only() => {}
            written => written?,
        }
    }

    let document = DidDocument::with_created(&did, &public, created);
    Ok(Identity { key, agent_id, document, replaced })
}

/// Reads the identity in a directory, and writes nothing: for a caller that goes by an
/// identity that is there already, next to the agent it belongs to.
///
/// Of several identities the one is taken that [`Config::known_did`] names, or
/// [`Config::agent_id`], or author and name. The DIDs are those of `did.json`; without
/// that file, those of the OAuth2 credentials.
///
/// ```
/// use std::time::SystemTime;
/// use bindu_did::key_dir::{self, Config};
///
/// # let parent = tempfile::tempdir()?;
/// # let dir = parent.path().join(".bindu");
/// # let new = Config { dir: dir.clone(), author: "ann".into(), name: "a".into(), ..Config::default() };
/// # let made = key_dir::open(&new, SystemTime::now())?;
/// let identity = key_dir::read(&Config { dir, ..Config::default() })?;
/// # assert_eq!(identity.document(), made.document());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`KeyDirError::NoIdentity`], [`KeyDirError::WhichIdentity`]; and
/// [`KeyDirError::LaxPermissions`], [`KeyDirError::Key`] and others as [`open`].
pub fn read(config: &Config) -> Result<Identity, KeyDirError> {
    let private = config.dir.join(&config.private_key_file);
    let none = || KeyDirError::NoIdentity { dir: config.dir.clone() };
    if !files::exists(&private)? {
        return Err(none());
    }
    let key = read_private(&private, config)?;
    let public = key.public_key();
    let record_path = config.dir.join(&config.did_file);
    let record = Record::read(&record_path)?.unwrap_or_default();
    let same_key = record.public_key.is_none_or(|recorded| recorded == public);
    if !same_key && record.depends_on_key() {
        return Err(KeyDirError::OtherKey { private, record: record_path });
    }
    let mut known = record.identities;
    if known.is_empty() {
        known = record::credentials(&config.credentials_path())?;
    }
    let wanted = |agent: &Uuid, did: &Did| match (&config.known_did, config.agent_id) {
        (Some(known), _) => known == did,
        (None, Some(id)) => id == *agent,
        (None, None) if config.author.is_empty() && config.name.is_empty() => true,
        (None, None) => agent_id(&config.author, &config.name) == *agent,
    };
    let mut fitting = known.iter().filter(|(agent, did)| wanted(agent, did));
    let (agent_id, did) = match (fitting.next(), fitting.next()) {
        (Some((agent, did)), None) => (*agent, did.clone()),
        (None, _) if known.is_empty() => return Err(none()),
        _ => {
            let dids = known.into_values().collect();
            return Err(KeyDirError::WhichIdentity { dir: config.dir.clone(), dids });
        }
    };
    let created = match record.created {
        Some(created) if same_key => created,
        _ => isoformat(files::modified(&private)?),
    };
    let document = DidDocument::with_created(&did, &public, created);
    Ok(Identity { key, agent_id, document, replaced: None })
}

/// The DID of this agent, by the rules in [`DidSuffix`].
fn choose_did(
    config: &Config,
    record: &Record,
    agent_id: Uuid,
    public: &PublicKey,
) -> Result<Did, KeyDirError> {
    // A fingerprint of a key that is being replaced is not ours to use any more.
    let stale = |did: &Did| {
        record.public_key.is_some_and(|old| old != *public && did.is_self_certified(&old))
    };
    let recorded = record.identities.get(&agent_id);
    let rule = match (config.suffix, recorded) {
        (DidSuffix::Key, _) => Rule::Key,
        (DidSuffix::AgentId, _) => Rule::AgentId,
        (DidSuffix::Auto, Some(did)) if stale(did) => Rule::Key,
        (DidSuffix::Auto, Some(did)) => return Ok(did.clone()),
        (DidSuffix::Auto, None) => match known_did(config, agent_id)? {
            Some(did) => return Ok(did),
            None => record.rule,
        },
    };
    let suffix = match rule {
        Rule::Key => public.id(),
        Rule::AgentId => agent_id,
    };
    // A DID that already follows the rule stays as it is written down.
    if let Some(did) = recorded.filter(|did| did.suffix() == Some(suffix)) {
        return Ok(did.clone());
    }
    let made = if rule == Rule::AgentId && record.rule == Rule::AgentId {
        Did::for_known_agent(&config.author, &config.name, suffix)
    } else {
        Did::for_agent(&config.author, &config.name, suffix)
    };
    made.map_err(|error| KeyDirError::Name {
        author: config.author.clone(),
        name: config.name.clone(),
        source: error.into(),
    })
}

/// The DID by which the agent goes elsewhere.
fn known_did(config: &Config, agent_id: Uuid) -> Result<Option<Did>, KeyDirError> {
    match &config.known_did {
        Some(did) => Ok(Some(did.clone())),
        None => record::did_in_credentials(&config.credentials_path(), agent_id),
    }
}

fn read_private(path: &Path, config: &Config) -> Result<SigningKey, KeyDirError> {
    if !config.allow_lax_permissions {
        files::refuse_lax_permissions(path)?;
    }
    let text = files::read_secret(path)?;
    let password = config.password.as_ref().map(KeyPassword::reveal);
    let key = SigningKey::from_pem(&text, password).map_err(|source| key_error(path, source))?;
    // Whoever sets a password believes that the file is under it.
    if password.is_some() && SigningKey::from_pem(&text, None).is_ok() {
        return Err(KeyDirError::NotEncrypted { path: path.to_owned() });
    }
    Ok(key)
}

fn private_pem(
    path: &Path,
    key: &SigningKey,
    config: &Config,
) -> Result<Zeroizing<String>, KeyDirError> {
    match &config.password {
        None => Ok(key.to_pkcs8_pem()),
        Some(password) => encrypted_pem(key, password).map_err(|source| key_error(path, source)),
    }
}

#[cfg(feature = "encryption")]
fn encrypted_pem(key: &SigningKey, password: &KeyPassword) -> Result<Zeroizing<String>, DidError> {
    key.to_encrypted_pem(password.reveal())
}

#[cfg(not(feature = "encryption"))]
fn encrypted_pem(_: &SigningKey, _: &KeyPassword) -> Result<Zeroizing<String>, DidError> {
    Err(DidError::EncryptionUnsupported)
}

fn write_public(path: &Path, public: &PublicKey) -> Result<(), KeyDirError> {
    let found = files::read_optional(path)?;
    let right = found.is_some_and(|text| PublicKey::from_pem(&text).ok() == Some(*public));
    if right {
        return Ok(());
    }
    match files::write(path, public.to_pem().as_bytes(), files::PUBLIC, true) {
        // Only a convenience for others; a mounted secret may be read-only.
        Err(error) if error.is_read_only() => Ok(()),
        written => written,
    }
}

fn key_error(path: &Path, source: DidError) -> KeyDirError {
    KeyDirError::Key { path: path.to_owned(), source }
}
