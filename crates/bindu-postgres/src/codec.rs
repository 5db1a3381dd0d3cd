//! Tasks, messages and events as the JSON that the tables hold.
//!
//! History, artifacts and metadata have the reference's form, so that its own programs read them.
//! Events are ours alone.

mod stored;

use std::sync::Arc;

use bindu_protocol::{
    Artifact, JsonObject, Message, PushConfig, Task, TaskState, TaskStatus, Timestamp, reference,
};
use bindu_storage::EventBody;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Error;
use serde_json::value::RawValue;

use self::stored::{Stored, into_arcs};
use crate::types::clean;

/// Writes messages, oldest first.
pub(crate) fn write_history(history: &[Arc<Message>]) -> Result<String, Error> {
    serde_json::to_string(&reference::view(history)).map(clean)
}

/// Writes artifacts, oldest first.
pub(crate) fn write_artifacts(artifacts: &[Arc<Artifact>]) -> Result<String, Error> {
    serde_json::to_string(&reference::view(artifacts)).map(clean)
}

pub(crate) fn write_message(message: &Message) -> Result<String, Error> {
    serde_json::to_string(&reference::view(message)).map(clean)
}

pub(crate) fn write_config(config: &PushConfig) -> Result<String, Error> {
    serde_json::to_string(&reference::view(config)).map(clean)
}

/// Free-form JSON as the server takes it.
pub(crate) fn object(object: &JsonObject) -> String {
    clean(object.as_str().to_owned())
}

pub(crate) fn read_history(text: &str) -> Result<Vec<Arc<Message>>, Error> {
    read_list(text)
}

pub(crate) fn read_artifacts(text: &str) -> Result<Vec<Arc<Artifact>>, Error> {
    read_list(text)
}

/// Reads a list. What another program stored and no model can hold is left out: it stays in the
/// table, where it is only ever appended to, and one such element does not hide all others.
fn read_list<T>(text: &str) -> Result<Vec<Arc<T>>, Error>
where
    for<'de> Stored<T>: Deserialize<'de>,
{
    if text == "[]" {
        return Ok(Vec::new());
    }
    if let Ok(list) = serde_json::from_str(text) {
        return Ok(into_arcs(list));
    }
    let elements: Vec<&RawValue> = serde_json::from_str(text)?;
    let read = elements.into_iter().filter_map(|element| {
        serde_json::from_str(element.get())
            .inspect_err(|error| tracing::warn!(%error, "a stored element cannot be read"))
            .ok()
    });
    Ok(into_arcs(read.collect()))
}

pub(crate) fn read_message(text: &str) -> Result<Arc<Message>, Error> {
    serde_json::from_str(text).map(|Stored(message)| Arc::new(message))
}

/// Metadata as stored: none and an empty object are one, as the reference has no other.
pub(crate) fn read_metadata(text: &str) -> Result<Option<JsonObject>, Error> {
    let object = JsonObject::try_from(serde_json::from_str::<bindu_protocol::Json>(text)?);
    Ok(object.ok().filter(|object| !object.is_empty()))
}

pub(crate) fn read_config(text: &str) -> Result<PushConfig, Error> {
    serde_json::from_str(text)
}

/// An event as it is logged.
pub(crate) fn write_event(body: &EventBody) -> Result<String, Error> {
    serde_json::to_string(&Logged(body)).map(clean)
}

struct Logged<'a>(&'a EventBody);

impl Serialize for Logged<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            EventBody::Snapshot(task) => {
                map.serialize_entry("kind", "snapshot")?;
                map.serialize_entry("task", &reference::view(&**task))?;
                if let Some(said) = &task.status.message {
                    map.serialize_entry("said", &reference::view(&**said))?;
                }
            }
            EventBody::Message(message) => {
                map.serialize_entry("kind", "message")?;
                map.serialize_entry("message", &reference::view(&**message))?;
            }
            EventBody::Status(status) => {
                map.serialize_entry("kind", "status")?;
                map.serialize_entry("state", &status.state)?;
                if let Some(at) = &status.timestamp {
                    map.serialize_entry("timestamp", at)?;
                }
                if let Some(said) = &status.message {
                    map.serialize_entry("said", &reference::view(&**said))?;
                }
            }
            EventBody::Artifact { artifact, streamed } => {
                map.serialize_entry("kind", "artifact")?;
                map.serialize_entry("artifact", &reference::view(&**artifact))?;
                map.serialize_entry("flag", streamed)?;
            }
            EventBody::Metadata(members) => {
                map.serialize_entry("kind", "metadata")?;
                map.serialize_entry("metadata", members)?;
            }
            EventBody::Chunk { artifact, append } => {
                map.serialize_entry("kind", "chunk")?;
                map.serialize_entry("artifact", &reference::view(&**artifact))?;
                map.serialize_entry("flag", append)?;
            }
            _ => return Err(serde::ser::Error::custom("an event of a kind that is not known")),
        }
        map.end()
    }
}

/// The members of all kinds of events.
#[derive(Deserialize)]
struct EventWire {
    kind: Kind,
    task: Option<TaskWire>,
    message: Option<Stored<Message>>,
    said: Option<Stored<Message>>,
    state: Option<TaskState>,
    timestamp: Option<Timestamp>,
    artifact: Option<Stored<Artifact>>,
    metadata: Option<JsonObject>,
    flag: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Snapshot,
    Message,
    Status,
    Artifact,
    Metadata,
    Chunk,
}

