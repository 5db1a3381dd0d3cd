//! Writing the model in a dialect, without copying it.

mod params;

use std::sync::Arc;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{
    Artifact, Content, Dialect, File, JsonObject, Message, Part, PushConfig, SendResult,
    StreamEvent, Task, TaskArtifactUpdate, TaskPushConfig, TaskState, TaskStatus, TaskStatusUpdate,
};

/// A borrowed value that serialises in one dialect.
///
/// Made by [`Dialect::view`]; `Serialize` is there for every type of the model that goes out.
///
/// ```
/// # use bindu_protocol::{Dialect, Message, Part, Role};
/// let mut message = Message::new(Role::User, vec![Part::text("hi")]);
/// message.id = "m-1".parse()?;
/// assert_eq!(
///     serde_json::to_string(&Dialect::V0_3.view(&message))?,
///     r#"{"messageId":"m-1","kind":"message","parts":[{"kind":"text","text":"hi"}],"role":"user"}"#,
/// );
/// assert_eq!(
///     serde_json::to_string(&Dialect::Reference.view(&message))?,
///     r#"{"message_id":"m-1","kind":"message","parts":[{"kind":"text","text":"hi"}],"role":"user"}"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct View<'a, T: ?Sized> {
    dialect: Dialect,
    value: &'a T,
    history: usize,
}

impl<T: ?Sized> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for View<'_, T> {}

impl Dialect {
    /// Shows a value in this dialect.
    #[must_use]
    pub const fn view<T: ?Sized>(self, value: &T) -> View<'_, T> {
        View { dialect: self, value, history: usize::MAX }
    }
}

impl<'a, T: ?Sized> View<'a, T> {
    /// Shows at most the `length` latest messages of a task; absent or below 1, all of them.
    #[must_use]
    pub fn with_history(mut self, length: Option<i64>) -> Self {
        self.history = match length {
            Some(length @ 1..) => usize::try_from(length).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        self
    }

    fn of<U: ?Sized>(self, value: &'a U) -> View<'a, U> {
        View { dialect: self.dialect, value, history: self.history }
    }

    fn all<U>(self, values: &'a [U]) -> All<'a, U> {
        All(self.of(values))
    }

    /// Member names that differ between the dialects.
    fn names(self) -> &'static Names {
        match self.dialect {
            Dialect::Reference => &REFERENCE,
            Dialect::V0_3 => &V0_3,
        }
    }

    fn is_a2a(self) -> bool {
        matches!(self.dialect, Dialect::V0_3)
    }
}

struct Names {
    message_id: &'static str,
    context_id: &'static str,
    task_id: &'static str,
    reference_task_ids: &'static str,
    artifact_id: &'static str,
    last_chunk: &'static str,
    push_task_id: &'static str,
    push_config: &'static str,
    push_config_id: &'static str,
    history_length: &'static str,
    accepted_output_modes: &'static str,
    /// How a method that is about one task names it.
    of_task: &'static str,
}

const REFERENCE: Names = Names {
    message_id: "message_id",
    context_id: "context_id",
    task_id: "task_id",
    reference_task_ids: "reference_task_ids",
    artifact_id: "artifact_id",
    last_chunk: "last_chunk",
    push_task_id: "id",
    push_config: "push_notification_config",
    push_config_id: "push_notification_config_id",
    history_length: "history_length",
    accepted_output_modes: "accepted_output_modes",
    of_task: "task_id",
};

const V0_3: Names = Names {
    message_id: "messageId",
    context_id: "contextId",
    task_id: "taskId",
    reference_task_ids: "referenceTaskIds",
    artifact_id: "artifactId",
    last_chunk: "lastChunk",
    push_task_id: "taskId",
    push_config: "pushNotificationConfig",
    push_config_id: "pushNotificationConfigId",
    history_length: "historyLength",
    accepted_output_modes: "acceptedOutputModes",
    of_task: "id",
};

/// The metadata key under which a plain A2A peer finds one of Bindu's own states.
///
/// Whoever reads a task or an update with this crate sees the state itself, and no such key.
pub const STATE_KEY: &str = "bindu.state";

/// The metadata key that marks a data part whose data is no object and had to be wrapped.
pub(crate) const WRAPPED_KEY: &str = "data_part_compat";

/// A list whose elements are shown each.
struct All<'a, T>(View<'a, [T]>);

impl<T> Serialize for All<'_, T>
where
    for<'b> View<'b, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.value.len()))?;
        for value in self.0.value {
            seq.serialize_element(&self.0.of(value))?;
        }
        seq.end()
    }
}

