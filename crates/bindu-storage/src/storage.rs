//! The seam: what a store of tasks must be able to do.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bindu_protocol::{
    ContextId, ContextSummary, Json, JsonObject, MessageId, Owner, PushConfigId, Task, TaskId,
    TaskState, Timestamp,
};
use bytes::Bytes;
use futures_core::Stream;
use uuid::Uuid;

use crate::{Event, EventBody, Lease, Record, RunId, StorageError, Version, Webhook};

/// A future in a box, as the methods of a seam that is chosen at run time return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A stream in a box.
pub type BoxStream<'a, T> = Pin<Box<dyn Stream<Item = T> + Send + 'a>>;

/// Keeps tasks and contexts, and remembers who owns them.
///
/// There is one write, [`commit`](Self::commit): all of it happens or none. A store knows nothing
/// of the state machine, of handlers or of time; whoever writes has checked the move and says
/// what time it is. Futures may be dropped at any point: what was asked for then happens wholly
/// or not at all.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Loads a task, or `None` if no task has this id.
    ///
    /// # Errors
    ///
    /// [`StorageError::Backend`] if the backend cannot be reached.
    fn load<'a>(
        &'a self,
        id: &'a TaskId,
    ) -> BoxFuture<'a, Result<Option<Arc<Record>>, StorageError>>;

    /// Writes a task, its new events and the jobs they cause, all or nothing.
    ///
    /// # Errors
    ///
    /// * [`StorageError::Conflict`]: the task is not at `change.expected`, or exists although it
    ///   should not, or is being run by somebody else.
    /// * [`StorageError::LeaseLost`]: `change.hold` names a run that no longer has the task. Said
    ///   first: such a run is not told of a conflict.
    /// * [`StorageError::NotOwner`]: the context of a new task belongs to another owner.
    /// * [`StorageError::Repeated`]: `change.once` was used before, by a task that is still there.
    /// * [`StorageError::Full`]: the store has no room for another task. Said of new tasks only: one
    ///   that exists can always be brought to its end.
    ///
    /// In all of these nothing is written. Else as [`load`](Self::load).
    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Committed, StorageError>>;

    /// Reads a task's log: the events after number `after`, oldest first, at most `limit`.
    ///
    /// The answer is empty for a task that is not there. A log whose beginning was dropped starts
    /// with a [`Snapshot`](EventBody::Snapshot) in place of what is missing.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn events<'a>(
        &'a self,
        id: &'a TaskId,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StorageError>>;

    /// Moves the end of a run's lease to `until`.
    ///
    /// # Errors
    ///
    /// [`StorageError::LeaseLost`] if the run no longer has the task. Else as [`load`](Self::load).
    fn renew<'a>(
        &'a self,
        id: &'a TaskId,
        run: RunId,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Tasks that nobody works on although somebody should, oldest first. These are the tasks
    ///
    /// * in `submitted` or `resumed` since before `query.queued_before`,
    /// * in `working` with a lease that ended before `query.now`,
    /// * in `working` without a lease since before `query.unleased_before`: another implementation
    ///   wrote them.
    ///
    /// Since when a task is in its state, its status says; if it does not, the task's creation
    /// counts.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn stranded(
        &self,
        query: StrandedQuery,
    ) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>>;

    /// Lists tasks.
    ///
    /// # Errors
    ///
    /// [`StorageError::BadCursor`] for a cursor that this store did not make. Else as
    /// [`load`](Self::load).
    fn tasks(&self, query: TaskQuery) -> BoxFuture<'_, Result<Page<Arc<Record>>, StorageError>>;

    /// Lists contexts, newest first.
    ///
    /// # Errors
    ///
    /// As [`tasks`](Self::tasks).
    fn contexts(
        &self,
        query: ContextQuery,
    ) -> BoxFuture<'_, Result<Page<ContextSummary>, StorageError>>;

    /// Deletes a context of `owner` with its state, its tasks, their logs, feedback, webhooks,
    /// outbox entries and keys, and says which tasks these were.
    ///
    /// # Errors
    ///
    /// [`StorageError::NotFound`] if there is no such context or it is not `owner`'s;
    /// [`StorageError::Busy`] if one of its tasks is `submitted` or `working`: nothing is deleted.
    /// Else as [`load`](Self::load).
    fn clear_context<'a>(
        &'a self,
        id: &'a ContextId,
        owner: &'a Owner,
    ) -> BoxFuture<'a, Result<Vec<TaskId>, StorageError>>;

    /// How many tasks are in each state; states without tasks may be left out.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn count(&self) -> BoxFuture<'_, Result<Vec<(TaskState, u64)>, StorageError>>;

    /// Keeps one more opinion on a task.
    ///
    /// # Errors
    ///
    /// [`StorageError::NotFound`] if there is no such task; [`StorageError::Full`] if there is no
    /// room. Else as [`load`](Self::load).
    fn add_feedback<'a>(
        &'a self,
        id: &'a TaskId,
        feedback: Feedback,
    ) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Reads the opinions on a task, oldest first.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn feedback<'a>(&'a self, id: &'a TaskId)
    -> BoxFuture<'a, Result<Vec<Feedback>, StorageError>>;

    /// Adds a webhook to a task, or replaces the one of the same id. The version stays.
    ///
    /// # Errors
    ///
    /// [`StorageError::NotFound`] if there is no such task; [`StorageError::Full`] if there is no
    /// room. Else as [`load`](Self::load).
    fn set_webhook<'a>(
        &'a self,
        id: &'a TaskId,
        webhook: Webhook,
    ) -> BoxFuture<'a, Result<(), StorageError>>;

    /// Removes a webhook of a task and what was still to be sent to it; says whether it was there.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn remove_webhook<'a>(
        &'a self,
        id: &'a TaskId,
        config: &'a PushConfigId,
    ) -> BoxFuture<'a, Result<bool, StorageError>>;

    /// Reads outbox entries, oldest first.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn outbox(&self, query: OutboxQuery) -> BoxFuture<'_, Result<Vec<OutboxEntry>, StorageError>>;

    /// Takes an entry in hand, so that of several processes one sees to it: counts an attempt and
    /// puts the entry off until `until`, if it is there and was tried `attempts` times before. Says
    /// whether it did.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn outbox_take(
        &self,
        id: OutboxId,
        attempts: u32,
        until: Timestamp,
    ) -> BoxFuture<'_, Result<bool, StorageError>>;

    /// Takes an entry out of the outbox for good. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn outbox_done(&self, id: OutboxId) -> BoxFuture<'_, Result<(), StorageError>>;

    /// Puts an entry off until `next`. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn outbox_retry(
        &self,
        id: OutboxId,
        next: Timestamp,
    ) -> BoxFuture<'_, Result<(), StorageError>>;

    /// What other processes change, as it happens. A store of one process never says anything.
    ///
    /// Only hints: a listener reads the log, and looks again from time to time.
    fn changes(&self) -> BoxStream<'static, Changed>;

    /// Reads a value of the agent's own.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn state<'a>(
        &'a self,
        scope: &'a StateScope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StateValue>, StorageError>>;

    /// Writes or removes a value of the agent's own, and says its new version: 0 when removed.
    ///
    /// # Errors
    ///
    /// * [`StorageError::NotFound`]: there is no such context.
    /// * [`StorageError::StateConflict`]: the value is not at `change.expected`.
    /// * [`StorageError::Full`]: the scope would hold more than `change.room`.
    ///
    /// In all of these nothing is written. Else as [`load`](Self::load).
    fn set_state(&self, change: StateChange) -> BoxFuture<'_, Result<u64, StorageError>>;

    /// Lists the keys of a scope in the order of their bytes, those after `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn state_keys<'a>(
        &'a self,
        scope: &'a StateScope,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>>;

    /// Deletes tasks that are over and were created before `before`, oldest first and at most
    /// `limit`, with all that hangs on them; then contexts as old that have no task left. Says how
    /// many tasks went.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn prune(&self, before: Timestamp, limit: usize) -> BoxFuture<'_, Result<u64, StorageError>>;

    /// What the store outlives, and who shares it.
    fn durability(&self) -> Durability;

    /// Whether the backend answers.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn ping(&self) -> BoxFuture<'_, Result<(), StorageError>>;

    /// The name of the backend, for health answers: `InMemoryStorage`, `PostgresStorage`.
    fn name(&self) -> &'static str;
}

