//! The store and the queue that were chosen, opened.

#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
use std::error::Error;
use std::sync::Arc;

use bindu_did::key_dir::Identity;
use bindu_scheduler::{MemoryScheduler, Scheduler};
use bindu_storage::{Ledger, MemoryLedger, MemoryStore, ReplayGuard, Storage};

use crate::StartError;
use crate::config::Resolved;
use crate::settings::{SchedulerBackend, Settings, StorageBackend};

/// Where tasks are kept, and what hands them out. A clone is the same.
#[derive(Clone)]
pub(crate) struct Backends {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    /// What remembers signatures: for all processes of the agent, if the store can.
    #[cfg_attr(not(feature = "hydra"), expect(dead_code, reason = "nobody signs"))]
    replay: Arc<dyn ReplayGuard>,
    /// What keeps account of payments: where the tasks are. `None` with a store that the program
    /// brings without one.
    #[cfg_attr(not(feature = "x402"), expect(dead_code, reason = "nobody pays"))]
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
}

impl std::fmt::Debug for Backends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backends").finish_non_exhaustive()
    }
}

impl Backends {
    /// Opens both. What the program brings itself comes first.
    pub(crate) async fn open(
        settings: &Settings,
        resolved: &Resolved,
        identity: &Identity,
        storage: Option<Arc<dyn Storage>>,
        scheduler: Option<Arc<dyn Scheduler>>,
        ledger: Option<Arc<dyn Ledger>>,
    ) -> Result<Self, StartError> {
        let Stored { storage, queue, replay, ledger: own } = match storage {
            Some(storage) => Stored::alone(storage),
            None => open_storage(settings, resolved, identity).await?,
        };
        let scheduler = match scheduler.or(queue) {
            Some(scheduler) => scheduler,
            None => open_scheduler(settings, resolved, identity, &storage).await?,
        };
        tracing::info!(storage = storage.name(), scheduler = scheduler.name(), "tasks are kept");
        // Else by this process: with the store, since whoever goes on with it goes on with these.
        let replay =
            replay.unwrap_or_else(|| Arc::new(bindu_storage::MemoryReplayGuard::default()));
        Ok(Self { storage, scheduler, replay, ledger: ledger.or(own) })
    }

    /// What remembers the signatures that were accepted: Redis or the database if there is one,
    /// so that replicas share it, else this process.
    #[cfg(feature = "hydra")]
    #[cfg_attr(
        not(feature = "redis"),
        expect(clippy::unused_async, unused_variables, reason = "nothing has to be opened")
    )]
    pub(crate) async fn replay_guard(
        &self,
        settings: &Settings,
        resolved: &Resolved,
        identity: &Identity,
    ) -> Result<Arc<dyn ReplayGuard>, StartError> {
        #[cfg(feature = "redis")]
        if resolved.scheduler == SchedulerBackend::Redis {
            return redis_replay_guard(settings, resolved, identity).await;
        }
        Ok(Arc::clone(&self.replay))
    }
}

impl Backends {
    /// What remembers nonces of payments beside the ledger: Redis, if it is all that the processes
    /// of the agent share.
    #[cfg(feature = "x402")]
    #[cfg_attr(
        not(feature = "redis"),
        expect(clippy::unused_async, unused_variables, reason = "no Redis")
    )]
    pub(crate) async fn nonces(
        &self,
        settings: &Settings,
        resolved: &Resolved,
        identity: &Identity,
    ) -> Result<Option<Arc<dyn ReplayGuard>>, StartError> {
        #[cfg(feature = "redis")]
        if resolved.scheduler == SchedulerBackend::Redis
            && self.storage.durability() == bindu_storage::Durability::Volatile
        {
            return redis_replay_guard(settings, resolved, identity).await.map(Some);
        }
        Ok(None)
    }
}

/// A store, and what is part of it.
struct Stored {
    storage: Arc<dyn Storage>,
    /// The queue, if it is the one to use.
    queue: Option<Arc<dyn Scheduler>>,
    /// What remembers signatures.
    replay: Option<Arc<dyn ReplayGuard>>,
    /// What keeps account of payments.
    ledger: Option<Arc<dyn Ledger>>,
}

impl Stored {
    fn alone(storage: Arc<dyn Storage>) -> Self {
        Self { storage, queue: None, replay: None, ledger: None }
    }
}

