//! The queue: the outbox of the store, read by all processes of an agent.
//!
//! Workers do not ask the server each for themselves. One task of the process asks for as many jobs
//! as workers wait, when something has become ready, and at least once a second. A job that no
//! worker takes any more, because its pull was dropped, goes back.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bindu_protocol::{Owner, TaskId};
use bindu_scheduler::{
    BoxFuture, BoxStream, Delivered, Depth, Job, Receipt, Scheduler, SchedulerError,
};
use bindu_storage::StorageError;
use deadpool_postgres::Pool;
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::connect::{self, Failure, Tries};
use crate::ids::{Key, context_id, task_id};
use crate::outbox::Payload;
use crate::store::Inner;
use crate::types::{Jsonb, clean};
use crate::{PostgresError, row};

/// How many contexts are looked at for whose turn it is.
const WINDOW: i64 = 200;

/// At most so many jobs are asked for at once.
const BATCH: usize = 64;

/// How many owners are remembered for their turns.
const REMEMBERED: usize = 64;

/// How often the queue is looked at although nothing was heard.
const POLL: Duration = Duration::from_secs(1);

/// After so long a job that nobody took goes back.
const STALE: Duration = Duration::from_millis(250);

/// How long [`Scheduler::ping`] waits for an answer.
const PING: Duration = Duration::from_millis(1_500);

