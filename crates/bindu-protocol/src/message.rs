//! Messages and artifacts.

use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::{LaxBool, missing, wire};
use crate::{ArtifactId, ContextId, JsonObject, MessageId, Part, TaskId};

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The caller.
    User,
    /// The agent.
    Agent,
    /// Instructions of the agent's operator, first in a handler's view. A2A itself has no such
    /// role, and what a caller sends under it is taken as the caller's.
    System,
}

impl Role {
    /// The role's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::System => "system",
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The sender's own id of this message.
    pub id: MessageId,
    /// The conversation it belongs to, once known.
    pub context_id: Option<ContextId>,
    /// The task it belongs to, once known.
    pub task_id: Option<TaskId>,
    /// Earlier tasks that the sender points at.
    pub reference_task_ids: Vec<TaskId>,
    /// Who speaks.
    pub role: Role,
    /// What is said; may be empty.
    pub parts: Vec<Part>,
    /// Free-form remarks.
    pub metadata: Option<JsonObject>,
    /// URIs of the extensions that the message uses.
    pub extensions: Vec<String>,
}

impl Message {
    /// A message of one speaker with a new random id, belonging to no task yet.
    #[must_use]
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self {
            id: MessageId::random(),
            context_id: None,
            task_id: None,
            reference_task_ids: Vec::new(),
            role,
            parts,
            metadata: None,
            extensions: Vec::new(),
        }
    }

    /// The text of all text parts, joined by one blank.
    ///
    /// ```
    /// # use bindu_protocol::{Message, Part, Role};
    /// let message = Message::new(Role::User, vec![Part::text("two"), Part::text("words")]);
    /// assert_eq!(message.text(), "two words");
    /// ```
    #[must_use]
    pub fn text(&self) -> String {
        let mut texts = self.parts.iter().filter_map(Part::as_text);
        let mut joined = texts.next().unwrap_or_default().to_owned();
        for text in texts {
            joined.push(' ');
            joined.push_str(text);
        }
        joined
    }
}

/// A result of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// Names the artifact within its task.
    pub id: ArtifactId,
    /// A short name, such as `result`.
    pub name: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// Free-form remarks.
    pub metadata: Option<JsonObject>,
    /// What it holds.
    pub parts: Vec<Part>,
    /// Whether the parts continue an artifact sent before. The reference puts this on the
    /// artifact; A2A on the event around it.
    pub append: Option<bool>,
    /// Whether nothing follows, as for `append`.
    pub last_chunk: Option<bool>,
    /// URIs of the extensions that the artifact uses.
    pub extensions: Vec<String>,
}

impl Artifact {
    /// An artifact with a name and a new random id.
    #[must_use]
    pub fn new(name: impl Into<String>, parts: Vec<Part>) -> Self {
        Self {
            id: ArtifactId::random(),
            name: Some(name.into()),
            description: None,
            metadata: None,
            parts,
            append: None,
            last_chunk: None,
            extensions: Vec::new(),
        }
    }
}

/// The word that marks an object's type; only `message` here.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MessageKind {
    Message,
}

wire! {
    MessageWire {
        message_id: MessageId = "messageId" | "message_id";
        context_id: ContextId = "contextId" | "context_id";
        task_id: TaskId = "taskId" | "task_id";
        reference_task_ids: Vec<TaskId> = "referenceTaskIds" | "reference_task_ids";
        kind: MessageKind = "kind";
        role: Role = "role";
        parts: Vec<Part> = "parts";
        metadata: JsonObject = "metadata";
        extensions: Vec<String> = "extensions";
    }
}

wire! {
    ArtifactWire {
        artifact_id: ArtifactId = "artifactId" | "artifact_id";
        name: String = "name";
        description: String = "description";
        metadata: JsonObject = "metadata";
        parts: Vec<Part> = "parts";
        append: LaxBool = "append";
        last_chunk: LaxBool = "lastChunk" | "last_chunk";
        extensions: Vec<String> = "extensions";
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = MessageWire::deserialize(deserializer)?;
        // Only a word that is there can be wrong; it was checked when it was read.
        let _: Option<MessageKind> = wire.kind;
        Ok(Self {
            id: wire.message_id.ok_or_else(|| missing("messageId"))?,
            context_id: wire.context_id,
            task_id: wire.task_id,
            reference_task_ids: wire.reference_task_ids.unwrap_or_default(),
            role: wire.role.ok_or_else(|| missing("role"))?,
            parts: wire.parts.ok_or_else(|| missing("parts"))?,
            metadata: wire.metadata,
            extensions: wire.extensions.unwrap_or_default(),
        })
    }
}

impl<'de> Deserialize<'de> for Artifact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = ArtifactWire::deserialize(deserializer)?;
        Ok(Self {
            id: wire.artifact_id.ok_or_else(|| missing("artifactId"))?,
            name: wire.name,
            description: wire.description,
            metadata: wire.metadata,
            parts: wire.parts.unwrap_or_default(),
            append: wire.append.map(|append| append.0),
            last_chunk: wire.last_chunk.map(|last| last.0),
            extensions: wire.extensions.unwrap_or_default(),
        })
    }
}
