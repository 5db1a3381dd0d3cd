//! Tasks, and the updates that a stream brings of them.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::wire::{LaxBool, missing, wire};
use crate::{Artifact, ContextId, JsonObject, Message, STATE_KEY, TaskId, TaskState, Timestamp};

/// One piece of work, with all that was said about it.
///
/// Messages and artifacts are shared, so that a copy of a task is cheap.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The task's id.
    pub id: TaskId,
    /// The conversation it belongs to.
    pub context_id: ContextId,
    /// Where it stands.
    pub status: TaskStatus,
    /// What was said, oldest first.
    pub history: Vec<Arc<Message>>,
    /// What came out of it, oldest first.
    pub artifacts: Vec<Arc<Artifact>>,
    /// Free-form remarks.
    pub metadata: Option<JsonObject>,
}

/// A state, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStatus {
    /// The state.
    pub state: TaskState,
    /// Since when; absent if a peer did not say so in a form that can be read.
    pub timestamp: Option<Timestamp>,
    /// What the agent says about it: its question, or why it failed. Tasks of the reference have
    /// none here, only in their history.
    pub message: Option<Arc<Message>>,
}

impl TaskStatus {
    /// A state since `at`, with nothing said about it.
    #[must_use]
    pub const fn new(state: TaskState, at: Timestamp) -> Self {
        Self { state, timestamp: Some(at), message: None }
    }
}

/// A task changed its state.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStatusUpdate {
    /// The task.
    pub task_id: TaskId,
    /// Its conversation.
    pub context_id: ContextId,
    /// Where it stands now.
    pub status: TaskStatus,
    /// Whether nothing follows in this stream.
    pub is_final: bool,
    /// Free-form remarks.
    pub metadata: Option<JsonObject>,
}

/// A task has a new artifact, or a further piece of one.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskArtifactUpdate {
    /// The task.
    pub task_id: TaskId,
    /// Its conversation.
    pub context_id: ContextId,
    /// The artifact, or the piece.
    pub artifact: Arc<Artifact>,
    /// Whether the parts continue those sent before under this artifact id.
    pub append: bool,
    /// Whether the artifact is complete with this.
    pub last_chunk: bool,
    /// Free-form remarks.
    pub metadata: Option<JsonObject>,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The whole task as it is; the first event of an A2A stream.
    Task(Arc<Task>),
    /// An answer without a task.
    Message(Arc<Message>),
    /// A change of state.
    Status(TaskStatusUpdate),
    /// An artifact, or a piece of one.
    Artifact(TaskArtifactUpdate),
}

/// What `message/send` answers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SendResult {
    /// The task that the message began or continued.
    Task(Arc<Task>),
    /// An answer without a task.
    Message(Arc<Message>),
}

wire! {
    StatusWire {
        state: TaskState = "state";
        timestamp: String = "timestamp";
        message: Message = "message";
    }
}

wire! {
    /// Any of the objects of this module; `kind` says which.
    AnyWire {
        kind: String = "kind";
        id: TaskId = "id";
        task_id: TaskId = "taskId" | "task_id";
        context_id: ContextId = "contextId" | "context_id";
        status: TaskStatus = "status";
        history: Vec<Message> = "history";
        artifacts: Vec<Artifact> = "artifacts";
        metadata: JsonObject = "metadata";
        is_final: LaxBool = "final";
        artifact: Artifact = "artifact";
        append: LaxBool = "append";
        last_chunk: LaxBool = "lastChunk" | "last_chunk";
    }
}

/// Undoes what [`View`](crate::View) does to a state that plain A2A does not have: the state's own
/// name, if metadata hold one that goes with the state shown, is the state, and not metadata.
fn own_state(status: &mut TaskStatus, metadata: &mut Option<JsonObject>) {
    let Some(map) = metadata.as_ref().filter(|map| map.as_str().contains(STATE_KEY)) else {
        return;
    };
    let own = map.get(STATE_KEY).and_then(|own| TaskState::deserialize(own).ok());
    let Some(own) = own.filter(|own| *own != status.state && own.as_a2a() == status.state) else {
        return;
    };
    status.state = own;
    *metadata = Some(map.without(STATE_KEY)).filter(|map| !map.is_empty());
}