/// The queue of an agent whose tasks are in the same database.
///
/// Made by [`PostgresStore::scheduler`](crate::PostgresStore::scheduler). Its jobs are outbox entries
/// of the store, written in the same transaction as the task, so none is lost between the two.
/// What workers do with them is written without waiting for the disk: a crash of the server
/// brings a job back at most, as the queue may at any time.
///
/// Jobs of one context come in order and one at a time, over all processes; owners take turns among
/// the contexts that have waited longest. A job whose worker is silent for
/// [`visibility`](crate::PostgresConfig::visibility) is given to another.
pub struct PostgresScheduler {
    queue: Arc<Queue>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

struct Queue {
    inner: Arc<Inner>,
    /// Connections of its own: tasks and jobs do not wait for each other's.
    pool: Pool,
    sql: Statements,
    state: Mutex<State>,
    /// Wakes one worker for one job.
    ready: Notify,
    waiting: AtomicU64,
    up: AtomicBool,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// How many pulls wait.
    wanted: usize,
    /// What they are given.
    fetched: VecDeque<(Instant, Result<Delivered, SchedulerError>)>,
    /// Owners who had a turn, the latest last.
    served: VecDeque<String>,
}

struct Statements {
    push: String,
    fetch: String,
    ack: String,
    release: String,
    put_back: String,
    keep: String,
    bury: String,
    depth: String,
    waiting: String,
}

const PUSH: &str = "\
INSERT INTO {s}.bindu_outbox (task_id, kind, payload, next_at, version, context_id, owner_did) \
VALUES ($1, 'run', $2, now(), $3, $4, $5) \
ON CONFLICT (task_id, version) WHERE kind = 'run' AND done_at IS NULL DO NOTHING";

/// The first of each context that nobody has, turn by turn between owners. Only what is to be run has a
/// context here, and its index is the only one that serves these questions, so that the planner, which
/// may remember an empty table, has no other to choose. Asked one by one with
/// LIMIT 1 or counted, since a join over all that waits is what the planner must not think of.
const FETCH: &str = "\
WITH free AS (SELECT o.id, coalesce(o.owner_did, '') AS owner FROM {s}.bindu_outbox o \
WHERE o.kind = 'run' AND o.done_at IS NULL AND (o.taken_until IS NULL OR o.taken_until < now()) \
AND o.id = (SELECT p.id FROM {s}.bindu_outbox p WHERE p.context_id = o.context_id \
ORDER BY p.id LIMIT 1) ORDER BY o.id LIMIT $1), \
turn AS (SELECT f.id, f.owner, row_number() OVER (PARTITION BY f.owner ORDER BY f.id) AS round \
FROM free f), \
picked AS (SELECT n.id, row_number() OVER (ORDER BY n.round, \
array_position($2::text[], n.owner) NULLS FIRST, n.id) AS place FROM turn n ORDER BY 2 LIMIT $3), \
locked AS (SELECT o.id, p.place FROM picked p JOIN {s}.bindu_outbox o ON o.id = p.id \
WHERE o.done_at IS NULL AND (o.taken_until IS NULL OR o.taken_until < now()) \
AND (SELECT count(q.id) FROM {s}.bindu_outbox q WHERE q.context_id = o.context_id \
AND q.taken_until >= now()) = 0 FOR UPDATE OF o SKIP LOCKED) \
UPDATE {s}.bindu_outbox o SET taken_until = now() + make_interval(secs => $4), \
attempts = o.attempts + 1 FROM locked l WHERE o.id = l.id \
RETURNING o.id, o.task_id, o.payload, o.attempts, o.context_id, o.owner_did, o.version, l.place";

/// A delivery is known by its entry and its number; and it ends once.
const THIS: &str =
    "o.id = $1 AND o.attempts = $2 AND o.taken_until IS NOT NULL AND o.done_at IS NULL";

/// Says whether the context has more jobs.
const MORE: &str = "\
RETURNING (SELECT count(p.id) FROM (SELECT n.id FROM {s}.bindu_outbox n \
WHERE n.context_id = o.context_id LIMIT 2) p WHERE p.id <> o.id) > 0";

impl Statements {
    fn new(inner: &Inner) -> Self {
        let all = |text: &str| inner.sql.of(&text.replace("{this}", THIS).replace("{more}", MORE));
        Self {
            push: all(PUSH),
            fetch: all(FETCH),
            ack: all("DELETE FROM {s}.bindu_outbox o WHERE {this} {more}"),
            release: all("UPDATE {s}.bindu_outbox o SET taken_until = NULL WHERE {this}"),
            put_back: all(
                "UPDATE {s}.bindu_outbox o SET taken_until = NULL, attempts = o.attempts - 1 \
                 WHERE {this}",
            ),
            keep: all(
                "UPDATE {s}.bindu_outbox o SET taken_until = now() + make_interval(secs => $3) \
                 WHERE {this}",
            ),
            bury: all("UPDATE {s}.bindu_outbox o SET done_at = now(), context_id = NULL, \
                 payload = o.payload || jsonb_build_object('dead', $3::text) WHERE {this} {more}"),
            depth: all("SELECT count(*) FILTER (WHERE o.taken_until >= now()), \
                 count(*) FILTER (WHERE o.taken_until IS NULL OR o.taken_until < now()), \
                 extract(epoch FROM now() - min(o.created_at) \
                 FILTER (WHERE o.taken_until IS NULL OR o.taken_until < now()))::float8 \
                 FROM {s}.bindu_outbox o WHERE o.kind = 'run' AND o.done_at IS NULL"),
            waiting: all(
                "SELECT count(*) FROM (SELECT 1 FROM {s}.bindu_outbox o WHERE o.kind = 'run' \
                 AND o.done_at IS NULL AND (o.taken_until IS NULL OR o.taken_until < now()) \
                 LIMIT $1) AS waiting",
            ),
        }
    }
}

impl PostgresScheduler {
    pub(crate) fn start(inner: Arc<Inner>) -> Result<Self, PostgresError> {
        let mut driver = inner.config.driver()?;
        let options = driver.get_options().unwrap_or_default().to_owned();
        driver.options(format!("{options} -c synchronous_commit=off"));
        let pool = connect::pool(&inner.config, driver, inner.config.queue_connections)?;
        let queue = Arc::new(Queue {
            sql: Statements::new(&inner),
            inner,
            pool,
            state: Mutex::default(),
            ready: Notify::new(),
            waiting: AtomicU64::new(0),
            up: AtomicBool::new(true),
        });
        let driver = tokio::spawn(drive(Arc::clone(&queue)));
        Ok(Self { queue, driver: Mutex::new(Some(driver)) })
    }

