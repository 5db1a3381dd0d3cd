//! One run: the handler's view, its answer, and what is stored of it.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bindu_agent::{
    ArtifactDraft, Chunk, ChunkStream, Collected, Completed, HandlerError, Reply, Turn, TurnParts,
};
use bindu_protocol::{Artifact, Content, JsonObject, Part, TaskState, payment};
use bindu_scheduler::Delivered;
use bindu_storage::Record;
use bindu_tasks::{Outcome, Run, TaskError, Tasks};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::sign::sign_parts;
use crate::worker::Shared;

/// How many chunks are stored together when a handler makes them faster than they are stored.
const CHUNKS: usize = 64;

/// How often, and after which pause, the past of a task is asked for while the store fails.
const READS: u32 = 60;
const BETWEEN_READS: Duration = Duration::from_secs(1);

/// What stands before the reason of a failure in the agent's last message.
const FAILED: &str = "Task execution failed";

/// How a run ended.
pub(crate) enum Ended {
    /// Its outcome is stored.
    Stored(Arc<Record>),
    /// The task was canceled or taken over; there is nothing to store.
    Lost,
    /// The task waits for another run.
    GivenBack,
    /// Its outcome could not be stored; the task is still ours on paper.
    Unstored(TaskError),
}

/// Why a handler brought no answer.
enum Stopped {
    /// The task was canceled, or the run has lost it.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// The process ends.
    Draining,
    /// The store failed for so long that what the handler brought is lost.
    Unstored(TaskError),
}

pub(crate) async fn execute(
    shared: &Shared,
    mut run: Run,
    delivered: &Delivered,
    marks: Option<JsonObject>,
) -> Ended {
    let mut outcome = match answer(shared, &mut run, delivered).await {
        Ok(outcome) => outcome,
        Err(Stopped::Cancelled) => return Ended::Lost,
        Err(Stopped::Unstored(error)) => return Ended::Unstored(error),
        Err(Stopped::TimedOut) => failure("the handler took longer than it may"),
        Err(Stopped::Draining) if shared.gives_back() => {
            return match run.give_back().await {
                Ok(()) => Ended::GivenBack,
                Err(TaskError::RunLost) => Ended::Lost,
                Err(error) => Ended::Unstored(error),
            };
        }
        Err(Stopped::Draining) => failure("the agent was shut down before the task was done"),
    };
    if shared.config.before_run.is_some() {
        unsay(&mut outcome.metadata);
        unsay(&mut outcome.remarks);
    }
    if let Some(marks) = marks {
        mark(&mut outcome, &marks);
    }
    match run.finish(outcome).await {
        Ok(record) => Ended::Stored(record),
        Err(TaskError::RunLost) => Ended::Lost,
        Err(error) => Ended::Unstored(error),
    }
}

/// What was paid, no handler says.
fn unsay(metadata: &mut Option<JsonObject>) {
    if let Some(told) = metadata {
        let mut map = told.to_map();
        map.retain(|key, _| !key.starts_with(payment::PREFIX));
        *told = map.into();
    }
}

/// Puts marks on everything that comes out. Those of a payment that was for nothing say so.
fn mark(outcome: &mut Outcome, marks: &JsonObject) {
    let mut marks = marks.to_map();
    if outcome.state.is_terminal() && outcome.state != TaskState::Completed {
        marks.insert(payment::STATUS.to_owned(), payment::status::ORPHANED.into());
    }
    let marked = |metadata: &mut Option<JsonObject>| {
        let mut map = metadata.as_ref().map(JsonObject::to_map).unwrap_or_default();
        map.extend(marks.clone());
        *metadata = Some(map.into());
    };
    outcome.artifacts.iter_mut().for_each(|artifact| marked(&mut artifact.metadata));
    marked(&mut outcome.remarks);
}

/// Asks the handler, and turns its answer into what is stored.
async fn answer(shared: &Shared, run: &mut Run, delivered: &Delivered) -> Result<Outcome, Stopped> {
    if run.cancellation().is_cancelled() {
        return Err(shared.stopped());
    }
    let mut watch = Watch::begin(shared, run, delivered);
    let trace = delivered.job.trace.as_deref();
    let Some(turn) = read_turn(shared, run, &mut watch, trace).await? else {
        return Ok(failure("the conversation could not be read"));
    };
    let asked = AssertUnwindSafe(shared.handler.handle(turn)).catch_unwind();
    let reply = match watch.guard(shared, run, asked).await? {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => return Ok(shared.refusal(run, &error)),
        Err(panic) => return Ok(panicked(run, &*panic)),
    };
    match reply {
        Reply::Stream(chunks) => stream(shared, run, watch, chunks).await,
        whole => Ok(shared.outcome(whole, Vec::new())),
    }
}

