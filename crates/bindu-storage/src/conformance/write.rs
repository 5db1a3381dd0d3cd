//! Writing and reading back.

use std::slice;
use std::sync::Arc;

use bindu_protocol::{
    Artifact, ContextId, Dialect, File, JsonObject, Message, Part, Role, Task, TaskId, TaskState,
    TaskStatus,
};
use futures_util::future::join_all;

use super::fixture::{
    at, born, claimed, commit, delivery, done, lease, load, next, once, owner, refused, rule,
    run_job, same, says, seen, status, stored, submitted, submitted_in, webhook,
};
use crate::{
    Change, Committed, EventBody, Hold, Record, RunId, Storage, StorageError, TaskQuery, Version,
};

fn object(text: &str) -> JsonObject {
    let map: std::collections::BTreeMap<&str, &str> = [("note", text)].into();
    let json = bindu_protocol::Json::new(&map).expect("a map of texts is JSON");
    JsonObject::try_from(json).expect("a map is an object")
}

/// Of commits made at the same time, how many went through, and that the others were told why.
fn winners(results: Vec<Result<Committed, StorageError>>, rule: &str) -> usize {
    let mut won = 0;
    for result in results {
        match result {
            Ok(_) => won += 1,
            Err(StorageError::Conflict(_)) => {}
            Err(other) => panic!("rule broken: {rule}; a loser was told: {other:?}"),
        }
    }
    won
}

/// What was never stored is absent, and that is no error.
///
/// # Panics
///
/// If the rule is broken.
pub async fn what_is_not_there_is_not_found(store: &dyn Storage) {
    let id = TaskId::random();
    rule!(
        matches!(store.load(&id).await, Ok(None)),
        "a task that was never stored loads as nothing"
    );
    same!(
        done!(store.events(&id, 0, 10).await, "the log of no task is empty"),
        Vec::new(),
        "the log of no task is empty"
    );
    same!(
        done!(store.feedback(&id).await, "no task has no feedback"),
        Vec::new(),
        "no task has no feedback"
    );
    let mut change = submitted(0);
    change.expected = Some(Version(1));
    refused!(
        store.commit(change).await,
        StorageError::Conflict(_),
        "a change of a task that is not there is refused as a conflict"
    );
    done!(store.ping().await, "a store that is up answers");
    rule!(!store.name().is_empty(), "a store has a name");
}

/// A task comes back with all that it was stored with.
///
/// # Panics
///
/// If the rule is broken.
pub async fn every_field_comes_back(store: &dyn Storage) {
    let id = TaskId::random();
    let context = ContextId::random();
    let said = |role, parts, text: &str| {
        Arc::new(Message {
            context_id: Some(context.clone()),
            task_id: Some(id.clone()),
            reference_task_ids: vec![TaskId::random(), TaskId::random()],
            metadata: Some(object(text)),
            extensions: vec!["https://example.com/ext".to_owned()],
            ..Message::new(role, parts)
        })
    };
    let by_bytes = File {
        bytes: Some("aGVsbG8=".to_owned()),
        mime_type: Some("text/plain".to_owned()),
        name: Some("hello.txt".to_owned()),
        ..File::default()
    };
    let by_uri = File { uri: Some("https://example.com/f".to_owned()), ..File::default() };
    let mut signed = Part::text("größer than \"this\" \u{1F600}");
    signed.metadata = Some(object("signature"));
    let question = said(Role::User, vec![signed.clone(), Part::file(by_bytes)], "asked");
    let answer =
        said(Role::Agent, vec![Part::data(object("data")), Part::file(by_uri)], "answered");
    let artifact = Artifact {
        description: Some("what came out".to_owned()),
        metadata: Some(object("artifact")),
        extensions: vec!["https://example.com/ext".to_owned()],
        ..Artifact::new("result", vec![signed, Part::data(object("rows"))])
    };
    let mut first = born(
        Task {
            id: id.clone(),
            context_id: context.clone(),
            status: TaskStatus::new(TaskState::Submitted, at(0)),
            history: vec![question],
            artifacts: Vec::new(),
            metadata: Some(object("task")),
        },
        &owner("alice"),
        0,
    );
    let hook = webhook("hook-1", "https://example.com/hook");
    if let Some(birth) = &mut first.birth {
        birth.dialect = Dialect::V0_3;
        birth.webhooks = vec![hook.clone()];
    }
    first.outbox = vec![delivery(&hook, 1)];
    let asked = commit(store, first).await.record;
    same!(*load(store, &id).await, *asked, "a new task loads as it was committed");
    same!(asked.owner, owner("alice"), "a task belongs to whom it was born to");
    same!(asked.dialect, Dialect::V0_3, "a task keeps the dialect that it was born with");
    same!(
        *asked.webhooks,
        *slice::from_ref(&hook),
        "a task keeps the webhooks that it was born with"
    );
    same!(asked.created, at(0), "a task was created at the time of its first change");

    let held = lease(60);
    let working = claimed(store, &asked, 1, held).await;
    same!(working.lease, Some(held), "a claim gives the lease");
    same!(*load(store, &id).await, *working, "a claimed task loads as it was committed");
    let mut last = next(
        &working,
        2,
        Hold::Release(held.run),
        vec![
            EventBody::Artifact { artifact: Arc::new(artifact), streamed: false },
            EventBody::Metadata(object("changed")),
            EventBody::Status(TaskStatus {
                message: Some(answer),
                ..TaskStatus::new(TaskState::Completed, at(2))
            }),
        ],
    );
    last.outbox = vec![delivery(&hook, 2), delivery(&hook, 3)];
    let over = Arc::clone(&last.task);
    let answered = commit(store, last).await.record;
    same!(*answered.task, *over, "a commit answers with the task as stored");
    let expected = Record {
        task: over,
        owner: owner("alice"),
        version: Version(5),
        dialect: Dialect::V0_3,
        lease: None,
        attempts: 1,
        deliveries: 3,
        webhooks: vec![hook].into(),
        created: at(0),
    };
    same!(*answered, expected, "a record says what was done with the task");
    same!(*load(store, &id).await, expected, "a finished task loads as it was committed");
}

