//! What goes wrong inside, on its way to becoming a [`StorageError`].

use bindu_storage::{BoxError, StorageError};

/// Why a read or a write did not go through.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for is refused; nothing was written.
    Refused(StorageError),
    /// `SQLite` failed.
    Sql(rusqlite::Error),
    /// A row holds, or should hold, what this version cannot read or write.
    Stored(BoxError),
}

impl Failure {
    pub(crate) fn stored(error: impl Into<BoxError>) -> Self {
        Self::Stored(error.into())
    }

    /// Something of a kind that was added to the words after this store was written.
    pub(crate) fn unknown(what: &str) -> Self {
        Self::Stored(format!("{what} is of a kind that this store does not know").into())
    }

    /// A change that no store can make sense of.
    pub(crate) fn misuse(what: &'static str) -> Self {
        Self::Refused(StorageError::Backend { doing: "checking a change", source: what.into() })
    }

    pub(crate) fn into_error(self, doing: &'static str) -> StorageError {
        match self {
            Self::Refused(error) => error,
            Self::Sql(error) => StorageError::Backend { doing, source: error.into() },
            Self::Stored(source) => StorageError::Backend { doing, source },
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Refused(error)
    }
}
