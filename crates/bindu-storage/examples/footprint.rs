//! How much memory a finished task takes in the memory store, and what an echo costs in it.
//!
//! `cargo run --release -p bindu-storage --example footprint`, on Linux: memory is the growth of
//! the resident set over 100,000 tasks, as the kernel counts it.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bindu_protocol::{
    Artifact, ContextId, Dialect, Json, JsonObject, Message, Owner, Part, Role, Task, TaskId,
    TaskState, TaskStatus, Timestamp,
};
use bindu_storage::{
    Birth, Change, EventBody, Hold, Lease, MemoryStore, OutboxBody, RunId, Storage, StorageError,
    Version,
};

const TASKS: u32 = 100_000;

#[expect(clippy::print_stdout, reason = "the numbers are what this program is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let store = MemoryStore::default();
    echo(&store)?;
    let before = resident()?;
    let mut took = Duration::ZERO;
    for _ in 0..TASKS {
        took += echo(&store)?;
    }
    let bytes = (resident()?.saturating_sub(before)) / u64::from(TASKS);
    let counted = store.bytes() as u64 / u64::from(TASKS + 1);
    println!(
        "{bytes} bytes ({counted} as the store counts) and {} ns in the store per echo",
        (took / TASKS).as_nanos()
    );
    Ok(())
}

/// Resident memory in bytes.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the futures of the memory store never wait"),
    }
}

/// One task from its message to its answer, as an agent stores it; says how long the store took.
fn echo(store: &MemoryStore) -> Result<Duration, StorageError> {
    let now = Timestamp::now();
    let id = TaskId::random();
    let context = ContextId::random();
    let said = |role, text: &str| {
        let mut message = Message::new(role, vec![Part::text(text)]);
        message.task_id = Some(id.clone());
        message.context_id = Some(context.clone());
        Arc::new(message)
    };
    let task = Arc::new(Task {
        id: id.clone(),
        context_id: context.clone(),
        status: TaskStatus::new(TaskState::Submitted, now),
        history: vec![said(Role::User, "hello there")],
        artifacts: Vec::new(),
        metadata: None,
    });
    let change = Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(Birth { owner: Owner::nobody(), dialect: Dialect::V0_3, webhooks: Vec::new() }),
        hold: Hold::Outside,
        at: now,
        outbox: vec![OutboxBody::Run { version: Version(1) }],
        once: None,
    };
    let mut took = Duration::ZERO;
    let mut timed = |change: Change| {
        let start = Instant::now();
        let committed = ready(store.commit(change));
        took += start.elapsed();
        committed
    };
    let submitted = timed(change)?;

    let run = RunId::random();
    let lease = Lease { run, until: now };
    let working = EventBody::Status(TaskStatus::new(TaskState::Working, now));
    let working = timed(next(&submitted.record.task, 1, Hold::Claim(lease), vec![working]))?;

    let mut part = Part::text("echo: hello there");
    part.metadata = signature();
    let artifact = Arc::new(Artifact::new("result", vec![part]));
    let mut completed = TaskStatus::new(TaskState::Completed, now);
    completed.message = Some(said(Role::Agent, "echo: hello there"));
    let events =
        vec![EventBody::Artifact { artifact, streamed: false }, EventBody::Status(completed)];
    timed(next(&working.record.task, 2, Hold::Release(run), events))?;

    let start = Instant::now();
    for entry in submitted.outbox {
        ready(store.outbox_done(entry))?;
    }
    ready(store.load(&id))?;
    Ok(took + start.elapsed())
}

fn next(task: &Task, version: u64, hold: Hold, events: Vec<EventBody>) -> Change {
    let mut task = task.clone();
    for event in &events {
        event.apply(&mut task);
    }
    Change {
        task: Arc::new(task),
        expected: Some(Version(version)),
        birth: None,
        hold,
        events,
        at: Timestamp::now(),
        outbox: Vec::new(),
        once: None,
    }
}

fn signature() -> Option<JsonObject> {
    let map: std::collections::BTreeMap<_, _> = [("did.message.signature", "5".repeat(88))].into();
    JsonObject::try_from(Json::new(&map).ok()?).ok()
}
