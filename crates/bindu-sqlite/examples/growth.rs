//! What a file of many tasks costs: how long a look-up, the first page of a list and a claim take,
//! with few tasks and with many.
//!
//! ```sh
//! cargo run --release -p bindu-sqlite --example growth -- 1000 1000000
//! ```
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::env;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bindu_protocol::{
    ContextId, Dialect, Message, Owner, Part, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
};
use bindu_sqlite::{SqliteConfig, SqliteStore, Synchronous};
use bindu_storage::{
    Birth, Change, EventBody, Hold, Lease, Record, RunId, Storage, StorageError, TaskQuery,
};
use futures_util::future::try_join_all;

/// How often each thing is measured; the median counts.
const ROUNDS: usize = 2_001;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let mut config = SqliteConfig::new(directory.path().join("tasks.db"), "did:example");
    config.synchronous = Synchronous::Normal;
    // Otherwise what is measured is memory.
    config.cache_bytes = 0;
    let store = SqliteStore::open(config).await?;
    let mut ids = Vec::new();
    println!("{:>9} {:>9} {:>11} {:>9}", "tasks", "load", "first page", "claim");
    for size in env::args().skip(1) {
        let size: usize = size.parse()?;
        while ids.len() < size {
            let changes = (ids.len()..size.min(ids.len() + 512)).map(|_| store.commit(submitted()));
            for committed in try_join_all(changes).await? {
                ids.push(committed.record.task.id.clone());
            }
        }
        let load = median(ROUNDS, async |round| {
            store.load(&ids[round * 7919 % ids.len()]).await.map(drop)
        });
        let load = load.await?;
        let page = median(ROUNDS / 10, async |_| {
            let owner = Some(Owner::from(Some("alice".to_owned())));
            let query = TaskQuery { owner, limit: 50, ..TaskQuery::default() };
            store.tasks(query).await.map(drop)
        });
        let page = page.await?;
        let mut records = Vec::new();
        for round in 0..ROUNDS {
            records.extend(store.load(&ids[round * 104_729 % ids.len()]).await?);
        }
        let claim =
            median(ROUNDS, async |round| match store.commit(claim(&records[round])).await {
                // With few tasks, some come up twice.
                Ok(_) | Err(StorageError::Conflict(_)) => Ok(()),
                Err(error) => Err(error),
            });
        let claim = claim.await?;
        println!("{size:>9} {load:>9.1?} {page:>11.1?} {claim:>9.1?}");
    }
    Ok(())
}

async fn median(
    rounds: usize,
    mut run: impl AsyncFnMut(usize) -> Result<(), StorageError>,
) -> Result<Duration, StorageError> {
    let mut times = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let start = Instant::now();
        run(round).await?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[rounds / 2])
}

fn submitted() -> Change {
    let at = Timestamp::now();
    let task = Arc::new(Task {
        id: TaskId::random(),
        context_id: ContextId::random(),
        status: TaskStatus::new(TaskState::Submitted, at),
        history: vec![Arc::new(Message::new(Role::User, vec![Part::text("hello")]))],
        artifacts: Vec::new(),
        metadata: None,
    });
    let owner = Owner::from(Some("alice".to_owned()));
    Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(Birth { owner, dialect: Dialect::V0_3, webhooks: Vec::new() }),
        hold: Hold::Outside,
        at,
        outbox: Vec::new(),
        once: None,
    }
}

fn claim(record: &Record) -> Change {
    let at = Timestamp::now();
    let mut task = Task::clone(&record.task);
    let event = EventBody::Status(TaskStatus::new(TaskState::Working, at));
    event.apply(&mut task);
    Change {
        task: Arc::new(task),
        expected: Some(record.version),
        birth: None,
        hold: Hold::Claim(Lease { run: RunId::random(), until: at }),
        events: vec![event],
        at,
        outbox: Vec::new(),
        once: None,
    }
}