/// Of several first messages of one task id, one makes the task; the others are told that it is
/// there.
///
/// # Panics
///
/// If the rule is broken.
pub async fn only_one_first_message_makes_the_task(store: &dyn Storage) {
    let first = submitted(0);
    let copies: Vec<_> = (0..10)
        .map(|number| {
            let mut task = Task::clone(&first.task);
            task.history = vec![says(Role::User, &number.to_string())];
            born(task, &owner("alice"), 0)
        })
        .collect();
    let results = join_all(copies.into_iter().map(|change| store.commit(change))).await;
    same!(winners(results, "one first message wins"), 1, "one first message wins");
    let record = load(store, &first.task.id).await;
    same!(record.version, Version(1), "a new task has version 1");
    same!(record.task.history.len(), 1, "what the losers said is not in the history");
}

/// Of ten changes made from one version, one is made.
///
/// # Panics
///
/// If the rule is broken.
pub async fn only_one_of_ten_changes_wins(store: &dyn Storage) {
    let record = stored(store, 0).await;
    let cancel = || next(&record, 1, Hold::Outside, vec![status(TaskState::Canceled, 1)]);
    let results = join_all((0..10).map(|_| store.commit(cancel()))).await;
    same!(winners(results, "one of ten changes wins"), 1, "one of ten changes wins");
    let record = load(store, &record.task.id).await;
    same!(record.version, Version(2), "a change that lost has no number");
    same!(record.task.status.state, TaskState::Canceled, "the winner's change is stored");
}

/// Writers that load again and try again after a conflict lose nothing.
///
/// # Panics
///
/// If the rule is broken.
pub async fn appends_under_contention_are_all_kept(store: &dyn Storage) {
    const WRITERS: usize = 8;
    const EACH: usize = 5;
    let id = stored(store, 0).await.task.id.clone();
    join_all((0..WRITERS).map(|writer| {
        let id = &id;
        async move {
            for number in 0..EACH {
                let message = says(Role::User, &format!("{writer}-{number}"));
                // Each refusal means that another writer went ahead, so this ends.
                for _ in 0..=WRITERS * EACH {
                    let record = load(store, id).await;
                    let events = vec![EventBody::Message(Arc::clone(&message))];
                    match store.commit(next(&record, 1, Hold::Outside, events)).await {
                        Ok(_) => break,
                        Err(StorageError::Conflict(_)) => {}
                        Err(error) => panic!("rule broken: an append is made; it was {error:?}"),
                    }
                }
            }
        }
    }))
    .await;
    let record = load(store, &id).await;
    let mut texts: Vec<_> = record.task.history.iter().skip(1).map(|said| said.text()).collect();
    texts.sort_unstable();
    let expected: Vec<_> = (0..WRITERS)
        .flat_map(|writer| (0..EACH).map(move |number| format!("{writer}-{number}")))
        .collect();
    same!(texts, expected, "every append is kept, each once");
    same!(record.version, Version(1 + (WRITERS * EACH) as u64), "every append has its number");
}

