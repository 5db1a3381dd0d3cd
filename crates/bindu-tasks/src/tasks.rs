//! The engine: what callers and workers may do with tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bindu_protocol::{
    Caller, ContextId, ContextSummary, FeedbackParams, JsonObject, ListParams, PushConfigId,
    TaskId, TaskState, TaskStatus, Timestamp, payment,
};
use bindu_scheduler::{Job, Scheduler, SchedulerError};
use bindu_storage::{
    Change, Committed, ContextQuery, Durability, EventBody, Feedback, Hold, OutboxBody, Page,
    Record, Storage, StorageError, TaskQuery, Version,
};

use crate::hub::Hub;
use crate::observer::Deaf;
use crate::push::{self, Pushes};
use crate::run::Runs;
use crate::{Config, Observer, TaskError};

/// How often a write is tried again because another writer was faster.
pub(crate) const MAX_RACES: usize = 16;

/// The life of an agent's tasks.
///
/// Only this type advances a state. Every write is a compare-and-set on the task's version, so
/// that of two writers one wins and the other is told; and every write goes through one place,
/// which stores the step and tells whoever listens.
///
/// Cheap to clone; all clones are one engine.
#[derive(Clone, Debug)]
pub struct Tasks(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) hub: Hub,
    pub(crate) runs: Runs,
    pub(crate) pushes: Option<Pushes>,
    pub(crate) config: Config,
    pub(crate) observer: Arc<dyn Observer>,
    closing: AtomicBool,
}

/// Puts an engine together.
#[derive(Debug)]
pub struct TasksBuilder {
    storage: Arc<dyn Storage>,
    scheduler: Arc<dyn Scheduler>,
    config: Config,
    pushes: Option<Pushes>,
    observer: Arc<dyn Observer>,
}

impl TasksBuilder {
    /// Sets how the engine behaves.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Sends webhooks; without it, every push method answers that they are not supported.
    #[must_use]
    pub fn pushes(mut self, pushes: Pushes) -> Self {
        self.pushes = Some(pushes);
        self
    }

    /// Tells `observer` what happens.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// The engine. Nothing runs yet: what an earlier process left is seen to by
    /// [`Tasks::upkeep`].
    #[must_use]
    pub fn build(self) -> Tasks {
        Tasks(Arc::new(Inner {
            hub: Hub::new(self.config.stream_backlog),
            storage: self.storage,
            scheduler: self.scheduler,
            runs: Runs::default(),
            pushes: self.pushes,
            config: self.config,
            observer: self.observer,
            closing: AtomicBool::new(false),
        }))
    }
}

impl Tasks {
    /// Begins an engine over a store and a queue.
    #[must_use]
    pub fn builder(storage: Arc<dyn Storage>, scheduler: Arc<dyn Scheduler>) -> TasksBuilder {
        TasksBuilder {
            storage,
            scheduler,
            config: Config::default(),
            pushes: None,
            observer: Arc::new(Deaf),
        }
    }