/// A task without the reading of a peer's: what was stored is what it was.
#[derive(Deserialize)]
struct TaskWire {
    id: bindu_protocol::TaskId,
    context_id: bindu_protocol::ContextId,
    status: StatusWire,
    #[serde(default)]
    history: Vec<Stored<Message>>,
    #[serde(default)]
    artifacts: Vec<Stored<Artifact>>,
    metadata: Option<JsonObject>,
}

#[derive(Deserialize)]
struct StatusWire {
    state: TaskState,
    timestamp: Option<Timestamp>,
}

/// Reads an event that [`write_event`] wrote.
pub(crate) fn read_event(text: &str) -> Result<EventBody, Error> {
    let wire: EventWire = serde_json::from_str(text)?;
    let said = wire.said.map(|Stored(message)| Arc::new(message));
    let flag = wire.flag.unwrap_or_default();
    let artifact = wire.artifact.map(|Stored(artifact)| Arc::new(artifact));
    let body = match wire.kind {
        Kind::Snapshot => wire.task.map(|task| EventBody::Snapshot(Arc::new(task.whole(said)))),
        Kind::Message => wire.message.map(|Stored(message)| EventBody::Message(Arc::new(message))),
        Kind::Status => wire.state.map(|state| {
            EventBody::Status(TaskStatus { state, timestamp: wire.timestamp, message: said })
        }),
        Kind::Artifact => artifact.map(|artifact| EventBody::Artifact { artifact, streamed: flag }),
        Kind::Metadata => wire.metadata.map(EventBody::Metadata),
        Kind::Chunk => artifact.map(|artifact| EventBody::Chunk { artifact, append: flag }),
    };
    body.ok_or_else(|| serde::de::Error::custom("an event lacks what its kind says"))
}

impl TaskWire {
    fn whole(self, said: Option<Arc<Message>>) -> Task {
        Task {
            id: self.id,
            context_id: self.context_id,
            status: TaskStatus {
                state: self.status.state,
                timestamp: self.status.timestamp,
                message: said,
            },
            history: into_arcs(self.history),
            artifacts: into_arcs(self.artifacts),
            metadata: self.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use bindu_protocol::{ContextId, Part, Role, TaskId};

    use super::*;

    fn object(text: &str) -> JsonObject {
        serde_json::from_str(text).unwrap()
    }

    fn message() -> Arc<Message> {
        let mut part = Part::text("a");
        part.extra = Some(object(r#"{"signature": [1, {"x": "y"}], "zeta": null}"#));
        let mut message = Message::new(
            Role::Agent,
            vec![part, Part::data(bindu_protocol::Json::new(&7).unwrap())],
        );
        message.metadata = Some(JsonObject::empty());
        Arc::new(message)
    }

    fn artifact() -> Arc<Artifact> {
        let mut artifact = Artifact::new("result", message().parts.clone());
        artifact.append = Some(true);
        artifact.last_chunk = Some(false);
        Arc::new(artifact)
    }

    #[test]
    fn members_that_no_part_has_come_back() {
        let history = vec![message()];
        assert_eq!(read_history(&write_history(&history).unwrap()).unwrap(), history);
        let artifacts = vec![artifact()];
        assert_eq!(read_artifacts(&write_artifacts(&artifacts).unwrap()).unwrap(), artifacts);
        assert_eq!(read_message(&write_message(&history[0]).unwrap()).unwrap(), history[0]);
    }

    #[test]
    fn what_cannot_be_read_hides_nothing_else() {
        let good = serde_json::to_string(&reference::view(&*message())).unwrap();
        let text = format!(r#"[{{"kind":"message"}},{good},7]"#);
        assert_eq!(read_history(&text).unwrap().len(), 1);
        assert!(read_history("{}").is_err());
        assert_eq!(read_metadata("[]").unwrap(), None);
    }

    #[test]
    fn every_event_comes_back() {
        let at = Timestamp::from_unix_micros(1_800_000_000_000_001);
        let said = TaskStatus {
            message: Some(message()),
            ..TaskStatus::new(TaskState::PaymentRequired, at)
        };
        let task = Task {
            id: TaskId::random(),
            context_id: ContextId::random(),
            status: said.clone(),
            history: vec![message()],
            artifacts: vec![artifact()],
            // Of a peer's task this would be read as its state.
            metadata: Some(object(r#"{"bindu.state": "pending"}"#)),
        };
        for body in [
            EventBody::Snapshot(Arc::new(task)),
            EventBody::Message(message()),
            EventBody::Status(said),
            EventBody::Status(TaskStatus {
                timestamp: None,
                ..TaskStatus::new(TaskState::Failed, at)
            }),
            EventBody::Artifact { artifact: artifact(), streamed: true },
            EventBody::Metadata(object(r#"{"a": {}}"#)),
            EventBody::Chunk { artifact: artifact(), append: true },
        ] {
            assert_eq!(read_event(&write_event(&body).unwrap()).unwrap(), body);
        }
    }
}
