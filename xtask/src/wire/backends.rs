//! Where the fixture agents keep their tasks, and how they hand out work.

use std::fmt;

use anyhow::Context as _;
use bindu_testkit::services::{Given, HYDRA_ADMIN_URL, HYDRA_PUBLIC_URL, Keep, Machine, Server};
use clap::ValueEnum;
use tempfile::TempDir;

/// Where tasks are kept: the values of `STORAGE_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Storage {
    /// In the process.
    Memory,
    /// In a file for each agent.
    Sqlite,
    /// In one database.
    Postgres,
}

/// How work is handed out: the values of `SCHEDULER_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scheduler {
    /// In the process.
    Memory,
    /// Through one Redis.
    Redis,
    /// Through the database of the tasks.
    Postgres,
}

/// A storage and a scheduler that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Combination {
    storage: Storage,
    scheduler: Scheduler,
}

/// A combination with the servers and files it needs. Dropped, they are gone.
#[derive(Debug)]
pub(super) struct Backends {
    variables: Vec<(&'static str, String)>,
    _files: Option<TempDir>,
    _servers: Vec<Server>,
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} and {}", name(&self.storage), name(&self.scheduler))
    }
}

fn name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl Combination {
    /// Starts what the combination needs, empty. What `given` names is used as it is.
    fn open_beside(self, given: &Given) -> anyhow::Result<Backends> {
        let mut servers = Vec::new();
        let mut variables =
            vec![("STORAGE_TYPE", name(&self.storage)), ("SCHEDULER_TYPE", name(&self.scheduler))];
        let mut files = None;
        match self.storage {
            Storage::Memory => {}
            Storage::Sqlite => {
                let folder = tempfile::tempdir().context("making a folder")?;
                let path = folder.path().join("{agent}.db");
                variables.push(("DATABASE_URL", format!("sqlite:{}", path.display())));
                files = Some(folder);
            }
            Storage::Postgres => {
                let url = match given.database_url.clone() {
                    Some(url) => url,
                    None => keep(&mut servers, Server::postgres(&Machine::this())?),
                };
                variables.push(("DATABASE_URL", url));
            }
        }
        if self.scheduler == Scheduler::Redis {
            let url = match given.redis_url.clone() {
                Some(url) => url,
                None => keep(&mut servers, Server::redis(&Machine::this(), Keep::Nothing)?),
            };
            variables.push(("REDIS_URL", url));
        }
        Ok(Backends { variables, _files: files, _servers: servers })
    }

    /// Starts what the combination needs, empty and its own.
    pub(super) fn open(self) -> anyhow::Result<Backends> {
        self.open_beside(&Given::default())
    }
}

/// Keeps a server, and says where it is.
fn keep(servers: &mut Vec<Server>, server: Server) -> String {
    let url = server.url().to_owned();
    servers.push(server);
    url
}

impl Backends {
    /// The combinations that there are, with this storage and this scheduler if they are given.
    pub(super) fn all(storage: Option<Storage>, scheduler: Option<Scheduler>) -> Vec<Combination> {
        let all = Storage::value_variants().iter().flat_map(|&storage| {
            let schedulers = Scheduler::value_variants().iter();
            schedulers.map(move |&scheduler| Combination { storage, scheduler })
        });
        all.filter(|one| one.scheduler != Scheduler::Postgres || one.storage == Storage::Postgres)
            .filter(|one| storage.is_none_or(|only| only == one.storage))
            .filter(|one| scheduler.is_none_or(|only| only == one.scheduler))
            .collect()
    }

    /// The combination to serve with: memory, unless something else is asked for. Servers that the
    /// environment names are used, a Hydra too.
    pub(super) fn chosen(
        storage: Option<Storage>,
        scheduler: Option<Scheduler>,
    ) -> anyhow::Result<Self> {
        let storage = storage.unwrap_or(Storage::Memory);
        let scheduler = scheduler.unwrap_or(Scheduler::Memory);
        let given = Given::from_env();
        let mut backends = Combination { storage, scheduler }.open_beside(&given)?;
        if let Some((admin_url, public_url)) = given.hydra()? {
            backends.variables.push((HYDRA_ADMIN_URL, admin_url));
            backends.variables.push((HYDRA_PUBLIC_URL, public_url));
        }
        Ok(backends)
    }

    /// The settings that choose it.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Backends, Scheduler, Storage};

    #[test]
    fn each_storage_goes_with_each_scheduler_that_can_reach_it() {
        let all = Backends::all(None, None);
        let names: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "memory and memory",
                "memory and redis",
                "sqlite and memory",
                "sqlite and redis",
                "postgres and memory",
                "postgres and redis",
                "postgres and postgres",
            ]
        );
        assert_eq!(Backends::all(Some(Storage::Sqlite), None).len(), 2);
        assert!(Backends::all(Some(Storage::Memory), Some(Scheduler::Postgres)).is_empty());
    }
}
