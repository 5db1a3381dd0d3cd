//! One run of a task: what a worker may write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bindu_protocol::{
    Artifact, JsonObject, Message, Part, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
};
use bindu_storage::{
    Change, Committed, EventBody, Hold, Lease, Record, RunId, StorageError, Version,
};
use tokio_util::sync::CancellationToken;

use crate::tasks::MAX_RACES;
use crate::{OnCrash, TaskError, Tasks};

/// The runs of this process, so that a cancel finds the one it means. Of a task there may be several
/// for a moment: those that want it, one of which gets it, and one that has lost it and not heard.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// How many there ever were.
    last: u64,
    runs: HashMap<TaskId, Vec<Running>>,
}

#[derive(Debug)]
struct Running {
    run: RunId,
    token: CancellationToken,
    /// What the run was begun from: whatever is not newer does not know of it.
    from: (Version, u32),
    /// Its place in the order in which runs began.
    number: u64,
}

impl Runs {
    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        // Each statement leaves the map whole, so a panic elsewhere breaks nothing in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, record: &Record, run: RunId) -> CancellationToken {
        let token = CancellationToken::new();
        let (id, from) = (&record.task.id, (record.version, record.attempts));
        let mut table = self.lock();
        table.last += 1;
        let running = Running { run, token: token.clone(), from, number: table.last };
        table.runs.entry(id.clone()).or_default().push(running);
        token
    }

    fn end(&self, id: &TaskId, run: RunId) {
        let mut table = self.lock();
        if let Some(runs) = table.runs.get_mut(id) {
            runs.retain(|running| running.run != run);
            if runs.is_empty() {
                table.runs.remove(id);
            }
        }
    }

    /// Stops the runs of a task; says whether there are any.
    pub(crate) fn cancel(&self, id: &TaskId) -> bool {
        let tokens = self.tokens(id, |_| true);
        tokens.iter().for_each(CancellationToken::cancel);
        !tokens.is_empty()
    }

    /// Stops the runs of a task that have lost it, as the stored task shows. One that has only just
    /// asked for it may not be in there yet.
    pub(crate) fn check(&self, id: &TaskId, stored: Option<&Record>) {
        let has = stored.and_then(|record| record.lease).map(|lease| lease.run);
        let at = stored.map(|record| (record.version, record.attempts));
        let is_lost = |running: &Running| {
            has != Some(running.run)
                && at.is_none_or(|(version, attempts)| {
                    version > running.from.0 || attempts > running.from.1
                })
        };
        self.tokens(id, is_lost).iter().for_each(CancellationToken::cancel);
    }

    fn tokens(&self, id: &TaskId, which: impl Fn(&Running) -> bool) -> Vec<CancellationToken> {
        let table = self.lock();
        let runs = table.runs.get(id).into_iter().flatten();
        runs.filter(|running| which(running)).map(|running| running.token.clone()).collect()
    }

    /// The tasks that are run, those first that were begun first.
    pub(crate) fn ids(&self) -> Vec<TaskId> {
        let table = self.lock();
        let first = |runs: &Vec<Running>| runs.first().map(|running| running.number);
        let mut ids: Vec<_> = table.runs.iter().map(|(id, runs)| (first(runs), id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id.clone()).collect()
    }

    pub(crate) fn has(&self, id: &TaskId) -> bool {
        self.lock().runs.contains_key(id)
    }

    pub(crate) fn cancel_all(&self) {
        for id in self.ids() {
            self.cancel(&id);
        }
    }
}

/// How long a run waits before it writes again to a store that failed; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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
    /// Until when the task is surely this run's.
    held: Mutex<Timestamp>,
}

/// How a run ends.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The state the task goes to.
    pub state: TaskState,
    /// What the agent says: joins the history.
    pub message: Option<Vec<Part>>,
    /// Free-form remarks of that message.
    pub remarks: Option<JsonObject>,
    /// What came out: whole artifacts, signed.
    pub artifacts: Vec<Artifact>,
    /// What of the task's metadata changes: members are replaced one by one.
    pub metadata: Option<JsonObject>,
}

/// What came of the wish to run a task.
#[derive(Debug)]
pub enum Begun {
    /// The task is this run's.
    Run(Run),
    /// There is nothing to run: the task is gone, over, waits for its caller, or another run has it.
    /// The job is done.
    Nothing,
    /// The task's runs were lost too often, and it has failed; the text says so. The job is done,
    /// and worth a look.
    GivenUp(&'static str),
}

impl Tasks {
    /// Takes a task to run it: its state goes to `working`, and nobody else may write it.
    ///
    /// # Errors
    ///
    /// [`TaskError::Storage`] if the store cannot be reached; the job should come again.
    pub async fn begin(&self, id: &TaskId) -> Result<Begun, TaskError> {
        self.begin_with(id, None).await
    }

