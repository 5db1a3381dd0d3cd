//! Which key belongs to which peer: trust on first use.
//!
//! A DID whose last segment is a fingerprint of its key proves by itself which key
//! is its own. Any other is as good as the first meeting: its key is *pinned* then,
//! and another key is refused from there on.
//!
//! ```
//! use bindu_did::{Did, SigningKey, agent_id};
//! use bindu_did::pins::{PinError, Pins, Trust};
//!
//! let pins = Pins::in_memory();
//! let did = Did::for_agent("ann", "echo", agent_id("ann", "echo"))?;
//! let first = SigningKey::from_seed(&[1; 32]).public_key();
//! assert_eq!(pins.check(&did, &first)?, Trust::FirstUse);
//! assert_eq!(pins.check(&did, &first)?, Trust::Pinned);
//!
//! let other = SigningKey::from_seed(&[2; 32]).public_key();
//! assert!(matches!(pins.check(&did, &other), Err(PinError::OtherKey { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With [`Config::file`] pins outlive the process; several processes may share one
//! file. Pins are never dropped to make room: whoever could bring many DIDs along
//! could then make us forget the one that matters.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    did::Did,
    key::PublicKey,
    key_dir::{KeyDirError, files},
};

/// How a [`Pins`] store judges and where it is kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// Refuses DIDs that do not prove their key by themselves, instead of trusting
    /// the first meeting. Keys that were pinned before are refused as well.
    /// Default: `false`.
    pub require_self_certified: bool,
    /// The most pins that are kept. Default: 10,000.
    pub max: usize,
    /// The file the pins are kept in; without one they are gone with the process.
    /// Mode 0600, and always whole: written beside its place and moved there.
    pub file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self { require_self_certified: false, max: 10_000, file: None }
    }
}

/// Why a key is taken for a DID's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// The DID is a fingerprint of the key.
    SelfCertified,
    /// It is the key that the DID was first met with.
    Pinned,
    /// This is the first meeting; the key is pinned now. Worth a line in the log.
    FirstUse,
}

/// Why a key is not taken for a DID's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The DID was met with another key before. Either its holder changed the key,
    /// and says so elsewhere; then [`Pins::forget`] the old one. Or someone else
    /// pretends to be that agent.
    #[error(
        "{did} now has the key {offered}, but had {pinned} before; if its owner confirms the \
         change, forget the old key, else this may be someone else"
    )]
    OtherKey {
        /// The DID.
        did: Did,
        /// The key it was first met with.
        pinned: PublicKey,
        /// The key that was offered now.
        offered: PublicKey,
    },
    /// The DID does not prove its key, and [`Config::require_self_certified`] wants
    /// it to.
    #[error("{did} is no fingerprint of its key, and only such DIDs are accepted")]
    NotSelfCertified {
        /// The DID.
        did: Did,
    },
    /// There are as many pins as may be. Known peers are still recognised.
    #[error("{max} keys of peers are known, and no more are remembered; {did} is new")]
    Full {
        /// The DID that is new.
        did: Did,
        /// The bound: [`Config::max`].
        max: usize,
    },
    /// The file of the pins could not be read, understood or written.
    #[error(transparent)]
    File(#[from] KeyDirError),
}

/// The keys of peers, each as it was first met. Safe to share between threads.
#[derive(Debug)]
pub struct Pins {
    config: Config,
    known: Mutex<BTreeMap<Did, PublicKey>>,
}

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Keys in base58 by DID.
    pins: BTreeMap<Did, String>,
}