/// A task's events are numbered from 1 without gaps, and the version is the last number.
///
/// # Panics
///
/// If the rule is broken.
pub async fn events_are_numbered_without_gaps(store: &dyn Storage) {
    let committed = commit(store, submitted(0)).await;
    let numbers = |committed: &Committed| -> Vec<u64> {
        committed.events.iter().map(|event| event.seq).collect()
    };
    same!(numbers(&committed), [1], "the first event has number 1");
    let piece = |text: &str| EventBody::Chunk {
        artifact: Arc::new(Artifact::new("result", vec![Part::text(text)])),
        append: true,
    };
    let held = lease(60);
    let record = claimed(store, &committed.record, 1, held).await;
    let pieces = vec![piece("one "), piece("two "), piece("three")];
    let committed = commit(store, next(&record, 2, Hold::Keep(held.run), pieces)).await;
    same!(numbers(&committed), [3, 4, 5], "the events of one change are numbered in order");
    same!(committed.record.version, Version(5), "the version is the number of the last event");
    let quiet = commit(store, next(&committed.record, 3, Hold::Keep(held.run), vec![])).await;
    same!(quiet.record.version, Version(5), "a change without events leaves the version");
    let id = &committed.record.task.id;
    let log = done!(store.events(id, 0, 100).await, "a log can be read");
    let found: Vec<_> = log.iter().map(|event| (event.seq, event.at)).collect();
    let expected = [(1, at(0)), (2, at(1)), (3, at(2)), (4, at(2)), (5, at(2))];
    same!(found, expected, "events keep their numbers and the time of their change");
    same!(log[2..], committed.events[..], "the log holds what the commit answered");
}

/// What the log says, applied event by event, is the stored task.
///
/// # Panics
///
/// If the rule is broken.
pub async fn the_log_leads_to_the_task(store: &dyn Storage) {
    let record = stored(store, 0).await;
    let held = lease(60);
    let record = claimed(store, &record, 1, held).await;
    let artifact = Arc::new(Artifact::new("result", vec![Part::text("done")]));
    let events = vec![
        EventBody::Chunk { artifact: Arc::clone(&artifact), append: false },
        EventBody::Message(says(Role::Agent, "on it")),
        EventBody::Metadata(object("m")),
        EventBody::Artifact { artifact, streamed: true },
        EventBody::Status(TaskStatus {
            message: Some(says(Role::Agent, "done")),
            ..TaskStatus::new(TaskState::Completed, at(2))
        }),
    ];
    let record = commit(store, next(&record, 2, Hold::Release(held.run), events)).await.record;
    let log = done!(store.events(&record.task.id, 0, 100).await, "a log can be read");
    let Some(EventBody::Snapshot(whole)) = log.first().map(|event| &event.body) else {
        panic!("rule broken: a log begins with a snapshot; it was {log:?}");
    };
    let mut task = Task::clone(whole);
    for event in &log[1..] {
        event.body.apply(&mut task);
    }
    same!(task, *record.task, "the log leads to the task");
}

/// A log can be read from any number on, and in pieces.
///
/// # Panics
///
/// If the rule is broken.
pub async fn the_log_is_read_in_stretches(store: &dyn Storage) {
    let mut record = stored(store, 0).await;
    for number in 0..9 {
        let events = vec![EventBody::Message(says(Role::User, &number.to_string()))];
        record = commit(store, next(&record, number, Hold::Outside, events)).await.record;
    }
    let id = &record.task.id;
    let read = async |after, limit| -> Vec<u64> {
        let events = done!(store.events(id, after, limit).await, "a log can be read");
        events.iter().map(|event| event.seq).collect()
    };
    same!(read(0, 3).await, [1, 2, 3], "a log is read from the start, no more than asked for");
    same!(read(3, 4).await, [4, 5, 6, 7], "a log is read after a number");
    same!(read(7, 100).await, [8, 9, 10], "a log is read to its end");
    rule!(read(10, 100).await.is_empty(), "after the last event there is nothing");
    rule!(read(1 << 40, 100).await.is_empty(), "far after the last event there is nothing");
    rule!(read(0, 0).await.is_empty(), "nothing is read when nothing is asked for");
    ended_log_reads_the_same(store, &record).await;
}

