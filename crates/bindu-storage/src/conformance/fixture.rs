//! What the cases are made of.

use std::sync::Arc;

use bindu_protocol::{
    ContextId, Dialect, Message, Owner, Part, PushConfig, PushConfigId, Role, Task, TaskId,
    TaskState, TaskStatus, Timestamp,
};
use uuid::Uuid;

use crate::{
    Birth, Change, Committed, Delivery, EventBody, Hold, Lease, Once, OutboxBody, OutboxEntry,
    OutboxKind, OutboxQuery, Record, RunId, Storage, Version, Webhook,
};

/// Panics with the rule, unless it holds.
macro_rules! rule {
    ($holds:expr, $($rule:tt)+) => {
        assert!($holds, "rule broken: {}", format_args!($($rule)+))
    };
}

/// Panics with the rule, unless both are the same.
macro_rules! same {
    ($found:expr, $expected:expr, $($rule:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => assert!(
                found == expected,
                "rule broken: {}\n   found: {found:?}\nexpected: {expected:?}",
                format_args!($($rule)+),
            ),
        }
    };
}

/// Panics with the rule, unless the call was refused in the way expected.
macro_rules! refused {
    ($result:expr, $expected:pat, $($rule:tt)+) => {
        match $result {
            Err($expected) => {}
            Err(other) => {
                panic!("rule broken: {}; it was, but as: {other:?}", format_args!($($rule)+))
            }
            Ok(_) => panic!("rule broken: {}; it was accepted", format_args!($($rule)+)),
        }
    };
}

/// Panics, naming what was to be done, unless the call went well.
macro_rules! done {
    ($result:expr, $($what:tt)+) => {
        match $result {
            Ok(value) => value,
            Err(error) => panic!("rule broken: {}; instead: {error:?}", format_args!($($what)+)),
        }
    };
}

pub(super) use {done, refused, rule, same};

/// A time of the cases' own, in seconds.
pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros((1_800_000_000 + second) * 1_000_000)
}

pub(super) fn owner(name: &str) -> Owner {
    Owner::from(Some(name.to_owned()))
}

pub(super) fn says(role: Role, text: &str) -> Arc<Message> {
    Arc::new(Message::new(role, vec![Part::text(text)]))
}

pub(super) fn status(state: TaskState, second: i64) -> EventBody {
    EventBody::Status(TaskStatus::new(state, at(second)))
}

/// A submitted task of `alice` in a context of its own.
pub(super) fn submitted(second: i64) -> Change {
    submitted_in(&ContextId::random(), &owner("alice"), second)
}

/// A submitted task with one message.
pub(super) fn submitted_in(context: &ContextId, owner: &Owner, second: i64) -> Change {
    let id = TaskId::random();
    let mut message = Message::new(Role::User, vec![Part::text("hello")]);
    message.task_id = Some(id.clone());
    message.context_id = Some(context.clone());
    born(
        Task {
            id,
            context_id: context.clone(),
            status: TaskStatus::new(TaskState::Submitted, at(second)),
            history: vec![Arc::new(message)],
            artifacts: Vec::new(),
            metadata: None,
        },
        owner,
        second,
    )
}

/// The creation of a task as it is.
pub(super) fn born(task: Task, owner: &Owner, second: i64) -> Change {
    let task = Arc::new(task);
    Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(Birth {
            owner: owner.clone(),
            dialect: Dialect::Reference,
            webhooks: Vec::new(),
        }),
        hold: Hold::Outside,
        at: at(second),
        outbox: Vec::new(),
        once: None,
    }
}

