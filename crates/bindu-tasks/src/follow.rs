//! Following a task's events as they are stored.

use std::sync::Arc;
use std::time::Instant;

use bindu_protocol::{
    Artifact, Caller, JsonObject, StreamEvent, Task, TaskArtifactUpdate, TaskId, TaskStatusUpdate,
};
use bindu_storage::{Event, EventBody, Record};
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

use crate::hub::Batch;
use crate::{TaskError, Tasks};

/// How many events are read from the log at once.
const PAGE: usize = 256;

/// The events of one task, in order and without gaps, from some point on.
///
/// Reads the log until it has caught up, then listens. It ends with the event that ends the task
/// or asks its caller, unless the log goes on after that.
#[derive(Debug)]
pub struct Follow {
    tasks: Tasks,
    record: Arc<Record>,
    live: broadcast::Receiver<Batch>,
    last: u64,
    /// The last event that `record` itself shows.
    shown: u64,
    caught_up: bool,
    ended: bool,
    is_repeat: bool,
}

/// What a [`Follow`] brings.
#[derive(Clone, Debug)]
pub enum Followed {
    /// Events that were stored, at least one.
    Events(Vec<Event>),
    /// The follower was too slow and missed events. It may follow again from where it was.
    FellBehind,
}

impl Tasks {
    /// Follows a task of the caller's, from the event after number `after`; without it, from the
    /// present state on, and from the beginning of an artifact that is being streamed.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotFound`].
    pub async fn follow(
        &self,
        caller: &Caller,
        id: &TaskId,
        after: Option<u64>,
    ) -> Result<Follow, TaskError> {
        let record = self.get(caller, id).await?;
        let shown = self.present(&record).await?;
        let after = after.map_or(shown, |after| after.min(record.version.0));
        Ok(Follow::new(self.clone(), record, after, shown))
    }

    /// The number of the last event that the task itself shows: pieces of an artifact that is
    /// under way are only in the log.
    async fn present(&self, record: &Record) -> Result<u64, TaskError> {
        let mut last = record.version.0;
        while last > 0 {
            let page = self.events(&record.task.id, last.saturating_sub(PAGE as u64), PAGE).await?;
            let shown = page.iter().rev().filter(|event| event.seq <= last);
            match shown.clone().find(|event| !matches!(event.body, EventBody::Chunk { .. })) {
                Some(event) => return Ok(event.seq),
                None if page.is_empty() => break,
                None => last = last.saturating_sub(PAGE as u64),
            }
        }
        Ok(record.version.0)
    }

    pub(crate) async fn events(
        &self,
        id: &TaskId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, TaskError> {
        let begun = Instant::now();
        let read = self.0.storage.events(id, after, limit).await;
        self.0.observer.stored("events", begun.elapsed(), read.is_ok());
        Ok(read?)
    }
}

impl Follow {
    pub(crate) fn new(tasks: Tasks, record: Arc<Record>, after: u64, shown: u64) -> Self {
        let live = tasks.0.hub.follow(&record.task.id);
        Self {
            tasks,
            record,
            live,
            last: after,
            shown,
            caught_up: false,
            ended: false,
            is_repeat: false,
        }
    }

    /// The same, after a message that came before.
    pub(crate) fn of_repeat(mut self, is_repeat: bool) -> Self {
        self.is_repeat = is_repeat;
        self
    }

    /// Whether this began with a message that had come before, and so changed nothing.
    #[must_use]
    pub fn is_repeat(&self) -> bool {
        self.is_repeat
    }

    /// The task as it was when this began.
    #[must_use]
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// The number of the last event that was brought, or after which this began.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.last
    }

    /// Whether nothing follows what was brought last.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Goes past everything that [`record`](Self::record) itself shows, for a reader that is shown
    /// it first; says the number of the last event that it shows. Pieces of an artifact that is
    /// under way are still brought.
    pub fn skip_to_shown(&mut self) -> u64 {
        self.last = self.last.max(self.shown);
        self.last
    }

    /// The task as it is now.
    ///
    /// # Errors
    ///
    /// [`TaskError::NotFound`] if it is gone.
    pub async fn reload(&self) -> Result<Arc<Record>, TaskError> {
        self.tasks.load(&self.record.task.id).await?.ok_or(TaskError::NotFound)
    }