    fn driver(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PostgresScheduler {
    fn drop(&mut self) {
        if let Some(driver) = self.driver().take() {
            driver.abort();
        }
    }
}

impl fmt::Debug for PostgresScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresScheduler")
            .field("config", &self.queue.inner.config)
            .field("waiting", &self.queue.waiting.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// One pull that waits.
struct Waiting<'a>(&'a Queue);

impl<'a> Waiting<'a> {
    fn new(queue: &'a Queue) -> Self {
        queue.state().wanted += 1;
        queue.inner.queue.notify_one();
        Self(queue)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().wanted -= 1;
    }
}

fn backend(doing: &'static str, failure: Failure) -> SchedulerError {
    SchedulerError::Backend { doing, source: Box::new(failure) }
}

impl Queue {
    /// No step under the lock can panic half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Option<Delivered>, SchedulerError> {
        let mut state = self.state();
        if state.closed {
            return Err(SchedulerError::Closed);
        }
        state.fetched.pop_front().map(|(_, result)| result).transpose()
    }

    async fn once(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Failure> {
        let client = connect::client(&self.pool).await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, params).await?)
    }

    /// Runs a statement that may be run twice.
    async fn run(
        &self,
        doing: &'static str,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SchedulerError> {
        let mut tries = Tries::default();
        loop {
            match self.once(sql, params).await {
                Ok(rows) => return Ok(rows),
                Err(failure) => tries.again(failure, doing).await.map_err(|error| match error {
                    StorageError::Backend { doing, source } => {
                        SchedulerError::Backend { doing, source }
                    }
                    other => SchedulerError::Backend { doing, source: other.into() },
                })?,
            }
        }
    }

    fn visibility(&self) -> f64 {
        self.inner.config.visibility.as_secs_f64()
    }

    async fn fetch(&self, wanted: usize) -> Result<Vec<Delivered>, Failure> {
        let served: Vec<String> = self.state().served.iter().cloned().collect();
        let number = i64::try_from(wanted.min(BATCH)).unwrap_or(1);
        let params: &[&(dyn ToSql + Sync)] = &[&WINDOW, &served, &number, &self.visibility()];
        let mut rows = self.once(&self.sql.fetch, params).await?;
        rows.sort_by_key(|row| row.get::<_, i64>(7));
        rows.iter().map(delivered).collect()
    }

    /// Gives jobs to those who wait.
    fn hand_out(&self, jobs: Vec<Delivered>) {
        let mut state = self.state();
        for job in jobs {
            let owner = job.job.owner.name().unwrap_or_default().to_owned();
            state.served.retain(|other| *other != owner);
            state.served.push_back(owner);
            if state.served.len() > REMEMBERED {
                state.served.pop_front();
            }
            state.fetched.push_back((Instant::now(), Ok(job)));
            self.ready.notify_one();
        }
    }

    /// What was fetched and is wanted no more.
    fn unwanted(&self) -> Vec<Delivered> {
        let mut state = self.state();
        let all = state.closed;
        let mut kept = VecDeque::new();
        let mut back = Vec::new();
        let mut wanted = state.wanted;
        for (since, result) in state.fetched.drain(..) {
            let left_over = wanted == 0 && since.elapsed() >= STALE;
            wanted = wanted.saturating_sub(1);
            match result {
                Ok(job) if all || left_over => back.push(job),
                Err(_) if all || left_over => {}
                result => kept.push_back((since, result)),
            }
        }
        state.fetched = kept;
        back
    }

    async fn put_back(&self, jobs: Vec<Delivered>) {
        for job in jobs {
            let Some((id, attempts)) = receipt(&job) else { continue };
            if let Err(failure) = self.once(&self.sql.put_back, &[&id, &attempts]).await {
                // It comes again by itself, only later.
                tracing::debug!(error = %failure, "a job could not be put back");
            }
            self.inner.ear.wake();
        }
    }

    /// Looks at how much waits; also whether the server is there at all.
    async fn look(&self) {
        let limit = i64::try_from(self.inner.config.queue_capacity).unwrap_or(i64::MAX);
        let found = timeout(PING, self.once(&self.sql.waiting, &[&limit])).await;
        match found {
            Ok(Ok(rows)) => {
                let waiting = rows.first().map_or(0, |row| row.get::<_, i64>(0).unsigned_abs());
                self.waiting.store(waiting, Ordering::Relaxed);
                self.up.store(true, Ordering::Relaxed);
            }
            _ => self.up.store(false, Ordering::Relaxed),
        }
    }

