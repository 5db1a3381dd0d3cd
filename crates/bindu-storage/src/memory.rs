//! The store that lives and dies with the process.

mod entry;
mod index;
mod ledger;
mod log;
mod once;
mod open;
mod outbox;
mod pack;
mod replay;
mod state;
mod states;
mod unpack;
mod weight;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bindu_protocol::{
    ContextId, ContextSummary, Owner, PushConfigId, TaskId, TaskState, Timestamp,
};
use futures_core::Stream;

pub use self::ledger::MemoryLedger;
pub use self::replay::MemoryReplayGuard;

use self::entry::Found;
use self::state::State;
use crate::{
    BoxFuture, BoxStream, Change, Changed, Committed, ContextQuery, Durability, Event, Feedback,
    OutboxEntry, OutboxId, OutboxQuery, Page, Record, RunId, StateChange, StateScope, StateValue,
    Storage, StorageError, StrandedQuery, TaskQuery, Webhook,
};

/// How much a [`MemoryStore`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// At most so many tasks, and so many keys of [`Once`](crate::Once). Beyond that, the tasks
    /// that have been over for longest are dropped; if none is over, a new task is refused with
    /// [`StorageError::Full`]. One million by default.
    pub max_tasks: usize,
    /// About so many bytes, for everything: tasks, logs, webhooks, outbox, feedback, and for at
    /// most an eighth keys of [`Once`](crate::Once). Beyond that, the tasks that have been over for
    /// longest are dropped, as above; if that does not help, what is new is refused with
    /// [`StorageError::Full`] and nothing is dropped: a task, a webhook, an opinion. One GiB by
    /// default.
    ///
    /// What happens to a task that is there is always stored, and the task that it happens to is
    /// not dropped for it. So running tasks that grow can take the store beyond this bound.
    ///
    /// The count is an estimate: contents by their length, structures by their size and what an
    /// allocator adds. See [`MemoryStore::bytes`].
    pub max_bytes: usize,
    /// At most so many events in one task's log. Beyond that, its older part is dropped, and a
    /// [`Snapshot`](crate::EventBody::Snapshot) stands in for it: what is lost are pieces of
    /// artifacts. 100,000 by default; fewer than 2 count as 2.
    pub max_log_events: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { max_tasks: 1_000_000, max_bytes: 1 << 30, max_log_events: 100_000 }
    }
}

/// A store in memory: fast, bounded, and empty again after a restart.
///
/// Every call is one short critical section; no future of it ever waits. A small task that is over
/// is kept packed, and unpacked when somebody asks for it: an answered echo takes well below one
/// kilobyte.
///
/// ```
/// use bindu_storage::{MemoryConfig, MemoryStore, Storage};
///
/// let store = MemoryStore::new(MemoryConfig { max_tasks: 1_000, ..MemoryConfig::default() });
/// assert_eq!(store.name(), "InMemoryStorage");
/// ```
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(config: MemoryConfig) -> Self {
        Self { state: Mutex::new(State::new(config)) }
    }

    /// About how many bytes the store holds, as [`MemoryConfig::max_bytes`] counts them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes()
    }

    /// A panic elsewhere does not take the store away: no change is left half made, since nothing
    /// that can panic runs between the first write of a change and its last.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MemoryConfig::default())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("MemoryStore")
            .field("config", state.config())
            .field("tasks", &state.len())
            .field("bytes", &state.bytes())
            .finish_non_exhaustive()
    }
}

