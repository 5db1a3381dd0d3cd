//! `bindu db`, on PostgreSQL.

use bindu_postgres::{PostgresConfig, PostgresStore};
use bindu_protocol::{Owner, TaskId, TaskState, Timestamp};
use bindu_storage::{Ledger as _, PaymentState, Storage as _, StorageError};
use bindu_testkit::services::{Machine, Server};
use serde_json::Value;
use tempfile::TempDir;

use crate::db::{begun, db, fill, json};
use crate::payments;
use crate::run::Result;

const OWNER: &str = "did:bindu:bob:client:2";

/// The server that the environment names.
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by the environment where the server is"
)]
fn url() -> String {
    std::env::var("DATABASE_URL").expect("run it through cargo xtask test, or set DATABASE_URL")
}

/// An agent that nobody else is, and a directory to run in.
struct Agent {
    url: String,
    did: String,
    dir: TempDir,
}

impl Agent {
    fn on(url: String) -> Result<Self> {
        let did = format!("did:bindu:ann:cli{:x}:1", fastrand::u64(..));
        Ok(Self { url, did, dir: tempfile::tempdir()? })
    }

    fn new() -> Result<Self> {
        Self::on(url())
    }

    async fn store(&self) -> Result<PostgresStore> {
        let did = Some(self.did.clone());
        Ok(PostgresStore::open(PostgresConfig { did, ..PostgresConfig::new(&self.url) }).await?)
    }

    fn args<'a>(&'a self, command: &[&'a str]) -> Vec<&'a str> {
        [command, &["--url", &self.url, "--did", &self.did]].concat()
    }

    async fn run(&self, command: &[&str]) -> Result<(Option<i32>, String)> {
        let ran = db(self.dir.path(), &self.args(command)).await?;
        Ok((ran.status, format!("{}{}", ran.stdout, ran.stderr)))
    }

    async fn json(&self, command: &[&str]) -> Result<Value> {
        json(self.dir.path(), &self.args(command)).await
    }
}

#[tokio::test]
async fn a_schema_is_made_once_and_then_in_order() -> Result {
    let agent = Agent::new()?;
    let (status, said) = agent.run(&["check"]).await?;
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("no tables of tasks") && said.contains("`bindu db migrate`"), "{said}");

    let made = agent.json(&["migrate"]).await?;
    let schema = made["schema"].as_str().ok_or("no schema")?;
    assert_eq!(made["done"][0], format!("made the tables in schema {schema}"));
    assert_eq!((&made["did"], &made["current"]), (&agent.did.clone().into(), &true.into()));
    assert_eq!(agent.json(&["migrate"]).await?["done"], serde_json::json!([]));
    assert_eq!(agent.run(&["check"]).await?, (Some(0), format!("{schema} is up to date\n")));

    // The schema alone is enough: it says whose it is.
    let by_schema = ["status", "--url", &agent.url, "--schema", schema];
    assert_eq!(json(agent.dir.path(), &by_schema).await?["did"], agent.did);
    Ok(())
}

