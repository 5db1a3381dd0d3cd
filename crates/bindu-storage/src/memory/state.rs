//! All that the store holds, and every change of it, under one lock.

mod room;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bindu_protocol::{
    ContextId, ContextSummary, Owner, PushConfigId, TaskId, TaskState, Timestamp,
};

use self::room::Load;
use super::MemoryConfig;
use super::entry::{Entry, Found, Packed};
use super::index::Index;
use super::log::{self, Log};
use super::once::OnceKeys;
use super::open::Open;
use super::outbox::Outbox;
use super::states::States;
use super::weight;
use crate::{
    Birth, Change, Committed, ContextQuery, Event, EventBody, Feedback, Hold, Lease, OutboxBody,
    OutboxId, Page, Record, RunId, StateChange, StateScope, StateValue, StorageError,
    StrandedQuery, TaskQuery, Version, Webhook,
};

pub(super) struct State {
    config: MemoryConfig,
    tasks: HashMap<TaskId, Entry>,
    index: Index,
    open: Open,
    /// Tasks that are over, in the order in which they ended. May name some that are gone.
    finished: VecDeque<TaskId>,
    counts: [u64; TaskState::ALL.len()],
    once: OnceKeys,
    outbox: Outbox,
    states: States,
    feedback: HashMap<TaskId, Opinions>,
    /// What the tasks and everything beside them weigh; the keys count themselves.
    load: Load,
    /// What most tasks have, shared by all of them.
    no_webhooks: Arc<[Webhook]>,
}

/// The opinions on one task, and what they weigh together.
#[derive(Default)]
struct Opinions {
    list: Vec<Feedback>,
    weight: usize,
}

/// The keys of [`Once`](crate::Once) may take one in so many of the store's bytes. They outlive the
/// tasks they made, and are not to take the place of others.
const SHARE_OF_KEYS: usize = 8;

impl State {
    pub(super) fn new(config: MemoryConfig) -> Self {
        Self {
            config,
            tasks: HashMap::new(),
            index: Index::default(),
            open: Open::default(),
            finished: VecDeque::new(),
            counts: [0; TaskState::ALL.len()],
            once: OnceKeys::new(config.max_tasks, config.max_bytes / SHARE_OF_KEYS),
            outbox: Outbox::default(),
            states: States::default(),
            feedback: HashMap::new(),
            load: Load::default(),
            no_webhooks: Arc::from([]),
        }
    }

