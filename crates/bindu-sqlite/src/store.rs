//! The store: the seams, over the threads that read and write.

mod ledger;
#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use bindu_protocol::{
    ContextId, ContextSummary, Owner, PushConfigId, TaskId, TaskState, Timestamp,
};
use bindu_storage::{
    BoxFuture, BoxStream, Change, Changed, Committed, ContextQuery, Durability, Event, Feedback,
    OutboxEntry, OutboxId, OutboxQuery, Page, Record, ReplayGuard, RunId, StateChange, StateScope,
    StateValue, Storage, StorageError, StrandedQuery, TaskQuery, Webhook,
};
use futures_core::Stream;
use tokio::sync::{mpsc, oneshot};

use crate::cache::Cache;
use crate::failure::Failure;
use crate::flusher::Flusher;
use crate::readers::Readers;
use crate::sql::{beside, commit, list, outbox, remove, state, task};
use crate::writer::{self, Pending, Transaction, Write, stopped};
use crate::{OpenError, SqliteConfig, open};

/// Writes that may wait before further writers have to.
const QUEUE: usize = 1024;

/// Tasks in one `SQLite` file, for one process.
///
/// One thread writes: it takes all writes that wait, makes them in one transaction, and answers
/// when that is on the disk (see [`Synchronous`](crate::Synchronous)). Some further threads read.
/// The threads of an async runtime never touch the file, and any runtime will do.
///
/// A future that is dropped before it was polled, or while it waits for room in the queue, did
/// nothing; once queued, what was asked for happens wholly, whoever waits for it.
///
/// Dropping the store waits until what was asked for is done, then closes the file: milliseconds as
/// a rule, but of the thread that drops it.
///
/// ```
/// use bindu_sqlite::{SqliteConfig, SqliteStore};
/// use bindu_storage::Storage;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("tasks.db");
/// let store = SqliteStore::open(SqliteConfig::new(&path, "did:bindu:alice:agent:1")).await?;
/// store.ping().await?;
/// assert_eq!(store.name(), "SqliteStorage");
/// # Ok(())
/// # }
/// ```
pub struct SqliteStore {
    config: SqliteConfig,
    cache: Arc<Cache>,
    readers: Readers,
    queue: Option<mpsc::Sender<Box<dyn Write>>>,
    thread: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the file, and makes it or brings it up to date if need be. All of it happens on
    /// another thread.
    ///
    /// # Errors
    ///
    /// [`OpenError`] says what speaks against the file: in use, another agent's, of a later version,
    /// damaged, or not to be read or written.
    pub async fn open(config: SqliteConfig) -> Result<Self, OpenError> {
        let (reply, opened) = oneshot::channel();
        let failed = |error: &str| OpenError::Unusable {
            path: config.path.clone(),
            doing: "starting a thread",
            source: error.into(),
        };
        let (queue, jobs) = mpsc::channel(QUEUE);
        let cache = Arc::new(Cache::new(config.cache_bytes));
        let thread = {
            let (config, cache) = (config.clone(), Arc::clone(&cache));
            let start = move || {
                let opened = open::writer(&config).and_then(|writer| {
                    let flusher = Flusher::start(&config)?;
                    Ok((writer, flusher, Readers::start(&config)?))
                });
                match opened {
                    Ok((writer, flusher, readers)) => {
                        // If nobody waits any more, the queue has closed too, and this thread ends.
                        let _ = reply.send(Ok(readers));
                        writer::run(&writer, jobs, config.max_batch, &cache, &flusher);
                        // The connection with the lock is the last to go.
                        drop(flusher);
                        drop(writer);
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            };
            thread::Builder::new()
                .name("bindu-sqlite-write".to_owned())
                .spawn(start)
                .map_err(|error| failed(&error.to_string()))?
        };
        let readers = opened.await.unwrap_or_else(|_| Err(failed("the thread has stopped")))?;
        Ok(Self { config, cache, readers, queue: Some(queue), thread: Some(thread) })
    }

    async fn write<T, F>(&self, doing: &'static str, run: F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: FnMut(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (pending, answer) = Pending::new(doing, run);
        let queue = self.queue.as_ref().ok_or_else(|| stopped(doing))?;
        queue.send(Box::new(pending)).await.map_err(|_| stopped(doing))?;
        answer.await.unwrap_or_else(|_| Err(stopped(doing)))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        // First those who read: the last connection to be closed tidies up the file.
        self.readers.stop();
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("config", &self.config)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

// The blocks are lazy, so that a future that is dropped unpolled did nothing.
impl Storage for SqliteStore {
    fn load<'a>(
        &'a self,
        id: &'a TaskId,
    ) -> BoxFuture<'a, Result<Option<Arc<Record>>, StorageError>> {
        Box::pin(async move {
            if let Some(record) = self.cache.get(id) {
                return Ok(Some(record));
            }
            let id = id.clone();
            let read = self.readers.read("loading a task", move |file| task::load(file, &id));
            Ok(read.await?.map(Arc::new))
        })
    }

    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Committed, StorageError>> {
        Box::pin(self.write("storing a change", move |file| commit::commit(file, &change)))
    }

    fn events<'a>(
        &'a self,
        id: &'a TaskId,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StorageError>> {
        Box::pin(async move {
            // The end of a log is asked for again and again.
            if self.cache.get(id).is_some_and(|record| record.version.0 <= after) {
                return Ok(Vec::new());
            }
            let id = id.clone();
            let read = move |file: &_| task::events(file, &id, after, limit);
            self.readers.read("reading a log", read).await
        })
    }

    fn renew<'a>(
        &'a self,
        id: &'a TaskId,
        run: RunId,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        let id = id.clone();
        Box::pin(self.write("renewing a lease", move |file| beside::renew(file, &id, run, until)))
    }

