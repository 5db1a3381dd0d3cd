//! What a file keeps, and which files are not opened.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bindu_protocol::{Artifact, Json, Owner, Part, PushConfig, TaskState, TaskStatus};
use bindu_sqlite::{OpenError, SqliteConfig, SqliteStore};
use bindu_storage::{
    Delivery, EventBody, Feedback, Hold, Lease, Once, OutboxBody, OutboxKind, OutboxQuery,
    ReplayGuard as _, RunId, StateChange, StateScope, Storage as _, StorageError, StrandedQuery,
    Version, Webhook,
};
use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{AGENT, at, born, config, next, says};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

async fn refused(config: SqliteConfig) -> OpenError {
    match SqliteStore::open(config).await {
        Ok(_) => panic!("the file was opened"),
        Err(error) => error,
    }
}

fn hook() -> Webhook {
    let config = PushConfig {
        id: Some("hook".parse().expect("an id")),
        url: "https://example.com".to_owned(),
        token: Some("token".to_owned()),
        authentication: Some(
            serde_json::from_str(r#"{"schemes":  ["Bearer"]}"#).expect("an object"),
        ),
    };
    Webhook { config, dialect: bindu_protocol::Dialect::Reference }
}

#[tokio::test]
async fn everything_is_there_when_the_file_is_opened_again() {
    let directory = directory();
    let store = SqliteStore::open(config(&directory)).await.unwrap();
    let mut change = born("t", "hello", 0);
    let once = Once {
        owner: Owner::from(Some("alice".to_owned())),
        message: change.task.history[0].id.clone(),
        until: at(1_000),
    };
    change.once = Some(once.clone());
    change.birth.as_mut().unwrap().webhooks = vec![hook()];
    let delivery = OutboxBody::Deliver(Delivery {
        webhook: hook(),
        event_id: Uuid::new_v4(),
        sequence: 1,
        body: b"{}".as_slice().into(),
    });
    change.outbox = vec![OutboxBody::Run { version: Version(1) }, delivery];
    let committed = store.commit(change).await.unwrap();
    let lease = Lease { run: RunId::random(), until: at(60) };
    let working = EventBody::Status(TaskStatus::new(TaskState::Working, at(1)));
    let mut claim = next(&committed.record, 1, vec![working]);
    claim.hold = Hold::Claim(lease);
    let record = store.commit(claim).await.unwrap().record;
    let id = record.task.id.clone();
    assert!(store.outbox_take(committed.outbox[1], 0, at(30)).await.unwrap());
    let opinion = Feedback { text: "good".to_owned(), rating: Some(5), metadata: None, at: at(2) };
    store.add_feedback(&id, opinion.clone()).await.unwrap();
    let value: Json = serde_json::from_str(r#"{"b": 1e999, "a":  1}"#).unwrap();
    let scope = StateScope::Context(record.task.context_id.clone());
    let change = |scope: &StateScope, expected| StateChange {
        scope: scope.clone(),
        key: "k".to_owned(),
        value: Some(value.clone()),
        expected,
        room: 100,
    };
    let first = store.set_state(change(&scope, Some(0))).await.unwrap();
    let second = store.set_state(change(&StateScope::Agent, Some(0))).await.unwrap();
    assert!(store.first("key", at(0), at(100)).await.unwrap());
    let events = store.events(&id, 0, 10).await.unwrap();
    let all = |kind| OutboxQuery { kind, task: None, due: None, limit: 10 };
    let outbox = store.outbox(all(OutboxKind::Deliver)).await.unwrap();
    assert_eq!((outbox[0].attempts, outbox[0].next), (1, at(30)));
    drop(store);

    let store = SqliteStore::open(config(&directory)).await.unwrap();
    assert_eq!(*store.load(&id).await.unwrap().unwrap(), *record);
    assert_eq!(record.lease, Some(lease));
    assert_eq!(store.events(&id, 0, 10).await.unwrap(), events);
    assert_eq!(store.outbox(all(OutboxKind::Deliver)).await.unwrap(), outbox);
    assert_eq!(store.outbox(all(OutboxKind::Run)).await.unwrap().len(), 1);
    assert_eq!(store.feedback(&id).await.unwrap(), [opinion]);
    assert_eq!(store.count().await.unwrap(), [(TaskState::Working, 1)]);
    for (scope, version) in [(&scope, first), (&StateScope::Agent, second)] {
        let found = store.state(scope, "k").await.unwrap().unwrap();
        assert_eq!((found.value.as_str(), found.version), (value.as_str(), version));
    }
    assert!(store.set_state(change(&scope, None)).await.unwrap() > second, "versions go on");
    assert!(!store.first("key", at(1), at(100)).await.unwrap());
    let mut again = born("u", "hello", 3);
    again.once = Some(once);
    match store.commit(again).await {
        Err(StorageError::Repeated(first)) => assert_eq!(first, id),
        other => panic!("a key was forgotten: {other:?}"),
    }
    let query =
        StrandedQuery { now: at(61), queued_before: at(61), unleased_before: None, limit: 10 };
    assert_eq!(store.stranded(query).await.unwrap(), std::slice::from_ref(&record));
    let later = store.commit(next(&record, 3, vec![])).await.unwrap();
    assert_eq!(later.record.version, record.version);
}

/// Whatever size a task has, and however it came to it, reading gives what was written.
#[tokio::test]
async fn a_task_is_read_back_at_every_size() {
    let directory = directory();
    for (id, text) in [("small", "hello"), ("large", &*"x".repeat(20_000))] {
        let uncached = || SqliteConfig { cache_bytes: 0, ..config(&directory) };
        let store = SqliteStore::open(uncached()).await.unwrap();
        let mut record = store.commit(born(id, text, 0)).await.unwrap().record;
        for number in 0..120 {
            let piece = Artifact::new("result", vec![Part::text("y".repeat(number * 7))]);
            let piece = Arc::new(piece);
            let event = match number % 6 {
                0 => EventBody::Status(TaskStatus {
                    message: Some(says(&"z".repeat(number))),
                    ..TaskStatus::new(TaskState::Working, at(1))
                }),
                1 => EventBody::Artifact { artifact: piece, streamed: true },
                2 => EventBody::Metadata(
                    serde_json::from_str(&format!(r#"{{"k{number}": [{number}]}}"#)).unwrap(),
                ),
                3 | 4 => EventBody::Chunk { artifact: piece, append: number % 2 == 0 },
                _ => EventBody::Message(says(&"m".repeat(number * 11))),
            };
            let second = i64::try_from(number).unwrap();
            let events = if number % 10 == 9 { vec![] } else { vec![event] };
            record = store.commit(next(&record, second, events)).await.unwrap().record;
            let read = store.load(&record.task.id).await.unwrap().unwrap();
            assert_eq!(*read, *record, "{id} after {number} changes");
        }
        drop(store);
        let store = SqliteStore::open(uncached()).await.unwrap();
        let read = store.load(&record.task.id).await.unwrap().unwrap();
        assert_eq!(*read, *record);
        let events = store.events(&record.task.id, 0, 1_000).await.unwrap();
        assert_eq!(events.last().unwrap().seq, record.version.0);
        let EventBody::Snapshot(whole) = &events[0].body else { panic!("no snapshot in front") };
        let mut task = bindu_protocol::Task::clone(whole);
        events[1..].iter().for_each(|event| event.body.apply(&mut task));
        assert_eq!(task, *record.task);
    }
}

#[tokio::test]
async fn a_file_serves_one_store_at_a_time() {
    let directory = directory();
    let store = SqliteStore::open(config(&directory)).await.unwrap();
    let error = refused(config(&directory)).await;
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(store);
    SqliteStore::open(config(&directory)).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn another_name_of_the_file_is_no_way_around_the_lock() {
    let directory = directory();
    let store = SqliteStore::open(config(&directory)).await.unwrap();
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(directory.path().join("tasks.db"), &link).unwrap();
    let error = refused(SqliteConfig::new(link, AGENT)).await;
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    drop(store);
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_but_the_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = directory();
    let store = SqliteStore::open(config(&directory)).await.unwrap();
    store.commit(born("t", "hello", 0)).await.unwrap();
    for file in fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", file.path().display());
    }
}

#[tokio::test]
async fn another_agents_file_is_refused() {
    let directory = directory();
    drop(SqliteStore::open(config(&directory)).await.unwrap());
    let other = SqliteConfig { agent: "did:bindu:bob:agent:2".to_owned(), ..config(&directory) };
    let error = refused(other).await;
    assert!(matches!(&error, OpenError::OtherAgent { found, .. } if found == AGENT), "{error:?}");
    SqliteStore::open(config(&directory)).await.unwrap();
}

/// The file's bytes once no store has it.
fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).expect("the file is there")
}

#[tokio::test]
async fn a_file_of_a_later_version_is_left_as_it_is() {
    let directory = directory();
    let path = directory.path().join("tasks.db");
    drop(SqliteStore::open(config(&directory)).await.unwrap());
    let file = Connection::open(&path).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let before = bytes(&path);
    let error = refused(config(&directory)).await;
    assert!(matches!(error, OpenError::TooNew { found: 99, known: 2, .. }), "{error:?}");
    assert_eq!(bytes(&path), before);
}

#[tokio::test]
async fn another_programs_database_is_left_as_it_is() {
    let directory = directory();
    let path = directory.path().join("tasks.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE songs (name TEXT)").unwrap();
    let before = bytes(&path);
    let error = refused(config(&directory)).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert_eq!(bytes(&path), before);
}

#[tokio::test]
async fn what_is_no_database_is_left_as_it_is() {
    let directory = directory();
    let path = directory.path().join("tasks.db");
    let letter = "Dear Alice, this is no database. ".repeat(100);
    fs::write(&path, &letter).unwrap();
    let error = refused(config(&directory)).await;
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("is no SQLite database, or is damaged"), "{error}");
    assert_eq!(bytes(&path), letter.as_bytes());
}

#[tokio::test]
async fn damage_is_said_and_not_read_over() {
    let directory = directory();
    let path = directory.path().join("tasks.db");
    let store = SqliteStore::open(config(&directory)).await.unwrap();
    for number in 0..50 {
        store.commit(born(&format!("t-{number}"), &"x".repeat(1_000), number)).await.unwrap();
    }
    drop(store);
    let mut content = bytes(&path);
    // Everything but the first pages, where the tables are named.
    for byte in &mut content[16 * 4096..] {
        *byte ^= 0x5a;
    }
    fs::write(&path, content).unwrap();
    let store = match SqliteStore::open(config(&directory)).await {
        Ok(store) => store,
        Err(error) => {
            assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
            return;
        }
    };
    let query = bindu_storage::TaskQuery { limit: 100, ..bindu_storage::TaskQuery::default() };
    let error = store.tasks(query).await.unwrap_err();
    let StorageError::Backend { doing, source } = &error else { panic!("{error:?}") };
    assert_eq!(*doing, "listing tasks");
    assert!(source.to_string().contains("malformed"), "{source}");
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_said() {
    let directory = directory();
    for path in [directory.path().join("absent").join("tasks.db"), directory.path().to_owned()] {
        let error = refused(SqliteConfig::new(&path, AGENT)).await;
        assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
    }
}