/// One write.
#[derive(Clone, Debug)]
pub struct Change {
    /// The task as it is after `events`.
    pub task: Arc<Task>,
    /// The version that the change was made from; `None` for a new task, which must not exist.
    pub expected: Option<Version>,
    /// What a new task is born with; ignored for one that exists.
    pub birth: Option<Birth>,
    /// What happens to the right to run the task.
    pub hold: Hold,
    /// What happened, in order; the store numbers it on from `expected`. That of a new task begins
    /// with a [`Snapshot`](EventBody::Snapshot).
    pub events: Vec<EventBody>,
    /// When it happened.
    pub at: Timestamp,
    /// What is to be done about it.
    pub outbox: Vec<OutboxBody>,
    /// A key under which this write happens only once.
    pub once: Option<Once>,
}

/// What a task is born with.
#[derive(Clone, Debug)]
pub struct Birth {
    /// To whom it belongs, and its context if that is new.
    pub owner: Owner,
    /// The dialect of the message that began it.
    pub dialect: bindu_protocol::Dialect,
    /// Where its changes are posted to.
    pub webhooks: Vec<Webhook>,
}

/// What a write does to the right to run a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The writer is no run. A run that has the task loses it unless the task stays `working`.
    Outside,
    /// The writer begins a run: refused with [`Conflict`](StorageError::Conflict) while another
    /// run's lease has not ended at the time of the change. Counts an attempt.
    Claim(Lease),
    /// The writer is this run, and stays so.
    Keep(RunId),
    /// The writer is this run, and this is its last write.
    Release(RunId),
}