    async fn end(
        &self,
        doing: &'static str,
        sql: &str,
        delivered: &Delivered,
        extra: Option<&(dyn ToSql + Sync)>,
    ) -> Result<Vec<Row>, SchedulerError> {
        // A receipt of another backend ends nothing.
        let Some((id, attempts)) = receipt(delivered) else { return Ok(Vec::new()) };
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&id, &attempts];
        params.extend(extra);
        self.run(doing, sql, &params).await
    }

    /// A job has become ready: for our workers, and for the others'.
    fn wake(&self) {
        self.inner.queue.notify_one();
        self.inner.ear.wake();
    }
}

/// The one task that asks the server for jobs.
async fn drive(queue: Arc<Queue>) {
    let mut looked: Option<Instant> = None;
    let mut pause = Duration::from_millis(100);
    loop {
        queue.put_back(queue.unwanted()).await;
        let (closed, wanted, held) = {
            let state = queue.state();
            (state.closed, state.wanted, state.fetched.len())
        };
        if closed {
            break;
        }
        if looked.is_none_or(|at| at.elapsed() >= POLL) {
            queue.look().await;
            looked = Some(Instant::now());
        }
        let missing = wanted.saturating_sub(held);
        if missing > 0 {
            match queue.fetch(missing).await {
                Ok(jobs) => {
                    pause = Duration::from_millis(100);
                    queue.hand_out(jobs);
                }
                Err(failure) => {
                    queue.up.store(false, Ordering::Relaxed);
                    tracing::debug!(error = %failure, "the queue cannot be read");
                    let error = backend("pulling a job", failure);
                    queue.state().fetched.push_back((Instant::now(), Err(error)));
                    queue.ready.notify_one();
                    sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                    pause = (pause * 2).min(POLL);
                }
            }
        }
        let held = !queue.state().fetched.is_empty();
        tokio::select! {
            () = queue.inner.queue.notified() => {}
            () = sleep(if held { STALE } else { POLL }) => {}
        }
    }
}

/// Reads what [`FETCH`] answers.
fn delivered(row: &Row) -> Result<Delivered, Failure> {
    let id: i64 = row.try_get(0)?;
    let task: Uuid = row.try_get(1)?;
    let Jsonb(text) = row.try_get(2)?;
    let payload: Payload = serde_json::from_str(text)?;
    let attempts: i32 = row.try_get(3)?;
    let context: Option<Uuid> = row.try_get(4)?;
    let version: Option<i64> = row.try_get(6)?;
    Ok(Delivered {
        job: Job {
            task: task_id(task, payload.task.as_deref()),
            context: context_id(context.unwrap_or_default(), payload.context.as_deref()),
            owner: Owner::from(row.try_get::<_, Option<String>>(5)?),
            version: version.unwrap_or_default().unsigned_abs(),
            trace: payload.trace.map(Into::into),
        },
        attempt: row::count(Some(attempts)),
        receipt: Receipt::Text(format!("{id}:{attempts}").into()),
    })
}

fn receipt(delivered: &Delivered) -> Option<(i64, i32)> {
    let Receipt::Text(text) = &delivered.receipt else { return None };
    let (id, attempts) = text.split_once(':')?;
    Some((id.parse().ok()?, attempts.parse().ok()?))
}

fn has_more(rows: &[Row]) -> bool {
    rows.first().is_some_and(|row| row.get(0))
}