impl AnyWire {
    /// A word that is there must be the right one.
    fn of_kind<E: serde::de::Error>(self, expected: &str) -> Result<Self, E> {
        match self.kind.as_deref() {
            Some(kind) if kind != expected => {
                Err(E::custom(format_args!("kind: expected {expected}, found {kind:?}")))
            }
            _ => Ok(self),
        }
    }

    fn into_task<E: serde::de::Error>(mut self) -> Result<Task, E> {
        let mut status = self.status.ok_or_else(|| missing("status"))?;
        own_state(&mut status, &mut self.metadata);
        Ok(Task {
            id: self.id.ok_or_else(|| missing("id"))?,
            context_id: self.context_id.ok_or_else(|| missing("contextId"))?,
            status,
            history: self.history.unwrap_or_default().into_iter().map(Arc::new).collect(),
            artifacts: self.artifacts.unwrap_or_default().into_iter().map(Arc::new).collect(),
            metadata: self.metadata,
        })
    }

    fn into_status_update<E: serde::de::Error>(mut self) -> Result<TaskStatusUpdate, E> {
        let mut status = self.status.ok_or_else(|| missing("status"))?;
        own_state(&mut status, &mut self.metadata);
        Ok(TaskStatusUpdate {
            task_id: self.task_id.ok_or_else(|| missing("taskId"))?,
            context_id: self.context_id.ok_or_else(|| missing("contextId"))?,
            status,
            is_final: self.is_final.is_some_and(|is_final| is_final.0),
            metadata: self.metadata,
        })
    }

    fn into_artifact_update<E: serde::de::Error>(self) -> Result<TaskArtifactUpdate, E> {
        let artifact = self.artifact.ok_or_else(|| missing("artifact"))?;
        Ok(TaskArtifactUpdate {
            task_id: self.task_id.ok_or_else(|| missing("taskId"))?,
            context_id: self.context_id.ok_or_else(|| missing("contextId"))?,
            append: self.append.map(|append| append.0).or(artifact.append).unwrap_or(false),
            last_chunk: self.last_chunk.map(|last| last.0).or(artifact.last_chunk).unwrap_or(false),
            artifact: Arc::new(artifact),
            metadata: self.metadata,
        })
    }
}

impl<'de> Deserialize<'de> for TaskStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = StatusWire::deserialize(deserializer)?;
        Ok(Self {
            state: wire.state.ok_or_else(|| missing("state"))?,
            timestamp: wire.timestamp.and_then(|text| text.parse().ok()),
            message: wire.message.map(Arc::new),
        })
    }
}

impl<'de> Deserialize<'de> for Task {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AnyWire::deserialize(deserializer)?.of_kind("task")?.into_task()
    }
}

impl<'de> Deserialize<'de> for TaskStatusUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AnyWire::deserialize(deserializer)?.of_kind("status-update")?.into_status_update()
    }
}

impl<'de> Deserialize<'de> for TaskArtifactUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        AnyWire::deserialize(deserializer)?.of_kind("artifact-update")?.into_artifact_update()
    }
}

impl<'de> Deserialize<'de> for StreamEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A message shares no members with the others that could be told apart in one pass.
        let json = crate::Json::deserialize(deserializer)?;
        let wire: AnyWire = json.parse().map_err(D::Error::custom)?;
        match wire.kind.as_deref() {
            Some("task") => wire.into_task().map(|task| Self::Task(Arc::new(task))),
            Some("status-update") => wire.into_status_update().map(Self::Status),
            Some("artifact-update") => wire.into_artifact_update().map(Self::Artifact),
            Some("message") => {
                let message: Message = json.parse().map_err(D::Error::custom)?;
                Ok(Self::Message(Arc::new(message)))
            }
            Some(other) => {
                Err(D::Error::custom(format_args!("kind: {other:?} is no stream event")))
            }
            None => Err(missing("kind")),
        }
    }
}

impl<'de> Deserialize<'de> for SendResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match StreamEvent::deserialize(deserializer)? {
            StreamEvent::Task(task) => Ok(Self::Task(task)),
            StreamEvent::Message(message) => Ok(Self::Message(message)),
            _ => Err(D::Error::custom("kind: expected task or message")),
        }
    }
}
