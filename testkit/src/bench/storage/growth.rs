//! What a full store costs: a look-up, the first page of a list, and a claim, with few tasks and
//! with many. The two stores take turns step by step.
//!
//! Look-ups are of any task; claims are of a new one, as a worker's are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use bindu::Running;
use bindu_postgres::{PostgresConfig, PostgresStore};
use bindu_protocol::{
    ContextId, Dialect, Message, Owner, Part, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
};
use bindu_sqlite::{SqliteConfig, SqliteStore};
use bindu_storage::{Birth, Change, EventBody, Hold, Lease, Record, RunId, Storage, TaskQuery};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::super::agents::{self, on, runtime};
use super::super::connection::{Connection, post};
use super::super::machine::cores;
use super::StorageOptions;
use super::postgres::Programs;
use super::report::{Growth, StorageReport};
use crate::services::{Machine, Server};

/// How often each step is measured in each store; the median counts.
const ROUNDS: usize = 950;

/// How many tasks a page has.
const PAGE: usize = 50;

/// Rounds that do not count: connections get to know their statements.
const UNCOUNTED: usize = 50;

/// What is measured, and whether something is aimed at.
const STEPS: [(&str, bool); 5] = [
    ("tasks/get", true),
    ("tasks/list, first page", true),
    ("claim of a new task", true),
    ("the store's part of tasks/get", false),
    ("the store's part of tasks/list", false),
];

/// A store, and the tasks in it.
#[derive(Clone)]
struct Filled {
    store: Arc<dyn Storage>,
    ids: Arc<[TaskId]>,
}

pub(super) fn measure(options: &StorageOptions, report: &mut StorageReport) -> anyhow::Result<()> {
    let runtime = runtime("growth", cores())?;
    let (few, many) = (StorageOptions::FEW, options.many);
    report.settings.push(format!("few = {few} tasks, many = {many}"));
    {
        let directory = tempfile::tempdir()?;
        let (file, full) = (directory.path().join("few.db"), directory.path().join("many.db"));
        let stores = on(&runtime, async move {
            anyhow::Ok([
                sqlite(SqliteConfig::new(file, "did:example"), few).await?,
                sqlite(SqliteConfig::new(full, "did:example"), many).await?,
            ])
        })??;
        report.growths.extend(on(&runtime, compare("sqlite", stores))??);
    }
    let machine = Machine::this();
    let server = Server::postgres(&machine)?;
    let programs = Programs::find(&machine)?;
    let mut stores = Vec::new();
    for (schema, tasks) in [("few", few), ("many", many)] {
        let config =
            PostgresConfig { schema: Some(schema.to_owned()), ..PostgresConfig::new(server.url()) };
        let store = on(&runtime, async move { PostgresStore::open(config).await })??;
        programs.ask(server.url(), &fill(schema, tasks))?;
        let ids = format!("SELECT id FROM {schema}.tasks ORDER BY created_at");
        let ids = programs.ask(server.url(), &ids)?;
        let ids = ids.lines().map(str::parse).collect::<Result<_, _>>()?;
        stores.push(Filled { store: Arc::new(store), ids });
    }
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        programs.ask(server.url(), statement)?;
    }
    let stores: [Filled; 2] = stores.try_into().ok().context("two stores were filled")?;
    report.growths.extend(on(&runtime, compare("Postgres", stores))??);
    Ok(())
}

/// Fills a file through the store.
async fn sqlite(mut config: SqliteConfig, tasks: usize) -> anyhow::Result<Filled> {
    const AT_ONCE: usize = 512;
    config.synchronous = bindu_sqlite::Synchronous::Normal;
    // Else what is measured is memory.
    config.cache_bytes = 0;
    let store = SqliteStore::open(config).await?;
    let mut ids = Vec::with_capacity(tasks);
    while ids.len() < tasks {
        let births =
            (0..AT_ONCE.min(tasks - ids.len())).map(|_| store.commit(birth(TaskState::Completed)));
        for committed in try_join_all(births).await? {
            ids.push(committed.record.task.id.clone());
        }
    }
    Ok(Filled { store: Arc::new(store), ids: ids.into() })
}

/// Fills a schema by its server itself: rows as the store writes them for new tasks.
fn fill(schema: &str, tasks: usize) -> String {
    const MESSAGE: &str = r#"{"message_id": "2aca0000-0000-4000-8000-000000000001", "context_id": "7cf30000-0000-4000-8000-000000000001", "task_id": "adae0000-0000-4000-8000-000000000001", "kind": "message", "parts": [{"kind": "text", "text": "hello"}], "role": "user"}"#;
    let when = format!("now() - ({tasks} - n) * interval '1 millisecond'");
    format!(
        "SET session_replication_role = replica; \
         INSERT INTO {schema}.contexts (id, context_data, created_at, updated_at) \
         SELECT md5('context' || n)::uuid, '{{}}', {when}, {when} \
         FROM generate_series(1, {tasks}) n; \
         INSERT INTO {schema}.tasks (id, context_id, kind, state, state_timestamp, history, \
         artifacts, metadata, created_at, updated_at, logged_at, version, dialect, attempt, deliveries, \
         has_webhooks) \
         SELECT md5('task' || n)::uuid, md5('context' || n)::uuid, 'task', 'completed', \
         {when}, '[{MESSAGE}]', '[]', '{{}}', {when}, {when}, {when}, 1, '0.3', 0, 0, false \
         FROM generate_series(1, {tasks}) n; \
         INSERT INTO {schema}.bindu_events (task_id, seq, at, event) \
         SELECT t.id, 1, t.created_at, jsonb_build_object('kind', 'snapshot', 'task', \
         jsonb_build_object('id', t.id, 'context_id', t.context_id, 'kind', 'task', 'history', t.history, \
         'status', jsonb_build_object('state', 'completed', 'timestamp', t.created_at))) \
         FROM {schema}.tasks t"
    )
}

