//! Whatever a task may hold comes back from the file as it went in.

use std::sync::Arc;

use bindu_protocol::{
    Artifact, File, JsonObject, Message, Part, Role, Task, TaskState, TaskStatus, Timestamp,
};
use bindu_sqlite::{SqliteConfig, SqliteStore};
use bindu_storage::{EventBody, Storage as _, TaskQuery};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::support::{born, config, next};

fn object() -> impl Strategy<Value = JsonObject> {
    let odd = [
        r#"{"a": 1, "a": 2}"#,
        r#"{"n": 1e999, "m": -0.10e+1, "z": 12345678901234567890123}"#,
        "{ \"spaced\" :\n[ null ,true ] }",
        r#"{"escaped": "\u0000\u00e4\/"}"#,
        "{}",
    ];
    prop_oneof![
        proptest::sample::select(odd.to_vec())
            .prop_map(|text| { serde_json::from_str(text).expect("the odd objects are objects") }),
        ("[a-z]{0,5}", "\\PC{0,9}").prop_map(|(key, value)| JsonObject::empty().with(&key, value)),
    ]
}

fn vector() -> impl Strategy<Value = Option<Box<[f64]>>> {
    let float = prop_oneof![any::<f64>(), Just(0.1 + 0.2), Just(f64::NEG_INFINITY), Just(-0.0)];
    let float = float.prop_filter("equals itself", |float| !float.is_nan());
    option::of(vec(float, 0..3).prop_map(Vec::into_boxed_slice))
}

fn some_text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "\\PC{0,12}",
        1 => Just("nul \u{0}, quote \", line\n and \u{1F600}".to_owned()),
        1 => "x{3000}",
    ]
}

fn text() -> impl Strategy<Value = Option<String>> {
    option::of(some_text())
}

fn file() -> impl Strategy<Value = File> {
    (text(), text(), text(), text(), vector()).prop_map(
        |(bytes, uri, mime_type, name, embeddings)| File {
            bytes,
            uri,
            mime_type,
            name,
            embeddings,
        },
    )
}

fn part() -> impl Strategy<Value = Part> {
    let json = prop_oneof![Just("null"), Just("[1, 2]"), Just("\"text\""), Just("{\"a\":{}}")];
    let bare = prop_oneof![
        some_text().prop_map(Part::text),
        json.prop_map(|text| {
            let json: bindu_protocol::Json = serde_json::from_str(text).expect("it is JSON");
            Part::data(json)
        }),
        file().prop_map(Part::file),
    ];
    (bare, text(), option::of(object()), vector(), option::of(object())).prop_map(
        |(mut part, beside, metadata, embeddings, extra)| {
            if let bindu_protocol::Content::Data { text, .. }
            | bindu_protocol::Content::File { text, .. } = &mut part.content
            {
                *text = beside;
            }
            Part { metadata, embeddings, extra, ..part }
        },
    )
}

fn some_id() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("0b0cf6f4-6a86-4a39-a1e0-c5f0a7d9c8b1".to_owned()),
        Just("0B0CF6F4-6A86-4A39-A1E0-C5F0A7D9C8B1".to_owned()),
        "[a-z\"\u{e9}]{1,5}",
    ]
}

fn message() -> impl Strategy<Value = Arc<Message>> {
    let role = prop_oneof![Just(Role::User), Just(Role::Agent), Just(Role::System)];
    let ids = (some_id(), option::of(some_id()), option::of(some_id()), vec(some_id(), 0..3));
    (ids, role, vec(part(), 0..3), option::of(object()), vec(some_text(), 0..2)).prop_map(
        |((id, context, task, references), role, parts, metadata, extensions)| {
            Arc::new(Message {
                id: id.parse().expect("an id"),
                context_id: context.map(|id| id.parse().expect("an id")),
                task_id: task.map(|id| id.parse().expect("an id")),
                reference_task_ids: references
                    .iter()
                    .map(|id| id.parse().expect("an id"))
                    .collect(),
                role,
                parts,
                metadata,
                extensions,
            })
        },
    )
}

fn artifact() -> impl Strategy<Value = Arc<Artifact>> {
    let flags = (option::of(any::<bool>()), option::of(any::<bool>()));
    (some_id(), text(), text(), option::of(object()), vec(part(), 0..3), flags).prop_map(
        |(id, name, description, metadata, parts, (append, last_chunk))| {
            Arc::new(Artifact {
                id: id.parse().expect("an id"),
                name,
                description,
                metadata,
                parts,
                append,
                last_chunk,
                extensions: vec!["ext".to_owned()],
            })
        },
    )
}

fn status() -> impl Strategy<Value = TaskStatus> {
    // The store knows nothing of the state machine, so any state may follow any other.
    let state = proptest::sample::select(&TaskState::ALL[..]);
    (state, option::of(any::<i64>()), option::of(message())).prop_map(|(state, micros, message)| {
        TaskStatus { state, timestamp: micros.map(Timestamp::from_unix_micros), message }
    })
}

fn event() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        3 => message().prop_map(EventBody::Message),
        4 => status().prop_map(EventBody::Status),
        2 => (artifact(), any::<bool>())
            .prop_map(|(artifact, streamed)| EventBody::Artifact { artifact, streamed }),
        2 => (artifact(), any::<bool>())
            .prop_map(|(artifact, append)| EventBody::Chunk { artifact, append }),
        1 => object().prop_map(EventBody::Metadata),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_committed_is_read(
        first in message(),
        metadata in option::of(object()),
        changes in vec(vec(event(), 0..4), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let directory = tempfile::tempdir().expect("a directory");
            // Every reading goes to the file.
            let config = SqliteConfig { cache_bytes: 0, ..config(&directory) };
            let store = SqliteStore::open(config).await.expect("a new file opens");
            let mut change = born("own", "hello", 0);
            let mut task = Task::clone(&change.task);
            task.history = vec![first];
            task.metadata = metadata;
            change.task = Arc::new(task);
            change.events = vec![EventBody::Snapshot(Arc::clone(&change.task))];
            let mut committed = store.commit(change).await.expect("a task is made");
            let mut log = committed.events.to_vec();
            for (events, second) in changes.into_iter().zip(1..) {
                let change = next(&committed.record, second, events);
                committed = store.commit(change).await.expect("a change is made");
                log.extend_from_slice(&committed.events);
                let id = &committed.record.task.id;
                let loaded = store.load(id).await.expect("the file is read");
                prop_assert_eq!(loaded.as_ref(), Some(&committed.record));
                // Equal would be too little: free-form values are kept to the letter.
                let letters = format!("{:?}", committed.record);
                prop_assert_eq!(format!("{:?}", loaded.expect("it is there")), letters);
            }
            let id = &committed.record.task.id;
            let events = store.events(id, 0, usize::MAX).await.expect("the file is read");
            prop_assert_eq!(format!("{events:?}"), format!("{log:?}"));
            let query = TaskQuery { limit: 9, ..TaskQuery::default() };
            let listed = store.tasks(query).await.expect("the file is read");
            prop_assert_eq!(&listed.items[..], std::slice::from_ref(&committed.record));
            Ok(())
        })?;
    }
}
