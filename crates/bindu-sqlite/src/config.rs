//! Where the file is, and how it is written.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::OpenError;

/// Where a [`SqliteStore`](crate::SqliteStore) keeps its file, and how it writes it.
///
/// ```
/// use bindu_sqlite::{SqliteConfig, Synchronous};
///
/// let mut config = SqliteConfig::new("tasks.db", "did:bindu:alice:agent:1");
/// config.synchronous = Synchronous::Normal;
/// assert_eq!(config.max_batch, 256);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqliteConfig {
    /// The file. It is made if it is not there, readable by its owner only; its directory must be
    /// there. Beside it lie `-wal` and `-shm`, which belong to it, and `.lock`, which may stay.
    pub path: PathBuf,
    /// The DID of the agent whose tasks these are. The file remembers it, and is not opened for
    /// another.
    pub agent: String,
    /// What has reached the disk when a write is answered.
    #[serde(default)]
    pub synchronous: Synchronous,
    /// At most so many waiting writes go into one commit; 256 by default, and at least 1.
    #[serde(default = "max_batch")]
    pub max_batch: usize,
    /// So many threads read, each over a connection of its own; 4 by default, and at least 1.
    #[serde(default = "readers")]
    pub readers: usize,
    /// So long `SQLite` waits for another program that has the file locked, such as its own command
    /// line tool; 5 seconds by default.
    #[serde(default = "busy_timeout")]
    pub busy_timeout: Duration,
    /// About so many bytes of the tasks written last are kept in memory, so that reading them
    /// touches no file; 32 MiB by default, 0 for none.
    #[serde(default = "cache_bytes")]
    pub cache_bytes: usize,
}

const fn max_batch() -> usize {
    256
}

const fn readers() -> usize {
    4
}

const fn busy_timeout() -> Duration {
    Duration::from_secs(5)
}

const fn cache_bytes() -> usize {
    32 << 20
}

impl SqliteConfig {
    /// The file at `path`, for the agent with this DID, and everything else as by default.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, agent: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            agent: agent.into(),
            synchronous: Synchronous::default(),
            max_batch: max_batch(),
            readers: readers(),
            busy_timeout: busy_timeout(),
            cache_bytes: cache_bytes(),
        }
    }
}

/// What has reached the disk when a write is answered: `SQLite`'s `synchronous` level.
///
/// The file stays whole under each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// All of it: an answered write survives the loss of power. Writes that wait share one flush.
    #[default]
    Full,
    /// What is answered survives the death of the process, but of what was written just before a
    /// loss of power some may be missing afterwards.
    Normal,
    /// As `Normal`, and the file itself may be damaged by a loss of power. For tests.
    Off,
}

impl Synchronous {
    /// The level's name, as `SQLite` and settings spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
            Self::Off => "off",
        }
    }
}

/// The file that a URL names: `sqlite:tasks.db`, `sqlite:///var/lib/agent/tasks.db`.
///
/// What follows `sqlite:` or `sqlite://` is the path as it is: nothing is decoded, there are no
/// parameters, and `sqlite://a/b` is the relative path `a/b`.
///
/// # Errors
///
/// [`OpenError::Url`] if the URL begins otherwise, names no file, has parameters, or asks for a
/// database in memory.
///
/// ```
/// use std::path::Path;
///
/// use bindu_sqlite::path_of_url;
///
/// assert_eq!(path_of_url("sqlite:data/tasks.db")?, Path::new("data/tasks.db"));
/// assert_eq!(path_of_url("sqlite:///data/tasks.db")?, Path::new("/data/tasks.db"));
/// let error = path_of_url("sqlite::memory:").unwrap_err();
/// assert!(error.to_string().contains("STORAGE_TYPE=memory"));
/// # Ok::<(), bindu_sqlite::OpenError>(())
/// ```
pub fn path_of_url(url: &str) -> Result<PathBuf, OpenError> {
    let refused = |why: &'static str| OpenError::Url { why };
    let path = url.strip_prefix("sqlite:").ok_or(refused("it must begin with sqlite:"))?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.contains(":memory:") {
        return Err(refused("a database in memory keeps nothing; use STORAGE_TYPE=memory"));
    }
    if path.contains('?') {
        return Err(refused("it takes no parameters"));
    }
    if path.is_empty() || path.ends_with('/') {
        return Err(refused("it names no file"));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_name_no_file_are_refused() {
        for url in [
            "",
            "tasks.db",
            "postgres://host/db",
            "SQLITE:tasks.db",
            "sqlite:",
            "sqlite://",
            "sqlite:///",
            "sqlite:dir/",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite:tasks.db?mode=ro",
        ] {
            assert!(matches!(path_of_url(url), Err(OpenError::Url { .. })), "{url}");
        }
    }
}
