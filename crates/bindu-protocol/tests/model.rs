//! Any model whatever, for properties.

use std::fmt::Debug;
use std::str::FromStr;
use std::sync::Arc;

use bindu_protocol::{
    Artifact, Content, ContextId, File, Json, JsonObject, Message, Part, PushConfig, Role,
    SendConfiguration, Task, TaskArtifactUpdate, TaskPushConfig, TaskState, TaskStatus,
    TaskStatusUpdate, Timestamp,
};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use serde_json::Value;

pub(crate) fn id<T: FromStr<Err: Debug> + Debug>() -> impl Strategy<Value = T> + Clone {
    // Any text, and the shape that nearly all have.
    let text = prop_oneof![
        "[^\\p{Cc}]{1,128}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}",
    ];
    text.prop_map(|text| text.parse().expect("such a text is an id"))
}

/// A number that any JSON parser reads back as it was.
fn number() -> impl Strategy<Value = f64> + Clone {
    any::<i32>().prop_map(|number| f64::from(number) / 8.0)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        number().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = JsonObject> {
    btree_map(any::<String>(), value(), 0..3)
        .prop_map(|map| JsonObject::from(map.into_iter().collect::<serde_json::Map<_, _>>()))
}

fn vector() -> impl Strategy<Value = Option<Box<[f64]>>> {
    of(vec(number(), 0..4).prop_map(Into::into))
}

fn file() -> impl Strategy<Value = File> {
    let place = prop_oneof![
        any::<String>().prop_map(|bytes| (Some(bytes), None)),
        any::<String>().prop_map(|uri| (None, Some(uri))),
        any::<(String, String)>().prop_map(|(bytes, uri)| (Some(bytes), Some(uri))),
    ];
    (place, of(any::<String>()), of(any::<String>()), vector()).prop_map(
        |((bytes, uri), mime_type, name, embeddings)| File {
            bytes,
            uri,
            mime_type,
            name,
            embeddings,
        },
    )
}

pub(crate) fn part() -> impl Strategy<Value = Part> {
    let content = prop_oneof![
        any::<String>().prop_map(Content::Text),
        (file(), of(any::<String>()))
            .prop_map(|(file, text)| Content::File { file: file.into(), text }),
        (value(), of(any::<String>()))
            .prop_map(|(data, text)| Content::Data { data: Json::from(data), text }),
    ];
    (content, of(object()), vector()).prop_map(|(content, metadata, embeddings)| Part {
        metadata,
        embeddings,
        ..Part::from(content)
    })
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    let role = prop_oneof![Just(Role::User), Just(Role::Agent), Just(Role::System)];
    (
        (id(), of(id()), of(id()), vec(id(), 0..3)),
        (role, vec(part(), 0..4), of(object()), vec(any::<String>(), 0..3)),
    )
        .prop_map(|((id, context_id, task_id, reference_task_ids), rest)| {
            let (role, parts, metadata, extensions) = rest;
            Message {
                id,
                context_id,
                task_id,
                reference_task_ids,
                role,
                parts,
                metadata,
                extensions,
            }
        })
}

pub(crate) fn artifact() -> impl Strategy<Value = Artifact> {
    (
        (id(), of(any::<String>()), of(any::<String>()), of(object())),
        (vec(part(), 0..3), any::<[Option<bool>; 2]>(), vec(any::<String>(), 0..3)),
    )
        .prop_map(|((id, name, description, metadata), (parts, marks, extensions))| Artifact {
            id,
            name,
            description,
            metadata,
            parts,
            append: marks[0],
            last_chunk: marks[1],
            extensions,
        })
}

pub(crate) fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_unix_micros)
}

pub(crate) fn state() -> impl Strategy<Value = TaskState> {
    proptest::sample::select(TaskState::ALL.to_vec())
}

pub(crate) fn status() -> impl Strategy<Value = TaskStatus> {
    (state(), of(timestamp()), of(message())).prop_map(|(state, timestamp, message)| TaskStatus {
        state,
        timestamp,
        message: message.map(Arc::new),
    })
}

pub(crate) fn task() -> impl Strategy<Value = Task> {
    (id(), id(), status(), vec(message(), 0..3), vec(artifact(), 0..3), of(object())).prop_map(
        |(id, context_id, status, history, artifacts, metadata)| Task {
            id,
            context_id,
            status,
            history: history.into_iter().map(Arc::new).collect(),
            artifacts: artifacts.into_iter().map(Arc::new).collect(),
            metadata,
        },
    )
}

pub(crate) fn status_update() -> impl Strategy<Value = TaskStatusUpdate> {
    (id(), id::<ContextId>(), status(), any::<bool>(), of(object())).prop_map(
        |(task_id, context_id, status, is_final, metadata)| TaskStatusUpdate {
            task_id,
            context_id,
            status,
            is_final,
            metadata,
        },
    )
}

pub(crate) fn artifact_update() -> impl Strategy<Value = TaskArtifactUpdate> {
    (id(), id::<ContextId>(), artifact(), any::<[bool; 2]>(), of(object())).prop_map(
        |(task_id, context_id, artifact, [append, last_chunk], metadata)| TaskArtifactUpdate {
            task_id,
            context_id,
            artifact: Arc::new(artifact),
            append,
            last_chunk,
            metadata,
        },
    )
}

pub(crate) fn push_config() -> impl Strategy<Value = PushConfig> {
    (of(id()), any::<String>(), of(any::<String>()), of(object()))
        .prop_map(|(id, url, token, authentication)| PushConfig { id, url, token, authentication })
}

pub(crate) fn task_push_config() -> impl Strategy<Value = TaskPushConfig> {
    (id(), push_config()).prop_map(|(task_id, config)| TaskPushConfig { task_id, config })
}

pub(crate) fn configuration() -> impl Strategy<Value = SendConfiguration> {
    (
        vec(any::<String>(), 0..3),
        of(any::<bool>()),
        of(any::<i64>()),
        of(push_config()),
        of(any::<bool>()),
    )
        .prop_map(|(accepted_output_modes, blocking, history_length, push, long_running)| {
            SendConfiguration {
                accepted_output_modes,
                blocking,
                history_length,
                push,
                long_running,
            }
        })
}

pub(crate) fn metadata() -> impl Strategy<Value = Option<JsonObject>> {
    of(object())
}
