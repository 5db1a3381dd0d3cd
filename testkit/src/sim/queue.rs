//! Queues: one that all replicas share, or one in each.

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bindu_protocol::TaskId;
use bindu_scheduler::{
    BoxFuture, BoxStream, Delivered, Depth, Job, MemoryScheduler, Receipt, Scheduler,
    SchedulerError,
};
use bindu_storage::Record;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::fault::{Fault, Op};
use super::life::Life;
use super::plan::Queue;
use super::store::{begin, end};
use super::world::World;

/// The job of a task that waits.
pub(super) fn job_of(record: &Record) -> Job {
    Job {
        task: record.task.id.clone(),
        context: record.task.context_id.clone(),
        owner: record.owner.clone(),
        version: record.version.0,
        trace: None,
    }
}

/// A queue beside the replicas: at least once, a context's jobs in order, unless it forgets.
#[derive(Debug, Default)]
pub(super) struct SharedQueue {
    entries: Mutex<Entries>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    list: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    job: Job,
    attempts: u32,
    /// Delivered to somebody, who has until then to say that it goes on.
    until: Option<Instant>,
    /// One that comes beside another of its own, out of order.
    is_extra: bool,
}

impl SharedQueue {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, world: &World, job: &Job) {
        let twice =
            !world.is_calm() && world.plan.queue == Queue::Shared && world.chance(world.plan.twice);
        let mut entries = self.lock();
        let is_known =
            |entry: &Entry| entry.job.task == job.task && entry.job.version == job.version;
        if entries.list.iter().any(is_known) {
            return;
        }
        for is_extra in [false, true] {
            if !is_extra || twice {
                entries.last += 1;
                let number = entries.last;
                let job = job.clone();
                entries.list.push(Entry { number, job, attempts: 0, until: None, is_extra });
            }
        }
        drop(entries);
        self.ready.notify_waiters();
    }

    fn take(&self, world: &World) -> Option<Delivered> {
        let now = Instant::now();
        let mut entries = self.lock();
        let list = &entries.list;
        let is_out = |entry: &Entry| entry.until.is_some_and(|until| until > now);
        let may_come = |place: usize| {
            let entry = &list[place];
            let waits_for =
                |other: &Entry| !other.is_extra && other.job.context == entry.job.context;
            !is_out(entry)
                && (entry.is_extra
                    || (!list[..place].iter().any(waits_for)
                        && !list[place + 1..]
                            .iter()
                            .any(|later| waits_for(later) && is_out(later))))
        };
        let place = (0..list.len()).find(|place| may_come(*place))?;
        let entry = &mut entries.list[place];
        entry.attempts += 1;
        entry.until = Some(now + world.plan.visibility);
        let receipt = Receipt::Number(entry.number);
        Some(Delivered { job: entry.job.clone(), attempt: entry.attempts, receipt })
    }

    /// When a delivery that is out may come again.
    fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        let ends = |entry: &Entry| entry.until.filter(|until| *until > now);
        self.lock().list.iter().filter_map(ends).min()
    }

    fn change(&self, delivered: &Delivered, change: impl FnOnce(&mut Vec<Entry>, usize)) {
        let mut entries = self.lock();
        let number = &delivered.receipt;
        let place = entries.list.iter().position(|it| Receipt::Number(it.number) == *number);
        if let Some(place) = place {
            change(&mut entries.list, place);
        }
        drop(entries);
        self.ready.notify_waiters();
    }

    /// It forgets everything.
    pub(super) fn flush(&self) {
        self.lock().list.clear();
    }
}

/// A queue as one replica sees it.
#[derive(Debug)]
pub(super) struct SimQueue {
    world: Arc<World>,
    life: Arc<Life>,
    own: MemoryScheduler,
    closed: watch::Sender<bool>,
}

fn failed(op: Op) -> SchedulerError {
    SchedulerError::Backend { doing: op.name(), source: "simulated".into() }
}

impl SimQueue {
    pub(super) fn new(world: &Arc<World>, life: &Arc<Life>) -> Self {
        let (world, life) = (Arc::clone(world), Arc::clone(life));
        Self { world, life, own: MemoryScheduler::default(), closed: watch::channel(false).0 }
    }

    fn is_own(&self) -> bool {
        self.world.plan.queue == Queue::Own
    }

    async fn call(
        &self,
        op: Op,
        task: &TaskId,
        effect: impl FnOnce(),
    ) -> Result<(), SchedulerError> {
        let fate = begin(&self.world, &self.life, op, Some(task)).await;
        if fate.fault != Some(Fault::Before) {
            effect();
        }
        if end(&self.world, &self.life, fate).await { Ok(()) } else { Err(failed(op)) }
    }