    /// The store below.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.0.storage
    }

    /// The queue below.
    #[must_use]
    pub fn scheduler(&self) -> &Arc<dyn Scheduler> {
        &self.0.scheduler
    }

    /// Takes no more messages. What was accepted goes on.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::SeqCst);
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::SeqCst)
    }

    /// Reads a task.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotFound`] if the caller has no such task.
    pub async fn get(&self, caller: &Caller, id: &TaskId) -> Result<Arc<Record>, TaskError> {
        self.load(id)
            .await?
            .filter(|record| caller.may_see(&record.owner))
            .ok_or(TaskError::NotFound)
    }

    /// Lists the caller's tasks, newest first, at most [`Config::max_page`].
    ///
    /// # Errors
    ///
    /// [`TaskError::Invalid`] for a page token that is none.
    pub async fn list(
        &self,
        caller: &Caller,
        params: &ListParams,
    ) -> Result<Page<Arc<Record>>, TaskError> {
        let query = TaskQuery {
            owner: Some(caller.owner()),
            context: params.context_id.clone(),
            oldest_first: false,
            after: params.page_token.clone(),
            limit: self.page(params.page_size),
        };
        Ok(self.0.storage.tasks(query).await?)
    }

    /// Lists the caller's contexts, newest first, at most [`Config::max_page`].
    ///
    /// # Errors
    ///
    /// [`TaskError::Invalid`] for a page token that is none.
    pub async fn contexts(
        &self,
        caller: &Caller,
        params: &ListParams,
    ) -> Result<Page<ContextSummary>, TaskError> {
        let query = ContextQuery {
            owner: Some(caller.owner()),
            after: params.page_token.clone(),
            limit: self.page(params.page_size.or(params.history_length)),
        };
        Ok(self.0.storage.contexts(query).await?)
    }

    fn page(&self, asked: Option<i64>) -> usize {
        let limit = self.0.config.max_page;
        asked
            .filter(|asked| *asked >= 1)
            .map_or(limit, |asked| usize::try_from(asked).unwrap_or(usize::MAX).min(limit))
    }

    /// Deletes a context of the caller's, with everything in it.
    ///
    /// # Errors
    ///
    /// [`TaskError::ContextNotFound`]; [`TaskError::ContextBusy`] while one of its tasks is queued
    /// or running.
    pub async fn clear_context(&self, caller: &Caller, id: &ContextId) -> Result<(), TaskError> {
        let cleared = self.0.storage.clear_context(id, &caller.owner()).await;
        let tasks = cleared.map_err(|error| match error {
            StorageError::NotFound => TaskError::ContextNotFound,
            other => other.into(),
        })?;
        for task in tasks {
            self.0.hub.forget(&task);
        }
        Ok(())
    }

    /// Leaves an opinion on a task of the caller's.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotFound`]; [`TaskError::Invalid`] beyond [`Config::max_feedback`] or
    /// [`Config::feedback_max_bytes`].
    pub async fn add_feedback(
        &self,
        caller: &Caller,
        params: FeedbackParams,
    ) -> Result<(), TaskError> {
        self.get(caller, &params.id).await?;
        let remarks = params.metadata.as_ref().map_or(0, |metadata| metadata.as_str().len());
        let limit = self.0.config.feedback_max_bytes;
        if params.feedback.len() + remarks > limit {
            return Err(TaskError::Invalid(format!(
                "feedback: at most {limit} bytes, metadata included"
            )));
        }
        let limit = self.0.config.max_feedback;
        if self.0.storage.feedback(&params.id).await?.len() >= limit {
            return Err(TaskError::Invalid(format!("the task has {limit} opinions already")));
        }
        let feedback = Feedback {
            text: params.feedback,
            rating: params.rating.and_then(|rating| u8::try_from(rating).ok()),
            metadata: params.metadata,
            at: self.now(),
        };
        Ok(self.0.storage.add_feedback(&params.id, feedback).await?)
    }

    /// Ends a task of the caller's, wherever it runs.
    ///
    /// The state is `canceled` when this returns; an async handler is dropped, a blocking one is
    /// signalled, and what either still returns is thrown away.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotFound`]; [`TaskError::NotCancelable`] if the task is over.
    pub async fn cancel(&self, caller: &Caller, id: &TaskId) -> Result<Arc<Record>, TaskError> {
        self.cancel_with(caller, id, None, None).await
    }

    /// The same, and writes members of the task's metadata with it, if there are any; but only if
    /// the task is still at this version, if one is given.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel); [`TaskError::Busy`] if the task has moved on.
    pub async fn cancel_with(
        &self,
        caller: &Caller,
        id: &TaskId,
        metadata: Option<&JsonObject>,
        only: Option<Version>,
    ) -> Result<Arc<Record>, TaskError> {
        for _ in 0..MAX_RACES {
            let record = self.get(caller, id).await?;
            if only.is_some_and(|version| version != record.version) {
                return Err(TaskError::Busy);
            }
            let state = record.task.status.state;
            if !state.can_become(TaskState::Canceled) {
                return Err(TaskError::NotCancelable(state));
            }
            let at = self.now();
            let mut events: Vec<_> =
                metadata.into_iter().cloned().map(EventBody::Metadata).collect();
            events.push(EventBody::Status(TaskStatus::new(TaskState::Canceled, at)));
            match self.advance(&record, Hold::Outside, events, at).await {
                Ok(committed) => {
                    if !self.0.runs.cancel(id) && record.lease.is_some() {
                        self.0.scheduler.nudge(id).await;
                    }
                    return Ok(committed.record);
                }
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(TaskError::Busy)
    }

    pub(crate) async fn load(&self, id: &TaskId) -> Result<Option<Arc<Record>>, TaskError> {
        let begun = Instant::now();
        let loaded = self.0.storage.load(id).await;
        self.0.observer.stored("load", begun.elapsed(), loaded.is_ok());
        Ok(loaded?)
    }

    /// Adds events to a task that exists.
    pub(crate) async fn advance(
        &self,
        record: &Record,
        hold: Hold,
        events: Vec<EventBody>,
        at: Timestamp,
    ) -> Result<Committed, StorageError> {
        self.commit(self.step(record, hold, events, at)).await
    }

    /// The change that adds events to a task, and tells its webhooks of them.
    pub(crate) fn step(
        &self,
        record: &Record,
        hold: Hold,
        mut events: Vec<EventBody>,
        at: Timestamp,
    ) -> Change {
        if let Some(orphaned) = orphaned(&record.task, &events) {
            // Before the status: that is the last word of a stream.
            events.insert(0, EventBody::Metadata(orphaned));
        }
        let mut task = bindu_protocol::Task::clone(&record.task);
        for event in &events {
            event.apply(&mut task);
        }
        let outbox = match &self.0.pushes {
            Some(_) => push::announce(record, &task, &events, at, &self.0.config),
            None => Vec::new(),
        };
        Change {
            task: Arc::new(task),
            expected: Some(record.version),
            birth: None,
            hold,
            events,
            at,
            outbox,
            once: None,
        }
    }

    /// The one place where anything about a task is written.
    pub(crate) async fn commit(&self, change: Change) -> Result<Committed, StorageError> {
        let told = told(&change.outbox);
        let begun = Instant::now();
        let committed = self.0.storage.commit(change).await;
        self.0.observer.stored("commit", begun.elapsed(), committed.is_ok());
        let committed = committed?;
        self.0.hub.publish(&committed);
        let state = committed.record.task.status.state;
        if state.is_terminal() && !committed.events.is_empty() {
            let since = SystemTime::from(committed.record.created);
            let now = SystemTime::from(self.now());
            let after = now.duration_since(since).unwrap_or(Duration::ZERO);
            self.0.observer.task_ended(state, after);
        }
        if let Some(pushes) = &self.0.pushes {
            for config in told {
                pushes.wake(self, &committed.record.task.id, config);
            }
        }
        Ok(committed)
    }

    /// Queues a run of a task that was just stored.
    pub(crate) async fn enqueue(
        &self,
        committed: &Committed,
        trace: Option<Box<str>>,
    ) -> Result<(), TaskError> {
        if self.0.scheduler.reads_outbox() {
            return Ok(());
        }
        let record = &committed.record;
        match self.0.scheduler.push(job(record, trace)).await {
            Ok(()) => Ok(()),
            Err(SchedulerError::Closed) if self.is_volatile() => {
                // The caller is told that it failed, and nobody will ever run it.
                self.give_up(record, "Task execution failed: the agent is shutting down").await?;
                Err(TaskError::Closing)
            }
            Err(error) => {
                // It is stored, so it is accepted: it will be queued again.
                tracing::warn!(task = %record.task.id, error = &error as &dyn std::error::Error, "a task waits to be queued");
                Ok(())
            }
        }
    }

    /// What a change that asks for a run puts into the outbox: the job itself, if the queue reads
    /// its jobs there.
    pub(crate) fn outbox_run(&self, version: Version) -> Vec<OutboxBody> {
        if self.0.scheduler.reads_outbox() { vec![OutboxBody::Run { version }] } else { Vec::new() }
    }

    /// Whether what is stored ends with this process.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        self.0.storage.durability() == Durability::Volatile
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.config.clock.now()
    }

    /// The time so much later.
    pub(crate) fn after(&self, wait: Duration) -> Timestamp {
        (SystemTime::from(self.now()) + wait).into()
    }

    /// The time so much earlier.
    pub(crate) fn before(&self, wait: Duration) -> Timestamp {
        let now = SystemTime::from(self.now());
        now.checked_sub(wait).unwrap_or(SystemTime::UNIX_EPOCH).into()
    }
}

