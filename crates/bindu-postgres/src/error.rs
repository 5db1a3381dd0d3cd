//! Why a database cannot be opened.

use bindu_storage::BoxError;

use crate::connect::is_passing;

/// Why a database could not be opened, looked at or brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The address of the database makes no sense, or asks for what is not there.
    #[error("the database URL is not usable: {0}")]
    Url(String),
    /// The schema holds the tasks of another agent. Their names differ only in what a schema's name
    /// cannot hold; give one of them a schema or a database of its own.
    #[error("schema {schema} belongs to {found}, not to {expected}")]
    OtherAgent {
        /// The schema.
        schema: String,
        /// Whose it is.
        found: String,
        /// Who asked.
        expected: String,
    },
    /// The tables are not what they should be, and could not be mended.
    #[error("the tables of schema {schema} are not usable: {}", problems.join("; "))]
    Layout {
        /// The schema.
        schema: String,
        /// What is wrong.
        problems: Vec<String>,
    },
    /// The server cannot be reached, or refused.
    #[error("postgres failed while {doing}")]
    Backend {
        /// What was under way: "migrating the tables".
        doing: &'static str,
        /// The server's own error.
        source: BoxError,
    },
}

impl PostgresError {
    /// Whether the same call may succeed later with nothing changed: the server was away, starting
    /// or full. A wrong password or a missing database stays wrong.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        let Self::Backend { source, .. } = self else { return false };
        match source.downcast_ref::<tokio_postgres::Error>().map(tokio_postgres::Error::code) {
            Some(Some(code)) => is_passing(code),
            Some(None) | None => true,
        }
    }
}
