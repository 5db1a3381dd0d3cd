//! What was fetched and no worker has yet, and what workers have.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bindu_protocol::Owner;
use bindu_scheduler::{Delivered, Job, Receipt, SchedulerError};
use tokio::sync::Notify;

/// An entry of the stream that is ours to deliver. It holds its context.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) id: Box<str>,
    pub(crate) job: Job,
    /// How often it was delivered before.
    pub(crate) attempts: u32,
    /// When it was pushed, in milliseconds since 1970 by the server's clock.
    pub(crate) pushed: i64,
}

/// How long what was fetched may lie here while workers are busy.
pub(crate) const LINGER: Duration = Duration::from_millis(250);

/// The queue between the connection and the workers of this process.
#[derive(Debug, Default)]
pub(crate) struct Local {
    state: Mutex<State>,
    /// Wakes one worker for one job.
    ready: Notify,
    /// Wakes the reader: a worker waits, or all is over.
    pub(crate) demand: Notify,
    /// Wakes whoever looks after the shared list, in the same way.
    pub(crate) demand_shared: Notify,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// Jobs by owner, and the owners in the order of their turns.
    jobs: HashMap<Owner, VecDeque<(Instant, Fetched)>>,
    turns: VecDeque<Owner>,
    queued: usize,
    /// How many workers wait.
    waiting: usize,
    /// What workers have, and since when, or when they last said that they are at it.
    running: HashMap<Box<str>, Instant>,
    /// What went wrong with the connection, for one of those who wait.
    fault: Option<String>,
    last_fault: Option<Instant>,
}

/// A worker that waits.
struct Waiting<'a>(&'a Local);

impl<'a> Waiting<'a> {
    fn new(local: &'a Local) -> Self {
        local.state().waiting += 1;
        local.demand.notify_one();
        local.demand_shared.notify_one();
        Self(local)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

impl Local {
    fn state(&self) -> MutexGuard<'_, State> {
        // No step of a change can panic, so a poisoned lock guards a state that is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job. A dropped future has none; a wake-up that it had, it passes on.
    pub(crate) async fn pull(&self) -> Result<Delivered, SchedulerError> {
        if let Some(delivered) = self.take()? {
            return Ok(delivered);
        }
        let _waiting = Waiting::new(self);
        loop {
            let mut woken = pin!(self.ready.notified());
            woken.as_mut().enable();
            if let Some(delivered) = self.take()? {
                return Ok(delivered);
            }
            woken.await;
        }
    }

    fn take(&self) -> Result<Option<Delivered>, SchedulerError> {
        let mut state = self.state();
        if state.closed {
            return Err(SchedulerError::Closed);
        }
        let delivered = state.take();
        if delivered.is_none()
            && let Some(fault) = state.fault.take()
        {
            return Err(SchedulerError::Backend {
                doing: "waiting for a job",
                source: fault.into(),
            });
        }
        Ok(delivered)
    }

    pub(crate) fn add(&self, fetched: Vec<Fetched>) {
        let count = fetched.len();
        let now = Instant::now();
        let mut state = self.state();
        state.fault = None;
        for fetched in fetched {
            let owner = fetched.job.owner.clone();
            if let Some(jobs) = state.jobs.get_mut(&owner) {
                jobs.push_back((now, fetched));
            } else {
                state.turns.push_back(owner.clone());
                state.jobs.insert(owner, VecDeque::from([(now, fetched)]));
            }
            state.queued += 1;
        }
        drop(state);
        for _ in 0..count {
            self.ready.notify_one();
        }
    }

    /// How many workers wait for whom nothing is here, and how many jobs are here.
    pub(crate) fn wanted(&self) -> (usize, usize) {
        let state = self.state();
        (state.waiting.saturating_sub(state.queued), state.queued)
    }

    /// Takes out what has been here since before a moment.
    pub(crate) fn stale(&self, before: Instant) -> Vec<Fetched> {
        let mut state = self.state();
        let mut old = Vec::new();
        let State { jobs, turns, queued, .. } = &mut *state;
        for jobs in jobs.values_mut() {
            while jobs.front().is_some_and(|(since, _)| *since <= before) {
                old.extend(jobs.pop_front().map(|(_, fetched)| fetched));
            }
        }
        jobs.retain(|_, jobs| !jobs.is_empty());
        turns.retain(|owner| jobs.contains_key(owner));
        *queued -= old.len();
        old
    }

    /// Since when the oldest job is here.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let state = self.state();
        state.jobs.values().filter_map(|jobs| jobs.front()).map(|(since, _)| *since).min()
    }

    /// How many jobs are here, and when the first of them was pushed.
    pub(crate) fn waiting_here(&self) -> (usize, Option<i64>) {
        let state = self.state();
        let pushed = state.jobs.values().flatten().map(|(_, fetched)| fetched.pushed).min();
        (state.queued, pushed)
    }

    /// Tells one of those who wait what is wrong, at most once a second.
    pub(crate) fn fault(&self, fault: String) {
        let mut state = self.state();
        if state.last_fault.is_some_and(|last| last.elapsed() < Duration::from_secs(1)) {
            return;
        }
        state.last_fault = Some(Instant::now());
        if state.waiting > 0 {
            state.fault = Some(fault);
            drop(state);
            self.ready.notify_one();
        }
    }

    /// The ids of all that is in this process's hands; what workers have not been heard of for
    /// `silence` is forgotten.
    pub(crate) fn ids(&self, silence: Duration) -> Vec<Box<str>> {
        let mut state = self.state();
        state.running.retain(|_, since| since.elapsed() < silence);
        let queued = state.jobs.values().flatten().map(|(_, fetched)| fetched.id.clone());
        queued.chain(state.running.keys().cloned()).collect()
    }

    pub(crate) fn touched(&self, id: &str) {
        if let Some(since) = self.state().running.get_mut(id) {
            *since = Instant::now();
        }
    }

    pub(crate) fn ended(&self, id: &str) {
        self.state().running.remove(id);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.ready.notify_waiters();
        self.demand.notify_one();
        self.demand_shared.notify_one();
    }
}

impl State {
    fn take(&mut self) -> Option<Delivered> {
        let owner = self.turns.pop_front()?;
        let jobs = self.jobs.get_mut(&owner)?;
        let (_, fetched) = jobs.pop_front()?;
        if jobs.is_empty() {
            self.jobs.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        self.queued -= 1;
        self.running.insert(fetched.id.clone(), Instant::now());
        Some(Delivered {
            job: fetched.job,
            attempt: fetched.attempts.saturating_add(1),
            receipt: Receipt::Text(fetched.id),
        })
    }
}
