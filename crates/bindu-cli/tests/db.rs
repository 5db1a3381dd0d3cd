//! `bindu db`, on files.

use std::path::Path;
use std::sync::Arc;

use bindu_protocol::{
    Dialect, Message, Owner, Part, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
};
use bindu_sqlite::{SqliteConfig, SqliteStore};
use bindu_storage::{Birth, Change, EventBody, Hold, OutboxBody, Storage, Version};
use serde_json::Value;

use crate::run::{Ran, Result, command, finish};

const AGENT: &str = "did:bindu:ann:echo:1";
const OTHER: &str = "did:bindu:bob:echo:2";

/// Runs `bindu db` with nothing set, in this directory.
pub(crate) async fn db(dir: &Path, args: &[&str]) -> Result<Ran> {
    let mut command = command(&["db"]);
    command.args(args).current_dir(dir);
    for name in ["DATABASE_URL", "STORAGE_TYPE", "STORAGE__BACKEND", "STORAGE__POSTGRES_URL"] {
        command.env_remove(name);
    }
    finish(command).await
}

/// What `bindu db` prints with `--json`.
pub(crate) async fn json(dir: &Path, args: &[&str]) -> Result<Value> {
    let ran = db(dir, &[args, &["--json"]].concat()).await?;
    serde_json::from_str(&ran.stdout).map_err(|error| format!("{error}: {ran:?}").into())
}

/// A task of this state that was begun on the first day of 2001, of this owner.
pub(crate) fn begun(id: &str, state: TaskState, owner: Option<&str>) -> Change {
    let at = Timestamp::from_unix_micros(978_307_200_000_000);
    let task = Arc::new(Task {
        id: id.parse().expect("an id"),
        context_id: format!("context of {id}").parse().expect("an id"),
        status: TaskStatus::new(state, at),
        history: vec![Arc::new(Message::new(Role::User, vec![Part::text("hello")]))],
        artifacts: Vec::new(),
        metadata: None,
    });
    Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(Birth {
            owner: Owner::from(owner.map(str::to_owned)),
            dialect: Dialect::V0_3,
            webhooks: Vec::new(),
        }),
        hold: Hold::Outside,
        at,
        outbox: Vec::new(),
        once: None,
    }
}

/// Two tasks that are over, and one that waits for a run.
pub(crate) async fn fill(store: &dyn Storage) -> Result {
    store.commit(begun("done", TaskState::Completed, Some("did:bindu:caller"))).await?;
    store.commit(begun("failed", TaskState::Failed, None)).await?;
    let mut waiting = begun("waiting", TaskState::Submitted, None);
    waiting.outbox = vec![OutboxBody::Run { version: Version(1) }];
    store.commit(waiting).await?;
    Ok(())
}

async fn open(dir: &Path) -> Result<SqliteStore> {
    Ok(SqliteStore::open(SqliteConfig::new(dir.join("tasks.db"), AGENT)).await?)
}

#[tokio::test]
async fn a_file_is_made_looked_at_and_found_in_order() -> Result {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    let place = ["--url", "sqlite:tasks.db"];
    let absent = db(dir, &[&["check"], &place[..]].concat()).await?;
    assert_eq!(absent.status, Some(1), "{absent:?}");
    assert!(absent.stdout.contains("there is no such file"), "{absent:?}");
    assert!(absent.stderr.contains("`bindu db migrate`"), "{absent:?}");
    assert!(!dir.join("tasks.db").exists());

    let unnamed = db(dir, &[&["migrate"], &place[..]].concat()).await?;
    assert_eq!(unnamed.status, Some(1), "{unnamed:?}");
    assert!(unnamed.stderr.contains("--did DID or --identity DIR"), "{unnamed:?}");

    let migrate = ["migrate", "--url", "sqlite:tasks.db", "--did", AGENT];
    let made = db(dir, &migrate).await?;
    assert_eq!(
        (made.status, made.stdout.as_str()),
        (Some(0), "made tasks.db, for did:bindu:ann:echo:1\n")
    );
    let again = db(dir, &migrate).await?;
    assert_eq!(
        (again.status, again.stdout.as_str()),
        (Some(0), "nothing to do: tasks.db is up to date\n")
    );

    let good = db(dir, &[&["check"], &place[..]].concat()).await?;
    assert_eq!((good.status, good.stdout.as_str()), (Some(0), "tasks.db is up to date\n"));
    let others = db(dir, &["check", "--url", "sqlite:tasks.db", "--did", OTHER]).await?;
    assert_eq!(others.status, Some(1));
    assert!(others.stdout.contains("belongs to did:bindu:ann:echo:1, not to"), "{others:?}");
    Ok(())
}

