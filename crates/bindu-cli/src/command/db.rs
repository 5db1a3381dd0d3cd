//! `bindu db`: looking after the database of an agent.

mod place;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use bindu::settings::Settings;
use bindu_did::Did;
use bindu_protocol::Timestamp;
use bindu_storage::{BoxFuture, Ledger, OutboxKind, OutboxQuery, Storage, TaskQuery};
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

pub(super) use self::place::Place;
use crate::exit::Exit;
use crate::output::Output;

/// How many tasks are deleted, and rows changed, at once.
const BATCH: usize = 500;

/// Outbox entries are looked at up to this many; their number is no more than an indication.
const MANY: usize = 1000;

const CHECK_HELP: &str = "Exit status:
  0  the tables are as they should be
  1  they are not, or the database cannot be reached
  2  the arguments are wrong";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show where an agent's tasks are, whose they are, and how many.
    Status(Place),
    /// Make the tables, or add what is missing to those that are there. It may be run again.
    Migrate(Place),
    /// Look whether the tables are as they should be, and change nothing.
    #[command(after_help = CHECK_HELP)]
    Check(Place),
    /// Give tasks and contexts that belong to nobody to a caller. PostgreSQL only.
    ///
    /// Those are what anonymous callers made, and all that the Python reference made before it knew
    /// of owners. Rows that have an owner are left alone.
    BackfillOwner {
        #[command(flatten)]
        place: Place,
        /// The DID of the caller who gets them.
        #[arg(long, value_name = "DID", value_parser = owner)]
        owner: Did,
        /// Only count them.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete tasks that are over, with their contexts once these are empty.
    Prune {
        #[command(flatten)]
        place: Place,
        /// Those that were begun so long ago, such as 30d, 12h or 1y.
        #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
        older_than: Duration,
        /// Only count them. Every task that old is read for it.
        #[arg(long)]
        dry_run: bool,
    },
}

/// The database of one agent.
pub(super) trait Database: Send + Sync {
    /// What is there. Changes nothing.
    fn look(&self) -> BoxFuture<'_, Result<Look>>;

    /// Makes the tables or brings them up to date, and says what was done.
    fn migrate(&self) -> BoxFuture<'_, Result<Vec<String>>>;

    /// Opens what was looked at and found in order.
    fn open<'a>(&'a self, look: &'a Look) -> BoxFuture<'a, Result<Arc<dyn Storage>>>;

    /// Opens the account of payments of what was looked at and found in order.
    fn ledger<'a>(&'a self, look: &'a Look) -> BoxFuture<'a, Result<Arc<dyn Ledger>>>;

    /// Gives what belongs to nobody to `owner`, or only counts it.
    fn backfill<'a>(&'a self, owner: &'a Did, dry_run: bool) -> BoxFuture<'a, Result<Given>>;
}

/// What is in a database, as far as it tells without being changed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Look {
    storage: &'static str,
    /// Without a password.
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Whose it is.
    did: Option<String>,
    /// The version of the tables.
    layout: Option<u32>,
    /// What speaks against using it.
    problems: Vec<String>,
    /// What to do about that.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// Tasks in the schema `public`, where the reference puts some by mistake.
    #[serde(skip_serializing_if = "Option::is_none")]
    stray_tasks: Option<u64>,
}

impl Look {
    fn is_current(&self) -> bool {
        self.problems.is_empty()
    }

    /// Where it is, in a word.
    fn place(&self) -> &str {
        self.schema.as_deref().or(self.file.as_deref()).unwrap_or(&self.url)
    }

    pub(super) fn refuse(&self) -> Result<()> {
        if self.is_current() {
            return Ok(());
        }
        let advice = self.advice.as_deref().map(|advice| format!("; {advice}"));
        bail!(
            "{} is not in order: {}{}",
            self.place(),
            self.problems.join("; "),
            advice.unwrap_or_default()
        )
    }

