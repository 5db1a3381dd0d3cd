//! The store.

mod beside;
mod end;
mod ledger;
mod list;
mod state;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bindu_protocol::{
    ContextId, ContextSummary, Owner, PushConfigId, TaskId, TaskState, Timestamp,
};
use bindu_storage::{
    BoxFuture, BoxStream, Change, Changed, Committed, ContextQuery, Durability, Event, EventBody,
    Feedback, OutboxEntry, OutboxId, OutboxQuery, Page, Record, ReplayGuard, RunId, StateChange,
    StateScope, StateValue, Storage, StorageError, StrandedQuery, TaskQuery, Webhook,
};
use deadpool_postgres::{Object, Pool};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::codec;
use crate::commit::signed;
use crate::connect::{self, Failure, Tries};
use crate::ear::Ear;
use crate::ids::Key;
use crate::row::{self, Found};
use crate::sql::Sql;
use crate::types::{At, Jsonb};
use crate::{PostgresConfig, PostgresError, PostgresScheduler, layout, outbox, schema};

/// After so many new keys those that have ended are forgotten.
const TIDY_EVERY: u32 = 512;

/// How long [`Storage::ping`] waits for an answer.
const PING: Duration = Duration::from_millis(1_500);

/// Tasks in a PostgreSQL database, shared by all processes of one agent.
///
/// The tables are those of the Python reference, which goes on reading them; see the crate's
/// documentation. Clones share connections.
///
/// ```no_run
/// use bindu_postgres::{PostgresConfig, PostgresStore};
/// use bindu_storage::Storage;
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::open(PostgresConfig {
///     did: Some("did:bindu:alice:agent1:abc123".to_owned()),
///     ..PostgresConfig::new("postgresql://localhost/agents")
/// })
/// .await?;
/// store.ping().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: PostgresConfig,
    pool: Pool,
    pub(crate) sql: Sql,
    pub(crate) ear: Ear,
    /// Wakes this process's queue.
    pub(crate) queue: Arc<Notify>,
    new_keys: AtomicU32,
}

impl PostgresStore {
    /// Connects, and makes the tables or brings them up to date. Tries once: whether to wait for a
    /// server that is just starting is for whoever opens the store.
    ///
    /// # Errors
    ///
    /// As [`migrate`](crate::migrate).
    pub async fn open(config: PostgresConfig) -> Result<Self, PostgresError> {
        layout::migrate(&config).await?;
        let schema = config.schema_name();
        let driver = config.driver()?;
        let pool = connect::pool(&config, driver.clone(), config.pool_max)?;
        let sql = Sql::new(&schema);
        let queue = Arc::new(Notify::new());
        let tidy = ["bindu_once", "bindu_replay"].map(|table| {
            sql.of(&format!(
                "DELETE FROM {{s}}.{table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {{s}}.{table} \
                 WHERE until <= $1 LIMIT 5000))"
            ))
        });
        let ear = Ear::start(
            driver,
            schema::channel(&schema),
            config.announce_every,
            tidy.into(),
            Arc::clone(&queue),
        );
        ear.listening(config.connect_timeout.saturating_mul(2)).await;
        let inner = Inner { config, pool, sql, ear, queue, new_keys: AtomicU32::new(0) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The queue whose jobs are written together with the tasks. To be called where a tokio runtime
    /// runs; one is enough for a process.
    ///
    /// # Errors
    ///
    /// [`PostgresError::Url`].
    pub fn scheduler(&self) -> Result<PostgresScheduler, PostgresError> {
        PostgresScheduler::start(Arc::clone(&self.inner))
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.inner.pool.status();
        f.debug_struct("PostgresStore")
            .field("config", &self.inner.config)
            .field("connections", &status.size)
            .finish_non_exhaustive()
    }
}

/// Tells the others of a change when it is dropped, unless it is withdrawn.
pub(crate) struct Announcement<'a> {
    inner: &'a Inner,
    task: Option<TaskId>,
    wakes: bool,
}

impl Announcement<'_> {
    pub(crate) fn withdraw(&mut self) {
        self.task = None;
    }
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            if self.wakes {
                self.inner.queue.notify_one();
            }
            self.inner.ear.changed(&task, self.wakes);
        }
    }
}

