//! What the memory store promises beyond the suite: bounds, and that packing loses nothing.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use bindu_protocol::{
    Artifact, ContextId, Dialect, File, JsonObject, Message, Owner, Part, Role, Task, TaskState,
    TaskStatus, Timestamp,
};
use bindu_storage::{
    Birth, Change, ContextQuery, EventBody, Feedback, Hold, Lease, MemoryConfig, MemoryStore,
    OutboxBody, OutboxKind, OutboxQuery, Record, RunId, Storage, StorageError, TaskQuery, Version,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// The store's futures never wait: one poll is all they need.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a future of the memory store waits"),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(second * 1_000_000)
}

fn born(id: &str, context: &str, second: i64) -> Change {
    let task = Arc::new(Task {
        id: id.parse().expect("an id"),
        context_id: context.parse().expect("an id"),
        status: TaskStatus::new(TaskState::Submitted, at(second)),
        history: vec![Arc::new(Message::new(Role::User, vec![Part::text("hello")]))],
        artifacts: Vec::new(),
        metadata: None,
    });
    Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(Birth { owner: Owner::nobody(), dialect: Dialect::V0_3, webhooks: Vec::new() }),
        hold: Hold::Outside,
        at: at(second),
        outbox: Vec::new(),
        once: None,
    }
}

fn next(record: &Record, second: i64, hold: Hold, events: Vec<EventBody>) -> Change {
    let mut task = Task::clone(&record.task);
    for event in &events {
        event.apply(&mut task);
    }
    Change {
        task: Arc::new(task),
        expected: Some(record.version),
        birth: None,
        hold,
        events,
        at: at(second),
        outbox: Vec::new(),
        once: None,
    }
}

fn end(store: &MemoryStore, id: &str, second: i64) {
    let id = id.parse().expect("an id");
    let record = now(store.load(&id)).expect("the store answers").expect("the store answers");
    let status = TaskStatus::new(TaskState::Canceled, at(second));
    let change = next(&record, second, Hold::Outside, vec![EventBody::Status(status)]);
    now(store.commit(change)).expect("the store answers");
}

fn is_there(store: &MemoryStore, id: &str) -> bool {
    now(store.load(&id.parse().expect("an id"))).expect("the store answers").is_some()
}

#[test]
fn a_full_store_drops_what_has_been_over_for_longest() {
    let store = MemoryStore::new(MemoryConfig { max_tasks: 3, ..MemoryConfig::default() });
    for id in ["a", "b", "c"] {
        let mut change = born(id, id, 0);
        change.outbox = vec![OutboxBody::Run { version: Version(1) }];
        now(store.commit(change)).unwrap();
    }
    let full = now(store.commit(born("d", "d", 1))).expect_err("the store is full");
    assert!(matches!(full, StorageError::Full { limit: 3, unit: "tasks" }));
    assert_eq!(full.to_string(), "the store is full: it keeps at most 3 tasks");
    assert!(!is_there(&store, "d"));

    end(&store, "b", 2);
    end(&store, "a", 3);
    let opinion = Feedback { text: "good".into(), rating: None, metadata: None, at: at(3) };
    now(store.add_feedback(&"b".parse().unwrap(), opinion)).unwrap();
    now(store.commit(born("d", "d", 4))).unwrap();
    assert_eq!(["a", "b", "c", "d"].map(|id| is_there(&store, id)), [true, false, true, true]);
    assert!(now(store.feedback(&"b".parse().unwrap())).unwrap().is_empty());
    let runs = OutboxQuery { kind: OutboxKind::Run, task: None, due: None, limit: 10 };
    assert_eq!(now(store.outbox(runs)).unwrap().len(), 2);
    let query = ContextQuery { owner: None, after: None, limit: 10 };
    assert_eq!(now(store.contexts(query)).unwrap().items.len(), 3);

    now(store.commit(born("e", "c", 5))).unwrap();
    assert_eq!(["a", "c", "d", "e"].map(|id| is_there(&store, id)), [false, true, true, true]);
    assert!(matches!(now(store.commit(born("f", "f", 6))), Err(StorageError::Full { .. })));
    // A change of a task that is there needs no room.
    end(&store, "e", 7);
}

