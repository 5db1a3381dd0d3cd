//! Why a store refuses.

use bindu_protocol::{ContextId, TaskId};

/// An error of any kind, as a source.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a [`Storage`](crate::Storage) call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The task has moved on since it was loaded, or exists although it should be new. Load it
    /// again and decide anew.
    #[error("task {0} was changed by another writer")]
    Conflict(TaskId),
    /// The run no longer has the task; whatever it still wants to write is void.
    #[error("the run has lost task {0}")]
    LeaseLost(TaskId),
    /// The context exists, but another caller owns it.
    #[error("context {0} belongs to another caller")]
    NotOwner(ContextId),
    /// The same message came before and made this task.
    #[error("the message already made task {0}")]
    Repeated(TaskId),
    /// The value has changed since it was read, or is there although it should be new.
    #[error("the value was changed by another writer")]
    StateConflict,
    /// The payment has moved on since it was read, or is not there.
    #[error("payment {0} was changed by another writer")]
    PaymentConflict(crate::PaymentKey),
    /// There is no such task or context.
    #[error("not found")]
    NotFound,
    /// The context has tasks under way.
    #[error("context {0} has tasks under way")]
    Busy(ContextId),
    /// The cursor was not made by this store for this query.
    #[error("the page token is not valid")]
    BadCursor,
    /// The store has no room for what is new.
    #[error("the store is full: it keeps at most {limit} {unit}")]
    Full {
        /// How much it keeps.
        limit: usize,
        /// Of what: `tasks`, `bytes`.
        unit: &'static str,
    },
    /// The backend failed; the same call may succeed later.
    #[error("storage backend failed while {doing}")]
    Backend {
        /// What was under way: "loading a task".
        doing: &'static str,
        /// The backend's own error.
        source: BoxError,
    },
}
