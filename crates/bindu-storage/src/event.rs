//! The log of a task.

use std::sync::Arc;

use bindu_protocol::{Artifact, JsonObject, Message, Task, TaskStatus, Timestamp};

/// One entry of a task's log.
///
/// The log is the source; the stored task, streams, webhooks and counts are views of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number within the task, from 1 without gaps.
    pub seq: u64,
    /// When it was stored.
    pub at: Timestamp,
    /// What happened.
    pub body: EventBody,
}

/// What happened to a task.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventBody {
    /// The task as a whole: at its creation, or as found in a database that has no log of it.
    Snapshot(Arc<Task>),
    /// A message joined the history.
    Message(Arc<Message>),
    /// The state changed. A message of the agent that came with it joins the history.
    Status(TaskStatus),
    /// A whole artifact joined the task.
    Artifact {
        /// The artifact.
        artifact: Arc<Artifact>,
        /// Whether its content went out before, in chunks.
        streamed: bool,
    },
    /// Members of the task's metadata were added or replaced, one by one.
    Metadata(JsonObject),
    /// A piece of an artifact that is not whole yet. Only the log has it.
    Chunk {
        /// The piece: the artifact's id and name, and the piece's parts.
        artifact: Arc<Artifact>,
        /// Whether the piece continues earlier ones.
        append: bool,
    },
}

impl EventBody {
    /// The task after this event.
    ///
    /// ```
    /// # use bindu_protocol::{ContextId, Task, TaskId, TaskState, TaskStatus, Timestamp};
    /// # use bindu_storage::EventBody;
    /// # let now = Timestamp::now();
    /// let mut task = Task {
    ///     id: TaskId::random(),
    ///     context_id: ContextId::random(),
    ///     status: TaskStatus::new(TaskState::Submitted, now),
    ///     history: Vec::new(),
    ///     artifacts: Vec::new(),
    ///     metadata: None,
    /// };
    /// EventBody::Status(TaskStatus::new(TaskState::Working, now)).apply(&mut task);
    /// assert_eq!(task.status.state, TaskState::Working);
    /// ```
    pub fn apply(&self, task: &mut Task) {
        match self {
            Self::Snapshot(whole) => *task = Task::clone(whole),
            Self::Message(message) => push_exact(&mut task.history, Arc::clone(message)),
            Self::Status(status) => {
                task.status = status.clone();
                if let Some(message) = &status.message {
                    push_exact(&mut task.history, Arc::clone(message));
                }
            }
            Self::Artifact { artifact, .. } => {
                push_exact(&mut task.artifacts, Arc::clone(artifact));
            }
            Self::Metadata(members) => {
                let mut map = task.metadata.as_ref().map(JsonObject::to_map).unwrap_or_default();
                map.extend(members.to_map());
                task.metadata = Some(map.into());
            }
            Self::Chunk { .. } => {}
        }
    }
}

/// Histories are short and kept long: no room is left for elements that never come.
fn push_exact<T>(list: &mut Vec<T>, element: T) {
    list.reserve_exact(1);
    list.push(element);
}