/// A task whose message says so much.
fn heavy(id: &str, bytes: usize, second: i64) -> Change {
    let mut change = born(id, id, second);
    let mut task = Task::clone(&change.task);
    let text = Part::text("x".repeat(bytes));
    task.history = vec![Arc::new(Message::new(Role::User, vec![text]))];
    change.task = Arc::new(task);
    change.events = vec![EventBody::Snapshot(Arc::clone(&change.task))];
    change
}

fn bounded(max_bytes: usize) -> MemoryStore {
    MemoryStore::new(MemoryConfig { max_bytes, ..MemoryConfig::default() })
}

#[test]
fn too_many_bytes_drop_what_has_been_over_for_longest() {
    let store = bounded(350_000);
    for id in ["a", "b", "c"] {
        now(store.commit(heavy(id, 100_000, 0))).unwrap();
    }
    end(&store, "b", 1);
    end(&store, "a", 2);
    now(store.commit(heavy("d", 100_000, 3))).unwrap();
    assert_eq!(["a", "b", "c", "d"].map(|id| is_there(&store, id)), [true, false, true, true]);
    assert!(store.bytes() <= 350_000);
}

#[test]
fn a_new_task_that_can_have_no_room_is_refused_and_costs_nobody_theirs() {
    let store = bounded(350_000);
    for id in ["a", "b", "c"] {
        now(store.commit(heavy(id, 100_000, 0))).unwrap();
    }
    end(&store, "a", 1);
    let held = store.bytes();
    let full = now(store.commit(heavy("d", 200_000, 2))).expect_err("the store is full");
    assert!(matches!(full, StorageError::Full { limit: 350_000, unit: "bytes" }));
    assert_eq!(full.to_string(), "the store is full: it keeps at most 350000 bytes");
    assert!(is_there(&store, "a") && !is_there(&store, "d"));
    assert_eq!(store.bytes(), held);
}

#[test]
fn a_task_that_is_there_is_written_to_whatever_it_takes() {
    let store = bounded(150_000);
    now(store.commit(heavy("old", 50_000, 0))).unwrap();
    end(&store, "old", 1);
    let running = now(store.commit(heavy("a", 50_000, 2))).unwrap().record;
    let said = Arc::new(Message::new(Role::Agent, vec![Part::text("x".repeat(200_000))]));
    let change = next(&running, 3, Hold::Outside, vec![EventBody::Message(said)]);
    now(store.commit(change)).unwrap();
    assert!(store.bytes() > 200_000);
    assert!(!is_there(&store, "old"), "what is over goes first");
    end(&store, "a", 4);
    assert!(is_there(&store, "a"), "an answer is not dropped for its own size");

    let opinion = Feedback { text: "good".into(), rating: None, metadata: None, at: at(5) };
    let id = "a".parse().unwrap();
    let full = now(store.add_feedback(&id, opinion)).expect_err("opinions need room");
    assert!(matches!(full, StorageError::Full { limit: 150_000, unit: "bytes" }));
    assert!(is_there(&store, "a"), "a task is not dropped for an opinion on it");

    now(store.commit(born("b", "b", 6))).unwrap();
    assert!(!is_there(&store, "a"));
    assert!(store.bytes() < 2_000);
}

#[test]
fn nothing_is_left_of_the_weight_of_what_is_gone() {
    let store = MemoryStore::default();
    assert_eq!(store.bytes(), 0);
    now(store.commit(heavy("a", 100_000, 0))).unwrap();
    end(&store, "a", 1);
    now(store.clear_context(&"a".parse().unwrap(), &Owner::nobody())).unwrap();
    assert_eq!(store.bytes(), 0);
}

/// By how much the store grows with a change of a task.
fn growth(event: impl FnOnce(String) -> EventBody) -> usize {
    let store = MemoryStore::default();
    let record = now(store.commit(born("a", "a", 0))).expect("the store answers").record;
    let before = store.bytes();
    let change = next(&record, 1, Hold::Outside, vec![event("x".repeat(100_000))]);
    now(store.commit(change)).expect("the store answers");
    store.bytes() - before
}

