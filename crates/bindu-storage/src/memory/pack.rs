//! Packs a small task that is over.
//!
//! A task is some thirty allocations of half-empty structures. Once nothing happens to it any more
//! it is written into one run of bytes: ids as 16 bytes, lengths as variable-length numbers, and
//! the log by reference to the task's own messages and artifacts. `unpack` reads it.

use std::sync::Arc;

use bindu_protocol::{
    Artifact, ArtifactId, Content, ContextId, File, Json, JsonObject, Message, MessageId, Owner,
    Part, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
};
use uuid::Uuid;

use super::entry::Packed;
use crate::{Event, EventBody, Record};

/// What takes more is left as it is: its content outweighs what packing saves, and copying it at
/// every reading would cost more than it is worth.
const MAX_BYTES: usize = 4096;

/// Packs a task with its log; `None` if that does not pay or cannot be done.
pub(super) fn task(owner: &Arc<Owner>, record: &Record, log: &[Event]) -> Option<Packed> {
    let task = &*record.task;
    let mut packer = Packer {
        task,
        epoch: record.created,
        bytes: Vec::with_capacity(512),
        json: Vec::new(),
        fits: true,
        message: 0,
        artifact: 0,
    };
    packer.list(&task.history, |packer, message| packer.message(message));
    packer.list(&task.artifacts, |packer, artifact| packer.artifact(artifact));
    // The message of the last status is as a rule the last of the history.
    packer.message = task.history.len().saturating_sub(1);
    packer.status(&task.status);
    packer.option(task.metadata.as_ref(), Packer::object);
    packer.message = 0;
    packer.number(log.first().map_or(0, |event| event.seq));
    packer.list(log, Packer::event);
    packer.fits.then(|| Packed {
        owner: Arc::clone(owner),
        context: task.context_id.clone(),
        created: record.created,
        version: record.version,
        deliveries: record.deliveries,
        webhooks: Arc::clone(&record.webhooks),
        attempts: record.attempts,
        dialect: record.dialect,
        state: task.status.state,
        bytes: packer.bytes.into_boxed_slice(),
        json: packer.json.into_boxed_slice(),
    })
}

