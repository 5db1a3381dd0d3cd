//! Lists, counts, owners and the end of a context.

use std::collections::HashMap;
use std::slice;

use bindu_protocol::{ContextId, ContextSummary, Owner, TaskId, TaskState};

use super::fixture::{
    at, claimed, commit, delivery, done, ended, lease, once, owner, refused, rule, run_job, same,
    says, seen, stored, submitted, submitted_in, webhook,
};
use crate::{ContextQuery, Feedback, Storage, StorageError, TaskQuery};

/// Reads a list of tasks to its end, in pages.
async fn all_tasks(store: &dyn Storage, query: TaskQuery) -> Vec<TaskId> {
    let mut found = Vec::new();
    let mut query = query;
    // A list that never ends breaks a rule too.
    for _ in 0..1_000 {
        let page = done!(store.tasks(query.clone()).await, "tasks can be listed");
        rule!(page.items.len() <= query.limit, "a page is not longer than asked for");
        found.extend(page.items.iter().map(|record| record.task.id.clone()));
        match page.next {
            None => return found,
            next => query.after = next,
        }
    }
    panic!("rule broken: a list of tasks ends");
}

async fn all_contexts(store: &dyn Storage, query: ContextQuery) -> Vec<ContextSummary> {
    let mut found = Vec::new();
    let mut query = query;
    for _ in 0..1_000 {
        let page = done!(store.contexts(query.clone()).await, "contexts can be listed");
        rule!(page.items.len() <= query.limit, "a page is not longer than asked for");
        found.extend(page.items);
        match page.next {
            None => return found,
            next => query.after = next,
        }
    }
    panic!("rule broken: a list of contexts ends");
}

fn of(owner: &Owner, limit: usize) -> TaskQuery {
    TaskQuery { owner: Some(owner.clone()), limit, ..TaskQuery::default() }
}

/// Tasks are listed newest first, or oldest first, by creation, not by change.
///
/// # Panics
///
/// If the rule is broken.
pub async fn tasks_are_listed_by_creation(store: &dyn Storage) {
    let alice = owner("alice");
    let context = ContextId::random();
    let mut made = Vec::new();
    for second in 0..5 {
        made.push(commit(store, submitted_in(&context, &alice, second)).await.record);
    }
    ended(store, &made[0], 100).await;
    let oldest: Vec<_> = made.iter().map(|record| record.task.id.clone()).collect();
    let newest: Vec<_> = oldest.iter().rev().cloned().collect();
    for limit in [1, 2, 5, 100, usize::MAX] {
        same!(all_tasks(store, of(&alice, limit)).await, newest, "tasks come newest first");
        let query = TaskQuery { oldest_first: true, ..of(&alice, limit) };
        same!(all_tasks(store, query).await, oldest, "tasks come oldest first if asked for");
        let query = TaskQuery { context: Some(context.clone()), ..of(&alice, limit) };
        same!(all_tasks(store, query).await, newest, "a context's tasks come newest first");
        let query =
            TaskQuery { context: Some(context.clone()), oldest_first: true, ..of(&alice, limit) };
        same!(all_tasks(store, query).await, oldest, "a context's tasks come oldest first");
        let query = TaskQuery { limit, ..TaskQuery::default() };
        same!(all_tasks(store, query).await, newest, "all owners' tasks come newest first");
    }
    let page = done!(store.tasks(of(&alice, 5)).await, "tasks can be listed");
    same!(page.next, None, "a page that ends the list has no cursor");
    let page = done!(store.tasks(of(&alice, 10)).await, "tasks can be listed");
    let over = page.items.iter().filter(|record| record.task.status.state.is_terminal()).count();
    same!(over, 1, "a list shows tasks as they are");
}

