//! What can go wrong with a key directory.

use std::{io, path::PathBuf};

use crate::{did::Did, error::DidError};

/// Why the identity in a key directory could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyDirError {
    /// A file or directory could not be read or written.
    #[error("{doing} {path} failed", path = path.display())]
    Io {
        /// "reading", "writing"...
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Others than the owner have access to the private key.
    #[error(
        "private key {path} is open to other users (mode {mode:04o}); run: chmod 600 {quoted}",
        path = path.display(),
        quoted = shell_word(path)
    )]
    LaxPermissions {
        /// The private key.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The private key cannot be read or made.
    #[error("the private key {path} cannot be used", path = path.display())]
    Key {
        /// The private key.
        path: PathBuf,
        /// What is wrong with it.
        source: DidError,
    },
    /// A password is configured, but the private key lies in the open.
    #[error(
        "a key password is configured, but private key {path} is not encrypted; encrypt it, or \
         drop the password",
        path = path.display()
    )]
    NotEncrypted {
        /// The private key.
        path: PathBuf,
    },
    /// The private key is gone, and a DID that was made from it remains.
    #[error(
        "private key {private} is missing, but {record} names a DID that only this key can hold; \
         restore the key, or remove {record} to start as someone else",
        private = private.display(),
        record = record.display()
    )]
    KeyLost {
        /// The private key.
        private: PathBuf,
        /// The file that names the DID.
        record: PathBuf,
    },
    /// The private key is not the one from which the agent's DID was made.
    #[error(
        "{record} names a DID that was made from another key than {private}; restore that key, or \
         remove {record} to start as someone else",
        private = private.display(),
        record = record.display()
    )]
    OtherKey {
        /// The private key.
        private: PathBuf,
        /// The file that names the DID.
        record: PathBuf,
    },
    /// There is no key, or no DID that goes with it.
    #[error("{dir} holds no identity", dir = dir.display())]
    NoIdentity {
        /// The directory.
        dir: PathBuf,
    },
    /// There are several identities, or not the one that is asked for.
    #[error("{dir} holds {}; say which one to be", list(dids), dir = dir.display())]
    WhichIdentity {
        /// The directory.
        dir: PathBuf,
        /// The identities it holds.
        dids: Vec<Did>,
    },
    /// Author and name make no DID.
    #[error("agent {name:?} by {author:?} cannot have a DID")]
    Name {
        /// The author, as configured.
        author: String,
        /// The name, as configured.
        name: String,
        /// Which of them is wrong, and how.
        source: DidError,
    },
    /// A JSON file in the directory does not hold what it should.
    #[error("{path} cannot be understood", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl KeyDirError {
    /// Whether the file system, not the content, forbids writing.
    pub(super) fn is_read_only(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }
}

fn list(dids: &[Did]) -> String {
    dids.iter().map(Did::as_str).collect::<Vec<_>>().join(" and ")
}

/// A path as one word for a shell.
fn shell_word(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@:".contains(&b);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