/// A change of a task by events.
pub(super) fn next(record: &Record, second: i64, hold: Hold, events: Vec<EventBody>) -> Change {
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

pub(super) fn lease(until: i64) -> Lease {
    Lease { run: RunId::random(), until: at(until) }
}

pub(super) fn run_job(version: u64) -> OutboxBody {
    OutboxBody::Run { version: Version(version) }
}

pub(super) fn webhook(id: &str, url: &str) -> Webhook {
    let id: PushConfigId = id.parse().expect("the ids of the cases are short");
    let config = PushConfig {
        id: Some(id),
        url: url.to_owned(),
        token: Some("secret".to_owned()),
        authentication: None,
    };
    Webhook { config, dialect: Dialect::V0_3 }
}

pub(super) fn delivery(webhook: &Webhook, sequence: u64) -> OutboxBody {
    OutboxBody::Deliver(Delivery {
        webhook: webhook.clone(),
        event_id: Uuid::new_v4(),
        sequence,
        body: format!(r#"{{"sequence": {sequence}}}"#).into_bytes().into(),
    })
}

pub(super) fn once(owner: &Owner, message: &Message, until: i64) -> Once {
    Once { owner: owner.clone(), message: message.id.clone(), until: at(until) }
}

pub(super) async fn commit(store: &dyn Storage, change: Change) -> Committed {
    done!(store.commit(change).await, "a change that nothing speaks against is made")
}

/// Stores a submitted task of `alice`.
pub(super) async fn stored(store: &dyn Storage, second: i64) -> Arc<Record> {
    commit(store, submitted(second)).await.record
}

/// Claims a task.
pub(super) async fn claimed(
    store: &dyn Storage,
    record: &Record,
    second: i64,
    lease: Lease,
) -> Arc<Record> {
    let events = vec![status(TaskState::Working, second)];
    commit(store, next(record, second, Hold::Claim(lease), events)).await.record
}

/// Ends a task from outside.
pub(super) async fn ended(store: &dyn Storage, record: &Record, second: i64) -> Arc<Record> {
    let events = vec![status(TaskState::Canceled, second)];
    commit(store, next(record, second, Hold::Outside, events)).await.record
}

/// Loads a task that must be there.
pub(super) async fn load(store: &dyn Storage, id: &TaskId) -> Arc<Record> {
    let found = done!(store.load(id).await, "a task can be loaded");
    found.unwrap_or_else(|| panic!("rule broken: a stored task can be loaded; {id} is not there"))
}

/// Reads the outbox, whatever is due.
pub(super) async fn read(
    store: &dyn Storage,
    kind: OutboxKind,
    task: Option<&TaskId>,
    limit: usize,
) -> Vec<OutboxEntry> {
    let query = OutboxQuery { kind, task: task.cloned(), due: None, limit };
    done!(store.outbox(query).await, "the outbox can be read")
}

/// Everything that can be seen of a store, as far as one task and one owner go.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    record: Option<Record>,
    events: Vec<crate::Event>,
    runs: Vec<OutboxEntry>,
    deliveries: Vec<OutboxEntry>,
    counts: Vec<(TaskState, u64)>,
    contexts: Vec<ContextId>,
    feedback: Vec<crate::Feedback>,
}

pub(super) async fn seen(store: &dyn Storage, id: &TaskId) -> Seen {
    const ALL: usize = 1_000;
    let record = done!(store.load(id).await, "a task can be loaded");
    let contexts = crate::ContextQuery { owner: None, after: None, limit: ALL };
    let contexts = done!(store.contexts(contexts).await, "contexts can be listed").items;
    let mut counts = done!(store.count().await, "tasks can be counted");
    counts.retain(|(_, count)| *count > 0);
    counts.sort_by_key(|(state, _)| state.as_str());
    Seen {
        record: record.as_deref().cloned(),
        events: done!(store.events(id, 0, ALL).await, "a log can be read"),
        runs: read(store, OutboxKind::Run, None, ALL).await,
        deliveries: read(store, OutboxKind::Deliver, None, ALL).await,
        counts,
        contexts: contexts.into_iter().map(|context| context.context_id).collect(),
        feedback: done!(store.feedback(id).await, "feedback can be read"),
    }
}