/// Tasks made at the same instant are all listed, each once, in one order.
///
/// # Panics
///
/// If the rule is broken.
pub async fn tasks_of_one_instant_are_all_listed(store: &dyn Storage) {
    let alice = owner("alice");
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(
            commit(store, submitted_in(&ContextId::random(), &alice, 0))
                .await
                .record
                .task
                .id
                .clone(),
        );
    }
    made.sort_unstable();
    let newest = all_tasks(store, of(&alice, 2)).await;
    let mut sorted = newest.clone();
    sorted.sort_unstable();
    same!(sorted, made, "tasks of one instant are all listed, each once");
    let oldest = all_tasks(store, TaskQuery { oldest_first: true, ..of(&alice, 3) }).await;
    rule!(oldest.iter().rev().eq(&newest), "tasks of one instant have one order");
}

/// A list read in pages, while tasks are made, repeats none and skips none that was there.
///
/// # Panics
///
/// If the rule is broken.
pub async fn pages_neither_repeat_nor_skip(store: &dyn Storage) {
    let alice = owner("alice");
    for oldest_first in [false, true] {
        let context = ContextId::random();
        let mut there = Vec::new();
        for second in 0..10 {
            let change = submitted_in(&context, &alice, second);
            there.push(commit(store, change).await.record.task.id.clone());
        }
        if !oldest_first {
            there.reverse();
        }
        let mut query = TaskQuery {
            context: Some(context.clone()),
            oldest_first,
            limit: 3,
            ..TaskQuery::default()
        };
        let mut found = Vec::new();
        for page in 0..100 {
            let read = done!(store.tasks(query.clone()).await, "tasks can be listed");
            found.extend(read.items.iter().map(|record| record.task.id.clone()));
            query.after = read.next;
            if query.after.is_none() {
                break;
            }
            // One that comes last in the list and one that comes first, seen or not.
            commit(store, submitted_in(&context, &alice, 100 + page)).await;
            if page < 3 {
                commit(store, submitted_in(&context, &alice, -100 - page)).await;
            }
        }
        rule!(query.after.is_none(), "a list that grows more slowly than it is read ends");
        let mut times: HashMap<&TaskId, usize> = HashMap::new();
        for id in &found {
            *times.entry(id).or_default() += 1;
        }
        rule!(times.values().all(|times| *times == 1), "a page repeats nothing of an earlier one");
        found.retain(|id| there.contains(id));
        same!(found, there, "what was there at the start is listed, in order");
    }
}

/// Contexts are listed newest first, with their tasks oldest first.
///
/// # Panics
///
/// If the rule is broken.
pub async fn contexts_are_listed_newest_first(store: &dyn Storage) {
    let alice = owner("alice");
    let contexts: Vec<_> = (0..5).map(|_| ContextId::random()).collect();
    let mut tasks: Vec<Vec<TaskId>> = vec![Vec::new(); 5];
    // A later task does not make its context newer.
    for (second, number) in [0_usize, 1, 2, 3, 4, 0, 2, 0].into_iter().enumerate() {
        let second = i64::try_from(second).unwrap_or_default();
        let change = submitted_in(&contexts[number], &alice, second);
        tasks[number].push(commit(store, change).await.record.task.id.clone());
    }
    commit(store, submitted_in(&ContextId::random(), &owner("bob"), 2)).await;
    let expected: Vec<_> = (0..5)
        .rev()
        .map(|number| ContextSummary {
            context_id: contexts[number].clone(),
            task_count: tasks[number].len(),
            task_ids: tasks[number].clone(),
        })
        .collect();
    for limit in [1, 2, 5, usize::MAX] {
        let query = ContextQuery { owner: Some(alice.clone()), after: None, limit };
        same!(all_contexts(store, query).await, expected, "contexts come newest first");
        let query = ContextQuery { owner: None, after: None, limit };
        same!(all_contexts(store, query).await.len(), 6, "all owners' contexts are listed");
    }
}

