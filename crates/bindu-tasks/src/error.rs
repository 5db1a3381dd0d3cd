//! Why a request about a task is refused.

use bindu_protocol::TaskState;
use bindu_scheduler::SchedulerError;
use bindu_storage::StorageError;

/// Why a call on [`Tasks`](crate::Tasks) failed.
///
/// "Not yours" is told as "not there", in every case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// There is no such task for this caller.
    #[error("task not found")]
    NotFound,
    /// There is no such context for this caller.
    #[error("context not found")]
    ContextNotFound,
    /// The context has tasks under way and cannot be cleared.
    #[error("the context has tasks under way")]
    ContextBusy,
    /// The task is over; no message continues it.
    #[error("the task is over: it is {0}")]
    Over(TaskState),
    /// The task cannot be canceled in this state.
    #[error("the task cannot be canceled: it is {0}")]
    NotCancelable(TaskState),
    /// A message came while the task is queued or running.
    #[error("task is working")]
    Working,
    /// A parameter makes no sense; the text says which, and what to change.
    #[error("{0}")]
    Invalid(String),
    /// The webhook's address is not allowed, or not an address; the text says why.
    #[error("the webhook is refused: {0}")]
    InvalidWebhook(String),
    /// The agent sends no webhooks.
    #[error("this agent sends no push notifications")]
    PushNotSupported,
    /// The task has no such webhook.
    #[error("push notification configuration not found")]
    WebhookNotFound,
    /// As much waits as may wait; the same call may succeed later.
    #[error("the agent is busy; try again later")]
    Busy,
    /// What the agent depends on cannot be reached; the same call may succeed later.
    #[error("the agent cannot take work now; try again later")]
    Unavailable,
    /// The agent is shutting down.
    #[error("the agent is shutting down")]
    Closing,
    /// The run no longer has the task; what it wanted to write is void.
    #[error("the run has lost its task")]
    RunLost,
    /// The store failed.
    #[error("the store failed")]
    Storage(#[source] StorageError),
    /// The queue failed.
    #[error("the queue failed")]
    Scheduler(#[source] SchedulerError),
}

impl From<StorageError> for TaskError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound => Self::NotFound,
            StorageError::NotOwner(_) => Self::ContextNotFound,
            StorageError::Busy(_) => Self::ContextBusy,
            StorageError::BadCursor => Self::Invalid("pageToken: is not valid".into()),
            StorageError::Full { .. } => Self::Busy,
            StorageError::LeaseLost(_) => Self::RunLost,
            other => Self::Storage(other),
        }
    }
}

impl From<SchedulerError> for TaskError {
    fn from(error: SchedulerError) -> Self {
        match error {
            SchedulerError::Closed => Self::Closing,
            other => Self::Scheduler(other),
        }
    }
}
