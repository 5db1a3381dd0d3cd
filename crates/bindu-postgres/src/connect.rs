//! Connections: how they are had, when to try again, and what an error means.

use std::time::Duration;

use bindu_storage::StorageError;
use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use tokio::time::sleep;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::{PostgresConfig, PostgresError};

/// Why a statement was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// No connection was to be had, so nothing was sent.
    #[error(transparent)]
    Unreached(PoolError),
    /// The server refused, or went away.
    #[error(transparent)]
    Statement(#[from] tokio_postgres::Error),
    /// A row holds what we cannot read, or a value what the server cannot hold.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The server did not answer in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
}

/// What to make of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Trying again makes no difference.
    Hopeless,
    /// Nothing was done; it may go well the next time.
    NotDone,
    /// It may or may not have been done.
    Unknown,
}

impl Failure {
    pub(crate) fn outlook(&self) -> Outlook {
        match self {
            Self::Unreached(PoolError::Backend(error)) => match error.code() {
                // A wrong password stays wrong.
                Some(code) if !is_passing(code) => Outlook::Hopeless,
                _ => Outlook::NotDone,
            },
            // Whoever waited for a connection for the whole time has waited long enough.
            Self::Unreached(_) | Self::Json(_) => Outlook::Hopeless,
            Self::Late(_) => Outlook::Unknown,
            Self::Statement(error) => match error.code() {
                Some(code) if is_rolled_back(code) => Outlook::NotDone,
                Some(code) if is_passing(code) => Outlook::Unknown,
                None if error.is_closed() || is_io(error) => Outlook::Unknown,
                _ => Outlook::Hopeless,
            },
        }
    }

    /// The constraint that stood against the statement.
    pub(crate) fn constraint(&self) -> Option<&str> {
        match self {
            Self::Statement(error) => error.as_db_error()?.constraint(),
            _ => None,
        }
    }

    /// The column that the error is about.
    pub(crate) fn column(&self) -> Option<&str> {
        match self {
            Self::Statement(error) => error.as_db_error()?.column(),
            _ => None,
        }
    }

    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Statement(error) => error.code(),
            _ => None,
        }
    }

    pub(crate) fn storage(self, doing: &'static str) -> StorageError {
        StorageError::Backend { doing, source: Box::new(self) }
    }
}

/// The server undid the whole transaction, and says so.
fn is_rolled_back(code: &SqlState) -> bool {
    [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)
}

/// Connection trouble, shutdown, start-up, too many connections: classes 08, 57P01 to 57P03, 53300.
pub(crate) fn is_passing(code: &SqlState) -> bool {
    code.code().starts_with("08")
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
        ]
        .contains(code)
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<std::io::Error>() {
            return true;
        }
        source = inner.source();
    }
    false
}

/// A pool that takes connections as they are; a dead one shows at its first use.
pub(crate) fn pool(
    config: &PostgresConfig,
    driver: tokio_postgres::Config,
    size: usize,
) -> Result<Pool, PostgresError> {
    let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Pool::builder(Manager::from_config(driver, NoTls, how))
        .max_size(size.max(1))
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(config.pool_timeout),
            create: Some(config.connect_timeout.saturating_mul(3)),
            recycle: Some(config.connect_timeout),
        })
        .build()
        .map_err(|error| PostgresError::Backend { doing: "making the pool", source: error.into() })
}

pub(crate) async fn client(pool: &Pool) -> Result<Object, Failure> {
    pool.get().await.map_err(Failure::Unreached)
}

/// Counts the attempts at one operation.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    made: u32,
    /// Whether an earlier attempt may have been successful after all.
    pub(crate) unsure: bool,
}

/// At most so many attempts; with the pauses between them about three seconds.
const ATTEMPTS: u32 = 3;

impl Tries {
    /// Waits before the next attempt at something that may be done twice.
    pub(crate) async fn again(
        &mut self,
        failure: Failure,
        doing: &'static str,
    ) -> Result<(), StorageError> {
        self.made += 1;
        match failure.outlook() {
            Outlook::Hopeless => return Err(failure.storage(doing)),
            Outlook::Unknown => self.unsure = true,
            Outlook::NotDone => {}
        }
        if self.made >= ATTEMPTS {
            return Err(failure.storage(doing));
        }
        tracing::debug!(doing, error = %failure, attempt = self.made, "trying again");
        let longest = 400_u64 << self.made;
        sleep(Duration::from_millis(fastrand::u64(longest / 4..=longest))).await;
        Ok(())
    }

    /// As [`again`](Self::again) for something that must not be done twice: only if it was not done.
    pub(crate) async fn again_if_not_done(
        &mut self,
        failure: Failure,
        doing: &'static str,
    ) -> Result<(), StorageError> {
        if failure.outlook() == Outlook::Unknown {
            return Err(failure.storage(doing));
        }
        self.again(failure, doing).await
    }
}
