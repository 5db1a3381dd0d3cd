//! What the agent keeps for itself, and what is kept no longer.

use bindu_protocol::{ContextId, Json};
use futures_util::future::join_all;

use super::fixture::{
    at, claimed, commit, delivery, done, ended, lease, load, once, owner, refused, rule, same,
    says, seen, stored, submitted, submitted_in, webhook,
};
use crate::{Feedback, StateChange, StateScope, StateValue, Storage, StorageError};

const ROOM: usize = 1_000;

fn json(text: &str) -> Json {
    serde_json::from_str(text).expect("the values of the cases are JSON")
}

fn write(scope: &StateScope, key: &str, value: &str, expected: Option<u64>) -> StateChange {
    let (scope, key) = (scope.clone(), key.to_owned());
    StateChange { scope, key, value: Some(json(value)), expected, room: ROOM }
}

fn removal(scope: &StateScope, key: &str, expected: Option<u64>) -> StateChange {
    let (scope, key) = (scope.clone(), key.to_owned());
    StateChange { scope, key, value: None, expected, room: ROOM }
}

async fn get(store: &dyn Storage, scope: &StateScope, key: &str) -> Option<StateValue> {
    done!(store.state(scope, key).await, "state can be read")
}

async fn set(store: &dyn Storage, change: StateChange) -> u64 {
    done!(store.set_state(change).await, "state can be written")
}

async fn keys(
    store: &dyn Storage,
    scope: &StateScope,
    after: Option<&str>,
    limit: usize,
) -> Vec<String> {
    done!(store.state_keys(scope, after, limit).await, "keys can be listed")
}

/// The agent's scope, and that of a context that is there.
async fn scopes(store: &dyn Storage) -> [StateScope; 2] {
    let record = stored(store, 0).await;
    [StateScope::Agent, StateScope::Context(record.task.context_id.clone())]
}

/// A value comes back as it was written, and is written only from the version that was read.
///
/// # Panics
///
/// If the rule is broken.
pub async fn state_is_compared_and_set(store: &dyn Storage) {
    for scope in scopes(store).await {
        same!(get(store, &scope, "k").await, None, "what was not written is not there");
        let text = r#"{"b": [1, 1e3, "ä\n"], "a": null}"#;
        let first = set(store, write(&scope, "k", text, Some(0))).await;
        rule!(first > 0, "a value has a version");
        let expected = Some(StateValue { value: json(text), version: first });
        same!(get(store, &scope, "k").await, expected, "a value comes back as it was written");
        refused!(
            store.set_state(write(&scope, "k", "1", Some(0))).await,
            StorageError::StateConflict,
            "a value that must be new is not written over another"
        );
        refused!(
            store.set_state(write(&scope, "k", "1", Some(first + 1))).await,
            StorageError::StateConflict,
            "nor one that was read at another version"
        );
        same!(get(store, &scope, "k").await, expected, "a refused write changes nothing");
        let second = set(store, write(&scope, "k", "null", Some(first))).await;
        rule!(second > first, "versions grow");
        let third = set(store, write(&scope, "k", "3", None)).await;
        rule!(third > second, "a write may be made whatever is there");
        refused!(
            store.set_state(removal(&scope, "k", Some(second))).await,
            StorageError::StateConflict,
            "a removal is a write"
        );
        same!(set(store, removal(&scope, "k", Some(third))).await, 0, "a removal leaves nothing");
        same!(get(store, &scope, "k").await, None, "what was removed is not there");
        same!(set(store, removal(&scope, "k", Some(0))).await, 0, "nor is it afterwards");
        refused!(
            store.set_state(write(&scope, "k", "1", Some(third))).await,
            StorageError::StateConflict,
            "what was removed is not at a version"
        );
        let again = set(store, write(&scope, "k", "4", Some(0))).await;
        rule!(again > third, "a version never comes again, not even after a removal");
    }
}

