//! One run of a task: what a worker may write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bindu_protocol::{
    Artifact, JsonObject, Message, Part, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
};
use bindu_storage::{Change, EventBody, Hold, Lease, Record, RunId, StorageError};
use tokio_util::sync::CancellationToken;

use crate::tasks::MAX_RACES;
use crate::{TaskError, Tasks};

/// The runs of this process, so that a cancel finds the one it means.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<HashMap<TaskId, (RunId, CancellationToken)>>);

impl Runs {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TaskId, (RunId, CancellationToken)>> {
        // Each statement leaves the map whole, so a panic elsewhere breaks nothing in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, id: &TaskId, run: RunId) -> CancellationToken {
        let token = CancellationToken::new();
        self.lock().insert(id.clone(), (run, token.clone()));
        token
    }

    fn end(&self, id: &TaskId, run: RunId) {
        let mut runs = self.lock();
        if runs.get(id).is_some_and(|(own, _)| *own == run) {
            runs.remove(id);
        }
    }

    pub(crate) fn cancel(&self, id: &TaskId) {
        let token = self.lock().get(id).map(|(_, token)| token.clone());
        if let Some(token) = token {
            token.cancel();
        }
    }

    pub(crate) fn cancel_all(&self) {
        let tokens: Vec<_> = self.lock().values().map(|(_, token)| token.clone()).collect();
        for token in tokens {
            token.cancel();
        }
    }
}

/// What is said of a task whose runs were lost.
const WORKER_LOST: &str = "Task execution failed: worker lost";

/// The right to run one task, until [`finish`](Self::finish) or until it is lost.
///
/// Dropped without `finish`, the task stays `working` until the lease ends and another run takes
/// it.
#[derive(Debug)]
pub struct Run {
    tasks: Tasks,
    record: Arc<Record>,
    id: RunId,
    token: CancellationToken,
    streamed: Option<Arc<Artifact>>,
}

/// How a run ends.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The state the task goes to.
    pub state: TaskState,
    /// What the agent says: joins the history.
    pub message: Option<Vec<Part>>,
    /// What came out: whole artifacts, signed.
    pub artifacts: Vec<Artifact>,
    /// What of the task's metadata changes: members are replaced one by one.
    pub metadata: Option<JsonObject>,
}

