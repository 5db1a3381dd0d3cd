//! What is kept beside a task: feedback, webhooks, the outbox.

use bindu_protocol::{PushConfigId, TaskId};
use futures_util::future::join_all;

use super::fixture::{
    at, commit, delivery, done, ended, load, next, read, refused, rule, run_job, same, seen,
    stored, submitted, webhook,
};
use crate::{
    Feedback, Hold, OutboxBody, OutboxEntry, OutboxId, OutboxKind, OutboxQuery, Storage,
    StorageError, Webhook,
};

/// Opinions on a task are kept, oldest first; there are none on a task that is not there.
///
/// # Panics
///
/// If the rule is broken.
pub async fn feedback_is_kept_in_order(store: &dyn Storage) {
    let record = stored(store, 0).await;
    let id = &record.task.id;
    let opinion = |text: &str, rating, second| Feedback {
        text: text.to_owned(),
        rating,
        metadata: None,
        at: at(second),
    };
    let given = [opinion("good", Some(5), 1), opinion("", None, 2), opinion("good", Some(1), 3)];
    for opinion in &given {
        done!(store.add_feedback(id, opinion.clone()).await, "feedback can be given");
    }
    let found = done!(store.feedback(id).await, "feedback can be read");
    same!(found, given, "all feedback is kept, oldest first");
    ended(store, &record, 4).await;
    done!(store.add_feedback(id, given[0].clone()).await, "feedback can be given at the end");
    same!(
        done!(store.feedback(id).await, "feedback can be read").len(),
        4,
        "feedback outlives the work"
    );
    refused!(
        store.add_feedback(&TaskId::random(), given[0].clone()).await,
        StorageError::NotFound,
        "there is no feedback on a task that is not there"
    );
}

fn urls(webhooks: &[Webhook]) -> Vec<&str> {
    webhooks.iter().map(|webhook| webhook.config.url.as_str()).collect()
}

/// A webhook is added, replaced by its id, or removed; the task's version stays.
///
/// # Panics
///
/// If the rule is broken.
pub async fn webhooks_are_replaced_and_removed(store: &dyn Storage) {
    let record = stored(store, 0).await;
    let id = &record.task.id;
    for hook in [webhook("a", "https://one"), webhook("b", "https://two")] {
        done!(store.set_webhook(id, hook).await, "a webhook can be set");
    }
    done!(store.set_webhook(id, webhook("a", "https://new")).await, "a webhook can be replaced");
    let with_hooks = load(store, id).await;
    same!(
        *with_hooks.webhooks,
        [webhook("a", "https://new"), webhook("b", "https://two")],
        "webhooks are kept whole, oldest first, one of each id"
    );
    same!(with_hooks.version, record.version, "a webhook is no event");
    let a: PushConfigId = "a".parse().expect("the ids of the cases are ids");
    rule!(matches!(store.remove_webhook(id, &a).await, Ok(true)), "a webhook can be removed");
    rule!(
        matches!(store.remove_webhook(id, &a).await, Ok(false)),
        "a webhook that is not there cannot be removed, and that is no error"
    );
    rule!(
        matches!(store.remove_webhook(&TaskId::random(), &a).await, Ok(false)),
        "a task that is not there has no webhook to remove"
    );
    same!(urls(&load(store, id).await.webhooks), ["https://two"], "the others stay");
    refused!(
        store.set_webhook(&TaskId::random(), webhook("a", "https://one")).await,
        StorageError::NotFound,
        "a task that is not there cannot have a webhook"
    );
    let over = ended(store, &record, 1).await;
    same!(urls(&over.webhooks), ["https://two"], "a change of the task keeps its webhooks");
    done!(store.set_webhook(id, webhook("c", "https://late")).await, "a webhook can come late");
    let late = load(store, id).await;
    same!(urls(&late.webhooks), ["https://two", "https://late"], "a webhook can come late");
    same!(*late.task, *over.task, "a webhook changes nothing else");
}