    fn stranded(
        &self,
        query: StrandedQuery,
    ) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>> {
        let read = move |file: &_| list::stranded(file, query);
        Box::pin(self.readers.read("looking for stranded tasks", read))
    }

    fn tasks(&self, query: TaskQuery) -> BoxFuture<'_, Result<Page<Arc<Record>>, StorageError>> {
        Box::pin(self.readers.read("listing tasks", move |file| list::tasks(file, &query)))
    }

    fn contexts(
        &self,
        query: ContextQuery,
    ) -> BoxFuture<'_, Result<Page<ContextSummary>, StorageError>> {
        Box::pin(self.readers.read("listing contexts", move |file| list::contexts(file, &query)))
    }

    fn clear_context<'a>(
        &'a self,
        id: &'a ContextId,
        owner: &'a Owner,
    ) -> BoxFuture<'a, Result<Vec<TaskId>, StorageError>> {
        let (id, owner) = (id.clone(), owner.clone());
        let run = move |file: &Transaction<'_>| remove::context(file, &id, &owner);
        Box::pin(self.write("clearing a context", run))
    }

    fn count(&self) -> BoxFuture<'_, Result<Vec<(TaskState, u64)>, StorageError>> {
        Box::pin(self.readers.read("counting tasks", list::count))
    }

    fn add_feedback<'a>(
        &'a self,
        id: &'a TaskId,
        feedback: Feedback,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        let id = id.clone();
        let run =
            move |file: &Transaction<'_>| beside::add_feedback(file.connection, &id, &feedback);
        Box::pin(self.write("storing feedback", run))
    }

    fn feedback<'a>(
        &'a self,
        id: &'a TaskId,
    ) -> BoxFuture<'a, Result<Vec<Feedback>, StorageError>> {
        let id = id.clone();
        Box::pin(self.readers.read("reading feedback", move |file| beside::feedback(file, &id)))
    }

    fn set_webhook<'a>(
        &'a self,
        id: &'a TaskId,
        webhook: Webhook,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        let id = id.clone();
        let run = move |file: &Transaction<'_>| beside::set_webhook(file, &id, &webhook);
        Box::pin(self.write("storing a webhook", run))
    }

    fn remove_webhook<'a>(
        &'a self,
        id: &'a TaskId,
        config: &'a PushConfigId,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        let (id, config) = (id.clone(), config.clone());
        let run = move |file: &Transaction<'_>| beside::remove_webhook(file, &id, &config);
        Box::pin(self.write("removing a webhook", run))
    }

    fn outbox(&self, query: OutboxQuery) -> BoxFuture<'_, Result<Vec<OutboxEntry>, StorageError>> {
        Box::pin(self.readers.read("reading the outbox", move |file| outbox::read(file, &query)))
    }

    fn outbox_take(
        &self,
        id: OutboxId,
        attempts: u32,
        until: Timestamp,
    ) -> BoxFuture<'_, Result<bool, StorageError>> {
        let run = move |file: &Transaction<'_>| outbox::take(file.connection, id, attempts, until);
        Box::pin(self.write("taking an outbox entry in hand", run))
    }

    fn outbox_done(&self, id: OutboxId) -> BoxFuture<'_, Result<(), StorageError>> {
        let run = move |file: &Transaction<'_>| outbox::done(file.connection, id);
        Box::pin(self.write("removing an outbox entry", run))
    }

    fn outbox_retry(
        &self,
        id: OutboxId,
        next: Timestamp,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        let run = move |file: &Transaction<'_>| outbox::retry(file.connection, id, next);
        Box::pin(self.write("putting an outbox entry off", run))
    }

    fn changes(&self) -> BoxStream<'static, Changed> {
        Box::pin(Silent)
    }

    fn state<'a>(
        &'a self,
        scope: &'a StateScope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StateValue>, StorageError>> {
        let (scope, key) = (scope.clone(), key.to_owned());
        Box::pin(self.readers.read("reading state", move |file| state::get(file, &scope, &key)))
    }

    fn set_state(&self, change: StateChange) -> BoxFuture<'_, Result<u64, StorageError>> {
        let run = move |file: &Transaction<'_>| state::set(file.connection, &change);
        Box::pin(self.write("storing state", run))
    }

    fn state_keys<'a>(
        &'a self,
        scope: &'a StateScope,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        let (scope, after) = (scope.clone(), after.map(str::to_owned));
        let read = move |file: &_| state::keys(file, &scope, after.as_deref(), limit);
        Box::pin(self.readers.read("listing the keys of state", read))
    }

    fn prune(&self, before: Timestamp, limit: usize) -> BoxFuture<'_, Result<u64, StorageError>> {
        Box::pin(async move {
            let mut left = limit;
            loop {
                let run = move |file: &Transaction<'_>| remove::old(file, before, left);
                let gone = self.write("pruning tasks", run).await?;
                left -= gone;
                if gone < remove::stretch() || left == 0 {
                    return Ok((limit - left) as u64);
                }
            }
        })
    }

    fn durability(&self) -> Durability {
        Durability::Local
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async {
            let read = |file: &rusqlite::Connection| {
                let one = "SELECT 1 FROM meta LIMIT 1";
                Ok(file.prepare_cached(one)?.query_row([], |_| Ok(()))?)
            };
            self.readers.read("asking the file", read).await?;
            self.write("asking the thread that writes", |_| Ok(())).await
        })
    }

    fn name(&self) -> &'static str {
        "SqliteStorage"
    }
}

/// The keys lie in the same file, and are as durable as tasks.
impl ReplayGuard for SqliteStore {
    fn first<'a>(
        &'a self,
        key: &'a str,
        now: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        let key = key.to_owned();
        let run = move |file: &Transaction<'_>| beside::first(file.connection, &key, now, until);
        Box::pin(self.write("remembering a key", run))
    }

    fn forget<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StorageError>> {
        let key = key.to_owned();
        let run = move |file: &Transaction<'_>| beside::forget(file.connection, &key);
        Box::pin(self.write("forgetting a key", run))
    }
}

/// The changes of other processes: there are none, and there never will be any.
struct Silent;

impl Stream for Silent {
    type Item = Changed;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Changed>> {
        Poll::Pending
    }
}
