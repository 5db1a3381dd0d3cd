//! Who may run a task.

use std::sync::Arc;

use bindu_protocol::{Task, TaskId, TaskState, TaskStatus};
use futures_util::future::join_all;

use super::fixture::{
    at, claimed, commit, done, ended, lease, load, next, refused, rule, same, status, stored,
    submitted,
};
use crate::{EventBody, Hold, Lease, RunId, Storage, StorageError, StrandedQuery};

/// While a lease runs nobody else can claim the task; once it has ended, anybody can.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_claim_is_exclusive_until_it_ends(store: &dyn Storage) {
    let record = stored(store, 0).await;
    let first = lease(60);
    let record = claimed(store, &record, 1, first).await;
    let second = lease(200);
    refused!(
        store.commit(next(&record, 59, Hold::Claim(second), vec![])).await,
        StorageError::Conflict(_),
        "a task cannot be claimed while another lease runs"
    );
    let taken = commit(store, next(&record, 61, Hold::Claim(second), vec![])).await.record;
    same!(taken.lease, Some(second), "a task can be claimed when the other lease has ended");
    refused!(
        store.commit(next(&taken, 62, Hold::Keep(first.run), vec![])).await,
        StorageError::LeaseLost(_),
        "a run whose task was taken over may not write"
    );
    commit(store, next(&taken, 62, Hold::Keep(second.run), vec![])).await;
}

/// Of ten claims made at the same time, one is granted.
///
/// # Panics
///
/// If the rule is broken.
pub async fn only_one_of_ten_claims_wins(store: &dyn Storage) {
    let record = stored(store, 0).await;
    let claims = (0..10).map(|_| {
        let events = vec![status(TaskState::Working, 1)];
        store.commit(next(&record, 1, Hold::Claim(lease(60)), events))
    });
    let mut granted = Vec::new();
    for result in join_all(claims).await {
        match result {
            Ok(committed) => granted.push(committed.record),
            Err(StorageError::Conflict(_)) => {}
            Err(other) => panic!("rule broken: a claim that lost is told so, not {other:?}"),
        }
    }
    same!(granted.len(), 1, "of ten claims one is granted");
    let stored = load(store, &record.task.id).await;
    same!(*stored, *granted[0], "the claim that was granted is the one that is stored");
    same!(stored.attempts, 1, "a claim that was refused is not counted");
}

/// Every claim counts as an attempt, and nothing else does.
///
/// # Panics
///
/// If the rule is broken.
pub async fn claims_are_counted(store: &dyn Storage) {
    let mut record = stored(store, 0).await;
    same!(record.attempts, 0, "a new task has no attempts");
    for attempt in 1..=3 {
        let start = i64::from(attempt) * 100;
        let held = lease(start + 50);
        record = claimed(store, &record, start, held).await;
        same!(record.attempts, attempt, "every claim counts");
        let events =
            vec![status(TaskState::Suspended, start + 1), status(TaskState::Resumed, start + 1)];
        record =
            commit(store, next(&record, start + 1, Hold::Release(held.run), events)).await.record;
        same!(record.lease, None, "a run that releases its task no longer has it");
        same!(load(store, &record.task.id).await.attempts, attempt, "only claims count");
    }
}

/// What a run wants to write after it lost its task is refused, whatever it is.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_run_that_lost_its_task_is_refused(store: &dyn Storage) {
    let record = stored(store, 0).await;
    let held = lease(60);
    let working = claimed(store, &record, 1, held).await;
    // The run has not seen this; its version is old, but that it has lost the task comes first.
    let over = ended(store, &working, 2).await;
    for seen in [&working, &over] {
        for hold in [Hold::Keep(held.run), Hold::Release(held.run)] {
            refused!(
                store.commit(next(seen, 3, hold, vec![status(TaskState::Completed, 3)])).await,
                StorageError::LeaseLost(_),
                "a run that lost its task is told so"
            );
        }
    }
    refused!(
        store.renew(&over.task.id, held.run, at(90)).await,
        StorageError::LeaseLost(_),
        "a lease that was lost cannot be renewed"
    );
    same!(*load(store, &over.task.id).await, *over, "what a lost run writes is not stored");
}

/// A lease is renewed by the run that has it, also when it has ended and nobody took over.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_lease_can_be_renewed_by_its_run_only(store: &dyn Storage) {
    let record = stored(store, 0).await;
    let id = &record.task.id;
    let held = lease(60);
    refused!(
        store.renew(id, held.run, at(60)).await,
        StorageError::LeaseLost(_),
        "a run without a lease cannot renew it"
    );
    let record = claimed(store, &record, 1, held).await;
    refused!(
        store.renew(id, RunId::random(), at(500)).await,
        StorageError::LeaseLost(_),
        "a stranger cannot renew a lease"
    );
    refused!(
        store.renew(&TaskId::random(), held.run, at(500)).await,
        StorageError::LeaseLost(_),
        "the lease of no task cannot be renewed"
    );
    done!(store.renew(id, held.run, at(120)).await, "a run renews its lease");
    let renewed = load(store, id).await;
    let expected = Lease { run: held.run, until: at(120) };
    same!(renewed.lease, Some(expected), "a renewed lease ends later");
    same!(renewed.version, record.version, "a renewal is no event");
    refused!(
        store.commit(next(&record, 100, Hold::Claim(lease(300)), vec![])).await,
        StorageError::Conflict(_),
        "a renewed lease keeps others out"
    );
    done!(
        store.renew(id, held.run, at(400)).await,
        "a lease that ended can be renewed while nobody took over"
    );
    commit(store, next(&record, 300, Hold::Keep(held.run), vec![])).await;
}