#[test]
fn content_of_every_kind_is_weighed_once() {
    fn message(part: Part) -> EventBody {
        EventBody::Message(Arc::new(Message::new(Role::User, vec![part])))
    }
    fn object(text: String) -> JsonObject {
        let map: std::collections::BTreeMap<_, _> = [("key", text)].into();
        JsonObject::try_from(bindu_protocol::Json::new(&map).expect("a map is JSON"))
            .expect("a map is an object")
    }
    let artifact = |text: String| Arc::new(Artifact::new("result", vec![Part::text(text)]));
    let kinds: [(&str, usize); 7] = [
        ("a text", growth(|text| message(Part::text(text)))),
        ("data", growth(|text| message(Part::data(object(text))))),
        (
            "a file",
            growth(|text| message(Part::file(File { bytes: Some(text), ..File::default() }))),
        ),
        (
            "a status",
            growth(|text| {
                let message = Message::new(Role::Agent, vec![Part::text(text)]);
                let mut status = TaskStatus::new(TaskState::InputRequired, at(1));
                status.message = Some(Arc::new(message));
                EventBody::Status(status)
            }),
        ),
        (
            "an artifact",
            growth(|text| EventBody::Artifact { artifact: artifact(text), streamed: false }),
        ),
        ("a chunk", growth(|text| EventBody::Chunk { artifact: artifact(text), append: false })),
        // The log and the task each have theirs.
        ("metadata", growth(|text| EventBody::Metadata(object(text))) / 2),
    ];
    for (kind, bytes) in kinds {
        assert!((100_000..101_000).contains(&bytes), "{kind} of 100,000 bytes weighs {bytes}");
    }
    // Many small things take more than their texts.
    let parts = vec![Part::text(""); 1_000];
    let many = growth(|_| EventBody::Message(Arc::new(Message::new(Role::User, parts))));
    assert!(many >= 1_000 * size_of::<Part>(), "{many}");
}

#[test]
fn a_cleared_task_that_comes_again_is_not_dropped_for_its_first_life() {
    let store = MemoryStore::new(MemoryConfig { max_tasks: 2, ..MemoryConfig::default() });
    now(store.commit(born("a", "a", 0))).unwrap();
    end(&store, "a", 1);
    now(store.clear_context(&"a".parse().unwrap(), &Owner::nobody())).unwrap();
    now(store.commit(born("a", "a", 2))).unwrap();
    now(store.commit(born("b", "b", 2))).unwrap();
    assert!(matches!(now(store.commit(born("c", "c", 3))), Err(StorageError::Full { .. })));
    assert!(is_there(&store, "a"));
}

#[test]
fn a_future_that_is_dropped_unpolled_did_nothing() {
    let store = MemoryStore::default();
    drop(store.commit(born("a", "a", 0)));
    assert!(!is_there(&store, "a"));
}

#[test]
fn a_change_without_owner_or_beginning_is_refused() {
    let store = MemoryStore::default();
    let orphan = Change { birth: None, ..born("a", "a", 0) };
    assert!(matches!(now(store.commit(orphan)), Err(StorageError::Backend { .. })));
    let status = EventBody::Status(TaskStatus::new(TaskState::Submitted, at(0)));
    let headless = Change { events: vec![status], ..born("a", "a", 0) };
    assert!(matches!(now(store.commit(headless)), Err(StorageError::Backend { .. })));
    assert!(!is_there(&store, "a"));
}

#[test]
fn threads_that_try_again_lose_nothing() {
    const THREADS: usize = 8;
    const EACH: usize = 200;
    let store = MemoryStore::default();
    now(store.commit(born("a", "a", 0))).unwrap();
    let id = "a".parse().unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let message = Arc::new(Message::new(Role::User, Vec::new()));
                    loop {
                        let record = now(store.load(&id)).unwrap().unwrap();
                        let events = vec![EventBody::Message(Arc::clone(&message))];
                        match now(store.commit(next(&record, 1, Hold::Outside, events))) {
                            Ok(_) => break,
                            Err(StorageError::Conflict(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    let record = now(store.load(&id)).unwrap().unwrap();
    assert_eq!(record.task.history.len(), 1 + THREADS * EACH);
    assert_eq!(record.version, Version(1 + (THREADS * EACH) as u64));
}

#[test]
fn one_of_many_threads_creates_a_task() {
    for _ in 0..50 {
        let store = MemoryStore::default();
        let won: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| now(store.commit(born("a", "a", 0))).is_ok()))
                .collect();
            threads.into_iter().map(|it| usize::from(it.join().unwrap())).sum()
        });
        assert_eq!(won, 1);
    }
}

// What a task may hold, by way of strategies.