/// With a webhook goes what was still to be sent to it, and nothing else.
///
/// # Panics
///
/// If the rule is broken.
pub async fn removing_a_webhook_forgets_its_deliveries(store: &dyn Storage) {
    let (a, b) = (webhook("a", "https://one"), webhook("b", "https://two"));
    let mut change = submitted(0);
    if let Some(birth) = &mut change.birth {
        birth.webhooks = vec![a.clone(), b.clone()];
    }
    change.outbox = vec![run_job(1), delivery(&a, 1), delivery(&b, 1), delivery(&a, 2)];
    let committed = commit(store, change).await;
    let mut other = submitted(1);
    other.outbox = vec![delivery(&a, 1)];
    let other = commit(store, other).await;
    let id = &committed.record.task.id;
    let config: PushConfigId = "a".parse().expect("the ids of the cases are ids");
    rule!(matches!(store.remove_webhook(id, &config).await, Ok(true)), "a webhook can be removed");
    let left = ids(&read(store, OutboxKind::Deliver, None, 10).await);
    same!(
        left,
        [committed.outbox[2], other.outbox[0]],
        "deliveries to other webhooks, and of other tasks, stay"
    );
    same!(read(store, OutboxKind::Run, None, 10).await.len(), 1, "jobs stay");
}

fn ids(entries: &[OutboxEntry]) -> Vec<OutboxId> {
    entries.iter().map(|entry| entry.id).collect()
}

/// What is to be done stays in the outbox, oldest first, until it is done or its task is gone.
///
/// # Panics
///
/// If the rule is broken.
pub async fn outbox_entries_stay_until_done(store: &dyn Storage) {
    let hook = webhook("a", "https://one");
    let mut change = submitted(0);
    change.outbox = vec![run_job(1), delivery(&hook, 1), delivery(&hook, 2)];
    let bodies = change.outbox.clone();
    let first = commit(store, change).await;
    same!(first.outbox.len(), 3, "a commit names its outbox entries");
    same!(first.record.deliveries, 2, "the greatest number of a delivery is remembered");
    let mut change = submitted(1);
    change.outbox = vec![run_job(1), delivery(&hook, 1)];
    let second = commit(store, change).await;
    let task = &first.record.task.id;

    let deliveries = read(store, OutboxKind::Deliver, None, 10).await;
    same!(
        ids(&deliveries),
        [first.outbox[1], first.outbox[2], second.outbox[1]],
        "the outbox is read by kind, oldest first"
    );
    let expected = OutboxEntry {
        id: first.outbox[1],
        task: task.clone(),
        body: bodies[1].clone(),
        attempts: 0,
        next: at(0),
    };
    same!(deliveries[0], expected, "an entry comes back as it was given, due at once");
    let runs = read(store, OutboxKind::Run, None, 10).await;
    same!(ids(&runs), [first.outbox[0], second.outbox[0]], "the outbox is read by kind");
    rule!(matches!(runs[0].body, OutboxBody::Run { .. }), "a job is a job");
    same!(
        ids(&read(store, OutboxKind::Deliver, Some(task), 10).await),
        [first.outbox[1], first.outbox[2]],
        "the outbox can be read for one task"
    );
    same!(
        ids(&read(store, OutboxKind::Deliver, None, 2).await),
        first.outbox[1..],
        "no more is read than asked for"
    );
    rule!(
        read(store, OutboxKind::Run, Some(&TaskId::random()), 9).await.is_empty(),
        "no task, no jobs"
    );

    done!(store.outbox_done(first.outbox[1]).await, "an entry can be done");
    done!(store.outbox_done(first.outbox[1]).await, "an entry that is not there is no error");
    done!(store.outbox_retry(first.outbox[1], at(9)).await, "nor to be put off");
    same!(
        ids(&read(store, OutboxKind::Deliver, None, 10).await),
        [first.outbox[2], second.outbox[1]],
        "what is done does not come again"
    );
    let quiet = next(&first.record, 5, Hold::Outside, vec![]);
    let quiet = commit(store, quiet).await;
    same!(quiet.record.deliveries, 2, "a change without deliveries leaves their number");

    let over = ended(store, &quiet.record, 6).await;
    let owner = over.owner.clone();
    done!(store.clear_context(&over.task.context_id, &owner).await, "an idle context is cleared");
    same!(
        ids(&read(store, OutboxKind::Deliver, None, 10).await),
        [second.outbox[1]],
        "what a task that is gone wanted is gone too"
    );
    let mut later = submitted(7);
    later.outbox = vec![run_job(1)];
    let later = commit(store, later).await;
    rule!(later.outbox[0] > second.outbox[1], "later entries have greater ids");
}

