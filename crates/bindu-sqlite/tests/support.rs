//! Stores in directories of their own, and what the tests put into them.

use std::fs::File;
use std::sync::Arc;
use std::thread;

use bindu_protocol::{Dialect, Message, Owner, Part, Role, Task, TaskState, TaskStatus, Timestamp};
use bindu_sqlite::{SqliteConfig, SqliteStore, Synchronous};
use bindu_storage::{Birth, Change, EventBody, Hold, Record};
use tempfile::TempDir;

pub(crate) const AGENT: &str = "did:bindu:alice:agent:1";

/// An empty store, whose directory goes when it does.
pub(crate) async fn fresh() -> SqliteStore {
    fresh_with(32 << 20).await
}

/// As [`fresh`], but every reading goes to the file.
pub(crate) async fn fresh_without_cache() -> SqliteStore {
    fresh_with(0).await
}

async fn fresh_with(cache_bytes: usize) -> SqliteStore {
    let directory = tempfile::tempdir().expect("a directory");
    let config = SqliteConfig { cache_bytes, ..config(&directory) };
    let store = SqliteStore::open(config).await.expect("a new file opens");
    // The store holds this lock for as long as it has the file.
    let lock = File::open(directory.path().join("tasks.db.lock")).expect("the lock is there");
    thread::spawn(move || {
        lock.lock().expect("a lock ends with its holder");
        drop(directory);
    });
    store
}

/// How the tests open the file of a directory. What a loss of power does cannot be tested here.
pub(crate) fn config(directory: &TempDir) -> SqliteConfig {
    let mut config = SqliteConfig::new(directory.path().join("tasks.db"), AGENT);
    config.synchronous = Synchronous::Normal;
    config
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros((1_800_000_000 + second) * 1_000_000)
}

pub(crate) fn says(text: &str) -> Arc<Message> {
    Arc::new(Message::new(Role::User, vec![Part::text(text)]))
}

/// The creation of a task that says so much.
pub(crate) fn born(id: &str, text: &str, second: i64) -> Change {
    let task = Arc::new(Task {
        id: id.parse().expect("an id"),
        context_id: format!("context of {id}").parse().expect("an id"),
        status: TaskStatus::new(TaskState::Submitted, at(second)),
        history: vec![says(text)],
        artifacts: Vec::new(),
        metadata: None,
    });
    Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(Birth {
            owner: Owner::from(Some("alice".to_owned())),
            dialect: Dialect::V0_3,
            webhooks: Vec::new(),
        }),
        hold: Hold::Outside,
        at: at(second),
        outbox: Vec::new(),
        once: None,
    }
}

/// A change of a task by events.
pub(crate) fn next(record: &Record, second: i64, events: Vec<EventBody>) -> Change {
    let mut task = Task::clone(&record.task);
    for event in &events {
        event.apply(&mut task);
    }
    Change {
        task: Arc::new(task),
        expected: Some(record.version),
        birth: None,
        hold: Hold::Outside,
        events,
        at: at(second),
        outbox: Vec::new(),
        once: None,
    }
}