/// An id as it is packed.
pub(super) trait Id: Sized {
    fn uuid(&self) -> Option<Uuid>;
    fn write(&self, packer: &mut Packer<'_>);
    fn from_uuid(uuid: Uuid) -> Self;
    fn from_text(text: &str) -> Option<Self>;
}

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Id for $name {
            fn uuid(&self) -> Option<Uuid> {
                self.as_uuid()
            }

            fn write(&self, packer: &mut Packer<'_>) {
                self.with_str(|text| packer.text(text));
            }

            fn from_uuid(uuid: Uuid) -> Self {
                uuid.into()
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

ids!(TaskId ContextId MessageId ArtifactId);

pub(super) struct Packer<'a> {
    task: &'a Task,
    epoch: Timestamp,
    bytes: Vec<u8>,
    json: Vec<Json>,
    fits: bool,
    /// Which message and which artifact of the task the log should name next.
    message: usize,
    artifact: usize,
}

impl Packer<'_> {
    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn flag(&mut self, flag: bool) {
        self.byte(flag.into());
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.byte((number & 0x7f) as u8);
    }

    fn size(&mut self, size: usize) {
        self.number(size as u64);
    }

    /// Lists end early once there is no room: only their lengths then cost time.
    fn list<'b, T>(&mut self, list: &'b [T], mut pack: impl FnMut(&mut Self, &'b T)) {
        self.size(list.len());
        for element in list {
            if !self.fits {
                break;
            }
            pack(self, element);
        }
    }

    fn option<T>(&mut self, option: Option<T>, pack: impl FnOnce(&mut Self, T)) {
        self.flag(option.is_some());
        if let Some(value) = option {
            pack(self, value);
        }
    }

    fn text(&mut self, text: &str) {
        if text.len() + self.bytes.len() > MAX_BYTES {
            self.fits = false;
            return;
        }
        self.size(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn id<I: Id>(&mut self, id: &I) {
        if let Some(uuid) = id.uuid() {
            self.byte(0);
            self.bytes.extend_from_slice(uuid.as_bytes());
        } else {
            self.byte(1);
            id.write(self);
        }
    }

    /// An id that as a rule is the task's own.
    fn own<I: Id + PartialEq>(&mut self, id: Option<&I>, own: &I) {
        match id {
            None => self.byte(2),
            Some(id) if id == own => self.byte(3),
            Some(id) => self.id(id),
        }
    }

    fn value(&mut self, json: Json) {
        // A value stays an allocation of its own, so that it need not be checked again.
        if self.json.is_empty() {
            self.json.reserve_exact(1);
        }
        if json.as_str().len() + self.bytes.len() > MAX_BYTES {
            self.fits = false;
        }
        self.json.push(json);
    }

    fn object(&mut self, object: &JsonObject) {
        self.value(object.clone().into_json());
    }

    fn time(&mut self, at: Timestamp) {
        let distance = at.as_unix_micros().wrapping_sub(self.epoch.as_unix_micros());
        self.number(((distance << 1) ^ (distance >> 63)).cast_unsigned());
    }

    fn state(&mut self, state: TaskState) {
        let index = TaskState::ALL.iter().position(|other| *other == state);
        self.number(index.map_or(u64::MAX, |index| index as u64));
    }

    fn vector(&mut self, vector: &[f64]) {
        self.list(vector, |packer, value| {
            packer.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
            packer.fits &= packer.bytes.len() <= MAX_BYTES;
        });
    }

    fn message(&mut self, message: &Message) {
        let task = self.task;
        self.id(&message.id);
        self.own(message.context_id.as_ref(), &task.context_id);
        self.own(message.task_id.as_ref(), &task.id);
        self.list(&message.reference_task_ids, Self::id);
        self.byte(match message.role {
            Role::User => 0,
            Role::Agent => 1,
            Role::System => 2,
        });
        self.list(&message.parts, Self::part);
        self.option(message.metadata.as_ref(), Self::object);
        self.list(&message.extensions, |packer, text| packer.text(text));
    }

    fn artifact(&mut self, artifact: &Artifact) {
        self.id(&artifact.id);
        self.option(artifact.name.as_deref(), Self::text);
        self.option(artifact.description.as_deref(), Self::text);
        self.option(artifact.metadata.as_ref(), Self::object);
        self.list(&artifact.parts, Self::part);
        self.option(artifact.append, Self::flag);
        self.option(artifact.last_chunk, Self::flag);
        self.list(&artifact.extensions, |packer, text| packer.text(text));
    }

    fn part(&mut self, part: &Part) {
        match &part.content {
            Content::Text(text) => {
                self.byte(0);
                self.text(text);
            }
            Content::File { file, text } => {
                self.byte(1);
                self.file(file);
                self.option(text.as_deref(), Self::text);
            }
            Content::Data { data, text } => {
                self.byte(2);
                self.value(data.clone());
                self.option(text.as_deref(), Self::text);
            }
            // A kind that this version does not know is left as it is.
            _ => self.fits = false,
        }
        self.option(part.metadata.as_ref(), Self::object);
        self.option(part.embeddings.as_deref(), Self::vector);
        self.option(part.extra.as_ref(), Self::object);
    }

    fn file(&mut self, file: &File) {
        self.option(file.bytes.as_deref(), Self::text);
        self.option(file.uri.as_deref(), Self::text);
        self.option(file.mime_type.as_deref(), Self::text);
        self.option(file.name.as_deref(), Self::text);
        self.option(file.embeddings.as_deref(), Self::vector);
    }

    fn status(&mut self, status: &TaskStatus) {
        self.state(status.state);
        self.option(status.timestamp, Self::time);
        self.option(status.message.as_ref(), Self::message_of_task);
    }

    /// A message that as a rule is the next of the task's history.
    fn message_of_task(&mut self, message: &Arc<Message>) {
        let next = self.task.history.get(self.message);
        if next.is_some_and(|next| Arc::ptr_eq(next, message)) {
            self.message += 1;
            // The number of the message plus one.
            self.size(self.message);
        } else {
            self.number(0);
            self.message(message);
        }
    }

    fn artifact_of_task(&mut self, artifact: &Arc<Artifact>) {
        let next = self.task.artifacts.get(self.artifact);
        if next.is_some_and(|next| Arc::ptr_eq(next, artifact)) {
            self.artifact += 1;
            self.size(self.artifact);
        } else {
            self.number(0);
            self.artifact(artifact);
        }
    }

    fn event(&mut self, event: &Event) {
        self.time(event.at);
        match &event.body {
            EventBody::Snapshot(task) => {
                // A snapshot begins anew.
                (self.message, self.artifact) = (0, 0);
                self.byte(0);
                self.list(&task.history, Self::message_of_task);
                self.list(&task.artifacts, Self::artifact_of_task);
                let after = self.message;
                self.message = task.history.len().saturating_sub(1);
                self.status(&task.status);
                self.message = after;
                self.option(task.metadata.as_ref(), Self::object);
                self.fits &= task.id == self.task.id && task.context_id == self.task.context_id;
            }
            EventBody::Message(message) => {
                self.byte(1);
                self.message_of_task(message);
            }
            EventBody::Status(status) => {
                self.byte(2);
                self.status(status);
            }
            EventBody::Artifact { artifact, streamed } => {
                self.byte(3);
                self.flag(*streamed);
                self.artifact_of_task(artifact);
            }
            EventBody::Chunk { artifact, append } => {
                self.byte(4);
                self.flag(*append);
                self.artifact(artifact);
            }
            EventBody::Metadata(members) => {
                self.byte(5);
                self.object(members);
            }
        }
        self.fits &= self.bytes.len() <= MAX_BYTES;
    }
}