async fn ended_log_reads_the_same(store: &dyn Storage, record: &Record) {
    let id = &record.task.id;
    let before = done!(store.events(id, 0, 100).await, "a log can be read");
    super::fixture::ended(store, record, 20).await;
    let after = done!(store.events(id, 0, 100).await, "a log can be read");
    same!(after[..10], before[..], "the log of a task that is over is still there");
    same!(after.len(), 11, "the end of a task is in its log");
}

/// A refused change leaves everything as it was: task, log, outbox, counts, contexts, keys.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_refused_change_writes_nothing(store: &dyn Storage) {
    let alice = owner("alice");
    let key = says(Role::User, "key");
    let mut first = submitted(0);
    first.outbox = vec![run_job(1)];
    first.once = Some(once(&alice, &key, 1_000));
    let context = first.task.context_id.clone();
    let record = commit(store, first).await.record;
    let held = lease(100);
    let record = claimed(store, &record, 1, held).await;
    let before = seen(store, &record.task.id).await;

    let fresh_key = says(Role::User, "fresh key");
    let hook = webhook("hook", "https://example.com");
    // Whatever else a change brings must not be there afterwards.
    let loaded = |mut change: Change| {
        change.outbox = vec![run_job(9), delivery(&hook, 9)];
        change.once.get_or_insert_with(|| once(&alice, &fresh_key, 1_000));
        change
    };
    let cancel = |hold| {
        let change = next(&record, 2, hold, vec![status(TaskState::Canceled, 2)]);
        loaded(change)
    };
    let stale = Change { expected: Some(Version(1)), ..cancel(Hold::Outside) };
    refused!(store.commit(stale).await, StorageError::Conflict(_), "a stale change is refused");
    let early = Change { expected: Some(Version(3)), ..cancel(Hold::Outside) };
    refused!(store.commit(early).await, StorageError::Conflict(_), "a premature change is refused");
    let again = loaded(born(Task::clone(&record.task), &alice, 2));
    refused!(store.commit(again).await, StorageError::Conflict(_), "a task is born only once");
    let claim = loaded(next(&record, 2, Hold::Claim(lease(200)), vec![]));
    refused!(store.commit(claim).await, StorageError::Conflict(_), "a second claim is refused");
    let stranger = cancel(Hold::Keep(RunId::random()));
    refused!(store.commit(stranger).await, StorageError::LeaseLost(_), "a stranger is refused");
    let foreign = loaded(submitted_in(&context, &owner("bob"), 2));
    let foreign_id = foreign.task.id.clone();
    refused!(
        store.commit(foreign).await,
        StorageError::NotOwner(_),
        "a task in another owner's context is refused"
    );
    let mut repeated = submitted_in(&ContextId::random(), &alice, 2);
    repeated.once = Some(once(&alice, &key, 1_000));
    let repeated = loaded(repeated);
    let repeated_id = repeated.task.id.clone();
    refused!(store.commit(repeated).await, StorageError::Repeated(_), "a repeat is refused");

    same!(seen(store, &record.task.id).await, before, "a refused change writes nothing");
    for id in [foreign_id, repeated_id] {
        rule!(matches!(store.load(&id).await, Ok(None)), "a refused task is not there");
    }
    let mut allowed = submitted(3);
    allowed.once = Some(once(&alice, &fresh_key, 1_000));
    done!(store.commit(allowed).await, "a refused change does not use up its key");
}

