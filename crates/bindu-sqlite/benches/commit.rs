//! Tasks from their message to their answer, 32 at a time: three commits each. Beside it the limit,
//! a bare loop of the same statements, one task after the other.

use std::sync::Arc;

use bindu_protocol::{
    Artifact, ContextId, Dialect, Message, Owner, Part, Role, Task, TaskId, TaskState, TaskStatus,
    Timestamp,
};
use bindu_sqlite::{SqliteConfig, SqliteStore, Synchronous};
use bindu_storage::{Birth, Change, EventBody, Hold, Lease, Record, RunId, Storage, StorageError};
use divan::counter::ItemsCount;
use futures_util::future::try_join_all;
use rusqlite::Connection;
use tokio::runtime::Runtime;

/// Tasks at a time.
const TASKS: usize = 32;

const LEVELS: [&str; 2] = ["full", "normal"];

fn main() {
    divan::main();
}

#[divan::bench(args = LEVELS)]
fn store(bencher: divan::Bencher<'_, '_>, level: &str) {
    let directory = tempfile::tempdir().expect("a directory for the file");
    let mut config = SqliteConfig::new(directory.path().join("tasks.db"), "did:example");
    config.synchronous = if level == "full" { Synchronous::Full } else { Synchronous::Normal };
    let runtime = Runtime::new().expect("a runtime");
    let store = runtime.block_on(SqliteStore::open(config)).expect("a new file opens");
    bencher.counter(ItemsCount::new(TASKS)).bench_local(|| {
        runtime.block_on(try_join_all((0..TASKS).map(|_| lifetime(&store)))).expect("all are made")
    });
}

#[divan::bench(args = LEVELS)]
fn bare_loop(bencher: divan::Bencher<'_, '_>, level: &str) {
    let directory = tempfile::tempdir().expect("a directory for the file");
    let file = Connection::open(directory.path().join("bare.db")).expect("a new file opens");
    file.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {level};
         CREATE TABLE tasks (id TEXT PRIMARY KEY, state TEXT NOT NULL, body TEXT NOT NULL)"
    ))
    .expect("a new file takes a table");
    let body = "x".repeat(600);
    bencher.counter(ItemsCount::new(TASKS)).bench_local(|| {
        for _ in 0..TASKS {
            let id = TaskId::random().to_string();
            file.prepare_cached("INSERT INTO tasks VALUES (?1, 'submitted', ?2)")
                .and_then(|mut insert| insert.execute((&id, &body)))
                .expect("a row is written");
            for state in ["working", "completed"] {
                file.prepare_cached("UPDATE tasks SET state = ?2, body = ?3 WHERE id = ?1")
                    .and_then(|mut update| update.execute((&id, state, &body)))
                    .expect("a row is written");
            }
        }
    });
}

async fn lifetime(store: &SqliteStore) -> Result<(), StorageError> {
    let at = Timestamp::now();
    let task = Arc::new(Task {
        id: TaskId::random(),
        context_id: ContextId::random(),
        status: TaskStatus::new(TaskState::Submitted, at),
        history: vec![Arc::new(Message::new(Role::User, vec![Part::text("hello")]))],
        artifacts: Vec::new(),
        metadata: None,
    });
    let born = Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(Birth { owner: Owner::nobody(), dialect: Dialect::V0_3, webhooks: Vec::new() }),
        hold: Hold::Outside,
        at,
        outbox: Vec::new(),
        once: None,
    };
    let record = store.commit(born).await?.record;
    let lease = Lease { run: RunId::random(), until: at };
    let working = vec![EventBody::Status(TaskStatus::new(TaskState::Working, at))];
    let record = store.commit(next(&record, Hold::Claim(lease), working)).await?.record;
    let result = Artifact::new("result", vec![Part::text("hello")]);
    let done = vec![
        EventBody::Artifact { artifact: Arc::new(result), streamed: false },
        EventBody::Status(TaskStatus::new(TaskState::Completed, at)),
    ];
    store.commit(next(&record, Hold::Release(lease.run), done)).await?;
    Ok(())
}

fn next(record: &Record, hold: Hold, events: Vec<EventBody>) -> Change {
    let mut task = Task::clone(&record.task);
    for event in &events {
        event.apply(&mut task);
    }
    Change {
        task: Arc::new(task),
        expected: Some(record.version),
        birth: None,
        hold,
        events,
        at: Timestamp::now(),
        outbox: Vec::new(),
        once: None,
    }
}
