//! The JSON that rows hold.
//!
//! A form of its own, and not a dialect's: a dialect leaves out what it has no words for, and a store
//! gives back every field. Free-form values stay the text that they came as; numbers of embeddings
//! are kept by their bits, so that they come back exactly. A member that is not there is absent, so
//! that a later version can add members.

use std::borrow::Cow;
use std::sync::Arc;

use bindu_protocol::{
    Artifact, ArtifactId, Content, ContextId, Dialect, File, Json, JsonObject, Message, MessageId,
    Part, PushConfig, PushConfigId, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
};
use bindu_storage::{EventBody, Feedback, Webhook};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What of a task is not in columns of its own.
#[derive(Serialize, Deserialize)]
pub(crate) struct TaskBody<'a> {
    status: Status<'a>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<Said<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    artifacts: Vec<Made<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Cow<'a, JsonObject>>,
}

#[derive(Serialize, Deserialize)]
struct Status<'a> {
    state: TaskState,
    /// Microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Said<'a>>,
}

/// A message.
#[derive(Serialize, Deserialize)]
struct Said<'a> {
    id: Cow<'a, MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context: Option<Cow<'a, ContextId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<Cow<'a, TaskId>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    references: Cow<'a, [TaskId]>,
    role: Role,
    parts: Vec<Piece<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Cow<'a, JsonObject>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    extensions: Cow<'a, [String]>,
}

/// An artifact.
#[derive(Serialize, Deserialize)]
struct Made<'a> {
    id: Cow<'a, ArtifactId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Cow<'a, JsonObject>>,
    parts: Vec<Piece<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    append: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_chunk: Option<bool>,
    #[serde(default, skip_serializing_if = "is_empty")]
    extensions: Cow<'a, [String]>,
}

/// A part.
#[derive(Serialize, Deserialize)]
struct Piece<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Kept<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "there")]
    data: Option<Cow<'a, Json>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Cow<'a, JsonObject>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embeddings: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extra: Option<Cow<'a, JsonObject>>,
}