/// Of ten writers that read the same version, one wins; and scopes know nothing of each other.
///
/// # Panics
///
/// If the rule is broken.
pub async fn one_of_ten_state_writers_wins(store: &dyn Storage) {
    let [agent, context] = scopes(store).await;
    let [_, other] = scopes(store).await;
    for scope in [&agent, &context] {
        let mut expected = 0;
        for round in 0..3 {
            let writers = (0..10).map(|writer| {
                let value = format!(r#""{round}-{writer}""#);
                store.set_state(write(scope, "k", &value, Some(expected)))
            });
            let mut won = Vec::new();
            for result in join_all(writers).await {
                match result {
                    Ok(version) => won.push(version),
                    Err(StorageError::StateConflict) => {}
                    Err(error) => panic!("rule broken: state can be written: {error:?}"),
                }
            }
            same!(won.len(), 1, "one of ten writers wins");
            expected = won[0];
            let version = get(store, scope, "k").await.map(|value| value.version);
            same!(version, Some(expected), "what the winner was told is what is there");
        }
    }
    same!(get(store, &other, "k").await, None, "scopes know nothing of each other");
    set(store, removal(&agent, "k", None)).await;
    rule!(get(store, &context, "k").await.is_some(), "nor when something is removed");
}

/// A scope holds so many bytes and no more; whatever is removed makes room.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_scope_has_limited_room(store: &dyn Storage) {
    let long = |bytes: usize| format!(r#""{}""#, "x".repeat(bytes - 2));
    for scope in scopes(store).await {
        set(store, write(&scope, "aa", &long(498), None)).await;
        set(store, write(&scope, "bb", &long(498), None)).await;
        refused!(
            store.set_state(write(&scope, "c", "1", None)).await,
            StorageError::Full { limit: ROOM, .. },
            "keys and values together take no more than the room"
        );
        refused!(
            store.set_state(write(&scope, "aa", &long(499), None)).await,
            StorageError::Full { .. },
            "a value may not outgrow the room either"
        );
        same!(get(store, &scope, "c").await, None, "a refused write changes nothing");
        set(store, write(&scope, "aa", &long(497), None)).await;
        refused!(
            store.set_state(write(&scope, "c", "1", None)).await,
            StorageError::Full { .. },
            "the key counts too"
        );
        set(store, removal(&scope, "aa", None)).await;
        set(store, write(&scope, "c", &long(499), None)).await;
        let mut none = removal(&scope, "bb", None);
        none.room = 0;
        set(store, none).await;
    }
}

/// Keys are listed in the order of their bytes, in stretches.
///
/// # Panics
///
/// If the rule is broken.
pub async fn keys_are_listed_in_order(store: &dyn Storage) {
    for scope in scopes(store).await {
        rule!(keys(store, &scope, None, 10).await.is_empty(), "no values, no keys");
        for key in ["b", "ä", "B", "a/1", "a", "a_1", "a%"] {
            set(store, write(&scope, key, "1", None)).await;
        }
        let all = ["B", "a", "a%", "a/1", "a_1", "b", "ä"];
        same!(keys(store, &scope, None, 10).await, all, "keys are in the order of their bytes");
        same!(keys(store, &scope, None, 3).await, all[..3], "no more are listed than asked for");
        same!(keys(store, &scope, Some("a%"), 2).await, all[3..5], "a list can be gone on with");
        same!(keys(store, &scope, Some("a0"), 2).await, all[4..6], "from where nothing is too");
        rule!(keys(store, &scope, Some("ä"), 9).await.is_empty(), "after the last comes nothing");
    }
}

/// The state of a context needs the context, and goes with it.
///
/// # Panics
///
/// If the rule is broken.
pub async fn the_state_of_a_context_goes_with_it(store: &dyn Storage) {
    let absent = StateScope::Context(ContextId::random());
    refused!(
        store.set_state(write(&absent, "k", "1", None)).await,
        StorageError::NotFound,
        "a context that is not there has no state"
    );
    let record = stored(store, 0).await;
    let context = record.task.context_id.clone();
    let scope = StateScope::Context(context.clone());
    set(store, write(&scope, "k", "1", None)).await;
    set(store, write(&StateScope::Agent, "k", "2", None)).await;
    ended(store, &record, 1).await;
    done!(store.clear_context(&context, &record.owner).await, "an idle context is cleared");
    commit(store, submitted_in(&context, &owner("bob"), 2)).await;
    same!(get(store, &scope, "k").await, None, "whoever has the context next finds nothing in it");
    rule!(keys(store, &scope, None, 9).await.is_empty(), "whoever has it next finds no keys");
    rule!(get(store, &StateScope::Agent, "k").await.is_some(), "the agent's own state stays");
}

/// Old tasks that are over go with all that hangs on them, oldest first; all others stay.
///
/// # Panics
///
/// If the rule is broken.
pub async fn only_what_is_over_and_old_is_pruned(store: &dyn Storage) {
    let alice = owner("alice");
    let context = ContextId::random();
    let message = says(bindu_protocol::Role::User, "hello");
    let mut change = submitted_in(&context, &alice, 5);
    let hook = webhook("hook", "https://example.com");
    change.outbox = vec![delivery(&hook, 1)];
    change.once = Some(once(&alice, &message, 1_000));
    let gone = change.task.id.clone();
    let empty = seen(store, &gone).await;
    let record = commit(store, change).await.record;
    done!(store.set_webhook(&gone, hook).await, "a webhook can be set");
    let opinion = Feedback { text: "good".to_owned(), rating: Some(5), metadata: None, at: at(6) };
    done!(store.add_feedback(&gone, opinion).await, "feedback can be given");
    let scope = StateScope::Context(context.clone());
    set(store, write(&scope, "k", "1", None)).await;
    ended(store, &record, 7).await;

    same!(done!(store.prune(at(5), 10).await, "tasks can be pruned"), 0, "what is not old stays");
    same!(done!(store.prune(at(6), 0).await, "tasks can be pruned"), 0, "as many as allowed go");
    load(store, &gone).await;
    same!(done!(store.prune(at(6), 10).await, "tasks can be pruned"), 1, "what went is counted");
    same!(seen(store, &gone).await, empty, "of a pruned task nothing is left");
    commit(store, submitted_in(&context, &owner("bob"), 8)).await;
    same!(get(store, &scope, "k").await, None, "nor of a context whose last task it was");

    let waiting = stored(store, 1).await;
    let running = {
        let record = stored(store, 2).await;
        claimed(store, &record, 3, lease(10)).await
    };
    let mut over = Vec::new();
    for second in [14, 12, 13] {
        let record = stored(store, second).await;
        over.push(ended(store, &record, 20).await.task.id.clone());
    }
    let kept = submitted(15);
    let pair = submitted_in(&kept.task.context_id, &alice, 16);
    let kept = commit(store, kept).await.record;
    let pair = commit(store, pair).await.record;
    ended(store, &kept, 20).await;
    same!(done!(store.prune(at(99), 2).await, "tasks can be pruned"), 2, "no more go than allowed");
    let left = done!(store.load(&over[0]).await, "a task can be loaded");
    rule!(left.is_some(), "the oldest go first");
    for id in &over[1..] {
        same!(done!(store.load(id).await, "a task can be loaded"), None, "the oldest go first");
    }
    same!(done!(store.prune(at(99), 9).await, "tasks can be pruned"), 2, "the rest goes next");
    for record in [&waiting, &running, &pair] {
        same!(load(store, &record.task.id).await.task, record.task, "what is not over stays");
    }
}
