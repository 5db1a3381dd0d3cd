use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bindu_http::client::IncomingBody;
use bindu_http::sse::{Event, SseStream};
use bindu_protocol::{
    Code, Dialect, Json, StreamEvent, TaskId, TaskState, TaskStatus, Timestamp, method,
};
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::sleep;

use crate::artifacts::StreamCheck;
use crate::client::{Opened, cannot_resubscribe, read_event};
use crate::{Client, ClientError, params};

/// What becomes of a task, event by event.
///
/// A connection that breaks is opened again, by `tasks/resubscribe` with the id of the last
/// event, and goes on without a repeat if the agent numbers its events (agents of Bindu do).
/// How often in a row is what the client's retry policy says. The stream ends after the event
/// that says so, and after an error.
///
/// ```no_run
/// use bindu_client::Client;
/// use bindu_protocol::StreamEvent;
/// use futures_util::StreamExt as _;
///
/// # async fn example() -> Result<(), bindu_client::ClientError> {
/// let agent = Client::connect("http://localhost:3773")?;
/// let mut events = agent.stream("count to three").await?;
/// while let Some(event) = events.next().await {
///     if let StreamEvent::Artifact(piece) = event? {
///         for part in &piece.artifact.parts {
///             print!("{}", part.as_text().unwrap_or_default());
///         }
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// Dropping it closes the connection; the task goes on.
#[must_use = "a stream does nothing unless it is polled"]
pub struct EventStream {
    items: BoxStream<'static, Item>,
    task_id: Option<TaskId>,
    last_event_id: String,
}

/// What was read, and the id to resume after it.
struct Item {
    outcome: Result<StreamEvent, ClientError>,
    last_event_id: String,
}

impl EventStream {
    pub(crate) fn new(
        client: Client,
        dialect: Dialect,
        opened: Opened,
        task_id: Option<TaskId>,
        last_event_id: String,
        resend: Option<Json>,
    ) -> Self {
        let resumed_after = (!last_event_id.is_empty()).then(|| last_event_id.clone());
        Self::of(Follow {
            client,
            dialect,
            source: opened.into(),
            task_id,
            last_event_id,
            resend,
            resumed_after,
            failures: 0,
            status: None,
            signatures: StreamCheck::default(),
            done: false,
        })
    }

    /// A stream of one event: the task, once it is settled.
    pub(crate) fn polling(client: Client, dialect: Dialect, task_id: TaskId) -> Self {
        Self::of(Follow {
            client,
            dialect,
            source: Source::Poll,
            task_id: Some(task_id),
            last_event_id: String::new(),
            resend: None,
            resumed_after: None,
            failures: 0,
            status: None,
            signatures: StreamCheck::default(),
            done: false,
        })
    }

    fn of(follow: Follow) -> Self {
        let (task_id, last_event_id) = (follow.task_id.clone(), follow.last_event_id.clone());
        let items = stream::unfold(follow, async |mut follow| {
            let outcome = follow.next().await?;
            Some((Item { outcome, last_event_id: follow.last_event_id.clone() }, follow))
        });
        Self { items: items.boxed(), task_id, last_event_id }
    }

    /// The task, once it is known.
    #[must_use]
    pub const fn task_id(&self) -> Option<&TaskId> {
        self.task_id.as_ref()
    }

    /// The id of the last event that had one: what [`Client::resubscribe`] takes to go on
    /// from here, also in another process.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        (!self.last_event_id.is_empty()).then_some(&*self.last_event_id)
    }
}

impl Stream for EventStream {
    type Item = Result<StreamEvent, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(item) = ready!(self.items.poll_next_unpin(cx)) else { return Poll::Ready(None) };
        self.last_event_id = item.last_event_id;
        if let (None, Ok(event)) = (&self.task_id, &item.outcome) {
            self.task_id = task_of(event).cloned();
        }
        Poll::Ready(Some(item.outcome))
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("task_id", &self.task_id)
            .field("last_event_id", &self.last_event_id)
            .finish_non_exhaustive()
    }
}

