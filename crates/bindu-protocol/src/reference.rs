//! The Python reference's dialect: snake_case objects, bare stream events.
//!
//! This is also the form in which tasks are stored. Reading needs no function of its own: every
//! type of the model implements `Deserialize` and takes both spellings.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::{Dialect, Message, StreamEvent, Timestamp, View};

/// Shows a value in this dialect; short for [`Dialect::view`].
#[must_use]
pub const fn view<T: ?Sized>(value: &T) -> View<'_, T> {
    Dialect::Reference.view(value)
}

/// A webhook's payload: a stream event with a number and a name of its own.
///
/// Only status and artifact updates are announced; anything else serialises as the bare event.
#[derive(Clone, Copy, Debug)]
pub struct Notification<'a> {
    /// The same at every attempt to deliver this event.
    pub event_id: Uuid,
    /// Counts the task's deliveries from 1.
    pub sequence: u64,
    /// When it happened: the same time as the status says, if it is one.
    pub timestamp: Timestamp,
    /// What happened.
    pub event: &'a StreamEvent,
}

impl Serialize for Notification<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event_id", &self.event_id)?;
        map.serialize_entry("sequence", &self.sequence)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        match self.event {
            StreamEvent::Status(update) => {
                map.serialize_entry("kind", "status-update")?;
                map.serialize_entry("task_id", &update.task_id)?;
                map.serialize_entry("context_id", &update.context_id)?;
                map.serialize_entry("status", &Status(update))?;
                map.serialize_entry("final", &update.is_final)?;
            }
            StreamEvent::Artifact(update) => {
                map.serialize_entry("kind", "artifact-update")?;
                map.serialize_entry("task_id", &update.task_id)?;
                map.serialize_entry("context_id", &update.context_id)?;
                map.serialize_entry("artifact", &view(&update.artifact))?;
            }
            StreamEvent::Task(task) => map.serialize_entry("task", &view(task))?,
            StreamEvent::Message(message) => map.serialize_entry("message", &view(message))?,
        }
        map.end()
    }
}

/// A status whose message, only the agent's question, has no ids.
struct Status<'a>(&'a crate::TaskStatusUpdate);

impl Serialize for Status<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = &self.0.status;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("state", &status.state)?;
        if let Some(timestamp) = &status.timestamp {
            map.serialize_entry("timestamp", timestamp)?;
        }
        if let Some(message) = status.message.as_deref().filter(|_| status.state.is_interrupted()) {
            map.serialize_entry("message", &Question(message))?;
        }
        map.end()
    }
}

struct Question<'a>(&'a Message);

impl Serialize for Question<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("role", &self.0.role)?;
        map.serialize_entry("kind", "message")?;
        map.serialize_entry("parts", &view(self.0.parts.as_slice()))?;
        map.end()
    }
}