impl Tasks {
    /// Takes a task to run it: its state goes to `working`, and nobody else may write it.
    ///
    /// `None` if there is nothing to run: the task is gone, over, waits for its caller, or another
    /// run has it. The job is then done.
    ///
    /// # Errors
    ///
    /// [`TaskError::Storage`] if the store cannot be reached; the job should come again.
    pub async fn begin(&self, id: &TaskId) -> Result<Option<Run>, TaskError> {
        for _ in 0..MAX_RACES {
            let Some(record) = self.load(id).await? else { return Ok(None) };
            let state = record.task.status.state;
            let at = Timestamp::now();
            let is_stranded =
                state == TaskState::Working && record.lease.is_none_or(|lease| lease.until <= at);
            let events = if state.can_become(TaskState::Working) {
                vec![EventBody::Status(TaskStatus::new(TaskState::Working, at))]
            } else if is_stranded {
                Vec::new()
            } else {
                return Ok(None);
            };
            if record.attempts >= self.0.config.max_attempts && is_stranded {
                self.give_up(&record, WORKER_LOST).await?;
                return Ok(None);
            }
            let run = RunId::random();
            // Registered first: a cancel that comes right after the write must find the run.
            let token = self.0.runs.begin(id, run);
            let lease = Lease { run, until: self.lease_end() };
            match self.advance(&record, Hold::Claim(lease), events, at).await {
                Ok(committed) => {
                    return Ok(Some(Run {
                        tasks: self.clone(),
                        record: committed.record,
                        id: run,
                        token,
                        streamed: None,
                    }));
                }
                Err(error) => {
                    self.0.runs.end(id, run);
                    if !matches!(error, StorageError::Conflict(_)) {
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(None)
    }

    /// Fails a task whose run was lost, if it is not over by then.
    ///
    /// # Errors
    ///
    /// [`TaskError::Storage`] if the store cannot be reached.
    pub async fn fail_lost(&self, id: &TaskId) -> Result<(), TaskError> {
        match self.load(id).await? {
            Some(record) if record.task.status.state == TaskState::Working => {
                self.give_up(&record, WORKER_LOST).await
            }
            _ => Ok(()),
        }
    }

    /// Ends a task that nobody will run.
    pub(crate) async fn give_up(&self, record: &Record, text: &str) -> Result<(), TaskError> {
        let status = status(record, TaskState::Failed, Some(vec![Part::text(text)]));
        match self.advance(record, Hold::Outside, vec![status], Timestamp::now()).await {
            Ok(_) | Err(StorageError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn lease_end(&self) -> Timestamp {
        (std::time::SystemTime::now() + self.0.config.lease).into()
    }

    /// Signals every run of this process to stop, as at the end of a drain.
    pub fn cancel_runs(&self) {
        self.0.runs.cancel_all();
    }
}

fn status(record: &Record, state: TaskState, says: Option<Vec<Part>>) -> EventBody {
    let mut status = TaskStatus::new(state, Timestamp::now());
    status.message = says.map(|parts| Arc::new(agent_message(&record.task, parts)));
    EventBody::Status(status)
}

fn agent_message(task: &Task, parts: Vec<Part>) -> Message {
    let mut message = Message::new(Role::Agent, parts);
    message.task_id = Some(task.id.clone());
    message.context_id = Some(task.context_id.clone());
    message
}

impl Run {
    /// The task as this run last wrote it.
    #[must_use]
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Fires when the run should stop: the task was canceled, or the run has lost it.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        &self.token
    }

    /// Keeps the task for another lease.
    ///
    /// # Errors
    ///
    /// [`TaskError::RunLost`]: stop; nothing more can be written.
    pub async fn renew(&self) -> Result<(), TaskError> {
        let until = self.tasks.lease_end();
        let renewed = self.tasks.0.storage.renew(&self.record.task.id, self.id, until).await;
        renewed.map_err(|error| match error {
            StorageError::NotFound | StorageError::Conflict(_) => TaskError::RunLost,
            other => other.into(),
        })
    }

    /// Stores further pieces of the run's one streamed artifact, and shows them to whoever
    /// follows.
    ///
    /// # Errors
    ///
    /// [`TaskError::RunLost`]: stop; nothing more can be written.
    pub async fn chunks(&mut self, pieces: Vec<Vec<Part>>) -> Result<(), TaskError> {
        let mut events = Vec::with_capacity(pieces.len());
        for parts in pieces {
            let append = self.streamed.is_some();
            let head =
                self.streamed.get_or_insert_with(|| Arc::new(Artifact::new("result", Vec::new())));
            let mut piece = Artifact::clone(head);
            piece.parts = parts;
            events.push(EventBody::Chunk { artifact: Arc::new(piece), append });
        }
        let change = Change {
            // Pieces are in the log only: the task itself stays as it is.
            task: Arc::clone(&self.record.task),
            expected: Some(self.record.version),
            birth: None,
            hold: Hold::Keep(self.id),
            events,
            at: Timestamp::now(),
            outbox: Vec::new(),
            once: None,
        };
        let committed = self.tasks.commit(change).await.map_err(lost)?;
        self.record = committed.record;
        Ok(())
    }

    /// Whether pieces of an artifact went out; then the first artifact of the outcome is that one.
    #[must_use]
    pub fn has_streamed(&self) -> bool {
        self.streamed.is_some()
    }

    /// Stores how the run ended, and gives the task back.
    ///
    /// # Errors
    ///
    /// [`TaskError::RunLost`]: the task was canceled or taken over; the outcome is void.
    pub async fn finish(mut self, outcome: Outcome) -> Result<Arc<Record>, TaskError> {
        let Outcome { state, message, artifacts, metadata } = outcome;
        debug_assert!(self.record.task.status.state.can_become(state), "a worker's move");
        let mut events = Vec::with_capacity(artifacts.len() + 2);
        let mut says = message;
        if state == TaskState::Completed
            && let Some(parts) = says.take()
        {
            // A result is no word on the state: it goes to the history, not into the status.
            events.push(EventBody::Message(Arc::new(agent_message(&self.record.task, parts))));
        }
        for mut artifact in artifacts {
            let head = self.streamed.take();
            if let Some(head) = &head {
                artifact.id = head.id.clone();
            }
            events.push(EventBody::Artifact {
                streamed: head.is_some(),
                artifact: Arc::new(artifact),
            });
        }
        if let Some(metadata) = metadata {
            events.push(EventBody::Metadata(metadata));
        }
        events.push(status(&self.record, state, says));
        // Webhooks may have come and gone while the handler ran.
        if self.tasks.0.pushes.is_some()
            && let Ok(Some(now)) = self.tasks.load(&self.record.task.id).await
            && now.version == self.record.version
        {
            self.record = now;
        }
        let at = Timestamp::now();
        let finished = self.tasks.advance(&self.record, Hold::Release(self.id), events, at).await;
        Ok(finished.map_err(lost)?.record)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.tasks.0.runs.end(&self.record.task.id, self.id);
    }
}

/// A run whose write is refused has lost its task: someone else moved it.
fn lost(error: StorageError) -> TaskError {
    match error {
        StorageError::Conflict(_) | StorageError::NotFound => TaskError::RunLost,
        other => other.into(),
    }
}