/// A key under which a write happens only once for its owner: a message sent without a task id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Once {
    /// Whose key.
    pub owner: Owner,
    /// The message.
    pub message: MessageId,
    /// Until when the key is remembered.
    pub until: Timestamp,
}

/// What a [`commit`](Storage::commit) did.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The task as stored.
    pub record: Arc<Record>,
    /// The events with their numbers.
    pub events: Arc<[Event]>,
    /// The outbox entries' ids, in the order of `change.outbox`.
    pub outbox: Vec<OutboxId>,
}

/// Names an outbox entry; later entries have greater ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxId(pub u64);

/// Something to be done because a task changed, kept until it is done.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEntry {
    /// Its id.
    pub id: OutboxId,
    /// The task that caused it.
    pub task: TaskId,
    /// What is to be done.
    pub body: OutboxBody,
    /// How often it was tried.
    pub attempts: u32,
    /// Not to be tried before.
    pub next: Timestamp,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OutboxBody {
    /// A worker is to run the task.
    Run {
        /// The version that waits for a run.
        version: Version,
    },
    /// A webhook is to be told.
    Deliver(Delivery),
}

/// One delivery to one webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Where to, and how.
    pub webhook: Webhook,
    /// The same at every attempt.
    pub event_id: Uuid,
    /// Its number among the task's deliveries, from 1. A change that several webhooks are told
    /// of has one number.
    pub sequence: u64,
    /// The payload, JSON.
    pub body: Bytes,
}

/// Which outbox entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutboxKind {
    /// [`OutboxBody::Run`].
    Run,
    /// [`OutboxBody::Deliver`].
    Deliver,
}

impl OutboxBody {
    /// Which kind of entry this is.
    #[must_use]
    pub const fn kind(&self) -> OutboxKind {
        match self {
            Self::Run { .. } => OutboxKind::Run,
            Self::Deliver(_) => OutboxKind::Deliver,
        }
    }
}

/// What a store outlives, and who shares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It ends with its process: what still waits then is lost.
    Volatile,
    /// It outlives the process, which alone uses it.
    Local,
    /// It outlives the processes that share it.
    Shared,
}

/// Which outbox entries to read.
#[derive(Clone, Debug)]
pub struct OutboxQuery {
    /// Of this kind.
    pub kind: OutboxKind,
    /// Only those of this task.
    pub task: Option<TaskId>,
    /// Only those that may be tried at this time.
    pub due: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
}

/// Which tasks count as stranded; see [`Storage::stranded`].
#[derive(Clone, Copy, Debug)]
pub struct StrandedQuery {
    /// The time by which leases have ended or not.
    pub now: Timestamp,
    /// Tasks that wait since before should have been begun.
    pub queued_before: Timestamp,
    /// Tasks that work without a lease since before are given up by whoever began them; without
    /// it, none are.
    pub unleased_before: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
}

/// What another process changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changed {
    /// This task.
    Task(TaskId),
    /// Nobody knows: for a while, changes went unheard.
    Missed,
}

/// Whose state a value is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateScope {
    /// The agent's, in all its conversations.
    Agent,
    /// One conversation's. It goes with the context.
    Context(ContextId),
}

/// A value that an agent keeps.
#[derive(Clone, Debug, PartialEq)]
pub struct StateValue {
    /// The value.
    pub value: Json,
    /// Grows with every write of the key, its removal included; never 0.
    pub version: u64,
}

/// One write of an agent's state.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// Whose state.
    pub scope: StateScope,
    /// The name of the value.
    pub key: String,
    /// The new value; `None` removes it.
    pub value: Option<Json>,
    /// The version that the write was made from, 0 for a value that must not be there; without it
    /// the write is made whatever is there.
    pub expected: Option<u64>,
    /// How many bytes all keys and values of the scope may take together after the write. What is
    /// removed is never refused.
    pub room: usize,
}

/// Which tasks to list, and in what order.
#[derive(Clone, Debug, Default)]
pub struct TaskQuery {
    /// Only the tasks of this owner; `None` for all.
    pub owner: Option<Owner>,
    /// Only the tasks of this context.
    pub context: Option<ContextId>,
    /// Oldest first, instead of newest first. By creation; tasks of one instant by id.
    pub oldest_first: bool,
    /// Where the page before ended.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Which contexts to list.
#[derive(Clone, Debug, Default)]
pub struct ContextQuery {
    /// Only the contexts of this owner; `None` for all.
    pub owner: Option<Owner>,
    /// Where the page before ended.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The elements.
    pub items: Vec<T>,
    /// Where this page ended, if more follows. Good for the same query only.
    pub next: Option<String>,
}

/// An opinion on a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    /// What was said.
    pub text: String,
    /// From 1 to 5.
    pub rating: Option<u8>,
    /// Free-form remarks.
    pub metadata: Option<JsonObject>,
    /// When.
    pub at: Timestamp,
}