    async fn pull_shared(&self) -> Result<Delivered, SchedulerError> {
        let mut closed = self.closed.subscribe();
        // What a call takes, it takes before there is a job: afterwards, a dropped future would have
        // one.
        let fate = begin(&self.world, &self.life, Op::Pull, None).await;
        if fate.fault == Some(Fault::Before) {
            end(&self.world, &self.life, fate).await;
            return Err(failed(Op::Pull));
        }
        let queue = &self.world.queue;
        loop {
            if *closed.borrow_and_update() {
                return Err(SchedulerError::Closed);
            }
            self.life.gate().await;
            let mut woken = pin!(queue.ready.notified());
            woken.as_mut().enable();
            if let Some(delivered) = queue.take(&self.world) {
                let id = &delivered.job.task;
                self.world.note("pulled", self.world.number(id), || {
                    format!("{} by {}", self.world.name(id), self.life)
                });
                if self.life.is_last_call() {
                    self.world.kill(&self.life);
                    self.life.gate().await;
                }
                // The job is delivered, and nobody hears of it.
                return if fate.fault.is_some() { Err(failed(Op::Pull)) } else { Ok(delivered) };
            }
            let again = queue.next();
            tokio::select! {
                biased;
                () = woken => {}
                _ = closed.changed() => {}
                () = async {
                    match again {
                        Some(at) => sleep_until(at).await,
                        None => pending().await,
                    }
                } => {}
            }
        }
    }
}

impl Scheduler for SimQueue {
    fn push(&self, job: Job) -> BoxFuture<'_, Result<(), SchedulerError>> {
        Box::pin(async move {
            if *self.closed.borrow() {
                return Err(SchedulerError::Closed);
            }
            if self.is_own() {
                self.life.gate().await;
                return self.own.push(job).await;
            }
            let id = job.task.clone();
            self.call(Op::Push, &id, || self.world.queue.push(&self.world, &job)).await
        })
    }

    fn pull(&self) -> BoxFuture<'_, Result<Delivered, SchedulerError>> {
        Box::pin(async move {
            if !self.is_own() {
                return self.pull_shared().await;
            }
            self.life.gate().await;
            let pulled = self.own.pull().await;
            self.life.gate().await;
            pulled
        })
    }

    fn ack<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(async move {
            if self.is_own() {
                return self.own.ack(delivered).await;
            }
            self.call(Op::Ack, &delivered.job.task, || {
                self.world.queue.change(delivered, |list, place| drop(list.remove(place)));
            })
            .await
        })
    }

    fn release<'a>(
        &'a self,
        delivered: &'a Delivered,
    ) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(async move {
            if self.is_own() {
                return self.own.release(delivered).await;
            }
            self.call(Op::Release, &delivered.job.task, || {
                self.world.queue.change(delivered, |list, place| list[place].until = None);
            })
            .await
        })
    }

    fn keep<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(async move {
            if self.is_own() {
                return Ok(());
            }
            let until = Instant::now() + self.world.plan.visibility;
            self.call(Op::Keep, &delivered.job.task, || {
                let stays = |list: &mut Vec<Entry>, place: usize| {
                    let entry: &mut Entry = &mut list[place];
                    entry.until = entry.until.map(|_| until);
                };
                self.world.queue.change(delivered, stays);
            })
            .await
        })
    }

    fn reads_outbox(&self) -> bool {
        self.world.plan.queue == Queue::Outbox
    }

    fn nudge<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.life.gate().await;
            let others: Vec<_> = {
                let state = self.world.lock();
                state.replicas.iter().flatten().map(|it| Arc::clone(&it.life)).collect()
            };
            for other in others {
                let is_lost = !self.world.is_calm() && self.world.chance(self.world.plan.deaf);
                if !is_lost && self.world.plan.queue == Queue::Shared {
                    other.nudge(self.world.below(self.world.plan.hint_delay + 1), task);
                }
            }
        })
    }

    fn nudges(&self) -> BoxStream<'static, TaskId> {
        self.life.nudges()
    }

    fn is_full(&self) -> bool {
        false
    }

    fn depth(&self) -> BoxFuture<'_, Result<Depth, SchedulerError>> {
        Box::pin(async { Ok(Depth::default()) })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.closed.send_replace(true);
            if self.is_own() {
                self.own.close().await;
            }
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), SchedulerError>> {
        Box::pin(async { Ok(()) })
    }

    fn name(&self) -> &'static str {
        "SimScheduler"
    }
}
