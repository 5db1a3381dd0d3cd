//! What is still to be done.

use std::collections::{BTreeMap, HashMap};

use bindu_protocol::{PushConfigId, TaskId, Timestamp};

use super::weight;
use crate::{OutboxBody, OutboxEntry, OutboxId, OutboxKind, OutboxQuery};

/// The entries by kind, oldest first, and where to find those of a task.
#[derive(Default)]
pub(super) struct Outbox {
    last: u64,
    runs: BTreeMap<OutboxId, OutboxEntry>,
    deliveries: BTreeMap<OutboxId, OutboxEntry>,
    of_task: HashMap<TaskId, OfTask>,
}

/// The entries of one task, and what they weigh together.
#[derive(Default)]
struct OfTask {
    ids: Vec<OutboxId>,
    weight: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, task: &TaskId, body: OutboxBody, next: Timestamp) -> OutboxId {
        self.last += 1;
        let id = OutboxId(self.last);
        let entries = match body.kind() {
            OutboxKind::Run => &mut self.runs,
            OutboxKind::Deliver => &mut self.deliveries,
        };
        let weight = weight::outbox(task, &body);
        entries.insert(id, OutboxEntry { id, task: task.clone(), body, attempts: 0, next });
        if let Some(of_task) = self.of_task.get_mut(task) {
            of_task.ids.push(id);
            of_task.weight += weight;
        } else {
            self.of_task.insert(task.clone(), OfTask { ids: vec![id], weight });
        }
        id
    }

    /// About how many bytes the entries of a task take.
    pub(super) fn weight(&self, task: &TaskId) -> usize {
        self.of_task.get(task).map_or(0, |of_task| of_task.weight)
    }

    /// The task that caused an entry.
    pub(super) fn task(&self, id: OutboxId) -> Option<&TaskId> {
        let entry = self.runs.get(&id).or_else(|| self.deliveries.get(&id));
        entry.map(|entry| &entry.task)
    }

    pub(super) fn read(&self, query: &OutboxQuery) -> Vec<OutboxEntry> {
        let entries = match query.kind {
            OutboxKind::Run => &self.runs,
            OutboxKind::Deliver => &self.deliveries,
        };
        let is_due = |entry: &&OutboxEntry| query.due.is_none_or(|due| entry.next <= due);
        if let Some(task) = &query.task {
            let ids = self.of_task.get(task).map_or(&[][..], |of_task| &of_task.ids);
            let found = ids.iter().filter_map(|id| entries.get(id)).filter(is_due);
            found.take(query.limit).cloned().collect()
        } else {
            entries.values().filter(is_due).take(query.limit).cloned().collect()
        }
    }

    pub(super) fn done(&mut self, id: OutboxId) {
        let Some(entry) = self.runs.remove(&id).or_else(|| self.deliveries.remove(&id)) else {
            return;
        };
        if let Some(of_task) = self.of_task.get_mut(&entry.task) {
            of_task.ids.retain(|other| *other != id);
            of_task.weight -= weight::outbox(&entry.task, &entry.body);
            if of_task.ids.is_empty() {
                self.of_task.remove(&entry.task);
            }
        }
    }

    pub(super) fn retry(&mut self, id: OutboxId, next: Timestamp) {
        let Some(entry) = self.runs.get_mut(&id).or_else(|| self.deliveries.get_mut(&id)) else {
            return;
        };
        entry.next = next;
    }

    pub(super) fn take(&mut self, id: OutboxId, attempts: u32, until: Timestamp) -> bool {
        match self.runs.get_mut(&id).or_else(|| self.deliveries.get_mut(&id)) {
            Some(entry) if entry.attempts == attempts => {
                entry.attempts = attempts.saturating_add(1);
                entry.next = until;
                true
            }
            _ => false,
        }
    }

    /// Forgets everything about a task.
    pub(super) fn remove_task(&mut self, task: &TaskId) {
        for id in self.of_task.remove(task).unwrap_or_default().ids {
            self.runs.remove(&id);
            self.deliveries.remove(&id);
        }
    }

    /// Forgets what was to be sent to one webhook of a task.
    pub(super) fn remove_webhook(&mut self, task: &TaskId, config: &PushConfigId) {
        let all = OutboxQuery {
            kind: OutboxKind::Deliver,
            task: Some(task.clone()),
            due: None,
            limit: usize::MAX,
        };
        for entry in self.read(&all) {
            if let OutboxBody::Deliver(delivery) = &entry.body
                && delivery.webhook.config.id.as_ref() == Some(config)
            {
                self.done(entry.id);
            }
        }
    }
}