    fn print(&self, output: &mut Output) -> Result<()> {
        output.line(&format!("database  {}", self.url))?;
        if let Some(schema) = &self.schema {
            output.line(&format!("schema    {schema}"))?;
        }
        output.line(&format!("agent     {}", self.did.as_deref().unwrap_or("none is named")))?;
        let layout = self.layout.map_or_else(|| "none".to_owned(), |version| version.to_string());
        let state = if self.is_current() { "up to date" } else { "not in order" };
        output.line(&format!("layout    {layout}, {state}"))?;
        for problem in &self.problems {
            output.line(&format!("problem   {problem}"))?;
        }
        Ok(())
    }

    fn advise(&self, output: &mut Output) {
        if let Some(advice) = &self.advice {
            output.note(&format!("hint: {advice}"));
        }
    }
}

/// What got an owner, or would.
#[derive(Debug, Serialize)]
pub(super) struct Given {
    contexts: u64,
    tasks: u64,
}

impl Command {
    pub(crate) async fn run(self, output: &mut Output) -> Result<Exit> {
        let settings = Settings::load()?;
        let open = |place: &Place| place.database(&settings);
        match self {
            Self::Status(place) => status(&*open(&place)?, output).await,
            Self::Migrate(place) => migrate(&*open(&place)?, output).await,
            Self::Check(place) => check(&*open(&place)?, output).await,
            Self::BackfillOwner { place, owner, dry_run } => {
                backfill(&*open(&place)?, &owner, dry_run, output).await
            }
            Self::Prune { place, older_than, dry_run } => {
                prune(&*open(&place)?, older_than, dry_run, output).await
            }
        }
    }
}

async fn status(database: &dyn Database, output: &mut Output) -> Result<Exit> {
    let look = database.look().await?;
    let mut report = serde_json::to_value(&look)?;
    report["current"] = look.is_current().into();
    if !look.is_current() {
        if output.is_json() {
            output.json(&report)?;
        } else {
            look.print(output)?;
            look.advise(output);
        }
        return Ok(Exit::Done);
    }
    let store = database.open(&look).await?;
    let counts = store.count().await?;
    let runs = depth(&*store, OutboxKind::Run).await?;
    let webhooks = depth(&*store, OutboxKind::Deliver).await?;
    if output.is_json() {
        let by_state: serde_json::Map<_, _> =
            counts.iter().map(|(state, count)| (state.to_string(), (*count).into())).collect();
        report["tasks"] = by_state.into();
        report["outbox"] = json!({
            "runs": runs, "webhooks": webhooks, "atLeast": runs.max(webhooks) >= MANY,
        });
        output.json(&report)?;
        return Ok(Exit::Done);
    }
    look.print(output)?;
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let states: Vec<_> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    let states = if states.is_empty() { String::new() } else { format!(": {}", states.join(", ")) };
    output.line(&format!("tasks     {total}{states}"))?;
    let told =
        |count: usize| if count >= MANY { format!("{MANY} or more") } else { count.to_string() };
    output.line(&format!("outbox    {} runs, {} webhooks", told(runs), told(webhooks)))?;
    if let Some(stray) = look.stray_tasks.filter(|stray| *stray > 0) {
        output.line(&format!(
            "public    {stray} tasks lie in the schema public, of whichever agent"
        ))?;
    }
    Ok(Exit::Done)
}

/// How many entries wait, up to [`MANY`].
async fn depth(store: &dyn Storage, kind: OutboxKind) -> Result<usize> {
    Ok(store.outbox(OutboxQuery { kind, task: None, due: None, limit: MANY }).await?.len())
}

async fn migrate(database: &dyn Database, output: &mut Output) -> Result<Exit> {
    let done = database.migrate().await?;
    let look = database.look().await?;
    look.refuse()?;
    if output.is_json() {
        let mut report = serde_json::to_value(&look)?;
        report["current"] = true.into();
        report["done"] = done.into();
        output.json(&report)?;
        return Ok(Exit::Done);
    }
    for step in &done {
        output.line(step)?;
    }
    if done.is_empty() {
        output.line(&format!("nothing to do: {} is up to date", look.place()))?;
    }
    Ok(Exit::Done)
}

