//! Why a file is not opened.

use std::path::PathBuf;

use bindu_storage::BoxError;

/// Why a [`SqliteStore`](crate::SqliteStore) could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL names no file.
    #[error("not the URL of an SQLite file: {why}")]
    Url {
        /// What is wrong with it.
        why: &'static str,
    },
    /// Another process, or another store of this one, has the file open. A file serves one process;
    /// several need a database server.
    #[error("{} is in use by another process; one file serves one process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file holds another agent's tasks.
    #[error("{} belongs to {found}, not to {expected}", path.display())]
    OtherAgent {
        /// The file.
        path: PathBuf,
        /// The DID that it belongs to.
        found: String,
        /// The DID that it was opened for.
        expected: String,
    },
    /// A later version wrote the file, in a layout that this one does not know.
    #[error(
        "{} has layout {found}, made by a later version; this one knows {known}",
        path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: i64,
        /// The last layout that this version knows.
        known: i64,
    },
    /// It is an `SQLite` file, but not of this store.
    #[error("{} is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is no `SQLite` file, or it is damaged.
    #[error("{} is no SQLite database, or is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What `SQLite` says.
        source: BoxError,
    },
    /// The file could not be read or written.
    #[error("{} cannot be used: failed while {doing}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What was under way: "taking the lock".
        doing: &'static str,
        /// What the system or `SQLite` says.
        source: BoxError,
    },
}