impl Scheduler for PostgresScheduler {
    fn push(&self, job: Job) -> BoxFuture<'_, Result<(), SchedulerError>> {
        Box::pin(async move {
            const DOING: &str = "pushing a job";
            if self.queue.state().closed {
                return Err(SchedulerError::Closed);
            }
            let (task, context) = (Key::of_task(&job.task), Key::of_context(&job.context));
            let payload = Payload::of_run(task.wire, context.wire, job.trace.map(Into::into));
            let payload = serde_json::to_string(&payload)
                .map_err(|error| backend(DOING, Failure::Json(error)))?;
            let version = crate::commit::signed(job.version);
            let owner = job.owner.name();
            let params: &[&(dyn ToSql + Sync)] =
                &[&task.uuid, &Jsonb(clean(payload)), &version, &context.uuid, &owner];
            self.queue.run(DOING, &self.queue.sql.push, params).await?;
            self.queue.wake();
            Ok(())
        })
    }

    fn pull(&self) -> BoxFuture<'_, Result<Delivered, SchedulerError>> {
        // A job is taken in the same poll that returns it, so a dropped future has none. A wake-up
        // that it had, it passes on.
        let pull = async move {
            let queue = &*self.queue;
            if let Some(delivered) = queue.take()? {
                return Ok(delivered);
            }
            let _waiting = Waiting::new(queue);
            loop {
                let mut woken = pin!(queue.ready.notified());
                woken.as_mut().enable();
                if let Some(delivered) = queue.take()? {
                    return Ok(delivered);
                }
                woken.await;
            }
        };
        // Polled once more after its end, in a `select!` over references, it waits.
        Box::pin(pull.fuse())
    }

    fn ack<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(async move {
            let queue = &self.queue;
            let rows = queue.end("acknowledging a job", &queue.sql.ack, delivered, None).await?;
            if has_more(&rows) {
                queue.wake();
            }
            Ok(())
        })
    }

    fn release<'a>(
        &'a self,
        delivered: &'a Delivered,
    ) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(async move {
            let queue = &self.queue;
            queue.end("releasing a job", &queue.sql.release, delivered, None).await?;
            queue.wake();
            Ok(())
        })
    }

    fn keep<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(async move {
            let queue = &self.queue;
            let visibility = queue.visibility();
            queue.end("keeping a job", &queue.sql.keep, delivered, Some(&visibility)).await?;
            Ok(())
        })
    }

    fn bury<'a>(
        &'a self,
        delivered: &'a Delivered,
        why: &'a str,
    ) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(async move {
            let queue = &self.queue;
            let why = crate::types::clean_text(why);
            let rows = queue.end("burying a job", &queue.sql.bury, delivered, Some(&why)).await?;
            if has_more(&rows) {
                queue.wake();
            }
            Ok(())
        })
    }

    fn reads_outbox(&self) -> bool {
        true
    }

    fn nudge<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.queue.inner.ear.nudge(task) })
    }

    fn nudges(&self) -> BoxStream<'static, TaskId> {
        self.queue.inner.ear.nudges()
    }

    fn is_full(&self) -> bool {
        self.queue.waiting.load(Ordering::Relaxed) >= self.queue.inner.config.queue_capacity
    }

    fn depth(&self) -> BoxFuture<'_, Result<Depth, SchedulerError>> {
        Box::pin(async move {
            let rows = self.queue.run("counting jobs", &self.queue.sql.depth, &[]).await?;
            let Some(row) = rows.first() else { return Ok(Depth::default()) };
            Ok(Depth {
                running: row.get::<_, i64>(0).unsigned_abs(),
                waiting: row.get::<_, i64>(1).unsigned_abs(),
                oldest: row
                    .get::<_, Option<f64>>(2)
                    .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()),
            })
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.queue.state().closed = true;
            self.queue.ready.notify_waiters();
            self.queue.inner.queue.notify_one();
            let driver = self.driver().take();
            if let Some(driver) = driver {
                // What it fetched for nobody is back in the queue then.
                let _ = driver.await;
            }
        })
    }

    fn is_up(&self) -> bool {
        self.queue.up.load(Ordering::Relaxed)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), SchedulerError>> {
        Box::pin(async move {
            const DOING: &str = "asking the server";
            let sql = self.queue.inner.sql.of("SELECT 1 FROM {s}.bindu_outbox LIMIT 1");
            match timeout(PING, self.queue.once(&sql, &[])).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(failure)) => Err(backend(DOING, failure)),
                Err(_) => Err(backend(DOING, Failure::Late(PING))),
            }
        })
    }

    fn name(&self) -> &'static str {
        "PostgresScheduler"
    }
}