/// An entry that is put off says until when, and is not due before; its place stays.
///
/// # Panics
///
/// If the rule is broken.
pub async fn outbox_entries_can_be_put_off(store: &dyn Storage) {
    let hook = webhook("a", "https://one");
    let mut change = submitted(0);
    change.outbox = vec![delivery(&hook, 1), delivery(&hook, 2)];
    let committed = commit(store, change).await;
    let due = async |second, limit| {
        let kind = OutboxKind::Deliver;
        let query = OutboxQuery { kind, task: None, due: Some(at(second)), limit };
        ids(&done!(store.outbox(query).await, "the outbox can be read"))
    };
    same!(due(0, 10).await, committed.outbox, "a new entry is due at once");
    for second in [10, 20] {
        let next = at(second);
        done!(store.outbox_retry(committed.outbox[0], next).await, "an entry can be put off");
        let entries = read(store, OutboxKind::Deliver, None, 10).await;
        same!(ids(&entries), committed.outbox, "an entry that is put off keeps its place");
        same!(
            (entries[0].attempts, entries[0].next),
            (0, next),
            "an entry that is put off says until when; no attempt was made"
        );
        same!((entries[1].attempts, entries[1].next), (0, at(0)), "the others stay as they are");
        same!(due(second - 1, 10).await, committed.outbox[1..], "what is put off is not due");
        same!(due(second, 10).await, committed.outbox, "what was put off until now is due");
        same!(due(second, 1).await, committed.outbox[..1], "no more is read than asked for");
    }
    let before = seen(store, &committed.record.task.id).await;
    done!(store.outbox_retry(OutboxId(u64::MAX >> 1), at(99)).await, "no entry, no error");
    same!(seen(store, &committed.record.task.id).await, before, "and no change");
}

/// Of several that want to see to an entry, one does, and the attempt is counted.
///
/// # Panics
///
/// If the rule is broken.
pub async fn one_of_ten_takes_an_outbox_entry(store: &dyn Storage) {
    let mut change = submitted(0);
    change.outbox = vec![delivery(&webhook("a", "https://one"), 1)];
    let committed = commit(store, change).await;
    let id = committed.outbox[0];
    for attempts in 0..3 {
        let until = at(i64::from(attempts) * 10 + 10);
        let takers = (0..10).map(|_| store.outbox_take(id, attempts, until));
        let taken = join_all(takers).await.into_iter();
        let taken = taken.filter(|taken| done!(taken, "an entry can be taken in hand").eq(&true));
        same!(taken.count(), 1, "one of ten takes an entry in hand");
        let entry = read(store, OutboxKind::Deliver, None, 10).await.remove(0);
        same!(
            (entry.attempts, entry.next),
            (attempts + 1, until),
            "an entry that was taken in hand counts the attempt and says until when"
        );
    }
    rule!(
        matches!(store.outbox_take(id, 1, at(99)).await, Ok(false)),
        "who has not seen the last attempt takes nothing"
    );
    done!(store.outbox_done(id).await, "an entry can be done");
    rule!(
        matches!(store.outbox_take(id, 3, at(99)).await, Ok(false)),
        "an entry that is done is taken by nobody"
    );
}
