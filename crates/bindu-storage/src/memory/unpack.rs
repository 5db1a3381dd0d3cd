//! Reads what `pack` wrote.

use std::slice;
use std::sync::Arc;

use bindu_protocol::{
    Artifact, Content, File, Json, JsonObject, Message, Part, Role, Task, TaskId, TaskState,
    TaskStatus, Timestamp,
};
use uuid::Uuid;

use super::entry::Packed;
use super::pack::Id;
use crate::{Event, EventBody, StorageError};

/// The task and its log.
pub(super) fn task(id: &TaskId, packed: &Packed) -> Result<(Task, Vec<Event>), StorageError> {
    read(id, packed).ok_or_else(|| StorageError::Backend {
        doing: "unpacking a finished task",
        source: "the packed form is damaged".into(),
    })
}

fn read(id: &TaskId, packed: &Packed) -> Option<(Task, Vec<Event>)> {
    let mut unpacker = Unpacker {
        task: Task {
            id: id.clone(),
            context_id: packed.context.clone(),
            status: TaskStatus { state: packed.state, timestamp: None, message: None },
            history: Vec::new(),
            artifacts: Vec::new(),
            metadata: None,
        },
        epoch: packed.created,
        bytes: &packed.bytes,
        json: packed.json.iter(),
    };
    unpacker.task.history = unpacker.list(|unpacker| unpacker.message().map(Arc::new))?;
    unpacker.task.artifacts = unpacker.list(|unpacker| unpacker.artifact().map(Arc::new))?;
    unpacker.task.status = unpacker.status()?;
    unpacker.task.metadata = unpacker.option(Unpacker::object)?;
    let mut seq = unpacker.number()?;
    let log = unpacker.list(|unpacker| {
        let event = unpacker.event(seq);
        seq += 1;
        event
    })?;
    Some((unpacker.task, log))
}

struct Unpacker<'a> {
    task: Task,
    epoch: Timestamp,
    bytes: &'a [u8],
    json: slice::Iter<'a, Json>,
}