/// Opens the store.
#[cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    expect(clippy::unused_async, unused_variables, reason = "memory needs neither time nor files")
)]
async fn open_storage(
    settings: &Settings,
    resolved: &Resolved,
    identity: &Identity,
) -> Result<Stored, StartError> {
    match resolved.storage {
        StorageBackend::Memory => {
            let ledger = Some(Arc::new(MemoryLedger::default()) as Arc<dyn Ledger>);
            Ok(Stored { ledger, ..Stored::alone(memory_store(settings)) })
        }
        #[cfg(feature = "sqlite")]
        StorageBackend::Sqlite => sqlite(settings, resolved, identity).await,
        #[cfg(feature = "postgres")]
        StorageBackend::Postgres => postgres(settings, resolved, identity).await,
        #[cfg(not(all(feature = "postgres", feature = "sqlite")))]
        _ => Err(absent("the database")),
    }
}

#[cfg_attr(
    not(feature = "redis"),
    expect(clippy::unused_async, unused_variables, reason = "memory needs no time")
)]
async fn open_scheduler(
    settings: &Settings,
    resolved: &Resolved,
    identity: &Identity,
    storage: &Arc<dyn Storage>,
) -> Result<Arc<dyn Scheduler>, StartError> {
    match resolved.scheduler {
        SchedulerBackend::Memory => Ok(memory_scheduler(settings)),
        #[cfg(feature = "redis")]
        SchedulerBackend::Redis => redis(settings, resolved, identity, storage).await,
        _ => Err(absent("the queue")),
    }
}

fn memory_store(settings: &Settings) -> Arc<dyn Storage> {
    Arc::new(MemoryStore::new(bindu_storage::MemoryConfig {
        max_tasks: settings.storage.memory_max_tasks,
        max_bytes: settings.storage.memory_max_bytes,
        ..bindu_storage::MemoryConfig::default()
    }))
}

fn memory_scheduler(settings: &Settings) -> Arc<dyn Scheduler> {
    let capacity = settings.scheduler.capacity;
    Arc::new(MemoryScheduler::new(bindu_scheduler::MemoryConfig { capacity }))
}

#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
fn failed(what: &'static str, source: impl Error + Send + Sync + 'static) -> StartError {
    StartError::Backend { what, source: Box::new(source) }
}

/// What the settings were checked for before.
fn absent(what: &'static str) -> StartError {
    StartError::Backend { what, source: "it is not in this build".into() }
}

#[cfg(feature = "sqlite")]
async fn sqlite(
    settings: &Settings,
    resolved: &Resolved,
    identity: &Identity,
) -> Result<Stored, StartError> {
    use bindu_sqlite::{SqliteConfig, SqliteStore, Synchronous, path_of_url};

    use crate::settings::SqliteSynchronous;

    const WHAT: &str = "the file of the tasks";
    let url = resolved.database_url.as_ref().ok_or_else(|| absent(WHAT))?;
    let path = path_of_url(url.reveal()).map_err(|error| failed(WHAT, error))?;
    let mut config = SqliteConfig::new(path, identity.did().as_str());
    config.synchronous = match settings.storage.sqlite_synchronous {
        SqliteSynchronous::Full => Synchronous::Full,
        SqliteSynchronous::Normal => Synchronous::Normal,
    };
    let store = SqliteStore::open(config).await.map_err(|error| failed(WHAT, error))?;
    let store = Arc::new(store);
    let replay = Some(Arc::clone(&store) as Arc<dyn ReplayGuard>);
    let ledger = Some(Arc::clone(&store) as Arc<dyn Ledger>);
    Ok(Stored { storage: store, queue: None, replay, ledger })
}

#[cfg(feature = "postgres")]
async fn postgres(
    settings: &Settings,
    resolved: &Resolved,
    identity: &Identity,
) -> Result<Stored, StartError> {
    use bindu_postgres::{PostgresError, PostgresStore};

    const WHAT: &str = "the database";
    let config = postgres_config(settings, resolved, identity).ok_or_else(|| absent(WHAT))?;
    let migrate = settings.storage.migrate;
    let open = || {
        let config = config.clone();
        async move {
            if !migrate {
                let report = bindu_postgres::check(&config).await?;
                if !report.is_current() {
                    let mut problems = report.problems;
                    problems.push("bring them up to date with `bindu db migrate`".to_owned());
                    return Err(PostgresError::Layout { schema: report.schema, problems });
                }
            }
            PostgresStore::open(config).await
        }
    };
    let opened = patiently(WHAT, settings.retry.storage(), PostgresError::is_temporary, open).await;
    let store = opened.map_err(|error| failed(WHAT, error))?;
    let mut queue: Option<Arc<dyn Scheduler>> = None;
    if resolved.scheduler == SchedulerBackend::Postgres {
        queue = Some(Arc::new(store.scheduler().map_err(|error| failed(WHAT, error))?));
    }
    let replay = Some(Arc::new(store.clone()) as Arc<dyn ReplayGuard>);
    let ledger = Some(Arc::new(store.clone()) as Arc<dyn Ledger>);
    Ok(Stored { storage: Arc::new(store), queue, replay, ledger })
}

