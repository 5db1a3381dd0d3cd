//! The queue that lives and dies with the process.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bindu_protocol::{ContextId, Owner, TaskId};
use tokio::sync::Notify;

use crate::{BoxFuture, Delivered, Depth, Job, Receipt, Scheduler, SchedulerError};

/// How much a [`MemoryScheduler`] should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// With so many jobs waiting, [`is_full`](Scheduler::is_full) says so; 10,000 by default. Jobs
    /// that are pushed all the same are taken: the task is stored by then.
    pub capacity: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { capacity: 10_000 }
    }
}

/// A queue in memory.
///
/// Jobs of one context come one after the other; contexts of one owner take turns, and so do
/// owners. Pushing, pulling and acknowledging take the same short time however much waits, and what
/// has no jobs left takes no room.
///
/// What was pulled stays in its worker's hands until it is acknowledged or released: a worker in
/// the same process does not vanish unseen, so no clock runs here.
///
/// ```
/// use bindu_protocol::{ContextId, Owner, TaskId};
/// use bindu_scheduler::{Job, MemoryScheduler, Scheduler};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bindu_scheduler::SchedulerError> {
/// let queue = MemoryScheduler::default();
/// queue
///     .push(Job {
///         task: TaskId::random(),
///         context: ContextId::random(),
///         owner: Owner::nobody(),
///         version: 1,
///         trace: None,
///     })
///     .await?;
/// let delivered = queue.pull().await?;
/// assert_eq!(delivered.attempt, 1);
/// queue.ack(&delivered).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemoryScheduler {
    capacity: usize,
    state: Mutex<State>,
    /// Wakes one worker for one job that has become ready.
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    waiting: usize,
    last_receipt: u64,
    /// Contexts with a job, waiting or running.
    contexts: HashMap<ContextId, Queue>,
    /// Contexts whose first job may be delivered, by the owner of that job.
    ready: HashMap<Owner, VecDeque<ContextId>>,
    /// Those owners, in the order of their turns.
    turns: VecDeque<Owner>,
    running: HashMap<u64, Running>,
    /// The jobs that wait or run.
    known: HashSet<(TaskId, u64)>,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Waiting>,
    /// Whether a worker has a job of this context.
    busy: bool,
}

#[derive(Debug)]
struct Waiting {
    job: Job,
    /// How often it was delivered.
    attempts: u32,
    since: Instant,
}

#[derive(Debug)]
struct Running {
    job: Job,
    attempts: u32,
}

impl MemoryScheduler {
    /// An empty queue.
    #[must_use]
    pub fn new(config: MemoryConfig) -> Self {
        Self { capacity: config.capacity, state: Mutex::default(), ready: Notify::new() }
    }

    /// No step of a change can panic, so a poisoned lock guards a state that is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next job, if one is ready.
    fn take(&self) -> Result<Option<Delivered>, SchedulerError> {
        let mut state = self.state();
        if state.closed { Err(SchedulerError::Closed) } else { Ok(state.take()) }
    }

    /// Ends a delivery, and puts the job back if it is to come again.
    fn end(&self, delivered: &Delivered, again: bool) {
        let Receipt::Number(receipt) = delivered.receipt else { return };
        if self.state().end(receipt, again) {
            self.ready.notify_one();
        }
    }
}

impl Default for MemoryScheduler {
    fn default() -> Self {
        Self::new(MemoryConfig::default())
    }
}

impl State {
    /// Puts a job at the end of its context's queue; says whether it is ready.
    fn push(&mut self, job: Job) -> bool {
        if !self.known.insert((job.task.clone(), job.version)) {
            return false;
        }
        let context = job.context.clone();
        let queue = self.contexts.entry(context.clone()).or_default();
        let first = queue.jobs.is_empty() && !queue.busy;
        queue.jobs.push_back(Waiting { job, attempts: 0, since: Instant::now() });
        self.waiting += 1;
        if first {
            self.make_ready(context);
        }
        first
    }

    /// Lets a context that has a job and no worker take turns.
    fn make_ready(&mut self, context: ContextId) {
        let first = self.contexts.get(&context).and_then(|queue| queue.jobs.front());
        let Some(owner) = first.map(|first| &first.job.owner) else { return };
        if let Some(ring) = self.ready.get_mut(owner) {
            ring.push_back(context);
        } else {
            self.turns.push_back(owner.clone());
            self.ready.insert(owner.clone(), VecDeque::from([context]));
        }
    }