impl Inner {
    pub(crate) fn announce(&self, task: &TaskId, wakes: bool) -> Announcement<'_> {
        Announcement { inner: self, task: Some(task.clone()), wakes }
    }

    /// Notes a new key; from time to time those that have ended are forgotten.
    pub(crate) fn count_key(&self, now: Timestamp) {
        if self.new_keys.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.ear.tidy(now);
        }
    }

    pub(crate) async fn client(&self) -> Result<Object, Failure> {
        connect::client(&self.pool).await
    }

    /// Runs one statement that may be run twice.
    pub(crate) async fn read(
        &self,
        doing: &'static str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StorageError> {
        let mut tries = Tries::default();
        loop {
            match self.read_once(sql, params).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => tries.again(failure, doing).await?,
            }
        }
    }

    pub(crate) async fn read_once(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, params).await?)
    }

    /// A task's row as it is; `any`: also that of another id with the same key.
    pub(crate) async fn look(&self, key: &Key, any: bool) -> Result<Option<Found>, StorageError> {
        const DOING: &str = "loading a task";
        let rows = if any {
            let sql = self.sql.of("SELECT {record} FROM {s}.tasks t WHERE t.id = $1");
            self.read(DOING, &sql, &[&key.uuid]).await?
        } else {
            self.read(DOING, &self.sql.load, &[&key.uuid, &key.wire]).await?
        };
        let found = rows.first().map(row::record).transpose();
        found.map_err(|failure| failure.storage(DOING))
    }

    /// A task's row, with what another program wrote entered into the log.
    pub(crate) async fn find(&self, key: &Key) -> Result<Option<Found>, StorageError> {
        // Each round is lost only to another program's write.
        for _ in 0..8 {
            match self.look(key, false).await? {
                Some(found) if found.foreign => self.absorb(&found).await?,
                other => return Ok(other),
            }
        }
        self.look(key, false).await
    }

    /// Enters a row that another program wrote into the log, as a snapshot.
    async fn absorb(&self, found: &Found) -> Result<(), StorageError> {
        const DOING: &str = "logging what another program wrote";
        let snapshot = EventBody::Snapshot(Arc::clone(&found.record.task));
        let snapshot = codec::write_event(&snapshot)
            .map_err(|error| StorageError::Backend { doing: DOING, source: error.into() })?;
        self.read(
            DOING,
            &self.sql.absorb,
            &[&found.key, &found.updated, &found.stored_version, &Jsonb(snapshot), &Uuid::new_v4()],
        )
        .await?;
        self.ear.changed(&found.record.task.id, false);
        Ok(())
    }

    async fn events(
        &self,
        id: &TaskId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        const DOING: &str = "reading a log";
        let key = Key::of_task(id);
        let (after, limit) = (signed(after), signed(limit as u64));
        for _ in 0..8 {
            let rows =
                self.read(DOING, &self.sql.events, &[&key.uuid, &key.wire, &after, &limit]).await?;
            if rows.first().is_some_and(|row| row.get(0)) {
                self.find(&key).await?;
                continue;
            }
            let logged = rows.iter().filter_map(|row| event(row).transpose());
            return logged
                .collect::<Result<_, _>>()
                .map_err(|failure: Failure| failure.storage(DOING));
        }
        Err(StorageError::Conflict(id.clone()))
    }

    async fn renew(&self, id: &TaskId, run: RunId, until: Timestamp) -> Result<(), StorageError> {
        let key = Key::of_task(id);
        let run = run.0.to_string();
        let params: &[&(dyn ToSql + Sync)] = &[&key.uuid, &run, &At(until)];
        let rows = self.read("renewing a lease", &self.sql.renew, params).await?;
        if rows.is_empty() { Err(StorageError::LeaseLost(id.clone())) } else { Ok(()) }
    }

    async fn ping(&self) -> Result<(), StorageError> {
        const DOING: &str = "asking the server";
        // A server that only reads, as after a failover, is of no use.
        let sql =
            self.sql.of("SELECT pg_catalog.current_setting('transaction_read_only') = 'on', \
             (SELECT 1 FROM {s}.tasks LIMIT 1)");
        match timeout(PING, self.read_once(&sql, &[])).await {
            Ok(Ok(rows)) if rows.first().is_some_and(|row| row.get(0)) => {
                let source = "the database takes no writes".into();
                Err(StorageError::Backend { doing: DOING, source })
            }
            Ok(Ok(_)) => Ok(()),
            Ok(Err(failure)) => Err(failure.storage(DOING)),
            Err(_) => Err(Failure::Late(PING).storage(DOING)),
        }
    }
}

/// A row of a log; `None` for the row of a task whose log has nothing more.
fn event(row: &Row) -> Result<Option<Event>, Failure> {
    let Some(seq) = row.try_get::<_, Option<i64>>(1)? else { return Ok(None) };
    let At(at) = row.try_get(2)?;
    let Jsonb(text) = row.try_get(3)?;
    Ok(Some(Event { seq: seq.unsigned_abs(), at, body: codec::read_event(text)? }))
}

