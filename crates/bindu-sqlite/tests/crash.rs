//! The process dies.

use std::collections::HashMap;
use std::env;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use bindu_protocol::{TaskId, TaskState, TaskStatus};
use bindu_sqlite::{OpenError, SqliteConfig, SqliteStore};
use bindu_storage::{EventBody, OutboxBody, OutboxKind, OutboxQuery, Storage, Version};
use futures_util::future::join_all;
use tempfile::TempDir;

use crate::support::{at, born, config, next, says};

/// Names the directory of the process that is to be killed.
const DIRECTORY: &str = "BINDU_SQLITE_CRASH_DIRECTORY";

/// Starts a process of its own that writes until it is killed, three times over one file: what it
/// was answered is there afterwards, and no write is there by half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_kill_9() {
    #[expect(clippy::disallowed_methods, reason = "how the process knows which of the two it is")]
    if let Some(directory) = env::var_os(DIRECTORY) {
        write_until_killed(SqliteConfig::new(
            std::path::PathBuf::from(directory).join("tasks.db"),
            crate::support::AGENT,
        ))
        .await;
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut answered = HashMap::new();
    for round in 0..3 {
        let before = answered.len();
        read_and_kill(&directory, &mut answered).await;
        assert!(answered.len() > before, "nothing was written in round {round}");
        let store = SqliteStore::open(config(&directory)).await.unwrap();
        for (id, version) in &answered {
            let record = store.load(id).await.unwrap();
            let record = record.unwrap_or_else(|| panic!("task {id} is lost"));
            assert!(record.version >= *version, "{id} is at {}, not {version}", record.version);
            // Every change has two events, and one entry in the outbox.
            assert_eq!(record.version.0 % 2, 1, "a change of {id} is there by half");
            let events = store.events(id, 0, 1_000).await.unwrap();
            assert_eq!(events.len() as u64, record.version.0);
            assert_eq!(record.task.history.len() as u64, record.version.0.div_ceil(2));
            let query = OutboxQuery {
                kind: OutboxKind::Run,
                task: Some(id.clone()),
                due: None,
                limit: 1_000,
            };
            let outbox = store.outbox(query).await.unwrap();
            assert_eq!(outbox.len() as u64, record.version.0.div_ceil(2));
        }
        let counted: u64 = store.count().await.unwrap().iter().map(|(_, count)| count).sum();
        assert!(counted >= answered.len() as u64);
    }
}

/// Reads what the other process was answered, and kills it in the middle of its work.
async fn read_and_kill(directory: &TempDir, answered: &mut HashMap<TaskId, Version>) {
    const ENOUGH: usize = 400;
    let mut child = Command::new(env::current_exe().expect("this is a program"))
        .args(["--exact", "crash::what_was_answered_survives_kill_9", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let mut lines = BufReader::new(child.stdout.take().expect("its output is piped"));
    let mut line = String::new();
    let mut seen = 0;
    // What was said before its death counts as well; only a last line cut short does not.
    while lines.read_line(&mut line).expect("it writes text") > 0 {
        if let Some(said) = line.strip_suffix('\n').and_then(|line| line.strip_prefix("done "))
            && let Some((id, version)) = said.split_once(' ')
        {
            answered
                .insert(id.parse().expect("an id"), Version(version.parse().expect("a number")));
            seen += 1;
        }
        line.clear();
        if seen == ENOUGH / 2 {
            let second = SqliteStore::open(config(directory)).await;
            assert!(matches!(second, Err(OpenError::InUse { .. })), "two processes, one file");
        }
        if seen == ENOUGH {
            child.kill().expect("it can be killed");
        }
    }
    let status = child.wait().expect("it ends");
    assert!(!status.success() && seen >= ENOUGH, "the process ended by itself: {status}");
}

async fn write_until_killed(config: SqliteConfig) {
    let store = SqliteStore::open(config).await.expect("the file opens");
    let say = |id: &TaskId, version: Version| {
        let line = format!("done {id} {version}\n");
        io::stdout().lock().write_all(line.as_bytes()).expect("somebody reads");
    };
    let run = OutboxBody::Run { version: Version(0) };
    join_all((0..8).map(|_| async {
        loop {
            let id = TaskId::random().to_string();
            let mut change = born(&id, "hello", 0);
            change.outbox = vec![run.clone()];
            let mut record = store.commit(change).await.expect("a change is made").record;
            say(&record.task.id, record.version);
            for second in 1..20 {
                let events = vec![
                    EventBody::Message(says(&"x".repeat(500))),
                    EventBody::Status(TaskStatus::new(TaskState::Working, at(second))),
                ];
                let mut change = next(&record, second, events);
                change.outbox = vec![run.clone()];
                record = store.commit(change).await.expect("a change is made").record;
                say(&record.task.id, record.version);
            }
        }
    }))
    .await;
}
