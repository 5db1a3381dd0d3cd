//! Everything that runs: servers, agent processes, a webhook.

use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use tempfile::TempDir;

use super::receiver::Receiver;
use super::replica::{Death, Replica, Setup};
use super::{Backends, Options};
use crate::services::{Keep, Machine, Server};

/// The name of the agent; its answers begin with it.
pub(super) const AGENT: &str = "crash";

/// The file of tasks, if there is one.
const FILE: &str = "tasks.db";

/// Short times, so that what is lost is missed soon.
const SETTINGS: &[(&str, &str)] = &[
    // Its own, so that a task may be named by its client.
    ("A2A__DIALECT", "reference"),
    ("LOGGING__DEFAULT_LEVEL", "WARNING"),
    ("RUNLOG_AGENT", AGENT),
    ("WEBHOOK__MAX_ATTEMPTS", "20"),
    ("WEBHOOK__TIMEOUT_SECONDS", "2"),
    ("WORKER__CONCURRENCY", "16"),
    ("WORKER__DRAIN_SECONDS", "3"),
    ("WORKER__HEARTBEAT_SECONDS", "0.5"),
    ("WORKER__LEASE_SECONDS", "2"),
    // However often it is killed: no task is given up.
    ("WORKER__MAX_DELIVERIES", "1000"),
];

/// All of it. Fields are dropped in order: agents before the servers they use.
#[derive(Debug)]
pub(super) struct Site {
    replicas: tokio::sync::Mutex<Vec<Replica>>,
    addresses: Vec<SocketAddr>,
    deaths: Mutex<HashMap<u32, f64>>,
    pub(super) receiver: Receiver,
    postgres: Option<Arc<Mutex<Server>>>,
    redis: Option<Arc<Mutex<Server>>>,
    log: PathBuf,
    folder: TempDir,
}

impl Site {
    pub(super) async fn start(options: &Options) -> anyhow::Result<Self> {
        Self::start_with(options, &[]).await
    }

    /// The same, with these settings beside or instead.
    pub(super) async fn start_with(
        options: &Options,
        own: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let backends = options.backends;
        let machine = Machine::this();
        let folder = tempfile::Builder::new().prefix("bindu-crash-").tempdir()?;
        let log = folder.path().join("run.log");
        File::create(&log).context("making the log of runs")?;

        let [storage, scheduler] = backends.types();
        let mut vars: Vec<(String, String)> =
            SETTINGS.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut set = |name: &str, value: String| vars.push((name.to_owned(), value));
        set("RUNLOG", log.display().to_string());
        set("STORAGE_TYPE", storage.to_owned());
        set("SCHEDULER_TYPE", scheduler.to_owned());
        let postgres = if backends.has_postgres() {
            let server = Server::postgres(&machine)?;
            set("DATABASE_URL", server.url().to_owned());
            Some(Arc::new(Mutex::new(server)))
        } else {
            None
        };
        let redis = if backends == Backends::Redis {
            let server = Server::redis(&machine, Keep::Everything)?;
            set("REDIS_URL", server.url().to_owned());
            Some(Arc::new(Mutex::new(server)))
        } else {
            None
        };
        if backends == Backends::Sqlite {
            set("DATABASE_URL", format!("sqlite:{}", folder.path().join(FILE).display()));
        }
        for (name, value) in own {
            set(name, value.clone());
        }

        let program = std::path::absolute(&options.program)?;
        let setup = Setup { program, folder: folder.path().to_owned(), vars };
        let mut replicas = Vec::new();
        for number in 0..backends.replicas() {
            let mut replica = Replica::new(number, setup.clone())?;
            // The first makes the key that the second finds.
            replica.start().await?;
            replicas.push(replica);
        }
        let addresses = replicas.iter().map(Replica::address).collect();
        let (replicas, deaths) = (tokio::sync::Mutex::new(replicas), Mutex::default());
        let receiver = Receiver::start().await?;
        Ok(Self { replicas, addresses, deaths, receiver, postgres, redis, log, folder })
    }

    /// Where each replica answers, whether it runs or not.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Addresses without end: as chance has it, or for a seed of their own.
    pub(super) fn any(&self, seed: u64) -> impl Iterator<Item = SocketAddr> + Send + use<> {
        let (addresses, mut chance) = (self.addresses.clone(), fastrand::Rng::with_seed(seed));
        std::iter::repeat_with(move || chance.choice(&addresses).copied()).map_while(|one| one)
    }

    pub(super) async fn replicas(&self) -> tokio::sync::MutexGuard<'_, Vec<Replica>> {
        self.replicas.lock().await
    }

    /// Notes a death.
    pub(super) fn bury(&self, death: Option<Death>) {
        self.deaths().extend(death.map(|death| (death.pid, death.at)));
    }

    /// When processes died, by their number.
    pub(super) fn deaths(&self) -> MutexGuard<'_, HashMap<u32, f64>> {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn postgres(&self) -> Option<Arc<Mutex<Server>>> {
        self.postgres.clone()
    }

    pub(super) fn redis(&self) -> Option<Arc<Mutex<Server>>> {
        self.redis.clone()
    }

    /// The log of runs.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// The address of the database, if there is a server.
    pub(super) fn database(&self) -> Option<String> {
        let server = self.postgres.as_ref()?;
        Some(server.lock().unwrap_or_else(PoisonError::into_inner).url().to_owned())
    }

    /// The file of tasks, if they are in one.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Keeps the folder with the logs for whoever wants to know more.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}