impl<T> Serialize for View<'_, [T]>
where
    for<'b> View<'b, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        All(*self).serialize(serializer)
    }
}

impl<T> Serialize for View<'_, Vec<T>>
where
    for<'b> View<'b, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        All(self.of(self.value.as_slice())).serialize(serializer)
    }
}

impl<T: ?Sized> Serialize for View<'_, Arc<T>>
where
    for<'b> View<'b, T>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.of(&**self.value).serialize(serializer)
    }
}

impl Serialize for View<'_, File> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let file = self.value;
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, "bytes", file.bytes.as_ref())?;
        entry(&mut map, "uri", file.uri.as_ref())?;
        entry(&mut map, "mimeType", file.mime_type.as_ref())?;
        entry(&mut map, "name", file.name.as_ref())?;
        entry(&mut map, "embeddings", file.embeddings.as_ref())?;
        map.end()
    }
}

impl Serialize for View<'_, Part> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part = self.value;
        let mut map = serializer.serialize_map(None)?;
        let mut wrapped = false;
        match &part.content {
            Content::Text(text) => {
                map.serialize_entry("kind", "text")?;
                map.serialize_entry("text", text)?;
            }
            Content::File { file, text } => {
                map.serialize_entry("kind", "file")?;
                map.serialize_entry("file", &self.of(&**file))?;
                entry(&mut map, "text", text.as_ref())?;
            }
            Content::Data { data, text } => {
                map.serialize_entry("kind", "data")?;
                if data.is_object() {
                    map.serialize_entry("data", data)?;
                } else {
                    wrapped = true;
                    map.serialize_entry("data", &Wrapped { value: data })?;
                }
                entry(&mut map, "text", text.as_ref())?;
            }
        }
        if wrapped {
            map.serialize_entry("metadata", &with(part.metadata.as_ref(), WRAPPED_KEY, true))?;
        } else {
            entry(&mut map, "metadata", part.metadata.as_ref())?;
        }
        entry(&mut map, "embeddings", part.embeddings.as_ref())?;
        if let Some(extra) = &part.extra {
            for (key, value) in extra.to_map() {
                map.serialize_entry(&key, &value)?;
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Wrapped<'a> {
    value: &'a crate::Json,
}

impl Serialize for View<'_, Message> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (message, names) = (self.value, self.names());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(names.message_id, &message.id)?;
        entry(&mut map, names.context_id, message.context_id.as_ref())?;
        entry(&mut map, names.task_id, message.task_id.as_ref())?;
        list(&mut map, names.reference_task_ids, &message.reference_task_ids)?;
        map.serialize_entry("kind", "message")?;
        entry(&mut map, "metadata", message.metadata.as_ref())?;
        map.serialize_entry("parts", &self.all(&message.parts))?;
        map.serialize_entry("role", &message.role)?;
        list(&mut map, "extensions", &message.extensions)?;
        map.end()
    }
}

impl Serialize for View<'_, Artifact> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (artifact, names) = (self.value, self.names());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(names.artifact_id, &artifact.id)?;
        entry(&mut map, "name", artifact.name.as_ref())?;
        entry(&mut map, "description", artifact.description.as_ref())?;
        entry(&mut map, "metadata", artifact.metadata.as_ref())?;
        map.serialize_entry("parts", &self.all(&artifact.parts))?;
        if !self.is_a2a() {
            entry(&mut map, "append", artifact.append.as_ref())?;
            entry(&mut map, names.last_chunk, artifact.last_chunk.as_ref())?;
        }
        list(&mut map, "extensions", &artifact.extensions)?;
        map.end()
    }
}