    /// The same, and writes members of the task's metadata with it, if there are any.
    ///
    /// # Errors
    ///
    /// As [`begin`](Self::begin).
    pub async fn begin_with(
        &self,
        id: &TaskId,
        metadata: Option<&JsonObject>,
    ) -> Result<Begun, TaskError> {
        for _ in 0..MAX_RACES {
            let Some(record) = self.load(id).await? else { return Ok(Begun::Nothing) };
            let state = record.task.status.state;
            let at = self.now();
            let is_lost = state == TaskState::Working && self.is_lost(&record, at);
            let mut events: Vec<_> =
                metadata.into_iter().cloned().map(EventBody::Metadata).collect();
            if state.can_become(TaskState::Working) {
                events.push(EventBody::Status(TaskStatus::new(TaskState::Working, at)));
            } else if !is_lost {
                return Ok(Begun::Nothing);
            }
            if is_lost && !self.may_run_again(&record) {
                self.give_up(&record, WORKER_LOST).await?;
                return Ok(Begun::GivenUp(WORKER_LOST));
            }
            let run = RunId::random();
            // Registered first: a cancel that comes right after the write must find the run.
            let token = self.0.runs.begin(&record, run);
            let lease = Lease { run, until: self.lease_end() };
            match self.advance(&record, Hold::Claim(lease), events, at).await {
                Ok(committed) => {
                    if is_lost {
                        self.0.observer.recovered();
                    }
                    return Ok(Begun::Run(Run {
                        tasks: self.clone(),
                        record: committed.record,
                        id: run,
                        token,
                        streamed: None,
                        held: Mutex::new(lease.until),
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
        Ok(Begun::Nothing)
    }

    /// Whether nobody is at a task that is `working`.
    fn is_lost(&self, record: &Record, at: Timestamp) -> bool {
        match record.lease {
            Some(lease) => lease.until <= at,
            None => self.0.config.adopt_after.is_some_and(|wait| {
                let since = record.task.status.timestamp.unwrap_or(record.created);
                since <= self.before(wait)
            }),
        }
    }

    /// Whether a task whose run was lost is run again.
    pub(crate) fn may_run_again(&self, record: &Record) -> bool {
        self.0.config.on_crash == OnCrash::Requeue && record.attempts < self.0.config.max_attempts
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

    /// Stops a task that waits for its run: it ends, or waits for its caller again. Says whether it
    /// did; a task that is not [`Submitted`](TaskState::Submitted) stays as it is.
    ///
    /// # Errors
    ///
    /// [`TaskError::Storage`] if the store cannot be reached.
    pub async fn stop(&self, id: &TaskId, outcome: &Outcome) -> Result<bool, TaskError> {
        for _ in 0..MAX_RACES {
            let Some(record) = self.load(id).await? else { return Ok(false) };
            let now = record.task.status.state;
            if now != TaskState::Submitted || !now.can_become(outcome.state) {
                return Ok(false);
            }
            let at = self.now();
            let mut events: Vec<_> =
                outcome.metadata.iter().cloned().map(EventBody::Metadata).collect();
            let says = outcome
                .message
                .clone()
                .map(|parts| Arc::new(agent_message(&record.task, parts, outcome.remarks.clone())));
            events.push(status(outcome.state, says, at));
            match self.advance(&record, Hold::Outside, events, at).await {
                Ok(_) => return Ok(true),
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(TaskError::Busy)
    }

    /// Adds members to the metadata of a task that nobody works on. Says whether it did.
    ///
    /// # Errors
    ///
    /// [`TaskError::Storage`] if the store cannot be reached.
    pub async fn remark(&self, id: &TaskId, metadata: &JsonObject) -> Result<bool, TaskError> {
        for _ in 0..MAX_RACES {
            let Some(record) = self.load(id).await? else { return Ok(false) };
            if record.task.status.state == TaskState::Working {
                return Ok(false);
            }
            let events = vec![EventBody::Metadata(metadata.clone())];
            match self.advance(&record, Hold::Outside, events, self.now()).await {
                Ok(_) => return Ok(true),
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(TaskError::Busy)
    }

    /// Queues a task once more that waits for its run; does nothing for any other.
    ///
    /// # Errors
    ///
    /// [`TaskError::Storage`], [`TaskError::Scheduler`].
    pub async fn requeue(&self, id: &TaskId) -> Result<(), TaskError> {
        match self.load(id).await? {
            Some(record) if record.task.status.state == TaskState::Submitted => {
                match self.0.scheduler.push(crate::tasks::job(&record, None)).await {
                    Ok(()) | Err(bindu_scheduler::SchedulerError::Closed) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Ends a task that nobody will run.
    pub(crate) async fn give_up(&self, record: &Record, text: &str) -> Result<(), TaskError> {
        let at = self.now();
        let message = Arc::new(agent_message(&record.task, vec![Part::text(text)], None));
        let status = status(TaskState::Failed, Some(message), at);
        match self.advance(record, Hold::Outside, vec![status], at).await {
            Ok(_) => {
                self.0.observer.given_up();
                Ok(())
            }
            Err(StorageError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn lease_end(&self) -> Timestamp {
        self.after(self.0.config.lease)
    }

    /// Signals every run of this process to stop, as at the end of a drain.
    pub fn cancel_runs(&self) {
        self.0.runs.cancel_all();
    }

    /// Cancels every task that runs in this process, as their callers may: for an agent that goes
    /// for good, whose turns nobody takes up again. A task that cannot be written is left to its
    /// lease.
    pub async fn cancel_running(&self) {
        for id in self.0.runs.ids() {
            let canceled = match self.load(&id).await {
                Ok(Some(record)) => self.cancel(&Self::caller_of(&record), &id).await.map(drop),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = canceled {
                tracing::warn!(task = %id, %error, "a running task could not be canceled");
            }
        }
    }
}

fn status(state: TaskState, message: Option<Arc<Message>>, at: Timestamp) -> EventBody {
    EventBody::Status(TaskStatus { message, ..TaskStatus::new(state, at) })
}

pub(crate) fn agent_message(task: &Task, parts: Vec<Part>, remarks: Option<JsonObject>) -> Message {
    let mut message = Message::new(Role::Agent, parts);
    message.metadata = remarks;
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
        self.tasks.0.storage.renew(&self.record.task.id, self.id, until).await.map_err(lost)?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = until;
        Ok(())
    }

    /// For how long the run may go on unless it renews: it must stop a little before somebody else
    /// may begin.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = SystemTime::from(held).duration_since(self.tasks.now().into());
        left.unwrap_or_default().saturating_sub(self.tasks.0.config.lease / 3)
    }

    /// Writes as this run, and again while the store fails, as long as nobody else may begin. A
    /// store that fails after it wrote makes the repetition a conflict: then the run counts as lost,
    /// and what it wrote stands.
    async fn write(&self, change: Change) -> Result<Committed, StorageError> {
        if self.tasks.is_volatile() {
            return self.tasks.commit(change).await;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            match self.tasks.commit(change.clone()).await {
                Err(StorageError::Backend { .. })
                    if pause < self.remaining() && !self.token.is_cancelled() =>
                {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                result => return result,
            }
        }
    }

    /// Learns which webhooks have come and gone while the handler ran; asks again while the store
    /// fails, as long as nobody else may begin.
    async fn refresh(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.tasks.load(&self.record.task.id).await {
                Ok(Some(now)) if now.version == self.record.version => {
                    self.record = now;
                    return;
                }
                Err(_) if pause < self.remaining() && !self.token.is_cancelled() => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                // The write will tell.
                _ => return,
            }
        }
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
            at: self.tasks.now(),
            outbox: Vec::new(),
            once: None,
        };
        let committed = self.write(change).await.map_err(lost)?;
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
        let Outcome { state, message, remarks, artifacts, metadata } = outcome;
        debug_assert!(self.record.task.status.state.can_become(state), "a worker's move");
        let mut events = Vec::with_capacity(artifacts.len() + 2);
        let task = &self.record.task;
        let mut says = message.map(|parts| Arc::new(agent_message(task, parts, remarks)));
        if state == TaskState::Completed
            && let Some(message) = says.take()
        {
            // A result is no word on the state: it goes to the history, not into the status.
            events.push(EventBody::Message(message));
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
        let at = self.tasks.now();
        events.push(status(state, says, at));
        if self.tasks.0.pushes.is_some() {
            self.refresh().await;
        }
        let change = self.tasks.step(&self.record, Hold::Release(self.id), events, at);
        Ok(self.write(change).await.map_err(lost)?.record)
    }
}

impl Run {
    /// Gives the task back unfinished, for another run to begin it anew: through `suspended` it is
    /// `resumed`.
    ///
    /// # Errors
    ///
    /// [`TaskError::RunLost`]: there is nothing to give back. [`TaskError::Storage`]: the task is
    /// run again once the lease has ended.
    pub async fn give_back(mut self) -> Result<(), TaskError> {
        if self.tasks.0.pushes.is_some() {
            self.refresh().await;
        }
        let at = self.tasks.now();
        let events = [TaskState::Suspended, TaskState::Resumed]
            .map(|state| EventBody::Status(TaskStatus::new(state, at)));
        let hold = Hold::Release(self.id);
        let given = self.tasks.advance(&self.record, hold, events.into(), at).await;
        given.map(drop).map_err(lost)
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