fn object() -> impl Strategy<Value = JsonObject> {
    ("[a-z]{0,5}", "\\PC{0,9}").prop_map(|(key, value)| {
        let map: std::collections::BTreeMap<_, _> = [(key, value)].into();
        JsonObject::try_from(bindu_protocol::Json::new(&map).expect("a map is JSON"))
            .expect("a map is an object")
    })
}

fn vector() -> impl Strategy<Value = Option<Box<[f64]>>> {
    option::of(vec(-1e9..1e9, 0..3).prop_map(Vec::into_boxed_slice))
}

fn text() -> impl Strategy<Value = Option<String>> {
    option::of(prop_oneof![9 => "\\PC{0,12}", 1 => "x{3000}"])
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
    let bare = prop_oneof![
        "\\PC{0,12}".prop_map(Part::text),
        object().prop_map(Part::data),
        file().prop_map(Part::file),
    ];
    (bare, option::of(object()), vector(), option::of(object())).prop_map(
        |(part, metadata, embeddings, extra)| Part { metadata, embeddings, extra, ..part },
    )
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("0b0cf6f4-6a86-4a39-a1e0-c5f0a7d9c8b1".to_owned()),
        Just("0B0CF6F4-6A86-4A39-A1E0-C5F0A7D9C8B1".to_owned()),
        Just("own".to_owned()),
        "[a-z]{1,5}",
    ]
}

fn message() -> impl Strategy<Value = Arc<Message>> {
    let role = prop_oneof![Just(Role::User), Just(Role::Agent), Just(Role::System)];
    let ids = (id(), option::of(id()), option::of(id()), vec(id(), 0..3));
    (ids, role, vec(part(), 0..3), option::of(object()), vec("[a-z]{0,4}", 0..2)).prop_map(
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
    (id(), text(), text(), option::of(object()), vec(part(), 0..3), flags).prop_map(
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

/// The task that the log leads to, and that its numbers have no gaps and end at the version.
fn folded(store: &MemoryStore, record: &Record) -> Task {
    let log = now(store.events(&record.task.id, 0, usize::MAX)).expect("the store answers");
    assert!(log.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    assert_eq!(log.last().expect("the store answers").seq, record.version.0);
    let EventBody::Snapshot(whole) = &log[0].body else { panic!("no snapshot in front") };
    let mut task = Task::clone(whole);
    for event in &log[1..] {
        event.body.apply(&mut task);
    }
    task
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is written, in whatever form it is kept: what was committed comes back, and the
    /// log leads to it, also when its beginning was dropped.
    #[test]
    fn the_log_always_leads_to_the_task(
        first in message(),
        metadata in option::of(object()),
        changes in vec((vec(event(), 0..4), any::<bool>()), 0..12),
        max_log_events in 2_usize..20,
    ) {
        let store = MemoryStore::new(MemoryConfig { max_tasks: 10, max_log_events, ..MemoryConfig::default() });
        let task = Arc::new(Task {
            id: "own".parse().unwrap(),
            context_id: ContextId::random(),
            status: TaskStatus::new(TaskState::Submitted, at(0)),
            history: vec![first],
            artifacts: Vec::new(),
            metadata,
        });
        let events = vec![EventBody::Snapshot(Arc::clone(&task))];
        let change = Change { task, events, ..born("own", "own", 0) };
        let mut record = now(store.commit(change)).unwrap().record;
        for ((events, claim), second) in changes.into_iter().zip(1..) {
            let lease = Lease { run: RunId::random(), until: at(second) };
            let hold = if claim { Hold::Claim(lease) } else { Hold::Outside };
            let change = next(&record, second, hold, events);
            let committed = now(store.commit(change)).unwrap();
            let loaded = now(store.load(&committed.record.task.id)).unwrap().unwrap();
            prop_assert_eq!(&loaded, &committed.record);
            let log = now(store.events(&loaded.task.id, record.version.0, usize::MAX)).unwrap();
            if log.len() == committed.events.len() && committed.events.len() < max_log_events / 2 {
                prop_assert_eq!(&log[..], &committed.events[..]);
            }
            prop_assert_eq!(folded(&store, &loaded), Task::clone(&loaded.task));
            let listed = now(store.tasks(TaskQuery { limit: 9, ..TaskQuery::default() })).unwrap();
            prop_assert_eq!(&listed.items[..], std::slice::from_ref(&loaded));
            let counts = now(store.count()).unwrap();
            prop_assert_eq!(counts, vec![(loaded.task.status.state, 1)]);
            record = loaded;
        }
    }
}