impl Serialize for View<'_, TaskStatus> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = self.value;
        let mut map = serializer.serialize_map(None)?;
        if self.is_a2a() {
            map.serialize_entry("state", &status.state.as_a2a())?;
        } else {
            map.serialize_entry("state", &status.state)?;
        }
        entry(&mut map, "timestamp", status.timestamp.as_ref())?;
        if self.is_a2a() {
            entry(&mut map, "message", status.message.as_ref().map(|m| self.of(m)).as_ref())?;
        }
        map.end()
    }
}

impl Serialize for View<'_, Task> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let task = self.value;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &task.id)?;
        map.serialize_entry(self.names().context_id, &task.context_id)?;
        map.serialize_entry("kind", "task")?;
        map.serialize_entry("status", &self.of(&task.status))?;
        let skip = task.history.len().saturating_sub(self.history);
        map.serialize_entry("history", &self.all(&task.history[skip..]))?;
        if !task.artifacts.is_empty() {
            map.serialize_entry("artifacts", &self.all(&task.artifacts))?;
        }
        self.metadata(&mut map, task.status.state, task.metadata.as_ref())?;
        map.end()
    }
}

impl Serialize for View<'_, TaskStatusUpdate> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (update, names) = (self.value, self.names());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", "status-update")?;
        map.serialize_entry(names.task_id, &update.task_id)?;
        map.serialize_entry(names.context_id, &update.context_id)?;
        map.serialize_entry("status", &self.of(&update.status))?;
        map.serialize_entry("final", &update.is_final)?;
        self.metadata(&mut map, update.status.state, update.metadata.as_ref())?;
        map.end()
    }
}

impl Serialize for View<'_, TaskArtifactUpdate> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (update, names) = (self.value, self.names());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", "artifact-update")?;
        map.serialize_entry(names.task_id, &update.task_id)?;
        map.serialize_entry(names.context_id, &update.context_id)?;
        map.serialize_entry("artifact", &self.of(&update.artifact))?;
        map.serialize_entry("append", &update.append)?;
        map.serialize_entry(names.last_chunk, &update.last_chunk)?;
        entry(&mut map, "metadata", update.metadata.as_ref())?;
        map.end()
    }
}

impl Serialize for View<'_, StreamEvent> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            StreamEvent::Task(task) => self.of(task).serialize(serializer),
            StreamEvent::Message(message) => self.of(message).serialize(serializer),
            StreamEvent::Status(update) => self.of(update).serialize(serializer),
            StreamEvent::Artifact(update) => self.of(update).serialize(serializer),
        }
    }
}

impl Serialize for View<'_, SendResult> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            SendResult::Task(task) => self.of(task).serialize(serializer),
            SendResult::Message(message) => self.of(message).serialize(serializer),
        }
    }
}

impl Serialize for View<'_, PushConfig> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let config = self.value;
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, "id", config.id.as_ref())?;
        map.serialize_entry("url", &config.url)?;
        entry(&mut map, "token", config.token.as_ref())?;
        entry(&mut map, "authentication", config.authentication.as_ref())?;
        map.end()
    }
}

impl Serialize for View<'_, TaskPushConfig> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.names();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(names.push_task_id, &self.value.task_id)?;
        map.serialize_entry(names.push_config, &self.of(&self.value.config))?;
        map.end()
    }
}

impl<T: ?Sized> View<'_, T> {
    /// Metadata, with the state's own name where a plain peer is shown another.
    fn metadata<M: SerializeMap>(
        self,
        map: &mut M,
        state: TaskState,
        metadata: Option<&JsonObject>,
    ) -> Result<(), M::Error> {
        if self.is_a2a() && state.as_a2a() != state {
            return map.serialize_entry("metadata", &with(metadata, STATE_KEY, state.as_str()));
        }
        entry(map, "metadata", metadata)
    }
}

fn with(metadata: Option<&JsonObject>, key: &str, value: impl Into<Value>) -> JsonObject {
    metadata.cloned().unwrap_or_else(JsonObject::empty).with(key, value)
}

fn entry<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &'static str,
    value: Option<&T>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(key, value),
        None => Ok(()),
    }
}

fn list<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &'static str,
    values: &[T],
) -> Result<(), M::Error> {
    if values.is_empty() { Ok(()) } else { map.serialize_entry(key, values) }
}