/// What is to be said of a task that was paid for and ends without its work being done.
fn orphaned(task: &bindu_protocol::Task, events: &[EventBody]) -> Option<JsonObject> {
    let ends = events.iter().any(|event| match event {
        EventBody::Status(status) => {
            status.state.is_terminal() && status.state != TaskState::Completed
        }
        _ => false,
    });
    let is_paid = || {
        let status = task.metadata.as_ref()?.get(payment::STATUS)?;
        (status == payment::status::COMPLETED).then_some(())
    };
    (ends && is_paid().is_some())
        .then(|| JsonObject::empty().with(payment::STATUS, payment::status::ORPHANED))
}

/// The run that a task waits for.
pub(crate) fn job(record: &Record, trace: Option<Box<str>>) -> Job {
    Job {
        task: record.task.id.clone(),
        context: record.task.context_id.clone(),
        owner: record.owner.clone(),
        version: record.version.0,
        trace,
    }
}

/// The webhooks that are told something, each once.
fn told(outbox: &[OutboxBody]) -> Vec<PushConfigId> {
    let mut told = Vec::new();
    for body in outbox {
        if let OutboxBody::Deliver(delivery) = body
            && let Some(id) = &delivery.webhook.config.id
            && !told.contains(id)
        {
            told.push(id.clone());
        }
    }
    told
}
