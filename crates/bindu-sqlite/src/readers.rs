//! The threads that read.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bindu_storage::StorageError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;
use crate::writer::stopped;
use crate::{OpenError, SqliteConfig, open};

/// Reads that may wait before further readers have to.
const QUEUE: usize = 1024;

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// Threads with a connection each, which read whatever is asked for.
pub(crate) struct Readers {
    queue: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn start(config: &SqliteConfig) -> Result<Self, OpenError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut readers = Self { queue: Some(queue), threads: Vec::new() };
        for _ in 0..config.readers.max(1) {
            let connection = open::reader(config)?;
            let jobs = Arc::clone(&jobs);
            let thread = thread::Builder::new()
                .name("bindu-sqlite-read".to_owned())
                .spawn(move || run(&connection, &jobs))
                .map_err(|error| OpenError::Unusable {
                    path: config.path.clone(),
                    doing: "starting a thread",
                    source: error.into(),
                })?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Reads in one transaction, so that everything read is of one moment.
    pub(crate) async fn read<T, F>(&self, doing: &'static str, read: F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move |connection: &Connection| {
            // Nobody waits any more, and nothing would come of it.
            if reply.is_closed() {
                return;
            }
            let result = in_transaction(connection, read);
            let _ = reply.send(result.map_err(|failure| failure.into_error(doing)));
        });
        let queue = self.queue.as_ref().ok_or_else(|| stopped(doing))?;
        queue.send(job).await.map_err(|_| stopped(doing))?;
        answer.await.unwrap_or_else(|_| Err(stopped(doing)))
    }

    /// Ends the threads, once they have read what was asked for.
    pub(crate) fn stop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

fn run(connection: &Connection, jobs: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        // One thread waits for the next read, and the others for their turn to wait.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        match job {
            Some(job) => job(connection),
            None => return,
        }
    }
}

fn in_transaction<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let result = read(connection);
    connection.prepare_cached("COMMIT")?.execute([])?;
    result
}