#[tokio::test]
async fn another_agents_schema_is_refused() -> Result {
    let agent = Agent::new()?;
    agent.run(&["migrate"]).await?;
    // Their schemas have one name.
    let other = Agent { did: agent.did.replace("ann", "Ann"), ..Agent::new()? };
    for command in [&["check"][..], &["migrate"], &["prune", "--older-than", "1d"]] {
        let (status, said) = other.run(command).await?;
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(&format!("belongs to {}", agent.did)), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn status_counts_and_hides_the_password() -> Result {
    let agent = Agent::new()?;
    fill(&agent.store().await?).await?;
    let status = agent.json(&["status"]).await?;
    assert_eq!(status["tasks"]["failed"], 1, "{status}");
    assert_eq!(status["outbox"]["runs"], 1, "{status}");
    let (_, said) = agent.run(&["status"]).await?;
    assert!(said.contains("\ntasks     3: "), "{said}");
    let password = agent.url.split(':').nth(2).and_then(|rest| rest.split_once('@'));
    if let Some((password, _)) = password {
        assert!(!said.contains(password) && !status.to_string().contains(password));
    }
    Ok(())
}

#[tokio::test]
async fn only_what_belongs_to_nobody_gets_an_owner() -> Result {
    let agent = Agent::new()?;
    let store = agent.store().await?;
    fill(&store).await?;
    let args = ["backfill-owner", "--owner", OWNER];
    let counted = agent.json(&[&args[..], &["--dry-run"]].concat()).await?;
    assert_eq!((&counted["tasks"], &counted["contexts"]), (&2.into(), &2.into()), "{counted}");
    let given = agent.json(&args).await?;
    assert_eq!((&given["tasks"], &given["contexts"]), (&2.into(), &2.into()), "{given}");
    let (status, said) = agent.run(&args).await?;
    assert_eq!((status, said.as_str()), (Some(0), "nothing to do: everything has an owner\n"));

    for (id, owner) in [("done", "did:bindu:caller"), ("failed", OWNER), ("waiting", OWNER)] {
        let record = store.load(&id.parse::<TaskId>()?).await?.ok_or("the task is there")?;
        assert_eq!(record.owner, Owner::from(Some(owner.to_owned())), "{id}");
        assert_eq!(record.version.0, 1, "nothing is logged for it");
    }
    Ok(())
}

#[tokio::test]
async fn more_than_a_batch_is_pruned_and_counted() -> Result {
    let agent = Agent::new()?;
    let store = agent.store().await?;
    fill(&store).await?;
    for number in 0..501 {
        store.commit(begun(&format!("task {number}"), TaskState::Canceled, None)).await?;
    }
    let args = ["prune", "--older-than", "30d"];
    assert_eq!(agent.json(&[&args[..], &["--dry-run"]].concat()).await?["tasks"], 503);
    assert_eq!(agent.json(&args).await?["tasks"], 503);
    assert_eq!(agent.json(&args).await?["tasks"], 0);
    assert!(store.load(&"waiting".parse::<TaskId>()?).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn payments_are_looked_at_and_decided_beside_a_running_agent() -> Result {
    let agent = Agent::new()?;
    let store = agent.store().await?;
    let made = payments::fill(&store).await?;
    let listed = payments::json(agent.dir.path(), &agent.args(&["list"])).await?;
    assert_eq!(listed["payments"].as_array().map(Vec::len), Some(4), "{listed}");
    assert_eq!(listed["payments"][0]["key"], made[3].key.as_str());
    let balance = payments::json(agent.dir.path(), &agent.args(&["balance"])).await?;
    assert_eq!(balance["payments"], 4, "{balance}");

    let transaction = format!("0x{}", "ab".repeat(32));
    let decide = ["reconcile", made[0].key.as_str(), "--settled", &transaction];
    let decided = payments::json(agent.dir.path(), &agent.args(&decide)).await?;
    assert_eq!((&decided["state"], &decided["version"]), (&"settled".into(), &3.into()));
    let found = store.payment(&made[0].key).await?.ok_or("the payment is there")?;
    assert_eq!(found.state, PaymentState::Settled);
    assert_eq!(store.due_payments(Timestamp::now(), 10).await?.last(), Some(&found));
    // What the agent had read is void.
    let stale = store.advance(made[0].clone()).await;
    assert!(matches!(stale, Err(StorageError::PaymentConflict(_))), "{stale:?}");
    let shown = payments::payments(agent.dir.path(), &agent.args(&["show", decide[1]])).await?;
    assert!(shown.stdout.contains("state     settled, at version 3\n"), "{shown:?}");
    Ok(())
}

#[tokio::test]
async fn tasks_astray_in_public_are_reported() -> Result {
    // `public` is everybody's on the shared server.
    let server = Server::postgres(&Machine::this())?;
    let public = PostgresConfig::new(server.url());
    fill(&PostgresStore::open(public).await?).await?;
    let agent = Agent::on(server.url().to_owned())?;
    agent.run(&["migrate"]).await?;
    assert_eq!(agent.json(&["status"]).await?["strayTasks"], 3);
    let (_, said) = agent.run(&["status"]).await?;
    assert!(said.contains("3 tasks lie in the schema public"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() -> Result {
    let mut server = Server::postgres(&Machine::this())?;
    server.stop()?;
    let agent = Agent::on(server.url().to_owned())?;
    let (status, said) = agent.run(&["check"]).await?;
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("DATABASE_URL") && said.contains(&server.port().to_string()), "{said}");
    let secret = server.url().split(':').nth(2).and_then(|rest| rest.split_once('@'));
    assert!(!said.contains(secret.ok_or("its URL has a password")?.0), "{said}");
    Ok(())
}