impl Storage for PostgresStore {
    fn load<'a>(
        &'a self,
        id: &'a TaskId,
    ) -> BoxFuture<'a, Result<Option<Arc<Record>>, StorageError>> {
        Box::pin(async move {
            let found = self.inner.find(&Key::of_task(id)).await?;
            Ok(found.map(|found| Arc::new(found.record)))
        })
    }

    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Committed, StorageError>> {
        Box::pin(self.inner.commit(change))
    }

    fn events<'a>(
        &'a self,
        id: &'a TaskId,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StorageError>> {
        Box::pin(self.inner.events(id, after, limit))
    }

    fn renew<'a>(
        &'a self,
        id: &'a TaskId,
        run: RunId,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(self.inner.renew(id, run, until))
    }

    fn stranded(
        &self,
        query: StrandedQuery,
    ) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>> {
        Box::pin(self.inner.stranded(query))
    }

    fn tasks(&self, query: TaskQuery) -> BoxFuture<'_, Result<Page<Arc<Record>>, StorageError>> {
        Box::pin(self.inner.tasks(query))
    }

    fn contexts(
        &self,
        query: ContextQuery,
    ) -> BoxFuture<'_, Result<Page<ContextSummary>, StorageError>> {
        Box::pin(self.inner.contexts(query))
    }

    fn clear_context<'a>(
        &'a self,
        id: &'a ContextId,
        owner: &'a Owner,
    ) -> BoxFuture<'a, Result<Vec<TaskId>, StorageError>> {
        Box::pin(self.inner.clear_context(id, owner))
    }

    fn count(&self) -> BoxFuture<'_, Result<Vec<(TaskState, u64)>, StorageError>> {
        Box::pin(self.inner.count())
    }

    fn add_feedback<'a>(
        &'a self,
        id: &'a TaskId,
        feedback: Feedback,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(self.inner.add_feedback(id, feedback))
    }

    fn feedback<'a>(
        &'a self,
        id: &'a TaskId,
    ) -> BoxFuture<'a, Result<Vec<Feedback>, StorageError>> {
        Box::pin(self.inner.feedback(id))
    }

    fn set_webhook<'a>(
        &'a self,
        id: &'a TaskId,
        webhook: Webhook,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(self.inner.set_webhook(id, webhook))
    }

    fn remove_webhook<'a>(
        &'a self,
        id: &'a TaskId,
        config: &'a PushConfigId,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        Box::pin(self.inner.remove_webhook(id, config))
    }

    fn outbox(&self, query: OutboxQuery) -> BoxFuture<'_, Result<Vec<OutboxEntry>, StorageError>> {
        Box::pin(self.inner.outbox(query))
    }

    fn outbox_take(
        &self,
        id: OutboxId,
        attempts: u32,
        until: Timestamp,
    ) -> BoxFuture<'_, Result<bool, StorageError>> {
        Box::pin(self.inner.outbox_take(id, attempts, until))
    }

    fn outbox_done(&self, id: OutboxId) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let sql = self.inner.sql.of("DELETE FROM {s}.bindu_outbox WHERE id = $1");
            self.inner.read("finishing an outbox entry", &sql, &[&outbox::number(id)]).await?;
            Ok(())
        })
    }

    fn outbox_retry(
        &self,
        id: OutboxId,
        next: Timestamp,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let sql = self.inner.sql.of("UPDATE {s}.bindu_outbox SET next_at = $2 WHERE id = $1");
            let params: &[&(dyn ToSql + Sync)] = &[&outbox::number(id), &At(next)];
            self.inner.read("putting off an outbox entry", &sql, params).await?;
            Ok(())
        })
    }

    fn changes(&self) -> BoxStream<'static, Changed> {
        self.inner.ear.changes()
    }

    fn state<'a>(
        &'a self,
        scope: &'a StateScope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StateValue>, StorageError>> {
        Box::pin(self.inner.state(scope, key))
    }

    fn set_state(&self, change: StateChange) -> BoxFuture<'_, Result<u64, StorageError>> {
        Box::pin(self.inner.set_state(change))
    }

    fn state_keys<'a>(
        &'a self,
        scope: &'a StateScope,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        Box::pin(self.inner.state_keys(scope, after, limit))
    }

    fn prune(&self, before: Timestamp, limit: usize) -> BoxFuture<'_, Result<u64, StorageError>> {
        Box::pin(self.inner.prune(before, limit))
    }

    fn durability(&self) -> Durability {
        Durability::Shared
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.inner.ping())
    }

    fn name(&self) -> &'static str {
        "PostgresStorage"
    }
}

impl ReplayGuard for PostgresStore {
    fn first<'a>(
        &'a self,
        key: &'a str,
        now: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        Box::pin(self.inner.first(key, now, until))
    }

    fn forget<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(self.inner.forget(key))
    }
}