    fn take(&mut self) -> Option<Delivered> {
        let owner = self.turns.pop_front()?;
        let ring = self.ready.get_mut(&owner)?;
        let context = ring.pop_front()?;
        if ring.is_empty() {
            self.ready.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        let queue = self.contexts.get_mut(&context)?;
        let Waiting { job, attempts, .. } = queue.jobs.pop_front()?;
        queue.busy = true;
        self.waiting -= 1;
        self.last_receipt += 1;
        let receipt = self.last_receipt;
        let attempt = attempts.saturating_add(1);
        self.running.insert(receipt, Running { job: job.clone(), attempts: attempt });
        Some(Delivered { job, attempt, receipt: Receipt::Number(receipt) })
    }

    /// Ends a delivery; says whether a job has become ready.
    fn end(&mut self, receipt: u64, again: bool) -> bool {
        let Some(Running { job, attempts }) = self.running.remove(&receipt) else { return false };
        let context = job.context.clone();
        let Some(queue) = self.contexts.get_mut(&context) else { return false };
        queue.busy = false;
        if again {
            queue.jobs.push_front(Waiting { job, attempts, since: Instant::now() });
            self.waiting += 1;
        } else {
            self.known.remove(&(job.task, job.version));
        }
        if queue.jobs.is_empty() {
            self.contexts.remove(&context);
            return false;
        }
        self.make_ready(context);
        true
    }

    fn depth(&self) -> Depth {
        let oldest = self.contexts.values().filter_map(|queue| queue.jobs.front());
        Depth {
            waiting: self.waiting as u64,
            running: self.running.len() as u64,
            oldest: oldest.map(|waiting| waiting.since.elapsed()).max(),
        }
    }
}

impl Scheduler for MemoryScheduler {
    fn push(&self, job: Job) -> BoxFuture<'_, Result<(), SchedulerError>> {
        Box::pin(async move {
            let mut state = self.state();
            if state.closed {
                return Err(SchedulerError::Closed);
            }
            let ready = state.push(job);
            drop(state);
            if ready {
                self.ready.notify_one();
            }
            Ok(())
        })
    }

    fn pull(&self) -> BoxFuture<'_, Result<Delivered, SchedulerError>> {
        // A job is taken in the same poll that returns it, so a dropped future has none. A wake-up
        // that it had, it passes on.
        Box::pin(async move {
            if let Some(delivered) = self.take()? {
                return Ok(delivered);
            }
            loop {
                let mut woken = pin!(self.ready.notified());
                // In line before looking, so that each job that becomes ready after the look wakes
                // a worker of its own: out of line, two jobs could leave one wake-up behind.
                woken.as_mut().enable();
                if let Some(delivered) = self.take()? {
                    return Ok(delivered);
                }
                woken.await;
            }
        })
    }

    fn ack<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(async move {
            self.end(delivered, false);
            Ok(())
        })
    }

    fn release<'a>(
        &'a self,
        delivered: &'a Delivered,
    ) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(async move {
            self.end(delivered, true);
            Ok(())
        })
    }

    fn is_full(&self) -> bool {
        self.state().waiting >= self.capacity
    }

    fn depth(&self) -> BoxFuture<'_, Result<Depth, SchedulerError>> {
        Box::pin(async move { Ok(self.state().depth()) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.state().closed = true;
            self.ready.notify_waiters();
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), SchedulerError>> {
        Box::pin(async { Ok(()) })
    }

    fn name(&self) -> &'static str {
        "InMemoryScheduler"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_jobs_takes_no_room() {
        let mut state = State::default();
        for number in 0..1_000 {
            let owner = Owner::from(Some(format!("owner-{}", number % 7)));
            let context = format!("context-{}", number % 50).parse().unwrap();
            state.push(Job { task: TaskId::random(), context, owner, version: 1, trace: None });
        }
        let mut number = 0_u32;
        while let Some(delivered) = state.take() {
            let Receipt::Number(receipt) = delivered.receipt else { panic!("no number") };
            number += 1;
            state.end(receipt, number.is_multiple_of(3));
        }
        assert_eq!((state.waiting, state.contexts.len(), state.ready.len()), (0, 0, 0));
        assert_eq!((state.turns.len(), state.running.len(), state.known.len()), (0, 0, 0));
    }
}
