//! The thread that writes.
//!
//! All writes go through it, one after the other. It takes what waits, makes it in one transaction,
//! commits once and answers all: so many writers share one flush of the disk.
//!
//! A write looks first whether something speaks against it, and writes only then. So a refused one
//! has changed nothing, and does not harm those beside it. Should `SQLite` itself fail in the middle,
//! the transaction is rolled back and each write is made again on its own; a write is therefore a
//! function that can be called twice.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;

use bindu_protocol::{TaskId, TaskState};
use bindu_storage::{Record, StorageError};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::cache::Cache;
use crate::failure::Failure;
use crate::flusher::Flusher;
use crate::open::Writer;

/// A transaction under way.
pub(crate) struct Transaction<'a> {
    pub(crate) connection: &'a Connection,
    /// How many tasks came into a state, or left it.
    moved: RefCell<Vec<(TaskState, i64)>>,
    /// The tasks that were written, as they are now; without a record those of which only the next
    /// reading can tell.
    written: RefCell<Vec<(TaskId, Option<Arc<Record>>)>>,
}

impl<'a> Transaction<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self { connection, moved: RefCell::default(), written: RefCell::default() }
    }

    /// Notes that so many tasks came into a state, or left it.
    pub(crate) fn moved(&self, state: TaskState, by: i64) {
        let mut moved = self.moved.borrow_mut();
        match moved.iter_mut().find(|(other, _)| *other == state) {
            Some((_, sum)) => *sum += by,
            None => moved.push((state, by)),
        }
    }

    /// Notes that a task was written.
    pub(crate) fn written(&self, id: &TaskId, record: Option<Arc<Record>>) {
        self.written.borrow_mut().push((id.clone(), record));
    }

    fn write_counts(&self) -> rusqlite::Result<()> {
        for (state, by) in self.moved.borrow().iter().filter(|(_, by)| *by != 0) {
            self.connection
                .prepare_cached(
                    "INSERT INTO counters (name, value) VALUES (?1, ?2)
                     ON CONFLICT (name) DO UPDATE SET value = value + ?2",
                )?
                .execute((state.as_str(), by))?;
        }
        Ok(())
    }
}

/// A write that waits, with whoever waits for it.
pub(crate) trait Write: Send {
    /// Makes the write. An error means that `SQLite` failed, and that all must be rolled back.
    fn run(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure>;

    /// Tells whoever waits what became of it.
    fn answer(self: Box<Self>, committed: Result<(), Failure>);
}

/// The usual [`Write`]: a function and a channel for what it returns.
pub(crate) struct Pending<T, F> {
    doing: &'static str,
    run: F,
    result: Option<Result<T, StorageError>>,
    reply: oneshot::Sender<Result<T, StorageError>>,
}

impl<T, F> Pending<T, F>
where
    T: Send,
    F: FnMut(&Transaction<'_>) -> Result<T, Failure> + Send,
{
    pub(crate) fn new(
        doing: &'static str,
        run: F,
    ) -> (Self, oneshot::Receiver<Result<T, StorageError>>) {
        let (reply, answer) = oneshot::channel();
        (Self { doing, run, result: None, reply }, answer)
    }
}

impl<T, F> Write for Pending<T, F>
where
    T: Send,
    F: FnMut(&Transaction<'_>) -> Result<T, Failure> + Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        self.result = Some(match (self.run)(transaction) {
            Ok(value) => Ok(value),
            Err(Failure::Refused(error)) => Err(error),
            Err(failure) => return Err(failure),
        });
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), Failure>) {
        let result = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(stopped(self.doing)),
            (Err(failure), _) => Err(failure.into_error(self.doing)),
        };
        // Nobody waits any more: what was asked for has happened all the same.
        let _ = self.reply.send(result);
    }
}

/// The thread's queue has no thread any more.
pub(crate) fn stopped(doing: &'static str) -> StorageError {
    StorageError::Backend { doing, source: "the store's thread has stopped".into() }
}

/// Writes until nobody can ask any more.
pub(crate) fn run(
    writer: &Writer,
    mut queue: mpsc::Receiver<Box<dyn Write>>,
    max_batch: usize,
    cache: &Cache,
    flusher: &Flusher,
) {
    let mut batch = Vec::new();
    while queue.blocking_recv_many(&mut batch, max_batch.max(1)) > 0 {
        process(&writer.connection, mem::take(&mut batch), cache);
        flusher.committed();
    }
}

fn process(connection: &Connection, mut batch: Vec<Box<dyn Write>>, cache: &Cache) {
    if let Err(error) = begin(connection) {
        // Trying each would fail as well, and wait as long each time.
        tracing::error!(%error, writes = batch.len(), "no transaction could be begun");
        let error = Arc::new(error);
        for write in batch {
            write.answer(Err(Failure::stored(Arc::clone(&error))));
        }
        return;
    }
    let Err(failure) = attempt(connection, &mut batch, cache) else {
        for write in batch {
            write.answer(Ok(()));
        }
        return;
    };
    // Some errors have rolled back already. What cannot be rolled back now is before the next.
    if let Err(error) = end(connection) {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
    if batch.len() == 1 {
        tracing::error!(error = ?failure, "a write failed");
        if let Some(write) = batch.pop() {
            write.answer(Err(failure));
        }
        return;
    }
    tracing::warn!(error = ?failure, writes = batch.len(), "writes failed together; trying each");
    for write in batch {
        process(connection, vec![write], cache);
    }
}

fn begin(connection: &Connection) -> rusqlite::Result<()> {
    end(connection)?;
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    Ok(())
}

/// Rolls back what is under way, if anything is.
fn end(connection: &Connection) -> rusqlite::Result<()> {
    if connection.is_autocommit() { Ok(()) } else { connection.execute_batch("ROLLBACK") }
}

fn attempt(
    connection: &Connection,
    batch: &mut [Box<dyn Write>],
    cache: &Cache,
) -> Result<(), Failure> {
    let transaction = Transaction::new(connection);
    for write in batch {
        write.run(&transaction)?;
    }
    transaction.write_counts()?;
    // Whoever has seen the new in the file must not find the old in memory afterwards.
    cache.forget(&transaction.written.borrow());
    connection.prepare_cached("COMMIT")?.execute([])?;
    // Before anybody is told: whoever was told reads what was written.
    cache.update(transaction.written.into_inner());
    Ok(())
}