/// A writer outside of runs ends the run by taking the task out of `working`, and only so.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_writer_outside_ends_the_run_with_the_work(store: &dyn Storage) {
    let record = stored(store, 0).await;
    let held = lease(60);
    let record = claimed(store, &record, 1, held).await;
    let record = commit(store, next(&record, 2, Hold::Outside, vec![])).await.record;
    same!(record.lease, Some(held), "a writer outside does not end a run that goes on working");
    commit(store, next(&record, 3, Hold::Keep(held.run), vec![])).await;
    let over = ended(store, &record, 4).await;
    same!(over.lease, None, "a writer outside ends the run with the work");
    refused!(
        store.commit(next(&over, 5, Hold::Keep(held.run), vec![])).await,
        StorageError::LeaseLost(_),
        "a run that was ended may not write"
    );
}

/// Tasks that wait for too long, and tasks whose lease has ended, are found, oldest first.
///
/// # Panics
///
/// If the rule is broken.
pub async fn stranded_tasks_are_found(store: &dyn Storage) {
    let waiting = stored(store, 0).await;
    let resumed = {
        let record = stored(store, 1).await;
        let held = lease(5);
        let record = claimed(store, &record, 2, held).await;
        let events = vec![status(TaskState::Suspended, 3), status(TaskState::Resumed, 3)];
        commit(store, next(&record, 3, Hold::Release(held.run), events)).await.record
    };
    let abandoned = {
        let record = stored(store, 4).await;
        claimed(store, &record, 4, lease(10)).await
    };
    let running = {
        let record = stored(store, 5).await;
        claimed(store, &record, 5, lease(500)).await
    };
    let over = stored(store, 6).await;
    ended(store, &over, 6).await;
    let paused = {
        let record = stored(store, 6).await;
        let held = lease(9);
        let record = claimed(store, &record, 7, held).await;
        let events = vec![status(TaskState::InputRequired, 8)];
        commit(store, next(&record, 8, Hold::Release(held.run), events)).await.record
    };
    let young = stored(store, 90).await;

    let find = async |now, since, limit| -> Vec<TaskId> {
        let query = StrandedQuery {
            now: at(now),
            queued_before: at(since),
            unleased_before: Some(at(since)),
            limit,
        };
        let found = done!(store.stranded(query).await, "stranded tasks are found");
        found.iter().map(|record| record.task.id.clone()).collect()
    };
    let expected = [&waiting, &resumed, &abandoned].map(|record| record.task.id.clone());
    same!(
        find(100, 80, 100).await,
        expected,
        "tasks that wait for too long or whose lease ended are found, oldest first \
         (running is {}, paused {}, young {})",
        running.task.id,
        paused.task.id,
        young.task.id
    );
    same!(find(100, 80, 1).await, expected[..1], "no more are found than asked for");
    rule!(
        find(9, 0, 100).await.is_empty(),
        "what neither waits long nor has an ended lease is not found"
    );
    done!(
        store
            .renew(&abandoned.task.id, abandoned.lease.map_or(RunId::random(), |l| l.run), at(900))
            .await,
        "a run renews its lease"
    );
    same!(
        find(100, 80, 100).await,
        expected[..2],
        "a task whose lease was renewed is not stranded"
    );
    let started = claimed(store, &waiting, 101, lease(900)).await;
    same!(find(102, 80, 100).await, expected[1..2], "a task that was claimed does not wait");
    ended(store, &started, 103).await;
    same!(find(999, 80, 100).await.len(), 3, "a task that is over is not stranded");
}

/// A task that is said to be worked on although no run has it is found, if asked for.
///
/// # Panics
///
/// If the rule is broken.
pub async fn work_without_a_lease_is_stranded(store: &dyn Storage) {
    let orphan = {
        let mut change = submitted(0);
        let mut task = Task::clone(&change.task);
        task.status = TaskStatus::new(TaskState::Working, at(10));
        change.task = Arc::new(task);
        change.events = vec![EventBody::Snapshot(Arc::clone(&change.task))];
        commit(store, change).await.record
    };
    let released = {
        let record = stored(store, 0).await;
        let held = lease(60);
        let record = claimed(store, &record, 20, held).await;
        commit(store, next(&record, 25, Hold::Release(held.run), vec![])).await.record
    };
    let find = async |since: Option<i64>| -> Vec<TaskId> {
        let query = StrandedQuery {
            now: at(1_000),
            queued_before: at(1_000),
            unleased_before: since.map(at),
            limit: 10,
        };
        let found = done!(store.stranded(query).await, "stranded tasks are found");
        found.iter().map(|record| record.task.id.clone()).collect()
    };
    let expected = [&orphan, &released].map(|record| record.task.id.clone());
    same!(find(Some(21)).await, expected, "work that no run has is found, oldest first");
    same!(find(Some(20)).await, expected[..1], "since when a task is worked on, its status says");
    rule!(find(Some(10)).await.is_empty(), "work that no run has is given time");
    rule!(find(None).await.is_empty(), "work that no run has is found only if asked for");
    claimed(store, &orphan, 30, lease(2_000)).await;
    same!(find(Some(500)).await, expected[1..], "work that a run took over is not stranded");
}