async fn check(database: &dyn Database, output: &mut Output) -> Result<Exit> {
    let look = database.look().await?;
    if output.is_json() {
        let mut report = serde_json::to_value(&look)?;
        report["current"] = look.is_current().into();
        output.json(&report)?;
    } else if look.is_current() {
        output.line(&format!("{} is up to date", look.place()))?;
    } else {
        output.line(&format!("{} is not in order:", look.place()))?;
        for problem in &look.problems {
            output.line(&format!("- {problem}"))?;
        }
        look.advise(output);
    }
    Ok(if look.is_current() { Exit::Done } else { Exit::Error })
}

async fn backfill(
    database: &dyn Database,
    owner: &Did,
    dry_run: bool,
    output: &mut Output,
) -> Result<Exit> {
    let given = database.backfill(owner, dry_run).await?;
    if output.is_json() {
        let mut report = serde_json::to_value(&given)?;
        report["owner"] = owner.as_str().into();
        report["dryRun"] = dry_run.into();
        output.json(&report)?;
        return Ok(Exit::Done);
    }
    let Given { contexts, tasks } = given;
    output.line(&if contexts + tasks == 0 {
        "nothing to do: everything has an owner".to_owned()
    } else if dry_run {
        format!("{tasks} tasks and {contexts} contexts belong to nobody; {owner} would get them")
    } else {
        format!("{tasks} tasks and {contexts} contexts belong to {owner} now")
    })?;
    Ok(Exit::Done)
}

async fn prune(
    database: &dyn Database,
    older_than: Duration,
    dry_run: bool,
    output: &mut Output,
) -> Result<Exit> {
    let before = SystemTime::now().checked_sub(older_than).unwrap_or(SystemTime::UNIX_EPOCH);
    let before = Timestamp::from(before);
    let look = database.look().await?;
    look.refuse()?;
    let store = database.open(&look).await?;
    let tasks =
        if dry_run { over(&*store, before).await? } else { delete(&*store, before).await? };
    if output.is_json() {
        let before = before.to_string();
        output.json(&json!({ "tasks": tasks, "before": before, "dryRun": dry_run }))?;
    } else {
        let what = if dry_run { "would be deleted" } else { "were deleted" };
        output
            .line(&format!("{tasks} tasks that are over and were begun before {before} {what}"))?;
    }
    Ok(Exit::Done)
}

async fn delete(store: &dyn Storage, before: Timestamp) -> Result<u64> {
    let mut total = 0;
    loop {
        let gone = store.prune(before, BATCH).await;
        match gone.with_context(|| format!("deleting tasks, after {total} were deleted"))? {
            0 => return Ok(total),
            gone => total += gone,
        }
    }
}

/// How many [`delete`] would delete.
async fn over(store: &dyn Storage, before: Timestamp) -> Result<u64> {
    let mut total = 0;
    let mut query = TaskQuery { oldest_first: true, limit: BATCH, ..TaskQuery::default() };
    loop {
        let page = store.tasks(query.clone()).await?;
        let old = page.items.iter().take_while(|record| record.created < before);
        let mut seen = 0;
        for record in old {
            seen += 1;
            total += u64::from(record.task.status.state.is_terminal());
        }
        match page.next {
            Some(next) if seen == page.items.len() => query.after = Some(next),
            _ => return Ok(total),
        }
    }
}

/// Reads the DID of an owner, which must fit into a column of 255 characters.
fn owner(text: &str) -> Result<Did, String> {
    let did: Did = text.parse().map_err(|error| format!("{error}"))?;
    if did.as_str().chars().count() > 255 {
        return Err("it is longer than 255 characters".to_owned());
    }
    Ok(did)
}