/// A list for an owner holds what is that owner's, and nothing else; nobody is an owner too.
///
/// # Panics
///
/// If the rule is broken.
pub async fn lists_show_an_owner_only_its_own(store: &dyn Storage) {
    let owners = [owner("alice"), owner("bob"), Owner::nobody()];
    let mut made = Vec::new();
    for (owner, second) in owners.iter().zip(0..) {
        let context = ContextId::random();
        let task =
            commit(store, submitted_in(&context, owner, second)).await.record.task.id.clone();
        made.push((context, task));
    }
    for (owner, (context, task)) in owners.iter().zip(&made) {
        same!(
            all_tasks(store, of(owner, 10)).await,
            *slice::from_ref(task),
            "{owner} sees own tasks only"
        );
        let query = ContextQuery { owner: Some(owner.clone()), after: None, limit: 10 };
        let found = all_contexts(store, query).await;
        rule!(
            found.len() == 1 && found[0].context_id == *context,
            "{owner} sees own contexts only"
        );
        for (other, _) in made.iter().filter(|(other, _)| other != context) {
            let query = TaskQuery { context: Some(other.clone()), ..of(owner, 10) };
            rule!(
                all_tasks(store, query).await.is_empty(),
                "{owner} sees nothing in another's context"
            );
        }
    }
    same!(all_tasks(store, of(&owner("eve"), 10)).await, [], "who owns nothing sees nothing");
}

/// A cursor that is none is refused.
///
/// # Panics
///
/// If the rule is broken.
pub async fn wrong_cursors_are_refused(store: &dyn Storage) {
    stored(store, 0).await;
    for cursor in ["", "garbage", "\u{1F600}", "-", "%%%", "'; DROP TABLE tasks; --"] {
        let after = Some(cursor.to_owned());
        let query = TaskQuery { after: after.clone(), limit: 10, ..TaskQuery::default() };
        refused!(
            store.tasks(query).await,
            StorageError::BadCursor,
            "the cursor {cursor:?} of a list of tasks is refused"
        );
        let query = ContextQuery { owner: None, after, limit: 10 };
        refused!(
            store.contexts(query).await,
            StorageError::BadCursor,
            "the cursor {cursor:?} of a list of contexts is refused"
        );
    }
}

/// Counts say how many tasks are in each state, over all owners.
///
/// # Panics
///
/// If the rule is broken.
pub async fn tasks_are_counted_by_state(store: &dyn Storage) {
    let count = async || -> HashMap<TaskState, u64> {
        let counts = done!(store.count().await, "tasks can be counted");
        let some: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        let states = some.len();
        let counts: HashMap<_, _> = some.into_iter().collect();
        same!(counts.len(), states, "a state is counted once");
        counts
    };
    same!(count().await, HashMap::new(), "an empty store counts nothing");
    let first = stored(store, 0).await;
    let second = commit(store, submitted_in(&ContextId::random(), &owner("bob"), 1)).await.record;
    stored(store, 2).await;
    claimed(store, &first, 3, lease(60)).await;
    ended(store, &second, 3).await;
    let expected = [(TaskState::Submitted, 1), (TaskState::Working, 1), (TaskState::Canceled, 1)];
    same!(count().await, HashMap::from(expected), "tasks are counted by their present state");
    let context = &second.task.context_id;
    done!(store.clear_context(context, &owner("bob")).await, "an idle context is cleared");
    same!(count().await, HashMap::from([expected[0], expected[1]]), "cleared tasks do not count");
}

/// Nobody but its owner can put a task into a context.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_used_context_belongs_to_its_owner(store: &dyn Storage) {
    for (first, second) in [
        (owner("alice"), owner("bob")),
        (owner("alice"), Owner::nobody()),
        (Owner::nobody(), owner("alice")),
    ] {
        let context = ContextId::random();
        commit(store, submitted_in(&context, &first, 0)).await;
        match store.commit(submitted_in(&context, &second, 1)).await {
            Err(StorageError::NotOwner(named)) => {
                same!(named, context, "the refusal names the context");
            }
            other => panic!("rule broken: {second} cannot use {first}'s context: {other:?}"),
        }
        commit(store, submitted_in(&context, &first, 2)).await;
        let query = TaskQuery { context: Some(context), limit: 10, ..TaskQuery::default() };
        same!(all_tasks(store, query).await.len(), 2, "{first} can use the context again");
    }
}

