//! Tasks in one file.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use bindu::settings::Secret;
use bindu_did::Did;
use bindu_sqlite::{LAYOUT_VERSION, OpenError, SqliteConfig, SqliteStore, path_of_url};
use bindu_storage::{BoxFuture, Ledger, Storage};

use super::{Database, Given, Look};

/// Nobody's DID: a file that is opened for it says whose it is, and stays as it is.
const NOBODY: &str = "";

#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    url: String,
    agent: Option<Did>,
}

/// How a file begins, as far as it matters here; see the file format of `SQLite`, section 1.3.
enum Head {
    NotThere,
    Empty,
    /// Not by us.
    Foreign,
    /// Ours, with this layout as of the last checkpoint.
    Ours(u32),
}

impl Sqlite {
    pub(super) fn new(url: &Secret, agent: Option<Did>) -> Result<Self> {
        let path = path_of_url(url.reveal())?;
        Ok(Self { path, url: url.reveal().to_owned(), agent })
    }

    async fn inspect(&self) -> Result<Look> {
        let mut look = Look {
            storage: "sqlite",
            url: self.url.clone(),
            file: Some(self.path.display().to_string()),
            ..Look::default()
        };
        let makes = "`bindu db migrate` makes it, and so does the agent when it starts";
        match self.head()? {
            Head::NotThere => {
                look.problems.push("there is no such file".to_owned());
                look.advice = Some(makes.to_owned());
            }
            Head::Empty => {
                look.problems.push("the file is empty".to_owned());
                look.advice = Some(makes.to_owned());
            }
            Head::Foreign => {
                look.problems.push("it is a file of another program, or damaged".to_owned());
                look.advice = Some("name another file; this one is left as it is".to_owned());
            }
            Head::Ours(_) => self.ask(&mut look).await?,
        }
        Ok(look)
    }

    /// Has the file say whose it is, and whether it can be used.
    async fn ask(&self, look: &mut Look) -> Result<()> {
        match SqliteStore::open(SqliteConfig::new(&self.path, NOBODY)).await {
            Err(OpenError::OtherAgent { found, .. }) => {
                if let Some(agent) = self.agent.as_ref().filter(|agent| agent.as_str() != found) {
                    look.problems.push(format!("the file belongs to {found}, not to {agent}"));
                    look.advice = Some(
                        "name its own agent with --did, or give this one another file".to_owned(),
                    );
                }
                look.did = Some(found);
            }
            Err(error @ OpenError::TooNew { .. }) => {
                look.problems.push(error.to_string());
                look.advice = Some("use the version of bindu that wrote it, or a later".to_owned());
            }
            Err(error) => return Err(told(error)),
            Ok(_) => bail!("{} does not say whose it is", self.path.display()),
        }
        // Whoever had the file has given it back, with all that it wrote.
        if let Head::Ours(layout) = self.head()? {
            look.layout = Some(layout);
            if look.problems.is_empty() && layout < LAYOUT_VERSION {
                look.problems
                    .push(format!("its layout is {layout}, and should be {LAYOUT_VERSION}"));
                look.advice = Some(
                    "`bindu db migrate` brings it up to date, and so does the agent when it starts"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    async fn store(&self, look: &Look) -> Result<SqliteStore> {
        let agent = look.did.as_deref().unwrap_or(NOBODY);
        SqliteStore::open(SqliteConfig::new(&self.path, agent)).await.map_err(told)
    }

    fn head(&self) -> Result<Head> {
        let mut head = Vec::with_capacity(100);
        let read = File::open(&self.path).and_then(|file| file.take(100).read_to_end(&mut head));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Head::NotThere),
            read => read.with_context(|| format!("reading {}", self.path.display()))?,
        };
        let number = |at: usize| head.get(at..)?.first_chunk().copied().map(u32::from_be_bytes);
        Ok(match (head.starts_with(b"SQLite format 3\0"), number(60), number(68)) {
            (true, Some(layout), Some(0x426e_6475)) => Head::Ours(layout),
            _ if head.is_empty() => Head::Empty,
            _ => Head::Foreign,
        })
    }

    async fn bring_up_to_date(&self) -> Result<Vec<String>> {
        let before = self.inspect().await?;
        let (agent, is_new) = match (&before.did, self.head()?) {
            (Some(did), _) => (did.clone(), false),
            (None, Head::NotThere | Head::Empty) => match &self.agent {
                Some(agent) => (agent.as_str().to_owned(), true),
                None => bail!(
                    "whose tasks will {} hold? name the agent with --did DID or --identity DIR",
                    self.path.display()
                ),
            },
            (None, _) => (String::new(), false),
        };
        let is_old = before.layout.is_some_and(|layout| layout < LAYOUT_VERSION);
        let is_others = before.did.as_deref().zip(self.agent.as_ref().map(Did::as_str));
        let is_others = is_others.is_some_and(|(theirs, ours)| theirs != ours);
        if !is_new && (is_others || !is_old) {
            before.refuse()?;
        }
        drop(SqliteStore::open(SqliteConfig::new(&self.path, &agent)).await.map_err(told)?);
        let after = self.inspect().await?;
        let mut done = Vec::new();
        if is_new {
            done.push(format!("made {}, for {agent}", self.path.display()));
        } else if let Some(layout) = after.layout.filter(|_| after.layout != before.layout) {
            done.push(format!("brought {} to layout {layout}", self.path.display()));
        }
        Ok(done)
    }
}

/// What to do about it, where that is not plain.
fn told(error: OpenError) -> anyhow::Error {
    match error {
        OpenError::InUse { .. } => anyhow!("{error}; stop the agent first"),
        error => error.into(),
    }
}

impl Database for Sqlite {
    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(self.inspect())
    }

    fn migrate(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self.bring_up_to_date())
    }

    fn open<'a>(&'a self, look: &'a Look) -> BoxFuture<'a, Result<Arc<dyn Storage>>> {
        Box::pin(async { Ok(Arc::new(self.store(look).await?) as Arc<dyn Storage>) })
    }

    fn ledger<'a>(&'a self, look: &'a Look) -> BoxFuture<'a, Result<Arc<dyn Ledger>>> {
        Box::pin(async { Ok(Arc::new(self.store(look).await?) as Arc<dyn Ledger>) })
    }

    fn backfill<'a>(&'a self, _: &'a Did, _: bool) -> BoxFuture<'a, Result<Given>> {
        Box::pin(async {
            bail!(
                "backfill-owner is for PostgreSQL, whose tables the Python reference may have made"
            )
        })
    }
}