impl<'a> Unpacker<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*byte)
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.byte()? != 0)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn size(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    fn list<T>(&mut self, mut unpack: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.size()?;
        // Nothing is smaller than a byte.
        let mut list = Vec::with_capacity(count.min(self.bytes.len()));
        for _ in 0..count {
            list.push(unpack(self)?);
        }
        Some(list)
    }

    /// Outside: whether the bytes were good. Inside: whether there is a value.
    #[expect(clippy::option_option, reason = "damage and absence are two things")]
    fn option<T>(&mut self, unpack: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { unpack(self).map(Some) } else { Some(None) }
    }

    fn str(&mut self) -> Option<&'a str> {
        let count = self.size()?;
        std::str::from_utf8(self.bytes(count)?).ok()
    }

    fn text(&mut self) -> Option<String> {
        self.str().map(str::to_owned)
    }

    fn id<I: Id>(&mut self) -> Option<I> {
        match self.byte()? {
            0 => self.uuid().map(I::from_uuid),
            1 => I::from_text(self.str()?),
            _ => None,
        }
    }

    fn uuid(&mut self) -> Option<Uuid> {
        Uuid::from_slice(self.bytes(16)?).ok()
    }

    #[expect(clippy::option_option, reason = "damage and absence are two things")]
    fn own<I: Id + Clone>(&mut self, own: impl FnOnce(&Task) -> &I) -> Option<Option<I>> {
        Some(match self.byte()? {
            0 => Some(I::from_uuid(self.uuid()?)),
            1 => Some(I::from_text(self.str()?)?),
            2 => None,
            3 => Some(own(&self.task).clone()),
            _ => return None,
        })
    }

    fn value(&mut self) -> Option<Json> {
        self.json.next().cloned()
    }

    fn object(&mut self) -> Option<JsonObject> {
        JsonObject::try_from(self.value()?).ok()
    }

    fn time(&mut self) -> Option<Timestamp> {
        let number = self.number()?;
        let distance = (number >> 1).cast_signed() ^ -((number & 1).cast_signed());
        let micros = self.epoch.as_unix_micros().wrapping_add(distance);
        Some(Timestamp::from_unix_micros(micros))
    }

    fn state(&mut self) -> Option<TaskState> {
        TaskState::ALL.get(self.size()?).copied()
    }

    fn vector(&mut self) -> Option<Box<[f64]>> {
        let vector = self.list(|unpacker| {
            let bits = u64::from_le_bytes(unpacker.bytes(8)?.try_into().ok()?);
            Some(f64::from_bits(bits))
        })?;
        Some(vector.into_boxed_slice())
    }

    fn message(&mut self) -> Option<Message> {
        Some(Message {
            id: self.id()?,
            context_id: self.own(|task| &task.context_id)?,
            task_id: self.own(|task| &task.id)?,
            reference_task_ids: self.list(Self::id)?,
            role: match self.byte()? {
                0 => Role::User,
                1 => Role::Agent,
                2 => Role::System,
                _ => return None,
            },
            parts: self.list(Self::part)?,
            metadata: self.option(Self::object)?,
            extensions: self.list(Self::text)?,
        })
    }

    fn artifact(&mut self) -> Option<Artifact> {
        Some(Artifact {
            id: self.id()?,
            name: self.option(Self::text)?,
            description: self.option(Self::text)?,
            metadata: self.option(Self::object)?,
            parts: self.list(Self::part)?,
            append: self.option(Self::flag)?,
            last_chunk: self.option(Self::flag)?,
            extensions: self.list(Self::text)?,
        })
    }

    fn part(&mut self) -> Option<Part> {
        let content = match self.byte()? {
            0 => Content::Text(self.text()?),
            1 => Content::File { file: Box::new(self.file()?), text: self.option(Self::text)? },
            2 => Content::Data { data: self.value()?, text: self.option(Self::text)? },
            _ => return None,
        };
        Some(Part {
            content,
            metadata: self.option(Self::object)?,
            embeddings: self.option(Self::vector)?,
            extra: self.option(Self::object)?,
        })
    }

    fn file(&mut self) -> Option<File> {
        Some(File {
            bytes: self.option(Self::text)?,
            uri: self.option(Self::text)?,
            mime_type: self.option(Self::text)?,
            name: self.option(Self::text)?,
            embeddings: self.option(Self::vector)?,
        })
    }

    fn status(&mut self) -> Option<TaskStatus> {
        Some(TaskStatus {
            state: self.state()?,
            timestamp: self.option(Self::time)?,
            message: self.option(Self::message_of_task)?,
        })
    }

    fn message_of_task(&mut self) -> Option<Arc<Message>> {
        match self.size()? {
            0 => self.message().map(Arc::new),
            number => self.task.history.get(number - 1).cloned(),
        }
    }

    fn artifact_of_task(&mut self) -> Option<Arc<Artifact>> {
        match self.size()? {
            0 => self.artifact().map(Arc::new),
            number => self.task.artifacts.get(number - 1).cloned(),
        }
    }

    fn event(&mut self, seq: u64) -> Option<Event> {
        let at = self.time()?;
        let body = match self.byte()? {
            0 => {
                let history = self.list(Self::message_of_task)?;
                let artifacts = self.list(Self::artifact_of_task)?;
                EventBody::Snapshot(Arc::new(Task {
                    id: self.task.id.clone(),
                    context_id: self.task.context_id.clone(),
                    status: self.status()?,
                    history,
                    artifacts,
                    metadata: self.option(Self::object)?,
                }))
            }
            1 => EventBody::Message(self.message_of_task()?),
            2 => EventBody::Status(self.status()?),
            3 => {
                let streamed = self.flag()?;
                EventBody::Artifact { artifact: self.artifact_of_task()?, streamed }
            }
            4 => {
                let append = self.flag()?;
                EventBody::Chunk { artifact: self.artifact().map(Arc::new)?, append }
            }
            5 => EventBody::Metadata(self.object()?),
            _ => return None,
        };
        Some(Event { seq, at, body })
    }
}