/// How the agent's database is opened; `None` if there is no address.
#[cfg(feature = "postgres")]
fn postgres_config(
    settings: &Settings,
    resolved: &Resolved,
    identity: &Identity,
) -> Option<bindu_postgres::PostgresConfig> {
    use std::time::Duration;

    let url = resolved.database_url.as_ref()?;
    let mut config = bindu_postgres::PostgresConfig::new(url.reveal());
    config.did = Some(identity.did().as_str().to_owned());
    config.pool_max = settings.storage.pool_max;
    config.pool_timeout = settings.storage.pool_timeout;
    config.statement_timeout = Duration::from_millis(settings.storage.statement_timeout_ms);
    config.visibility = settings.worker.lease;
    config.queue_capacity = settings.scheduler.capacity as u64;
    Some(config)
}

/// Signatures and nonces remembered in the Redis of the queue.
#[cfg(all(any(feature = "hydra", feature = "x402"), feature = "redis"))]
async fn redis_replay_guard(
    settings: &Settings,
    resolved: &Resolved,
    identity: &Identity,
) -> Result<Arc<dyn ReplayGuard>, StartError> {
    use bindu_redis::{RedisConfig, RedisError, RedisReplayGuard};

    const WHAT: &str = "the memory of signatures and nonces";
    let url = resolved.redis_url.as_ref().ok_or_else(|| absent(WHAT))?;
    let agent = identity.did().suffix().unwrap_or_else(|| identity.agent_id());
    let config = RedisConfig::new(url.reveal(), agent.to_string());
    let is_temporary = |error: &RedisError| matches!(error, RedisError::Connect { .. });
    let connect = || RedisReplayGuard::connect(&config);
    let connected = patiently(WHAT, settings.retry.scheduler(), is_temporary, connect).await;
    Ok(Arc::new(connected.map_err(|error| failed(WHAT, error))?))
}

#[cfg(feature = "redis")]
async fn redis(
    settings: &Settings,
    resolved: &Resolved,
    identity: &Identity,
    storage: &Arc<dyn Storage>,
) -> Result<Arc<dyn Scheduler>, StartError> {
    use bindu_redis::{Known, RedisConfig, RedisError, RedisScheduler};

    const WHAT: &str = "the queue";
    let url = resolved.redis_url.as_ref().ok_or_else(|| absent(WHAT))?;
    // What the DID ends with is the agent's alone; the agent id follows from author and name, which
    // another agent may share.
    let agent = identity.did().suffix().unwrap_or_else(|| identity.agent_id());
    let mut config = RedisConfig::new(url.reveal(), agent.to_string());
    config.visibility = settings.worker.lease;
    config.prefetch = settings.worker.slots();
    config.capacity = settings.scheduler.capacity;
    config.compat = settings.scheduler.redis_compat.then(|| settings.scheduler.queue_name.clone());
    let is_temporary = |error: &RedisError| matches!(error, RedisError::Connect { .. });
    // On a list that agents share, each leaves the others' entries.
    let storage = Arc::clone(storage);
    let known = Known::by(move |task| {
        let storage = Arc::clone(&storage);
        async move { !matches!(storage.load(&task).await, Ok(None)) }
    });
    let connect = || RedisScheduler::connect_knowing(config.clone(), known.clone());
    let connected = patiently(WHAT, settings.retry.scheduler(), is_temporary, connect).await;
    Ok(Arc::new(connected.map_err(|error| failed(WHAT, error))?))
}

/// Tries again what may be there in a moment, as at the start of a whole machine.
#[cfg(any(feature = "postgres", feature = "redis"))]
async fn patiently<T, E: Error + 'static, F: Future<Output = Result<T, E>>>(
    what: &'static str,
    retry: crate::settings::Retry,
    is_temporary: impl Fn(&E) -> bool,
    attempt: impl Fn() -> F,
) -> Result<T, E> {
    let mut pause = retry.min_wait;
    for left in (0..retry.max_attempts).rev() {
        match attempt().await {
            Err(error) if left > 0 && is_temporary(&error) => {
                tracing::warn!(error = &error as &dyn Error, "{what} cannot be opened yet");
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                pause = (pause * 2).min(retry.max_wait);
            }
            result => return result,
        }
    }
    attempt().await
}