#[tokio::test]
async fn status_counts_what_a_file_holds() -> Result {
    let dir = tempfile::tempdir()?;
    fill(&open(dir.path()).await?).await?;
    let args = ["status", "--url", "sqlite:tasks.db"];
    let status = json(dir.path(), &args).await?;
    assert_eq!(status["storage"], "sqlite");
    assert_eq!(status["did"], AGENT);
    assert_eq!((&status["layout"], &status["current"]), (&2.into(), &true.into()), "{status}");
    assert_eq!(status["tasks"]["completed"], 1, "{status}");
    assert_eq!(status["tasks"]["submitted"], 1, "{status}");
    assert_eq!(status["outbox"]["runs"], 1, "{status}");

    let told = db(dir.path(), &args).await?;
    assert!(told.stdout.contains("agent     did:bindu:ann:echo:1\n"), "{told:?}");
    assert!(told.stdout.contains("\ntasks     3: "), "{told:?}");
    assert!(told.stdout.contains("\noutbox    1 runs, 0 webhooks\n"), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn the_agents_own_settings_say_which_file() -> Result {
    let dir = tempfile::tempdir()?;
    let text = "STORAGE_TYPE=sqlite\nDATABASE_URL=sqlite:kept.db\n";
    std::fs::write(dir.path().join(".env"), text)?;
    let identity = ["--author", "ann@example.com", "--name", "echo"];
    let made = finish({
        let mut command = command(&["did", "new"]);
        command.args(identity).current_dir(dir.path());
        command
    });
    assert_eq!(made.await?.status, Some(0));
    let made = db(dir.path(), &["migrate"]).await?;
    assert_eq!(made.status, Some(0), "{made:?}");
    assert!(
        made.stdout.starts_with("made kept.db, for did:bindu:ann_at_example_com:echo:"),
        "{made:?}"
    );
    Ok(())
}

#[tokio::test]
async fn pruning_deletes_old_tasks_that_are_over() -> Result {
    let dir = tempfile::tempdir()?;
    fill(&open(dir.path()).await?).await?;
    let dir = dir.path();
    let refused = db(dir, &["prune", "--url", "sqlite:tasks.db"]).await?;
    assert_eq!(refused.status, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--older-than"), "{refused:?}");

    let young = json(dir, &["prune", "--url", "sqlite:tasks.db", "--older-than", "99y"]).await?;
    assert_eq!(young["tasks"], 0);
    let args = ["prune", "--url", "sqlite:tasks.db", "--older-than", "30d"];
    let counted = json(dir, &[&args[..], &["--dry-run"]].concat()).await?;
    assert_eq!((&counted["tasks"], &counted["dryRun"]), (&2.into(), &true.into()), "{counted}");
    let deleted = db(dir, &args).await?;
    assert_eq!(deleted.status, Some(0), "{deleted:?}");
    assert!(deleted.stdout.starts_with("2 tasks that are over"), "{deleted:?}");
    assert_eq!(json(dir, &args).await?["tasks"], 0);

    let store = open(dir).await?;
    let id = |text: &str| text.parse::<TaskId>();
    assert!(store.load(&id("done")?).await?.is_none());
    assert!(store.load(&id("waiting")?).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_file_in_use_or_of_another_program_is_left_alone() -> Result {
    let dir = tempfile::tempdir()?;
    let store = open(dir.path()).await?;
    let busy = db(dir.path(), &["status", "--url", "sqlite:tasks.db"]).await?;
    assert_eq!(busy.status, Some(1));
    assert!(busy.stderr.contains("in use") && busy.stderr.contains("stop the agent"), "{busy:?}");
    drop(store);

    let notes = dir.path().join("notes.txt");
    std::fs::write(&notes, "not a database")?;
    let args = ["--url", "sqlite:notes.txt", "--did", AGENT];
    for command in ["check", "migrate"] {
        let foreign = db(dir.path(), &[&[command], &args[..]].concat()).await?;
        assert_eq!(foreign.status, Some(1));
        let said = format!("{}{}", foreign.stdout, foreign.stderr);
        assert!(said.contains("of another program, or damaged"), "{foreign:?}");
    }
    assert_eq!(std::fs::read_to_string(&notes)?, "not a database");
    Ok(())
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_told_from_one_in_order() -> Result {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    drop(open(dir).await?);
    // The layout's number, in the header of the file; from before payments were kept.
    let file = dir.join("tasks.db");
    let mut bytes = std::fs::read(&file)?;
    let number = bytes.get_mut(60..64).ok_or("a header")?;
    number.copy_from_slice(&1_u32.to_be_bytes());
    std::fs::write(&file, bytes)?;

    let args = ["check", "--url", "sqlite:tasks.db"];
    let old = db(dir, &args).await?;
    assert_eq!(old.status, Some(1), "{old:?}");
    assert!(old.stdout.contains("- its layout is 1, and should be 2\n"), "{old:?}");
    assert!(old.stderr.contains("`bindu db migrate`"), "{old:?}");
    let others = db(dir, &["migrate", "--url", "sqlite:tasks.db", "--did", OTHER]).await?;
    assert!(others.stderr.contains("belongs to did:bindu:ann:echo:1, not to"), "{others:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_missing_is_said() -> Result {
    let dir = tempfile::tempdir()?;
    let nowhere = db(dir.path(), &["status"]).await?;
    assert_eq!(nowhere.status, Some(1));
    assert!(nowhere.stderr.contains("which database? DATABASE_URL is not set"), "{nowhere:?}");
    let nobody = db(dir.path(), &["status", "--url", "postgres://u:s3cret@localhost/x"]).await?;
    assert!(nobody.stderr.contains("whose tasks?"), "{nobody:?}");
    assert!(!nobody.stderr.contains("s3cret"), "{nobody:?}");
    let file = ["backfill-owner", "--url", "sqlite:tasks.db", "--owner", OTHER];
    let file = db(dir.path(), &file).await?;
    assert!(file.stderr.contains("is for PostgreSQL"), "{file:?}");
    Ok(())
}