/// What the handler is given; asked for again while the store fails, which is no fault of the task.
/// `None` if there is no hope.
async fn read_turn(
    shared: &Shared,
    run: &Run,
    watch: &mut Watch<'_>,
    trace: Option<&str>,
) -> Result<Option<Turn>, Stopped> {
    let deadline = watch.deadline;
    let tries = if shared.tasks.is_volatile() { 1 } else { READS };
    for left in (0..tries).rev() {
        match watch.guard(shared, run, turn(shared, run, deadline, trace)).await? {
            Ok(turn) => return Ok(Some(turn)),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(task = %run.record().task.id, error, "the past could not be read");
            }
        }
        if left > 0 {
            watch.guard(shared, run, sleep(BETWEEN_READS)).await?;
        }
    }
    Ok(None)
}

/// What the handler is given.
async fn turn(
    shared: &Shared,
    run: &Run,
    deadline: Option<Instant>,
    trace: Option<&str>,
) -> Result<Turn, TaskError> {
    let record = run.record();
    let past = shared.tasks.conversation(record).await?;
    let own = &record.task.history;
    let mut messages = Vec::with_capacity(past.earlier.len() + own.len() + 1);
    messages.extend(shared.config.instructions.iter().cloned());
    messages.extend(past.earlier);
    messages.extend(own.iter().cloned());
    Ok(Turn::new(TurnParts {
        caller: Tasks::caller_of(record),
        metadata: record.task.metadata.clone(),
        references: past.references,
        state: crate::state::of(shared.tasks.storage(), &record.task.context_id),
        cancel: run.cancellation().clone(),
        deadline,
        trace: trace.map(Into::into),
        ..TurnParts::new(record.task.id.clone(), record.task.context_id.clone(), messages)
    }))
}

/// What a run has to keep in time: its deadline and its lease.
struct Watch<'a> {
    delivered: &'a Delivered,
    deadline: Option<Instant>,
    /// When the lease is to be renewed next.
    beat: Instant,
    /// When to stop, unless the lease is renewed before.
    end: Instant,
}

impl<'a> Watch<'a> {
    fn begin(shared: &Shared, run: &Run, delivered: &'a Delivered) -> Self {
        let now = Instant::now();
        Self {
            delivered,
            deadline: shared.config.task_timeout.map(|limit| now + limit),
            beat: now + shared.config.heartbeat,
            end: now + run.remaining(),
        }
    }

    /// Waits for `work`, keeps the lease meanwhile, and gives up when the run is stopped.
    async fn guard<T>(
        &mut self,
        shared: &Shared,
        run: &Run,
        work: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        // Asked here too: work that is always ready would never let the clock be looked at below.
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Stopped::TimedOut);
        }
        if self.end <= now {
            return Err(Stopped::Cancelled);
        }
        if self.beat <= now {
            self.renew(shared, run).await?;
        }
        let mut work = pin!(work);
        loop {
            tokio::select! {
                // The work first: one that is ready at once costs no timer. Whether its result
                // still counts, the store decides.
                biased;
                done = &mut work => return Ok(done),
                () = run.cancellation().cancelled() => return Err(shared.stopped()),
                () = sleep_until(self.deadline.unwrap_or(now)), if self.deadline.is_some() => {
                    return Err(Stopped::TimedOut);
                }
                () = sleep_until(self.beat) => {
                    // The work goes on meanwhile.
                    let renewing = self.renew(shared, run);
                    tokio::select! {
                        biased;
                        done = &mut work => return Ok(done),
                        renewed = renewing => renewed?,
                    }
                }
            }
        }
    }

    /// Says to the store and to the queue that the run is still at it. Whatever does not answer in
    /// time is asked again at the next beat; when the lease cannot be kept, the run stops before
    /// somebody else may begin.
    async fn renew(&mut self, shared: &Shared, run: &Run) -> Result<(), Stopped> {
        self.beat = Instant::now() + shared.config.heartbeat;
        let id = &run.record().task.id;
        let queue = shared.tasks.scheduler().keep(self.delivered);
        let (renewed, kept) = tokio::join!(
            timeout_at(self.end.min(self.beat), run.renew()),
            timeout_at(self.end.min(self.beat), queue),
        );
        match renewed {
            Ok(Ok(())) => self.end = Instant::now() + run.remaining(),
            Ok(Err(TaskError::RunLost)) => return Err(Stopped::Cancelled),
            Ok(Err(error)) => {
                tracing::warn!(task = %id, error = &error as &dyn std::error::Error, "a lease was not renewed");
            }
            Err(_) => tracing::warn!(task = %id, "a lease was not renewed in time"),
        }
        if !matches!(kept, Ok(Ok(()))) {
            // The lease is what counts: a job that comes twice finds the task taken.
            tracing::debug!(task = %id, "the queue could not be told that a job goes on");
        }
        if self.end <= Instant::now() { Err(Stopped::Cancelled) } else { Ok(()) }
    }
}