/// A context that is not the caller's is as good as none.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_foreign_context_cannot_be_cleared(store: &dyn Storage) {
    let change = submitted(0);
    let context = change.task.context_id.clone();
    let record = commit(store, change).await.record;
    let record = ended(store, &record, 1).await;
    let before = seen(store, &record.task.id).await;
    for stranger in [owner("bob"), Owner::nobody()] {
        refused!(
            store.clear_context(&context, &stranger).await,
            StorageError::NotFound,
            "{stranger} cannot clear alice's context, nor learn that it is there"
        );
    }
    refused!(
        store.clear_context(&ContextId::random(), &owner("alice")).await,
        StorageError::NotFound,
        "a context that is not there cannot be cleared"
    );
    same!(seen(store, &record.task.id).await, before, "a refused clearing deletes nothing");
}

/// A context with work under way is not cleared.
///
/// # Panics
///
/// If the rule is broken.
pub async fn work_under_way_keeps_its_context(store: &dyn Storage) {
    let alice = owner("alice");
    let context = ContextId::random();
    let over = commit(store, submitted_in(&context, &alice, 0)).await.record;
    ended(store, &over, 1).await;
    let open = commit(store, submitted_in(&context, &alice, 2)).await.record;
    let before = seen(store, &over.task.id).await;
    let clear = async || store.clear_context(&context, &alice).await;
    refused!(clear().await, StorageError::Busy(_), "a context with a submitted task is kept");
    same!(seen(store, &over.task.id).await, before, "a refused clearing deletes nothing");
    let open = claimed(store, &open, 3, lease(60)).await;
    refused!(clear().await, StorageError::Busy(_), "a context with a working task is kept");
    ended(store, &open, 4).await;
    let cleared = done!(clear().await, "an idle context is cleared");
    same!(cleared.len(), 2, "clearing says which tasks went");
}

/// Of a cleared context nothing is left, not even the key of its first message.
///
/// # Panics
///
/// If the rule is broken.
pub async fn clearing_a_context_leaves_no_trace(store: &dyn Storage) {
    let alice = owner("alice");
    let message = says(bindu_protocol::Role::User, "hello");
    let hook = webhook("hook", "https://example.com");
    let mut change = submitted(0);
    change.outbox = vec![run_job(1), delivery(&hook, 1)];
    change.once = Some(once(&alice, &message, 1_000));
    let again = change.clone();
    let id = change.task.id.clone();
    let context = change.task.context_id.clone();
    let empty = seen(store, &id).await;
    let record = commit(store, change).await.record;
    done!(store.set_webhook(&id, hook).await, "a webhook can be set");
    let opinion = Feedback { text: "good".to_owned(), rating: Some(5), metadata: None, at: at(1) };
    done!(store.add_feedback(&id, opinion).await, "feedback can be given");
    ended(store, &record, 2).await;

    let cleared = done!(store.clear_context(&context, &alice).await, "an idle context is cleared");
    same!(cleared, *slice::from_ref(&id), "clearing says which tasks went");
    same!(seen(store, &id).await, empty, "of a cleared context nothing is left");
    rule!(all_tasks(store, of(&alice, 10)).await.is_empty(), "a cleared task is not listed");
    refused!(
        store.clear_context(&context, &alice).await,
        StorageError::NotFound,
        "a context is cleared once"
    );
    let reborn = done!(store.commit(again).await, "ids, key and context are free again").record;
    rule!(reborn.webhooks.is_empty(), "a task born again has nothing of the one before");
    commit(store, submitted_in(&ContextId::random(), &alice, 3)).await;
}
