//! About how many bytes things take.
//!
//! Texts are counted as long as they are, structures by their size, and every list or box with what
//! an allocator adds. A message or an artifact that a task and its log share is counted once, with
//! the log: whatever a task holds came by its log.

use std::sync::Arc;

use bindu_protocol::{
    Artifact, ArtifactId, Content, ContextId, File, Json, JsonObject, Message, MessageId, Owner,
    Part, PushConfigId, Task, TaskId, TaskStatus,
};

use super::entry::Packed;
use crate::{Event, EventBody, Feedback, OutboxBody, OutboxEntry, Record, Webhook};

/// What an allocation takes beside its content: the allocator's share, and counts of references.
const ALLOCATION: usize = 16;

/// What the maps and lists of the store take for a task, beside its ids' texts.
const TASK: usize = 384;

/// In how many places of the store a task's ids stand.
const PLACES: usize = 4;

/// What the maps and lists of the store take for an outbox entry.
const OUTBOX_ENTRY: usize = 64;

/// The text of an id, which only an id that is no UUID has.
trait Id {
    fn text(&self) -> usize;
}

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Id for $name {
            fn text(&self) -> usize {
                if self.as_uuid().is_some() { 0 } else { self.with_str(text) }
            }
        }
    )*};
}

ids!(TaskId ContextId MessageId ArtifactId PushConfigId);

fn text(text: &str) -> usize {
    ALLOCATION + text.len()
}

fn sum<'a, T: 'a>(
    values: impl IntoIterator<Item = &'a T>,
    weight: impl Fn(&'a T) -> usize,
) -> usize {
    values.into_iter().map(weight).sum()
}

fn list<T>(list: &[T], weight: impl Fn(&T) -> usize) -> usize {
    if list.is_empty() {
        return 0;
    }
    ALLOCATION + size_of_val(list) + list.iter().map(weight).sum::<usize>()
}

fn json(value: &Json) -> usize {
    text(value.as_str())
}

fn object(object: &JsonObject) -> usize {
    text(object.as_str())
}

fn texts(texts: &[String]) -> usize {
    list(texts, |it| text(it))
}

fn vector(vector: &[f64]) -> usize {
    list(vector, |_| 0)
}

/// A task in the form it is used in; `log` is the weight of its log.
pub(super) fn live(record: &Record, log: usize) -> usize {
    let task = &*record.task;
    // Of the task, the log has everything but the lists themselves.
    let lists = list(&task.history, |_| 0) + list(&task.artifacts, |_| 0);
    let own = size_of::<Record>() + size_of::<Task>() + 3 * ALLOCATION;
    let metadata = sum(&task.metadata, object);
    TASK + PLACES * (task.id.text() + task.context_id.text())
        + 2 * owner(&record.owner)
        + own
        + lists
        + metadata
        + webhooks(&record.webhooks)
        + log
}

/// A task in the form that takes the least room.
pub(super) fn packed(id: &TaskId, packed: &Packed) -> usize {
    TASK + PLACES * (id.text() + packed.context.text())
        + owner(&packed.owner)
        + size_of::<Packed>()
        + 2 * ALLOCATION
        + packed.bytes.len()
        + list(&packed.json, json)
        + webhooks(&packed.webhooks)
}

/// An owner's name.
pub(super) fn owner(owner: &Owner) -> usize {
    owner.name().map_or(0, text)
}

/// The text of a message's id.
pub(super) fn message_id(id: &MessageId) -> usize {
    id.text()
}

pub(super) fn event(event: &EventBody) -> usize {
    size_of::<Event>()
        + match event {
            EventBody::Snapshot(it) => ALLOCATION + task(it),
            EventBody::Message(it) => message(it),
            EventBody::Status(it) => status(it),
            EventBody::Artifact { artifact: it, .. } | EventBody::Chunk { artifact: it, .. } => {
                artifact(it)
            }
            EventBody::Metadata(members) => object(members),
        }
}

fn task(task: &Task) -> usize {
    // The status's message is as a rule the last of the history, and then counted there.
    let said = task.status.message.as_ref();
    let is_shared =
        said.is_some_and(|said| task.history.last().is_some_and(|last| Arc::ptr_eq(last, said)));
    size_of::<Task>()
        + task.id.text()
        + task.context_id.text()
        + list(&task.history, |it| message(it))
        + list(&task.artifacts, |it| artifact(it))
        + if is_shared { 0 } else { status(&task.status) }
        + sum(&task.metadata, object)
}

fn status(status: &TaskStatus) -> usize {
    sum(&status.message, |it| message(it))
}

fn message(message: &Message) -> usize {
    ALLOCATION
        + size_of::<Message>()
        + message.id.text()
        + sum(&message.context_id, Id::text)
        + sum(&message.task_id, Id::text)
        + list(&message.reference_task_ids, Id::text)
        + list(&message.parts, part)
        + sum(&message.metadata, object)
        + texts(&message.extensions)
}

fn artifact(artifact: &Artifact) -> usize {
    ALLOCATION
        + size_of::<Artifact>()
        + artifact.id.text()
        + sum(&artifact.name, |it| text(it))
        + sum(&artifact.description, |it| text(it))
        + sum(&artifact.metadata, object)
        + list(&artifact.parts, part)
        + texts(&artifact.extensions)
}

/// What a part has beside its place in the list.
fn part(part: &Part) -> usize {
    let content = match &part.content {
        Content::Text(it) => text(it),
        Content::File { file: it, text: beside } => file(it) + sum(beside, |it| text(it)),
        Content::Data { data, text: beside } => json(data) + sum(beside, |it| text(it)),
        // A kind that this version does not know.
        _ => 0,
    };
    content
        + sum(&part.metadata, object)
        + sum(&part.embeddings, |it| vector(it))
        + sum(&part.extra, object)
}

fn file(file: &File) -> usize {
    let texts = [&file.bytes, &file.uri, &file.mime_type, &file.name];
    ALLOCATION
        + size_of::<File>()
        + sum(texts.into_iter().flatten(), |it| text(it))
        + sum(&file.embeddings, |it| vector(it))
}

fn webhooks(webhooks: &[Webhook]) -> usize {
    list(webhooks, webhook)
}

/// What a webhook has beside its place in a list.
pub(super) fn webhook(webhook: &Webhook) -> usize {
    let config = &webhook.config;
    sum(&config.id, Id::text)
        + text(&config.url)
        + sum(&config.token, |it| text(it))
        + sum(&config.authentication, object)
}

pub(super) fn feedback(feedback: &Feedback) -> usize {
    size_of::<Feedback>() + text(&feedback.text) + sum(&feedback.metadata, object)
}

pub(super) fn outbox(task: &TaskId, body: &OutboxBody) -> usize {
    OUTBOX_ENTRY
        + size_of::<OutboxEntry>()
        + 2 * task.text()
        + match body {
            OutboxBody::Run { .. } => 0,
            OutboxBody::Deliver(delivery) => {
                ALLOCATION + webhook(&delivery.webhook) + delivery.body.len()
            }
        }
}
