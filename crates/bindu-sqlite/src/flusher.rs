//! The thread that carries what was written from the write-ahead log into the file.
//!
//! `SQLite` would do so in the middle of a commit, and everybody who waits for the commit would wait
//! for that too. Here it happens beside the writing. The writing thread still does it should the log
//! grow too long, but then finds nearly all of it done.

use std::cell::Cell;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use crate::{OpenError, SqliteConfig, open};

/// Transactions between two flushes: some hundreds of pages.
const TRANSACTIONS: u32 = 16;

#[derive(Debug)]
pub(crate) struct Flusher {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    transactions: Cell<u32>,
}

impl Flusher {
    pub(crate) fn start(config: &SqliteConfig) -> Result<Self, OpenError> {
        let connection = open::flusher(config)?;
        // One wake-up that waits is as good as many.
        let (wake, woken) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("bindu-sqlite-flush".to_owned())
            .spawn(move || run(&connection, &woken))
            .map_err(|error| OpenError::Unusable {
                path: config.path.clone(),
                doing: "starting a thread",
                source: error.into(),
            })?;
        Ok(Self { wake: Some(wake), thread: Some(thread), transactions: Cell::new(0) })
    }

    /// Notes a transaction, and wakes the thread every so often.
    pub(crate) fn committed(&self) {
        let transactions = self.transactions.get() + 1;
        self.transactions.set(transactions % TRANSACTIONS);
        if transactions == TRANSACTIONS
            && let Some(wake) = &self.wake
        {
            // If it was woken already, it will see this as well.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

fn run(connection: &Connection, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        // Passive: it waits for nobody, and nobody waits for it.
        let flushed =
            connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
        if let Err(error) = flushed {
            // The writing thread will try as well, and say what it could not do.
            tracing::warn!(%error, "the write-ahead log could not be flushed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_comes_into_the_file_while_it_is_open() {
        let directory = tempfile::tempdir().unwrap();
        let config = SqliteConfig::new(directory.path().join("tasks.db"), "did:example");
        let writer = open::writer(&config).unwrap();
        let flusher = Flusher::start(&config).unwrap();
        let before = config.path.metadata().unwrap().len();
        for number in 0..TRANSACTIONS {
            let run = "INSERT INTO meta (key, value) VALUES (?1, ?2)";
            writer.connection.execute(run, (number, "x".repeat(10_000))).unwrap();
            flusher.committed();
        }
        // It flushes what it was woken for, and then ends.
        drop(flusher);
        let after = config.path.metadata().unwrap().len();
        assert!(after > before + 10_000 * u64::from(TRANSACTIONS), "{before} to {after}");
    }
}
