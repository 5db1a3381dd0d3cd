//! Tasks that somebody should be working on.

use std::collections::BTreeSet;

use bindu_protocol::{TaskId, TaskState, Timestamp};

use crate::Record;

/// Where to look for stranded tasks without looking at all.
#[derive(Default)]
pub(super) struct Open {
    /// Waiting for a run, or said to work although nobody has the task, by since when.
    waiting: BTreeSet<(Timestamp, TaskId)>,
    /// Being run, by the end of the lease.
    leased: BTreeSet<(Timestamp, TaskId)>,
}

fn waits_since(record: &Record) -> Option<Timestamp> {
    let status = &record.task.status;
    let waits = match status.state {
        TaskState::Submitted | TaskState::Resumed => true,
        TaskState::Working => record.lease.is_none(),
        _ => false,
    };
    waits.then(|| status.timestamp.unwrap_or(record.created))
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
        if let Some(until) = lease_end(record) {
            self.leased.insert((until, record.task.id.clone()));
        }
    }

    pub(super) fn remove(&mut self, record: &Record) {
        if let Some(since) = waits_since(record) {
            self.waiting.remove(&(since, record.task.id.clone()));
        }
        if let Some(until) = lease_end(record) {
            self.leased.remove(&(until, record.task.id.clone()));
        }
    }

    /// The tasks that wait since before `since` or whose lease ended before `now`, oldest first.
    pub(super) fn stranded(&self, now: Timestamp, since: Timestamp, limit: usize) -> Vec<&TaskId> {
        let waiting = self.waiting.iter().take_while(|(at, _)| *at < since).take(limit);
        let leased = self.leased.iter().take_while(|(at, _)| *at < now).take(limit);
        let mut found: Vec<_> = waiting.chain(leased).collect();
        found.sort_unstable();
        found.into_iter().take(limit).map(|(_, id)| id).collect()
    }
}