/// A file.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mime_type: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embeddings: Option<Vec<u64>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Happened<'a> {
    Snapshot(TaskBody<'a>),
    Message(Said<'a>),
    Status(Status<'a>),
    Artifact { artifact: Made<'a>, streamed: bool },
    Metadata(Cow<'a, JsonObject>),
    Chunk { artifact: Made<'a>, append: bool },
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Hook<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, PushConfigId>>,
    url: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authentication: Option<Cow<'a, JsonObject>>,
    dialect: Dialect,
}

#[derive(Serialize, Deserialize)]
struct Opinion<'a> {
    text: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rating: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Cow<'a, JsonObject>>,
}

fn is_empty<T>(list: &[T]) -> bool {
    list.is_empty()
}

/// A value that is there, be it `null`.
fn there<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn write<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(Failure::stored)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(Failure::stored)
}

pub(crate) fn write_task(task: &Task) -> Result<String, Failure> {
    write(&TaskBody::new(task)?)
}

pub(crate) fn read_task(id: TaskId, context: ContextId, text: &str) -> Result<Task, Failure> {
    Ok(read::<TaskBody<'static>>(text)?.task(id, context))
}

pub(crate) fn write_event(body: &EventBody) -> Result<String, Failure> {
    write(&match body {
        EventBody::Snapshot(task) => Happened::Snapshot(TaskBody::new(task)?),
        EventBody::Message(message) => Happened::Message(Said::new(message)?),
        EventBody::Status(status) => Happened::Status(Status::new(status)?),
        EventBody::Artifact { artifact, streamed } => {
            Happened::Artifact { artifact: Made::new(artifact)?, streamed: *streamed }
        }
        EventBody::Metadata(members) => Happened::Metadata(Cow::Borrowed(members)),
        EventBody::Chunk { artifact, append } => {
            Happened::Chunk { artifact: Made::new(artifact)?, append: *append }
        }
        _ => return Err(Failure::unknown("an event")),
    })
}

/// Whether the text of an event is that of a chunk, which changes nothing about its task.
pub(crate) fn is_chunk(text: &str) -> bool {
    text.starts_with(r#"{"chunk""#)
}

pub(crate) fn read_event(
    id: &TaskId,
    context: &ContextId,
    text: &str,
) -> Result<EventBody, Failure> {
    Ok(match read::<Happened<'static>>(text)? {
        Happened::Snapshot(body) => {
            EventBody::Snapshot(Arc::new(body.task(id.clone(), context.clone())))
        }
        Happened::Message(said) => EventBody::Message(Arc::new(said.message())),
        Happened::Status(status) => EventBody::Status(status.status()),
        Happened::Artifact { artifact, streamed } => {
            EventBody::Artifact { artifact: Arc::new(artifact.artifact()), streamed }
        }
        Happened::Metadata(members) => EventBody::Metadata(members.into_owned()),
        Happened::Chunk { artifact, append } => {
            EventBody::Chunk { artifact: Arc::new(artifact.artifact()), append }
        }
    })
}

/// The webhooks of a task, none for an empty list.
pub(crate) fn write_webhooks(webhooks: &[Webhook]) -> Result<Option<String>, Failure> {
    if webhooks.is_empty() {
        return Ok(None);
    }
    write(&webhooks.iter().map(Hook::new).collect::<Vec<_>>()).map(Some)
}

pub(crate) fn read_webhooks(text: Option<&str>) -> Result<Vec<Webhook>, Failure> {
    let Some(text) = text else { return Ok(Vec::new()) };
    Ok(read::<Vec<Hook<'static>>>(text)?.into_iter().map(Hook::webhook).collect())
}

pub(crate) fn write_webhook(webhook: &Webhook) -> Result<String, Failure> {
    write(&Hook::new(webhook))
}

pub(crate) fn read_webhook(text: &str) -> Result<Webhook, Failure> {
    Ok(read::<Hook<'static>>(text)?.webhook())
}

pub(crate) fn write_feedback(feedback: &Feedback) -> Result<String, Failure> {
    write(&Opinion {
        text: Cow::Borrowed(&feedback.text),
        rating: feedback.rating,
        metadata: feedback.metadata.as_ref().map(Cow::Borrowed),
    })
}

pub(crate) fn read_feedback(at: Timestamp, text: &str) -> Result<Feedback, Failure> {
    let opinion: Opinion<'static> = read(text)?;
    Ok(Feedback {
        text: opinion.text.into_owned(),
        rating: opinion.rating,
        metadata: opinion.metadata.map(Cow::into_owned),
        at,
    })
}

pub(crate) fn read_json(text: &str) -> Result<Json, Failure> {
    read(text)
}

impl<'a> TaskBody<'a> {
    fn new(task: &'a Task) -> Result<Self, Failure> {
        Ok(Self {
            status: Status::new(&task.status)?,
            history: task.history.iter().map(|it| Said::new(it)).collect::<Result<_, _>>()?,
            artifacts: task.artifacts.iter().map(|it| Made::new(it)).collect::<Result<_, _>>()?,
            metadata: task.metadata.as_ref().map(Cow::Borrowed),
        })
    }

    fn task(self, id: TaskId, context_id: ContextId) -> Task {
        Task {
            id,
            context_id,
            status: self.status.status(),
            history: self.history.into_iter().map(|said| Arc::new(said.message())).collect(),
            artifacts: self.artifacts.into_iter().map(|made| Arc::new(made.artifact())).collect(),
            metadata: self.metadata.map(Cow::into_owned),
        }
    }
}

impl<'a> Status<'a> {
    fn new(status: &'a TaskStatus) -> Result<Self, Failure> {
        Ok(Self {
            state: status.state,
            at: status.timestamp.map(Timestamp::as_unix_micros),
            message: status.message.as_deref().map(Said::new).transpose()?,
        })
    }

    fn status(self) -> TaskStatus {
        TaskStatus {
            state: self.state,
            timestamp: self.at.map(Timestamp::from_unix_micros),
            message: self.message.map(|said| Arc::new(said.message())),
        }
    }
}

impl<'a> Said<'a> {
    fn new(message: &'a Message) -> Result<Self, Failure> {
        Ok(Self {
            id: Cow::Borrowed(&message.id),
            context: message.context_id.as_ref().map(Cow::Borrowed),
            task: message.task_id.as_ref().map(Cow::Borrowed),
            references: Cow::Borrowed(&message.reference_task_ids),
            role: message.role,
            parts: message.parts.iter().map(Piece::new).collect::<Result<_, _>>()?,
            metadata: message.metadata.as_ref().map(Cow::Borrowed),
            extensions: Cow::Borrowed(&message.extensions),
        })
    }

    fn message(self) -> Message {
        Message {
            id: self.id.into_owned(),
            context_id: self.context.map(Cow::into_owned),
            task_id: self.task.map(Cow::into_owned),
            reference_task_ids: self.references.into_owned(),
            role: self.role,
            parts: self.parts.into_iter().map(Piece::part).collect(),
            metadata: self.metadata.map(Cow::into_owned),
            extensions: self.extensions.into_owned(),
        }
    }
}

impl<'a> Made<'a> {
    fn new(artifact: &'a Artifact) -> Result<Self, Failure> {
        Ok(Self {
            id: Cow::Borrowed(&artifact.id),
            name: artifact.name.as_deref().map(Cow::Borrowed),
            description: artifact.description.as_deref().map(Cow::Borrowed),
            metadata: artifact.metadata.as_ref().map(Cow::Borrowed),
            parts: artifact.parts.iter().map(Piece::new).collect::<Result<_, _>>()?,
            append: artifact.append,
            last_chunk: artifact.last_chunk,
            extensions: Cow::Borrowed(&artifact.extensions),
        })
    }

    fn artifact(self) -> Artifact {
        Artifact {
            id: self.id.into_owned(),
            name: self.name.map(Cow::into_owned),
            description: self.description.map(Cow::into_owned),
            metadata: self.metadata.map(Cow::into_owned),
            parts: self.parts.into_iter().map(Piece::part).collect(),
            append: self.append,
            last_chunk: self.last_chunk,
            extensions: self.extensions.into_owned(),
        }
    }
}

impl<'a> Piece<'a> {
    fn new(part: &'a Part) -> Result<Self, Failure> {
        let (text, file, data) = match &part.content {
            Content::Text(text) => (Some(text), None, None),
            Content::File { file, text } => (text.as_ref(), Some(Kept::new(file)), None),
            Content::Data { data, text } => (text.as_ref(), None, Some(Cow::Borrowed(data))),
            _ => return Err(Failure::unknown("a part")),
        };
        Ok(Self {
            text: text.map(|text| Cow::Borrowed(text.as_str())),
            file,
            data,
            metadata: part.metadata.as_ref().map(Cow::Borrowed),
            embeddings: bits(part.embeddings.as_deref()),
            extra: part.extra.as_ref().map(Cow::Borrowed),
        })
    }

    fn part(self) -> Part {
        let text = self.text.map(Cow::into_owned);
        let content = match (self.file, self.data) {
            (Some(file), _) => Content::File { file: Box::new(file.file()), text },
            (None, Some(data)) => Content::Data { data: data.into_owned(), text },
            (None, None) => Content::Text(text.unwrap_or_default()),
        };
        Part {
            metadata: self.metadata.map(Cow::into_owned),
            embeddings: floats(self.embeddings),
            extra: self.extra.map(Cow::into_owned),
            ..content.into()
        }
    }
}

impl<'a> Kept<'a> {
    fn new(file: &'a File) -> Self {
        Self {
            bytes: file.bytes.as_deref().map(Cow::Borrowed),
            uri: file.uri.as_deref().map(Cow::Borrowed),
            mime_type: file.mime_type.as_deref().map(Cow::Borrowed),
            name: file.name.as_deref().map(Cow::Borrowed),
            embeddings: bits(file.embeddings.as_deref()),
        }
    }

    fn file(self) -> File {
        File {
            bytes: self.bytes.map(Cow::into_owned),
            uri: self.uri.map(Cow::into_owned),
            mime_type: self.mime_type.map(Cow::into_owned),
            name: self.name.map(Cow::into_owned),
            embeddings: floats(self.embeddings),
        }
    }
}

impl<'a> Hook<'a> {
    fn new(webhook: &'a Webhook) -> Self {
        let config = &webhook.config;
        Self {
            id: config.id.as_ref().map(Cow::Borrowed),
            url: Cow::Borrowed(&config.url),
            token: config.token.as_deref().map(Cow::Borrowed),
            authentication: config.authentication.as_ref().map(Cow::Borrowed),
            dialect: webhook.dialect,
        }
    }

    fn webhook(self) -> Webhook {
        Webhook {
            config: PushConfig {
                id: self.id.map(Cow::into_owned),
                url: self.url.into_owned(),
                token: self.token.map(Cow::into_owned),
                authentication: self.authentication.map(Cow::into_owned),
            },
            dialect: self.dialect,
        }
    }
}

fn bits(vector: Option<&[f64]>) -> Option<Vec<u64>> {
    vector.map(|vector| vector.iter().map(|value| value.to_bits()).collect())
}

fn floats(bits: Option<Vec<u64>>) -> Option<Box<[f64]>> {
    bits.map(|bits| bits.into_iter().map(f64::from_bits).collect())
}