/// Stores and shows chunks as they come; the whole is their concatenation.
async fn stream(
    shared: &Shared,
    run: &mut Run,
    mut watch: Watch<'_>,
    chunks: ChunkStream,
) -> Result<Outcome, Stopped> {
    // What is ready is stored together, so that a fast handler does not wait for the store.
    let mut ready = AssertUnwindSafe(chunks).catch_unwind().ready_chunks(CHUNKS);
    let mut collected = Collected::default();
    let mut end = None;
    while end.is_none() {
        let Some(batch) = watch.guard(shared, run, ready.next()).await? else { break };
        let mut pieces = Vec::with_capacity(batch.len());
        for chunk in batch {
            match chunk {
                Ok(Ok(Chunk::End(reply))) => end = Some(shared.outcome(reply, Vec::new())),
                Ok(Ok(chunk)) => {
                    collected.push(&chunk);
                    pieces.extend(parts_of(chunk));
                }
                Ok(Err(error)) => end = Some(shared.refusal(run, &error)),
                Err(panic) => end = Some(panicked(run, &*panic)),
            }
            if end.is_some() {
                break;
            }
        }
        if !pieces.is_empty() {
            // The handler must be gone before somebody else may begin, however slow the store is.
            let token = run.cancellation().clone();
            let stored = tokio::select! {
                biased;
                stored = timeout_at(watch.end, run.chunks(pieces)) => stored,
                () = token.cancelled() => return Err(shared.stopped()),
            };
            match stored {
                Ok(Ok(())) => {}
                Ok(Err(TaskError::RunLost)) | Err(_) => return Err(Stopped::Cancelled),
                Ok(Err(error)) if shared.tasks.is_volatile() => {
                    tracing::error!(task = %run.record().task.id, error = &error as &dyn std::error::Error, "a chunk is lost");
                    return Ok(failure("a part of the answer could not be stored"));
                }
                Ok(Err(error)) => return Err(Stopped::Unstored(error)),
            }
        }
        // Chunks that are always ready must not keep the thread from everybody else.
        tokio::task::consume_budget().await;
    }
    let parts = collected.into_parts();
    Ok(match end {
        None => {
            let parts = if parts.is_empty() { vec![Part::text("")] } else { parts };
            shared.outcome(Reply::parts(parts), Vec::new())
        }
        // What went out before a question or a failure is a result all the same.
        Some(mut end) if !parts.is_empty() => {
            let draft = ArtifactDraft::new("result", parts);
            end.artifacts.insert(0, shared.artifact(draft));
            end
        }
        Some(end) => end,
    })
}

fn parts_of(chunk: Chunk) -> Option<Vec<Part>> {
    match chunk {
        Chunk::Text(text) => Some(vec![Part::text(text)]),
        Chunk::Parts(parts) if !parts.is_empty() => Some(parts),
        _ => None,
    }
}

fn failure(reason: &str) -> Outcome {
    Outcome {
        state: TaskState::Failed,
        message: Some(vec![Part::text(format!("{FAILED}: {reason}"))]),
        remarks: None,
        artifacts: Vec::new(),
        metadata: None,
    }
}

impl Shared {
    /// Why a run is told to stop.
    fn stopped(&self) -> Stopped {
        if self.is_draining() { Stopped::Draining } else { Stopped::Cancelled }
    }

    fn artifact(&self, draft: ArtifactDraft) -> Artifact {
        let mut artifact = Artifact::new("result", draft.parts);
        if let Some(name) = draft.name {
            artifact.name = Some(name);
        }
        artifact.description = draft.description;
        artifact.metadata = draft.metadata;
        for part in &mut artifact.parts {
            // PostgreSQL has no U+0000, and what is signed must be what is stored.
            if let Content::Text(text) = &mut part.content
                && text.contains('\0')
            {
                *text = text.replace('\0', "\u{fffd}");
            }
        }
        if let Some(identity) = &self.identity {
            sign_parts(&mut artifact.parts, identity.key(), &self.config.signature_key);
        }
        artifact
    }

    fn outcome(&self, reply: Reply, mut artifacts: Vec<Artifact>) -> Outcome {
        let (state, message, metadata, remarks) = match reply {
            Reply::Completed(Completed { message, artifacts: drafts, metadata, remarks }) => {
                artifacts.extend(drafts.into_iter().map(|draft| self.artifact(draft)));
                (TaskState::Completed, message, metadata, remarks)
            }
            Reply::Paused { state, message, metadata, remarks, .. } => {
                (state, message, metadata, remarks)
            }
            Reply::Ended { state, reason, metadata, remarks, .. } => {
                (state, vec![Part::text(reason)], metadata, remarks)
            }
            _ => return failure("the handler answered with a stream inside a stream"),
        };
        Outcome { state, message: Some(message), remarks, artifacts, metadata }
    }

    /// The outcome of a handler that returned an error.
    fn refusal(&self, run: &Run, error: &HandlerError) -> Outcome {
        tracing::info!(task = %run.record().task.id, %error, "the handler failed");
        if self.config.redact_errors {
            return failure("the agent keeps the reason to itself");
        }
        failure(&error.to_string())
    }
}

/// The outcome of a handler that panicked. What it said stays in the log.
fn panicked(run: &Run, panic: &(dyn Any + Send)) -> Outcome {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(task = %run.record().task.id, said, "the handler panicked");
    failure("the handler panicked")
}
