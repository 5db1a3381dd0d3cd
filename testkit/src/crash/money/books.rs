//! What the agents wrote down of their payments, read past them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bindu_postgres::{PostgresConfig, PostgresStore};
use bindu_sqlite::{SqliteConfig, SqliteStore};
use bindu_storage::{Ledger, Payment, PaymentQuery, PaymentState};

use crate::bench::{Connection, get};
use crate::crash::Backends;
use crate::crash::site::Site;

/// How many payments are read at once.
const PAGE: usize = 500;

/// How long the file of an agent that was killed may be in use.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where it is written down.
#[derive(Debug)]
pub(super) enum Books {
    /// Beside the agents.
    Shared(Box<PostgresStore>),
    /// Only one process may have the file: the agent is killed whenever it is read.
    File { path: PathBuf, did: String },
}

/// A payment as it is written down.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) nonce: String,
    pub(super) state: PaymentState,
    pub(super) task: String,
    /// Whether somebody is to look at it.
    pub(super) is_due: bool,
    pub(super) attempts: u32,
    pub(super) error: Option<String>,
}

impl Row {
    /// Whether an agent still looks after it.
    pub(super) fn is_open(&self) -> bool {
        !self.state.is_final() && self.is_due
    }
}

impl From<Payment> for Row {
    fn from(payment: Payment) -> Self {
        Self {
            nonce: payment.key.nonce().to_owned(),
            state: payment.state,
            task: payment.task.to_string(),
            is_due: payment.due.is_some(),
            attempts: payment.attempts,
            error: payment.error,
        }
    }
}

impl Books {
    /// The books of an agent that runs.
    pub(super) async fn of(site: &Site, backends: Backends) -> anyhow::Result<Self> {
        let address = site.addresses().first().copied().context("there is no replica")?;
        let mut connection = Connection::open(address).await?;
        let card = connection.exchange(&get("/.well-known/agent.json")).await?;
        let card = String::from_utf8_lossy(card.body).into_owned();
        let did = card.find("did:bindu:").and_then(|at| card[at..].split('"').next());
        let did = did.context("the card names no DID")?.to_owned();
        Ok(match site.database() {
            Some(url) if backends.has_postgres() => {
                let config = PostgresConfig { did: Some(did), ..PostgresConfig::new(url) };
                Self::Shared(Box::new(PostgresStore::open(config).await?))
            }
            _ => Self::File { path: site.file(), did },
        })
    }

    /// How long to wait between two looks into it.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::Shared(_) => Duration::from_secs(1),
            // Let it get something done.
            Self::File { .. } => Duration::from_secs(12),
        }
    }

    /// All of it.
    pub(super) async fn read(&self, site: &Site) -> anyhow::Result<Vec<Row>> {
        match self {
            Self::Shared(store) => all(&**store).await,
            Self::File { path, did } => {
                let mut replicas = site.replicas().await;
                for replica in &mut *replicas {
                    site.bury(replica.kill()?);
                }
                let deadline = Instant::now() + PATIENCE;
                let store = loop {
                    match SqliteStore::open(SqliteConfig::new(path, did)).await {
                        Err(_) if Instant::now() < deadline => {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                        opened => break opened?,
                    }
                };
                let rows = all(&store).await;
                // Before the agent wants the file.
                tokio::task::spawn_blocking(move || drop(store)).await?;
                for replica in &mut *replicas {
                    replica.start().await?;
                }
                rows
            }
        }
    }
}

async fn all(ledger: &dyn Ledger) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut query = PaymentQuery { limit: PAGE, ..PaymentQuery::default() };
    loop {
        let page = ledger.payments(query.clone()).await?;
        rows.extend(page.items.into_iter().map(Row::from));
        query.after = page.next;
        if query.after.is_none() {
            return Ok(rows);
        }
    }
}
