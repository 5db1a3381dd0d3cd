//! What the public door cannot bring about: a full disk, and a thread that is busy.

use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};

use bindu_protocol::{
    ContextId, Dialect, Message, Owner, Part, Role, Task, TaskState, TaskStatus, Timestamp,
};
use bindu_storage::{Birth, Change, EventBody, Hold, Storage as _, StorageError};
use futures_util::future::join_all;
use tempfile::TempDir;

use super::*;

async fn store() -> (SqliteStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(directory.path().join("tasks.db"), "did:example");
    (SqliteStore::open(config).await.unwrap(), directory)
}

fn born(text: &str) -> Change {
    let at = Timestamp::from_unix_micros(0);
    let task = Arc::new(Task {
        id: TaskId::random(),
        context_id: ContextId::random(),
        status: TaskStatus::new(TaskState::Submitted, at),
        history: vec![Arc::new(Message::new(Role::User, vec![Part::text(text)]))],
        artifacts: Vec::new(),
        metadata: None,
    });
    Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(Birth { owner: Owner::nobody(), dialect: Dialect::V0_3, webhooks: Vec::new() }),
        hold: Hold::Outside,
        at,
        outbox: Vec::new(),
        once: None,
    }
}

/// Lets the file grow by so many pages and no further, as a full disk would.
async fn allow(store: &SqliteStore, pages: i64) {
    let run = move |file: &Transaction<'_>| {
        let count: i64 = file.connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let set = format!("PRAGMA max_page_count = {}", count + pages);
        Ok(file.connection.query_row(&set, [], |row| row.get::<_, i64>(0)).map(drop)?)
    };
    store.write("bounding the file", run).await.unwrap();
}

/// Keeps the thread that writes busy until the sender is dropped; what is asked for meanwhile waits
/// together.
async fn busy(store: &SqliteStore) -> mpsc::Sender<()> {
    let (free, wait) = mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel();
    let mut begun = Some(begun);
    let run = move |_: &Transaction<'_>| {
        begun.take().map(|begun| begun.send(()));
        let _ = wait.recv();
        Ok(())
    };
    let (pending, _) = Pending::new("being busy", run);
    let queue = store.queue.as_ref().unwrap();
    assert!(queue.send(Box::new(pending)).await.is_ok());
    begins.await.unwrap();
    free
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_too_large_and_loses_nothing() {
    let (store, _directory) = store().await;
    let first = store.commit(born("hello")).await.unwrap().record;
    allow(&store, 20).await;
    let large = "x".repeat(1_000_000);
    // They wait together, so that they are made together.
    let free = busy(&store).await;
    let changes = [born("one"), born(&large), born("two")];
    let ids = changes.each_ref().map(|change| change.task.id.clone());
    let writes = changes.map(|change| store.commit(change));
    let freed = async {
        drop(free);
    };
    let (results, ()) = futures_util::future::join(join_all(writes), freed).await;
    let [one, large_result, two] = results.try_into().unwrap();
    assert!(one.is_ok() && two.is_ok(), "the others are made: {one:?} {two:?}");
    match large_result {
        Err(StorageError::Backend { doing: "storing a change", source }) => {
            assert!(source.to_string().contains("full"), "{source}");
        }
        other => panic!("what does not fit is refused: {other:?}"),
    }
    assert_eq!(store.load(&ids[1]).await.unwrap(), None);
    assert_eq!(store.events(&ids[1], 0, 10).await.unwrap(), []);
    assert_eq!(store.count().await.unwrap(), [(TaskState::Submitted, 3)]);
    for id in [&first.task.id, &ids[0], &ids[2]] {
        assert!(store.load(id).await.unwrap().is_some());
    }
    allow(&store, 1_000_000).await;
    store.commit(born(&large)).await.unwrap();
}

#[tokio::test]
async fn a_refused_change_does_not_harm_those_beside_it() {
    let (store, _directory) = store().await;
    let twice = born("twice");
    let free = busy(&store).await;
    let writes = [born("a"), twice.clone(), twice, born("b")].map(|change| store.commit(change));
    let freed = async {
        drop(free);
    };
    let (results, ()) = futures_util::future::join(join_all(writes), freed).await;
    let made: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(made, [true, true, false, true]);
    assert!(matches!(results[2], Err(StorageError::Conflict(_))), "{:?}", results[2]);
    assert_eq!(store.count().await.unwrap(), [(TaskState::Submitted, 3)]);
}

#[tokio::test]
async fn a_dropped_future_did_all_or_nothing() {
    let (store, _directory) = store().await;
    let unpolled = born("unpolled");
    let polled = born("polled");
    let ids = [unpolled.task.id.clone(), polled.task.id.clone()];
    let free = busy(&store).await;
    drop(store.commit(unpolled));
    {
        let mut commit = pin!(store.commit(polled));
        assert!(commit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(free);
    // Whatever was queued before is made when this is.
    store.commit(born("last")).await.unwrap();
    assert_eq!(store.load(&ids[0]).await.unwrap(), None);
    let record = store.load(&ids[1]).await.unwrap().unwrap();
    assert_eq!(store.events(&ids[1], 0, 10).await.unwrap().len(), 1);
    assert_eq!(record.task.history[0].text(), "polled");
    assert_eq!(store.count().await.unwrap(), [(TaskState::Submitted, 2)]);
}

#[tokio::test]
async fn what_waits_is_committed_at_once() {
    let (store, _directory) = store().await;
    let free = busy(&store).await;
    let writes = (0..100).map(|_| store.commit(born("hello")));
    let freed = async {
        drop(free);
    };
    let commits = |store: &SqliteStore| {
        let log = store.config.path.with_extension("db-wal");
        log.metadata().unwrap().len()
    };
    let before = commits(&store);
    let (results, ()) = futures_util::future::join(join_all(writes), freed).await;
    assert!(results.iter().all(Result::is_ok));
    // One by one, each commit would write at least ten pages: tables, indexes, counts.
    let pages = (commits(&store) - before) / 4096;
    assert!(pages < 300, "a hundred commits wrote {pages} pages");
}