/// Where the next event comes from.
enum Source {
    Open(Box<SseStream<IncomingBody>>),
    /// Everything there was, in one piece.
    Single(Box<StreamEvent>),
    /// Nothing is open; it broke for this reason.
    Broken(ClientError, Option<Duration>),
    /// The agent cannot stream what happens to a task.
    Poll,
}

impl From<Opened> for Source {
    fn from(opened: Opened) -> Self {
        match opened {
            Opened::Stream(stream) => Self::Open(stream),
            Opened::Single(event) => Self::Single(event),
        }
    }
}

/// The state of an [`EventStream`] between two events.
struct Follow {
    client: Client,
    dialect: Dialect,
    source: Source,
    task_id: Option<TaskId>,
    last_event_id: String,
    /// What to send again if the connection breaks before the task is known.
    resend: Option<Json>,
    /// The last event of an earlier connection, if there was one: up to it, events are repeats.
    /// Not that of this one: a snapshot may have the number of what it holds, and that be told
    /// after it.
    resumed_after: Option<String>,
    /// Connections in a row that brought nothing new.
    failures: u32,
    /// The last status that was handed out.
    status: Option<(TaskState, Option<Timestamp>)>,
    signatures: StreamCheck,
    done: bool,
}

impl Follow {
    async fn next(&mut self) -> Option<Result<StreamEvent, ClientError>> {
        while !self.done {
            let step = match &mut self.source {
                Source::Open(stream) => {
                    let read = stream.next().await;
                    let pause = stream.reconnect_after().map(Duration::from_millis);
                    match read {
                        Some(Ok(event)) => self.accept(&event),
                        Some(Err(error)) => self.broke(ClientError::from_sse(error), pause),
                        None if self.is_complete() => Step::End,
                        None => {
                            let reason = "it ended before the task did";
                            let error = ClientError::protocol("event stream", reason);
                            self.source = Source::Broken(error, pause);
                            continue;
                        }
                    }
                }
                Source::Single(event) => {
                    let event = StreamEvent::clone(event);
                    self.done = true;
                    self.hand_out(event, false)
                }
                Source::Broken(..) => self.resume().await,
                Source::Poll => self.poll_task().await,
            };
            match step {
                Step::Event(event) => {
                    let checked = match self.client.key_of_artifacts() {
                        Some(key) => self.signatures.check(&event, &key),
                        None => Ok(()),
                    };
                    self.done |= checked.is_err();
                    return Some(checked.map(|()| event));
                }
                Step::Failed(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
                Step::Again => {}
                Step::End => self.done = true,
            }
        }
        None
    }

    /// Whether the stream may end here. In the reference's dialect artifacts follow the last
    /// status, so that its streams are read until they end.
    fn is_complete(&self) -> bool {
        self.status.is_some_and(|(state, _)| state.is_settled())
    }

    fn accept(&mut self, event: &Event) -> Step {
        if self.is_repeat(event) {
            return Step::Again;
        }
        let read = match read_event(&event.data) {
            Ok(read) => read,
            Err(error) if self.task_id.is_some() && invites_back(&error) => {
                self.source = Source::Broken(error, None);
                return Step::Again;
            }
            Err(error) => return Step::Failed(error),
        };
        if let Some(id) = &event.id {
            self.last_event_id.clone_from(id);
        }
        // Without numbers, what comes on a new connection may well have come before; an agent
        // that keeps breaking must not keep us busy for ever.
        self.hand_out(read, self.resumed_after.is_none() || event.id.is_some())
    }

    /// Events are numbered upwards; an id that is no number can only be the very last again.
    fn is_repeat(&self, event: &Event) -> bool {
        let (Some(id), Some(last)) = (&event.id, &self.resumed_after) else { return false };
        match (id.parse::<u64>(), last.parse::<u64>()) {
            (Ok(id), Ok(last)) => id <= last,
            _ => id == last,
        }
    }

    fn hand_out(&mut self, event: StreamEvent, is_new: bool) -> Step {
        if let Some(task) = task_of(&event) {
            self.task_id.get_or_insert_with(|| task.clone());
        }
        // A snapshot is no progress: it comes with every connection.
        let mut progress = is_new;
        match &event {
            StreamEvent::Task(task) => {
                progress = false;
                self.status = Some(mark(&task.status));
            }
            StreamEvent::Status(update) => {
                let mark = mark(&update.status);
                if self.resumed_after.is_some() && !update.is_final && self.status == Some(mark) {
                    return Step::Again;
                }
                self.status = Some(mark);
                self.done = update.is_final && self.dialect != Dialect::Reference;
            }
            StreamEvent::Message(_) => self.done = true,
            _ => {}
        }
        if progress {
            self.failures = 0;
        }
        Step::Event(event)
    }

    fn broke(&mut self, error: ClientError, pause: Option<Duration>) -> Step {
        if !error.is_retryable() {
            return Step::Failed(error);
        }
        self.source = Source::Broken(error, pause);
        Step::Again
    }

    async fn resume(&mut self) -> Step {
        let policy = self.client.retry_policy();
        self.failures += 1;
        let Source::Broken(error, pause) = std::mem::replace(&mut self.source, Source::Poll) else {
            return Step::Again;
        };
        if self.failures >= policy.max_attempts {
            return Step::Failed(ClientError::Broken(Box::new(error)));
        }
        let (method, params) = match (&self.task_id, &self.resend) {
            (Some(task), _) => (method::TASKS_RESUBSCRIBE, params::task(self.dialect, task, None)),
            (None, Some(params)) => (method::MESSAGE_STREAM, params.clone()),
            (None, None) => return Step::Failed(ClientError::Broken(Box::new(error))),
        };
        let asked = pause.unwrap_or_default().min(policy.max_delay);
        let pause = policy.backoff(self.failures, fastrand::f64()).max(asked);
        tracing::debug!(attempt = self.failures, %error, ?pause, "resuming a stream");
        sleep(pause).await;
        self.resumed_after = Some(self.last_event_id.clone());
        match self.client.open(method, &params, &self.last_event_id).await {
            Ok(opened) => self.source = opened.into(),
            Err(refused) if self.task_id.is_some() && cannot_resubscribe(&refused) => {
                self.source = Source::Poll;
            }
            Err(failed) => return self.broke(failed, None),
        }
        Step::Again
    }

    async fn poll_task(&mut self) -> Step {
        let Some(id) = &self.task_id else { return Step::End };
        let settled = self.client.settled(id, drop).await;
        self.done = true;
        match settled {
            Ok(task) => Step::Event(StreamEvent::Task(Arc::new(task))),
            Err(error) => Step::Failed(error),
        }
    }
}

enum Step {
    Event(StreamEvent),
    Failed(ClientError),
    /// Nothing to hand out yet.
    Again,
    End,
}

/// Whether the agent ended a stream only because this reader was too slow, or because it could
/// not go on itself. Agents of Bindu then say where to resume.
fn invites_back(error: &ClientError) -> bool {
    match error {
        ClientError::Rpc(error) => {
            error.code == Code::INTERNAL && error.message.contains("resume with Last-Event-ID")
        }
        _ => false,
    }
}

fn mark(status: &TaskStatus) -> (TaskState, Option<Timestamp>) {
    (status.state, status.timestamp)
}

fn task_of(event: &StreamEvent) -> Option<&TaskId> {
    match event {
        StreamEvent::Task(task) => Some(&task.id),
        StreamEvent::Message(message) => message.task_id.as_ref(),
        StreamEvent::Status(update) => Some(&update.task_id),
        StreamEvent::Artifact(update) => Some(&update.task_id),
        _ => None,
    }
}