impl Pins {
    /// No pins yet, kept nowhere; first meetings are trusted.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { config: Config::default(), known: Mutex::default() }
    }

    /// The pins in the configuration's file, or none if there is no file yet.
    ///
    /// # Errors
    ///
    /// [`PinError::File`] if there is a file that cannot be read or understood.
    pub fn open(config: Config) -> Result<Self, PinError> {
        let known = match &config.file {
            Some(path) => read(path)?,
            None => BTreeMap::new(),
        };
        Ok(Self { config, known: Mutex::new(known) })
    }

    /// Whether pins are kept in a file, so that [`check`](Self::check) may block on it.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.config.file.is_some()
    }

    /// Judges whether `key` is the key of `did`, and pins it at the first meeting.
    ///
    /// A key that the DID certifies is always taken, also in place of a pinned one:
    /// no one else can make such a key. It is pinned too, as far as there is room,
    /// so that the DID cannot be presented with a lesser key later.
    ///
    /// Blocks on the file, if there is one, at first meetings only.
    ///
    /// # Errors
    ///
    /// [`PinError::OtherKey`], [`PinError::NotSelfCertified`], [`PinError::Full`]; and
    /// [`PinError::File`] if the file cannot be written, in which case nothing is
    /// pinned.
    pub fn check(&self, did: &Did, key: &PublicKey) -> Result<Trust, PinError> {
        let certified = did.is_self_certified(key);
        if self.config.require_self_certified && !certified {
            return Err(PinError::NotSelfCertified { did: did.clone() });
        }
        // No code below leaves the map half changed.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match (known.get(did), certified) {
            (Some(pinned), true) if pinned == key => return Ok(Trust::SelfCertified),
            (Some(pinned), false) => return Self::compare(did, *pinned, key),
            _ => {}
        }
        if known.len() >= self.config.max && !known.contains_key(did) {
            if certified {
                return Ok(Trust::SelfCertified);
            }
            return Err(PinError::Full { did: did.clone(), max: self.config.max });
        }
        if let Some(path) = &self.config.file {
            files::create_dir(directory(path))?;
            let _lock = files::lock(directory(path))?;
            // Another process may have met the peer meanwhile.
            let mut kept = read(path)?;
            let found = kept.get(did).copied();
            match found {
                Some(pinned) if pinned == *key => {}
                Some(pinned) if !certified => {
                    known.insert(did.clone(), pinned);
                    return Self::compare(did, pinned, key);
                }
                _ => {
                    kept.insert(did.clone(), *key);
                    write(path, &kept)?;
                }
            }
            if !certified && found.is_some() {
                known.insert(did.clone(), *key);
                return Ok(Trust::Pinned);
            }
        }
        known.insert(did.clone(), *key);
        Ok(if certified { Trust::SelfCertified } else { Trust::FirstUse })
    }

    fn compare(did: &Did, pinned: PublicKey, key: &PublicKey) -> Result<Trust, PinError> {
        if pinned == *key {
            return Ok(Trust::Pinned);
        }
        Err(PinError::OtherKey { did: did.clone(), pinned, offered: *key })
    }

    /// The key that a DID was met with.
    #[must_use]
    pub fn get(&self, did: &Did) -> Option<PublicKey> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(did).copied()
    }

    /// Forgets the key of a DID, so that the next one is trusted: for a peer that has
    /// said, by a way one trusts, that it changed its key. Tells whether one was known.
    ///
    /// Other processes that have read the file already keep what they know.
    ///
    /// # Errors
    ///
    /// [`PinError::File`].
    pub fn forget(&self, did: &Did) -> Result<bool, PinError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = known.contains_key(did);
        if let Some(path) = &self.config.file {
            files::create_dir(directory(path))?;
            let _lock = files::lock(directory(path))?;
            let mut kept = read(path)?;
            if kept.remove(did).is_some() {
                found = true;
                write(path, &kept)?;
            }
        }
        known.remove(did);
        Ok(found)
    }

    /// How many peers are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no peer is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where the file lies, and its lock beside it.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn read(path: &Path) -> Result<BTreeMap<Did, PublicKey>, PinError> {
    // Bytes that are no text are not understood either, and never taken for no file.
    if !files::exists(path)? {
        return Ok(BTreeMap::new());
    }
    let not_understood = |source: Box<dyn std::error::Error + Send + Sync>| {
        PinError::File(KeyDirError::Record { path: path.to_owned(), source })
    };
    let text = files::read_secret(path)?;
    let kept: Kept = serde_json::from_str(&text).map_err(|error| not_understood(error.into()))?;
    let pins = kept.pins.into_iter().map(|(did, key)| Ok((did, key.parse()?)));
    pins.collect::<Result<_, crate::DidError>>().map_err(|error| not_understood(error.into()))
}

fn write(path: &Path, pins: &BTreeMap<Did, PublicKey>) -> Result<(), PinError> {
    let pins = pins.iter().map(|(did, key)| (did.clone(), key.to_base58())).collect();
    let mut text = serde_json::to_string_pretty(&Kept { pins }).map_err(|error| {
        PinError::File(KeyDirError::Record { path: path.to_owned(), source: error.into() })
    })?;
    text.push('\n');
    Ok(files::write(path, text.as_bytes(), files::PRIVATE, true)?)
}
