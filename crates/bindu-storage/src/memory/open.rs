//! Tasks that somebody should be working on.

use std::collections::BTreeSet;

use bindu_protocol::{TaskId, TaskState, Timestamp};

use crate::{Record, StrandedQuery};

/// Where to look for stranded tasks without looking at all.
#[derive(Default)]
pub(super) struct Open {
    /// Waiting for a run, by since when.
    waiting: BTreeSet<(Timestamp, TaskId)>,
    /// Said to work although nobody has the task, by since when.
    unleased: BTreeSet<(Timestamp, TaskId)>,
    /// Being run, by the end of the lease.
    leased: BTreeSet<(Timestamp, TaskId)>,
}

fn waits_since(record: &Record) -> Option<Timestamp> {
    let waits = matches!(record.task.status.state, TaskState::Submitted | TaskState::Resumed);
    waits.then(|| since(record))
}

fn unleased_since(record: &Record) -> Option<Timestamp> {
    let is_unleased = record.task.status.state == TaskState::Working && record.lease.is_none();
    is_unleased.then(|| since(record))
}

fn since(record: &Record) -> Timestamp {
    record.task.status.timestamp.unwrap_or(record.created)
}

fn lease_end(record: &Record) -> Option<Timestamp> {
    let lease = record.lease.as_ref()?;
    (record.task.status.state == TaskState::Working).then_some(lease.until)
}

impl Open {
    pub(super) fn insert(&mut self, record: &Record) {
        if let Some(since) = waits_since(record) {
            self.waiting.insert((since, record.task.id.clone()));
        }
        if let Some(since) = unleased_since(record) {
            self.unleased.insert((since, record.task.id.clone()));
        }
        if let Some(until) = lease_end(record) {
            self.leased.insert((until, record.task.id.clone()));
        }
    }

    pub(super) fn remove(&mut self, record: &Record) {
        if let Some(since) = waits_since(record) {
            self.waiting.remove(&(since, record.task.id.clone()));
        }
        if let Some(since) = unleased_since(record) {
            self.unleased.remove(&(since, record.task.id.clone()));
        }
        if let Some(until) = lease_end(record) {
            self.leased.remove(&(until, record.task.id.clone()));
        }
    }

    /// The tasks asked for, oldest first.
    pub(super) fn stranded(&self, query: &StrandedQuery) -> Vec<&TaskId> {
        let limit = query.limit;
        let mut found: Vec<_> = before(&self.waiting, query.queued_before, limit).collect();
        found.extend(before(&self.leased, query.now, limit));
        if let Some(end) = query.unleased_before {
            found.extend(before(&self.unleased, end, limit));
        }
        found.sort_unstable();
        found.into_iter().take(query.limit).map(|(_, id)| id).collect()
    }
}

fn before(
    set: &BTreeSet<(Timestamp, TaskId)>,
    end: Timestamp,
    limit: usize,
) -> impl Iterator<Item = &(Timestamp, TaskId)> {
    set.iter().take_while(move |(at, _)| *at < end).take(limit)
}