    /// Waits for the next events; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`TaskError::Storage`] if the log cannot be read.
    pub async fn next(&mut self) -> Result<Option<Followed>, TaskError> {
        loop {
            if self.ended {
                return Ok(None);
            }
            if !self.caught_up {
                let events = self.tasks.events(&self.record.task.id, self.last, PAGE).await?;
                self.caught_up = events.len() < PAGE;
                if events.is_empty() {
                    // Resumed at the very end: a task that is over brings no more.
                    self.ended = self.is_over().await?;
                    continue;
                }
                return Ok(Some(self.bring(events)));
            }
            let batch = match self.live.recv().await {
                Ok(batch) => batch,
                Err(RecvError::Lagged(_)) => {
                    self.ended = true;
                    return Ok(Some(Followed::FellBehind));
                }
                Err(RecvError::Closed) => {
                    // The task is over or gone; the log has whatever was not heard.
                    let rest = self.tasks.events(&self.record.task.id, self.last, PAGE).await?;
                    if rest.is_empty() {
                        self.ended = true;
                        continue;
                    }
                    self.caught_up = false;
                    continue;
                }
            };
            if let Some(events) = self.fresh(batch) {
                return Ok(Some(self.bring(events)));
            }
        }
    }

    /// The part of a batch that was not brought yet, with whatever else is ready; `None` if there
    /// is nothing, or a gap that the log must fill.
    fn fresh(&mut self, first: Batch) -> Option<Vec<Event>> {
        let mut events: Vec<Event> = Vec::with_capacity(first.len());
        let mut last = self.last;
        let mut batch = first;
        loop {
            // Another process wrote something: what it was, the log has.
            if batch.is_empty() {
                self.caught_up = false;
            }
            for event in batch.iter() {
                if event.seq <= last {
                    continue;
                }
                if event.seq != last + 1 {
                    self.caught_up = false;
                    break;
                }
                last = event.seq;
                events.push(event.clone());
            }
            if !self.caught_up || events.len() >= PAGE {
                break;
            }
            batch = match self.live.try_recv() {
                Ok(batch) => batch,
                // Lagging shows at the next wait: what is here is whole up to `last`.
                Err(TryRecvError::Empty | TryRecvError::Closed | TryRecvError::Lagged(_)) => break,
            };
        }
        (!events.is_empty()).then_some(events)
    }

    fn bring(&mut self, events: Vec<Event>) -> Followed {
        if let Some(event) = events.last() {
            self.last = event.seq;
            self.ended = self.caught_up && is_settled(&event.body);
        }
        Followed::Events(events)
    }

    async fn is_over(&self) -> Result<bool, TaskError> {
        let record = self.tasks.load(&self.record.task.id).await?;
        Ok(record.is_none_or(|record| {
            record.version.0 <= self.last && record.task.status.state.is_settled()
        }))
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        // The receiver must be gone before the hub looks whether anybody still listens.
        self.live = broadcast::channel(1).1;
        self.tasks.0.hub.unfollow(&self.record.task.id);
    }
}

/// Whether an event leaves the task over or waiting for its caller.
#[must_use]
pub fn is_settled(body: &EventBody) -> bool {
    match body {
        EventBody::Status(status) => status.state.is_settled(),
        EventBody::Snapshot(task) => task.status.state.is_settled(),
        _ => false,
    }
}

/// An event of a log as streams and webhooks show it; `None` for one that they do not show.
///
/// `is_final` is what a status update says of itself.
#[must_use]
pub fn to_stream_event(task: &Task, event: &EventBody, is_final: bool) -> Option<StreamEvent> {
    let artifact = |artifact: &Arc<Artifact>, append, last_chunk| {
        StreamEvent::Artifact(TaskArtifactUpdate {
            task_id: task.id.clone(),
            context_id: task.context_id.clone(),
            artifact: Arc::clone(artifact),
            append,
            last_chunk,
            metadata: None,
        })
    };
    match event {
        EventBody::Snapshot(task) => Some(StreamEvent::Task(Arc::clone(task))),
        EventBody::Status(status) => Some(StreamEvent::Status(TaskStatusUpdate {
            task_id: task.id.clone(),
            context_id: task.context_id.clone(),
            status: status.clone(),
            is_final,
            metadata: None,
        })),
        EventBody::Artifact { artifact: whole, streamed: false } => {
            Some(artifact(whole, false, true))
        }
        EventBody::Artifact { artifact: whole, streamed: true } => {
            Some(artifact(&Arc::new(closing(whole)), true, true))
        }
        EventBody::Chunk { artifact: piece, append } => Some(artifact(piece, *append, false)),
        _ => None,
    }
}

/// The end of an artifact whose content went out in pieces: no more content, but what was known
/// only at the end, the signature of the whole above all.
fn closing(whole: &Artifact) -> Artifact {
    let signed = match whole.parts.as_slice() {
        [only] => only.metadata.clone(),
        _ => None,
    };
    let metadata: Option<JsonObject> = whole.metadata.clone().or(signed);
    Artifact { parts: Vec::new(), metadata, ..whole.clone() }
}