// The blocks are lazy, so that a future that is dropped unpolled did nothing. What was found packed
// is unpacked after the lock is given back.
impl Storage for MemoryStore {
    fn load<'a>(
        &'a self,
        id: &'a TaskId,
    ) -> BoxFuture<'a, Result<Option<Arc<Record>>, StorageError>> {
        Box::pin(async move {
            let found = self.lock().find(id);
            found.map(|found| found.record(id)).transpose()
        })
    }

    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Committed, StorageError>> {
        Box::pin(async move { self.lock().commit(change) })
    }

    fn events<'a>(
        &'a self,
        id: &'a TaskId,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StorageError>> {
        Box::pin(async move {
            let packed = match self.lock().events(id, after, limit) {
                Ok(events) => return Ok(events),
                Err(packed) => packed,
            };
            let (_, log) = packed.unpack(id)?;
            Ok(log::after(&log, after, limit))
        })
    }

    fn renew<'a>(
        &'a self,
        id: &'a TaskId,
        run: RunId,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move { self.lock().renew(id, run, until) })
    }

    fn stranded(
        &self,
        query: StrandedQuery,
    ) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>> {
        Box::pin(async move { Ok(self.lock().stranded(&query)) })
    }

    fn tasks(&self, query: TaskQuery) -> BoxFuture<'_, Result<Page<Arc<Record>>, StorageError>> {
        Box::pin(async move {
            let found = self.lock().tasks(&query)?;
            let items =
                found.items.into_iter().map(|(id, found): (TaskId, Found)| found.record(&id));
            Ok(Page { items: items.collect::<Result<_, _>>()?, next: found.next })
        })
    }

    fn contexts(
        &self,
        query: ContextQuery,
    ) -> BoxFuture<'_, Result<Page<ContextSummary>, StorageError>> {
        Box::pin(async move { self.lock().contexts(&query) })
    }

    fn clear_context<'a>(
        &'a self,
        id: &'a ContextId,
        owner: &'a Owner,
    ) -> BoxFuture<'a, Result<Vec<TaskId>, StorageError>> {
        Box::pin(async move { self.lock().clear_context(id, owner) })
    }

    fn count(&self) -> BoxFuture<'_, Result<Vec<(TaskState, u64)>, StorageError>> {
        Box::pin(async move { Ok(self.lock().count()) })
    }

    fn add_feedback<'a>(
        &'a self,
        id: &'a TaskId,
        feedback: Feedback,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move { self.lock().add_feedback(id, feedback) })
    }

    fn feedback<'a>(
        &'a self,
        id: &'a TaskId,
    ) -> BoxFuture<'a, Result<Vec<Feedback>, StorageError>> {
        Box::pin(async move { Ok(self.lock().feedback(id)) })
    }

    fn set_webhook<'a>(
        &'a self,
        id: &'a TaskId,
        webhook: Webhook,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move { self.lock().set_webhook(id, webhook) })
    }

    fn remove_webhook<'a>(
        &'a self,
        id: &'a TaskId,
        config: &'a PushConfigId,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        Box::pin(async move { self.lock().remove_webhook(id, config) })
    }

    fn outbox(&self, query: OutboxQuery) -> BoxFuture<'_, Result<Vec<OutboxEntry>, StorageError>> {
        Box::pin(async move { Ok(self.lock().outbox().read(&query)) })
    }

    fn outbox_take(
        &self,
        id: OutboxId,
        attempts: u32,
        until: Timestamp,
    ) -> BoxFuture<'_, Result<bool, StorageError>> {
        Box::pin(async move { Ok(self.lock().outbox_take(id, attempts, until)) })
    }

    fn outbox_done(&self, id: OutboxId) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            self.lock().outbox_done(id);
            Ok(())
        })
    }

    fn outbox_retry(
        &self,
        id: OutboxId,
        next: Timestamp,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            self.lock().outbox_retry(id, next);
            Ok(())
        })
    }

    fn changes(&self) -> BoxStream<'static, Changed> {
        Box::pin(Silent)
    }

    fn state<'a>(
        &'a self,
        scope: &'a StateScope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StateValue>, StorageError>> {
        Box::pin(async move { Ok(self.lock().state_value(scope, key)) })
    }

    fn set_state(&self, change: StateChange) -> BoxFuture<'_, Result<u64, StorageError>> {
        Box::pin(async move { self.lock().set_state(change) })
    }

    fn state_keys<'a>(
        &'a self,
        scope: &'a StateScope,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        Box::pin(async move { Ok(self.lock().state_keys(scope, after, limit)) })
    }

    fn prune(&self, before: Timestamp, limit: usize) -> BoxFuture<'_, Result<u64, StorageError>> {
        Box::pin(async move { Ok(self.lock().prune(before, limit)) })
    }

    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async { Ok(()) })
    }

    fn name(&self) -> &'static str {
        "InMemoryStorage"
    }
}

/// The changes of other processes: there are none, and there always might be.
struct Silent;

impl Stream for Silent {
    type Item = Changed;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Changed>> {
        Poll::Pending
    }
}