/// An agent on a filled store, and a connection to it.
struct Asked {
    filled: Filled,
    running: Running,
    connection: Connection,
}

impl Asked {
    async fn start(filled: Filled) -> anyhow::Result<Self> {
        let store = Arc::clone(&filled.store);
        let (address, running): (SocketAddr, _) =
            agents::start_with(agents::echo(), &[], Some(store)).await?;
        Ok(Self { filled, running, connection: Connection::open(address).await? })
    }

    /// Calls a method, and returns the text of the answer.
    async fn call(&mut self, method: &str, params: Value) -> anyhow::Result<&[u8]> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.connection.exchange(&post(&request.to_string())).await?;
        anyhow::ensure!(answer.status == 200, "an answer of status {}", answer.status);
        Ok(answer.body)
    }

    /// Does each step once, and says how many microseconds each took.
    async fn round(&mut self, round: usize) -> anyhow::Result<[f64; 5]> {
        let store = Arc::clone(&self.filled.store);
        // All over the store, and the agent is asked for other tasks than the store itself.
        let ids = Arc::clone(&self.filled.ids);
        let id = |which: usize| &ids[(2 * round + which) * 7919 % ids.len()];
        let mut times = [0.0; 5];
        let micros = |start: Instant| start.elapsed().as_secs_f64() * 1e6;

        let start = Instant::now();
        let answer = self.call("tasks/get", json!({ "id": id(0) })).await?;
        times[0] = micros(start);
        anyhow::ensure!(memchr::memmem::find(answer, b"completed").is_some(), "no task is there");

        let start = Instant::now();
        let answer = self.call("tasks/list", json!({ "pageSize": PAGE })).await?;
        times[1] = micros(start);
        let answer: Value = serde_json::from_slice(answer)?;
        let items = answer["result"].as_array().or(answer["result"]["tasks"].as_array());
        anyhow::ensure!(items.map(Vec::len) == Some(PAGE), "no page of {PAGE}: {answer}");

        let born = store.commit(birth(TaskState::Submitted)).await?.record;
        let change = claim(&born);
        let start = Instant::now();
        let claimed = store.commit(change).await?.record;
        times[2] = micros(start);
        // Else the agent would run it once its lease has ended.
        store.commit(end(&claimed)).await?;

        let start = Instant::now();
        store.load(id(1)).await?.context("a task is gone")?;
        times[3] = micros(start);

        let owner = Some(Owner::nobody());
        let query = TaskQuery { owner, limit: PAGE, ..TaskQuery::default() };
        let start = Instant::now();
        let page = store.tasks(query).await?;
        times[4] = micros(start);
        anyhow::ensure!(page.items.len() == PAGE, "a page of {}", page.items.len());
        Ok(times)
    }
}

/// Measures both stores, turn by turn.
async fn compare(name: &'static str, [few, many]: [Filled; 2]) -> anyhow::Result<Vec<Growth>> {
    let mut sides = [Asked::start(few).await?, Asked::start(many).await?];
    let mut times: [[Vec<f64>; 5]; 2] = Default::default();
    for round in 0..UNCOUNTED + ROUNDS {
        for place in 0..2 {
            let which = if round % 2 == 0 { place } else { 1 - place };
            let took = sides[which].round(round).await?;
            if round >= UNCOUNTED {
                for (times, took) in times[which].iter_mut().zip(took) {
                    times.push(took);
                }
            }
        }
    }
    for side in sides {
        side.running.stop(std::time::Duration::from_secs(2)).await;
    }
    let [few, many] = times.map(|steps| steps.map(median));
    let rows = STEPS.into_iter().zip(few.into_iter().zip(many));
    let rows = rows.map(|((step, is_aimed_at), (few, many))| {
        let row = Growth::new(format!("{name}, {step}"), few, many);
        if is_aimed_at { row } else { row.told() }
    });
    Ok(rows.collect())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn birth(state: TaskState) -> Change {
    let at = Timestamp::now();
    let task = Arc::new(Task {
        id: TaskId::random(),
        context_id: ContextId::random(),
        status: TaskStatus::new(state, at),
        history: vec![Arc::new(Message::new(Role::User, vec![Part::text("hello")]))],
        artifacts: Vec::new(),
        metadata: None,
    });
    let birth = Birth { owner: Owner::nobody(), dialect: Dialect::V0_3, webhooks: Vec::new() };
    Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(birth),
        hold: Hold::Outside,
        at,
        outbox: Vec::new(),
        once: None,
    }
}

fn claim(record: &Record) -> Change {
    let until = Timestamp::from_unix_micros(Timestamp::now().as_unix_micros() + 60_000_000);
    advance(record, TaskState::Working, Hold::Claim(Lease { run: RunId::random(), until }))
}

fn end(record: &Record) -> Change {
    advance(
        record,
        TaskState::Completed,
        record.lease.map_or(Hold::Outside, |lease| Hold::Release(lease.run)),
    )
}

fn advance(record: &Record, state: TaskState, hold: Hold) -> Change {
    let at = Timestamp::now();
    let mut task = Task::clone(&record.task);
    let event = EventBody::Status(TaskStatus::new(state, at));
    event.apply(&mut task);
    Change {
        task: Arc::new(task),
        expected: Some(record.version),
        birth: None,
        hold,
        events: vec![event],
        at,
        outbox: Vec::new(),
        once: None,
    }
}