    pub(super) fn config(&self) -> &MemoryConfig {
        &self.config
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(super) fn outbox_done(&mut self, id: OutboxId) {
        let Some(task) = self.outbox.task(id).cloned() else { return };
        let before = self.load_of(&task);
        self.outbox.done(id);
        self.settle(&task, before);
    }

    pub(super) fn outbox_take(&mut self, id: OutboxId, attempts: u32, until: Timestamp) -> bool {
        self.outbox.take(id, attempts, until)
    }

    pub(super) fn outbox_retry(&mut self, id: OutboxId, next: Timestamp) {
        self.outbox.retry(id, next);
    }

    pub(super) fn find(&self, id: &TaskId) -> Option<Found> {
        self.tasks.get(id).map(Entry::found)
    }

    /// The events asked for, or the packed task to find them in.
    pub(super) fn events(
        &self,
        id: &TaskId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, Arc<Packed>> {
        match self.tasks.get(id) {
            None => Ok(Vec::new()),
            Some(Entry::Live(live)) => Ok(log::after(live.log.events(), after, limit)),
            // The end of a log is asked for again and again; it need not be unpacked to be empty.
            Some(Entry::Packed(packed)) if after >= packed.version.0 => Ok(Vec::new()),
            Some(Entry::Packed(packed)) => Err(Arc::clone(packed)),
        }
    }

    pub(super) fn commit(&mut self, change: Change) -> Result<Committed, StorageError> {
        let id = &change.task.id;
        // First everything that may refuse, then everything that writes.
        let previous = self.tasks.get(id).map(|entry| entry.found().record(id)).transpose()?;
        let lease = next_lease(&change, previous.as_deref())?;
        if let Some(once) = &change.once
            && let Some(first) = self.once.find(once, change.at)
            && self.tasks.contains_key(first)
        {
            return Err(StorageError::Repeated(first.clone()));
        }
        debug_assert!(
            log::leads_to(
                previous.as_ref().map(|record| &*record.task),
                &change.events,
                &change.task
            ),
            "the events of task {id} do not lead to what is to be stored",
        );
        match previous {
            Some(previous) => self.advance(change, &previous, lease),
            None => self.create(change, lease),
        }
    }

    fn create(
        &mut self,
        mut change: Change,
        lease: Option<Lease>,
    ) -> Result<Committed, StorageError> {
        let Some(Birth { owner, dialect, webhooks }) = change.birth.take() else {
            return Err(misuse("a new task needs an owner"));
        };
        if !matches!(change.events.first(), Some(EventBody::Snapshot(_))) {
            return Err(misuse("a new task's log begins with a snapshot"));
        }
        let context = &change.task.context_id;
        if self.index.owner_of(context).is_some_and(|other| **other != owner) {
            return Err(StorageError::NotOwner(context.clone()));
        }
        let webhooks =
            if webhooks.is_empty() { Arc::clone(&self.no_webhooks) } else { webhooks.into() };
        let record = Record {
            task: Arc::clone(&change.task),
            owner,
            version: Version(0),
            dialect,
            lease: None,
            attempts: 0,
            deliveries: 0,
            webhooks,
            created: change.at,
        };
        let task = &change.task;
        let log: usize = change.events.iter().map(weight::event).sum();
        let outbox: usize = change.outbox.iter().map(|body| weight::outbox(&task.id, body)).sum();
        self.make_room(1, weight::live(&record, log) + outbox, None)?;
        self.index.insert(&record.owner, &task.context_id, change.at, &task.id);
        Ok(self.write(change, record, lease, None))
    }

    fn advance(
        &mut self,
        change: Change,
        previous: &Record,
        lease: Option<Lease>,
    ) -> Result<Committed, StorageError> {
        if change.task.context_id != previous.task.context_id {
            return Err(misuse("a task stays in its context"));
        }
        Ok(self.write(change, previous.clone(), lease, Some(previous)))
    }

    /// Makes a change that nothing speaks against.
    fn write(
        &mut self,
        change: Change,
        mut record: Record,
        lease: Option<Lease>,
        previous: Option<&Record>,
    ) -> Committed {
        let first = record.version.0 + 1;
        record.version.0 += change.events.len() as u64;
        let events: Arc<[Event]> = change
            .events
            .into_iter()
            .zip(first..)
            .map(|(body, seq)| Event { seq, at: change.at, body })
            .collect();
        record.task = change.task;
        record.lease = lease;
        if matches!(change.hold, Hold::Claim(_)) {
            record.attempts = record.attempts.saturating_add(1);
        }
        for body in &change.outbox {
            if let OutboxBody::Deliver(delivery) = body {
                record.deliveries = record.deliveries.max(delivery.sequence);
            }
        }

        let record = Arc::new(record);
        let id = &record.task.id;
        let before = self.load_of(id);
        self.keep(Arc::clone(&record), previous, &events);
        let outbox = &mut self.outbox;
        let entries = change.outbox.into_iter().map(|body| outbox.push(id, body, change.at));
        let entries = entries.collect();
        if let Some(once) = change.once {
            self.once.insert(once, id.clone(), change.at);
        }
        self.settle(id, before);
        Committed { record, events, outbox: entries }
    }

    /// Puts a record and its new events in the place of the one before.
    fn keep(&mut self, record: Arc<Record>, previous: Option<&Record>, events: &[Event]) {
        let id = &record.task.id;
        let state = record.task.status.state;
        if let Some(previous) = previous {
            self.open.remove(previous);
            self.counts[slot(previous.task.status.state)] -= 1;
        }
        self.open.insert(&record);
        self.counts[slot(state)] += 1;
        let was_over = previous.is_some_and(|record| record.task.status.state.is_terminal());
        if state.is_terminal() && !was_over {
            self.finished.push_back(id.clone());
        }

        let max = self.config.max_log_events;
        if let Some(Entry::Live(live)) = self.tasks.get_mut(id) {
            live.log.extend(events, max);
            if !state.is_terminal() {
                live.record = record;
                return;
            }
        }
        let log = match self.tasks.remove(id) {
            None => {
                let mut log = Log::new(events.to_vec());
                log.extend(&[], max);
                log
            }
            Some(Entry::Live(live)) => live.log,
            Some(Entry::Packed(packed)) => {
                // It was unpacked before, to see its version.
                let log = packed.unpack(id).map(|(_, log)| log).unwrap_or_default();
                let mut log = Log::new(log);
                log.extend(events, max);
                log
            }
        };
        let owner = self.index.owner_of(&record.task.context_id).cloned().unwrap_or_default();
        let id = id.clone();
        self.tasks.insert(id, Entry::new(&owner, record, log));
    }

    fn remove(&mut self, id: &TaskId) {
        let before = self.load_of(id);
        let Some(entry) = self.tasks.remove(id) else { return };
        self.load = self.load - before;
        self.counts[slot(entry.state())] -= 1;
        let (context, created) = match &entry {
            Entry::Live(live) => {
                self.open.remove(&live.record);
                (&live.record.task.context_id, live.record.created)
            }
            Entry::Packed(packed) => (&packed.context, packed.created),
        };
        self.index.remove(context, created, id);
        if self.index.owner_of(context).is_none() {
            self.states.remove_context(context);
        }
        self.feedback.remove(id);
        self.outbox.remove_task(id);
    }

    /// Changes what is kept beside a task.
    fn modify(
        &mut self,
        id: &TaskId,
        change: impl FnOnce(&mut Record),
    ) -> Result<(), StorageError> {
        let before = self.load_of(id);
        let Some(entry) = self.tasks.remove(id) else { return Err(StorageError::NotFound) };
        // Failing to unpack must not lose the task.
        let (mut record, log) = match entry {
            Entry::Live(live) => (live.record, live.log),
            Entry::Packed(packed) => match packed.unpack(id) {
                Ok((record, log)) => (record, Log::new(log)),
                Err(error) => {
                    self.tasks.insert(id.clone(), Entry::Packed(packed));
                    return Err(error);
                }
            },
        };
        self.open.remove(&record);
        change(Arc::make_mut(&mut record));
        self.open.insert(&record);
        let owner = self.index.owner_of(&record.task.context_id).cloned().unwrap_or_default();
        self.tasks.insert(id.clone(), Entry::new(&owner, record, log));
        self.settle(id, before);
        Ok(())
    }

    pub(super) fn renew(
        &mut self,
        id: &TaskId,
        run: RunId,
        until: Timestamp,
    ) -> Result<(), StorageError> {
        match self.tasks.get(id) {
            Some(Entry::Live(live)) if has(&live.record, run) => {
                self.modify(id, |record| record.lease = Some(Lease { run, until }))
            }
            _ => Err(StorageError::LeaseLost(id.clone())),
        }
    }

    pub(super) fn stranded(&self, query: &StrandedQuery) -> Vec<Arc<Record>> {
        let ids = self.open.stranded(query).into_iter();
        ids.filter_map(|id| match self.tasks.get(id) {
            Some(Entry::Live(live)) => Some(Arc::clone(&live.record)),
            _ => None,
        })
        .collect()
    }

    pub(super) fn tasks(&self, query: &TaskQuery) -> Result<Page<(TaskId, Found)>, StorageError> {
        let page = self.index.tasks(query)?;
        let items = page.items.into_iter().filter_map(|id| {
            let found = self.find(&id)?;
            Some((id, found))
        });
        Ok(Page { items: items.collect(), next: page.next })
    }

    pub(super) fn contexts(
        &self,
        query: &ContextQuery,
    ) -> Result<Page<ContextSummary>, StorageError> {
        self.index.contexts(query)
    }

    pub(super) fn clear_context(
        &mut self,
        id: &ContextId,
        owner: &Owner,
    ) -> Result<Vec<TaskId>, StorageError> {
        if self.index.owner_of(id).is_none_or(|other| **other != *owner) {
            return Err(StorageError::NotFound);
        }
        let ids = self.index.tasks_of(id);
        let under_way = |id: &TaskId| {
            let state = self.tasks.get(id).map(Entry::state);
            matches!(state, Some(TaskState::Submitted | TaskState::Working))
        };
        if ids.iter().any(under_way) {
            return Err(StorageError::Busy(id.clone()));
        }
        for id in &ids {
            self.remove(id);
        }
        // Only as often as it pays: otherwise many small contexts would cost a walk each.
        if self.finished.len() > 2 * self.tasks.len() + 64 {
            self.finished.retain(|id| self.tasks.contains_key(id));
        }
        Ok(ids)
    }

    /// Looks at every task. Other calls wait meanwhile, so the batches should be few and large.
    pub(super) fn prune(&mut self, before: Timestamp, limit: usize) -> u64 {
        let over = self.tasks.iter().filter(|(_, entry)| entry.state().is_terminal());
        let mut old: Vec<_> = over
            .map(|(id, entry)| (entry.created(), id.clone()))
            .filter(|(created, _)| *created < before)
            .collect();
        old.sort_unstable();
        old.truncate(limit);
        for (_, id) in &old {
            self.remove(id);
        }
        old.len() as u64
    }

    pub(super) fn state_value(&self, scope: &StateScope, key: &str) -> Option<StateValue> {
        self.states.get(scope, key).cloned()
    }

    pub(super) fn state_keys(
        &self,
        scope: &StateScope,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<String> {
        self.states.keys(scope, after, limit)
    }

    pub(super) fn set_state(&mut self, change: StateChange) -> Result<u64, StorageError> {
        let bytes = self.states.check(&change)?;
        if bytes > 0 {
            self.make_room(0, bytes, None)?;
        }
        // Making room may have dropped the context itself, if all its tasks are over.
        if let StateScope::Context(context) = &change.scope
            && self.index.owner_of(context).is_none()
        {
            return Err(StorageError::NotFound);
        }
        Ok(self.states.write(change))
    }

    pub(super) fn count(&self) -> Vec<(TaskState, u64)> {
        let counts = TaskState::ALL.into_iter().map(|state| (state, self.counts[slot(state)]));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    pub(super) fn add_feedback(
        &mut self,
        id: &TaskId,
        feedback: Feedback,
    ) -> Result<(), StorageError> {
        if !self.tasks.contains_key(id) {
            return Err(StorageError::NotFound);
        }
        let bytes = weight::feedback(&feedback);
        self.make_room(0, bytes, Some(id))?;
        let before = self.load_of(id);
        let opinions = self.feedback.entry(id.clone()).or_default();
        opinions.list.push(feedback);
        opinions.weight += bytes;
        self.settle(id, before);
        Ok(())
    }

    pub(super) fn feedback(&self, id: &TaskId) -> Vec<Feedback> {
        self.feedback.get(id).map(|opinions| opinions.list.clone()).unwrap_or_default()
    }

    pub(super) fn set_webhook(
        &mut self,
        id: &TaskId,
        webhook: Webhook,
    ) -> Result<(), StorageError> {
        if !self.tasks.contains_key(id) {
            return Err(StorageError::NotFound);
        }
        self.make_room(0, size_of::<Webhook>() + weight::webhook(&webhook), Some(id))?;
        self.modify(id, |record| {
            let mut webhooks = record.webhooks.to_vec();
            match webhooks.iter_mut().find(|other| other.config.id == webhook.config.id) {
                Some(other) => *other = webhook,
                None => webhooks.push(webhook),
            }
            record.webhooks = webhooks.into();
        })
    }

    pub(super) fn remove_webhook(
        &mut self,
        id: &TaskId,
        config: &PushConfigId,
    ) -> Result<bool, StorageError> {
        let named = |webhook: &Webhook| webhook.config.id.as_ref() == Some(config);
        let webhooks = match self.tasks.get(id) {
            None => return Ok(false),
            Some(Entry::Live(live)) => &live.record.webhooks,
            Some(Entry::Packed(packed)) => &packed.webhooks,
        };
        if !webhooks.iter().any(named) {
            return Ok(false);
        }
        self.modify(id, |record| {
            let kept = record.webhooks.iter().filter(|webhook| !named(webhook));
            record.webhooks = kept.cloned().collect();
        })?;
        let before = self.load_of(id);
        self.outbox.remove_webhook(id, config);
        self.settle(id, before);
        Ok(true)
    }
}

/// Whether `run` has the task.
fn has(record: &Record, run: RunId) -> bool {
    record.lease.is_some_and(|lease| lease.run == run)
}

/// The lease after a change, if the change may be made of this version by this writer.
fn next_lease(change: &Change, previous: Option<&Record>) -> Result<Option<Lease>, StorageError> {
    // That the run is over says more than that the version is old: it is the reason.
    if let Hold::Keep(run) | Hold::Release(run) = change.hold
        && !previous.is_some_and(|record| has(record, run))
    {
        return Err(StorageError::LeaseLost(change.task.id.clone()));
    }
    if previous.map(|record| record.version) != change.expected {
        return Err(StorageError::Conflict(change.task.id.clone()));
    }
    let held = previous.and_then(|record| record.lease);
    match change.hold {
        Hold::Outside if change.task.status.state == TaskState::Working => Ok(held),
        Hold::Outside | Hold::Release(_) => Ok(None),
        Hold::Keep(_) => Ok(held),
        Hold::Claim(lease) => match held {
            Some(held) if held.run != lease.run && held.until > change.at => {
                Err(StorageError::Conflict(change.task.id.clone()))
            }
            _ => Ok(Some(lease)),
        },
    }
}

/// A change that no store can make sense of.
fn misuse(what: &'static str) -> StorageError {
    StorageError::Backend { doing: "checking a change", source: what.into() }
}

/// The place of a state's count.
fn slot(state: TaskState) -> usize {
    TaskState::ALL.iter().position(|other| *other == state).unwrap_or_default()
}