/// A key makes a write happen once for its owner, until the key ends.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_key_is_used_once(store: &dyn Storage) {
    let message = says(Role::User, "hello");
    let with_key = |name: &str, second: i64| {
        let owner = owner(name);
        let mut change = submitted_in(&ContextId::random(), &owner, second);
        change.once = Some(once(&owner, &message, second + 100));
        change
    };
    let first = commit(store, with_key("alice", 0)).await.record;
    match store.commit(with_key("alice", 99)).await {
        Err(StorageError::Repeated(made)) => {
            same!(made, first.task.id, "who repeats a message is told the task that it made");
        }
        other => panic!("rule broken: a used key is refused; instead: {other:?}"),
    }
    commit(store, with_key("bob", 99)).await;
    let second = commit(store, with_key("alice", 101)).await.record;
    match store.commit(with_key("alice", 102)).await {
        Err(StorageError::Repeated(made)) => {
            same!(made, second.task.id, "a key that ended can be used again, once");
        }
        other => panic!("rule broken: a key used again is refused; instead: {other:?}"),
    }
    let copies = (0..10).map(|_| store.commit(with_key("carol", 0)));
    let mut won = 0;
    for result in join_all(copies).await {
        match result {
            Ok(_) => won += 1,
            Err(StorageError::Repeated(_)) => {}
            Err(other) => panic!("rule broken: a repeat is told so; it was told {other:?}"),
        }
    }
    same!(won, 1, "of ten writes under one key one is made");
}

/// U+0000 in a text is kept, or replaced by U+FFFD; it never fails a write.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_text_with_nul_does_no_harm(store: &dyn Storage) {
    let record = stored(store, 0).await;
    let events = vec![EventBody::Message(says(Role::User, "a\u{0}b"))];
    let change = next(&record, 1, Hold::Outside, events);
    done!(store.commit(change).await, "a text with U+0000 can be stored");
    let record = load(store, &record.task.id).await;
    let found = record.task.history.last().map(|said| said.text()).unwrap_or_default();
    rule!(
        ["a\u{0}b", "a\u{FFFD}b"].contains(&found.as_str()),
        "U+0000 is kept or becomes U+FFFD; the text became {found:?}"
    );
}

/// A conversation of two thousand messages comes back whole and in order.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_long_history_comes_back(store: &dyn Storage) {
    let mut record = stored(store, 0).await;
    for turn in 0..20 {
        let said = |number: i64| EventBody::Message(says(Role::User, &number.to_string()));
        let events = (turn * 100..(turn + 1) * 100).map(said).collect();
        record = commit(store, next(&record, turn, Hold::Outside, events)).await.record;
    }
    let record = load(store, &record.task.id).await;
    same!(record.version, Version(2_001), "every message has its number");
    let in_order = record.task.history.iter().skip(1).map(|said| said.text());
    rule!(
        record.task.history.len() == 2_001 && in_order.eq((0..2_000).map(|n| n.to_string())),
        "two thousand messages come back whole and in order"
    );
}

/// Ids that are no UUIDs are told apart and come back as they were.
///
/// # Panics
///
/// If the rule is broken.
pub async fn ids_are_opaque(store: &dyn Storage) {
    let texts = [
        "x",
        "X",
        "order/17 \u{e9}\u{1F600}",
        "6f9619ff-8b86-4011-b42d-00cf4fc964ff",
        "6F9619FF-8B86-4011-B42D-00CF4FC964FF",
        "6f9619ff8b864011b42d00cf4fc964ff",
    ];
    for text in texts {
        let mut task = Task::clone(&submitted(0).task);
        task.id = text.parse().expect("the ids of the cases are ids");
        task.context_id = text.parse().expect("the ids of the cases are ids");
        task.history = vec![says(Role::User, text)];
        commit(store, born(task, &owner("alice"), 0)).await;
    }
    for text in texts {
        let id: TaskId = text.parse().expect("the ids of the cases are ids");
        let record = load(store, &id).await;
        same!(record.task.id, id, "a task id comes back as it was");
        same!(record.task.context_id.to_string(), text, "a context id comes back as it was");
        same!(record.task.history[0].text(), text, "no two ids are one task");
        let query = TaskQuery {
            context: Some(record.task.context_id.clone()),
            limit: 10,
            ..TaskQuery::default()
        };
        let page = done!(store.tasks(query).await, "a context's tasks can be listed");
        let found: Vec<_> = page.items.iter().map(|record| record.task.id.to_string()).collect();
        same!(found, [text], "a context has its own tasks only");
    }
}
