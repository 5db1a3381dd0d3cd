//! The seam: what a queue of jobs must be able to do.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bindu_protocol::{ContextId, Owner, TaskId};
use futures_core::Stream;

/// A future in a box, as the methods of a seam that is chosen at run time return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A stream in a box.
pub type BoxStream<'a, T> = Pin<Box<dyn Stream<Item = T> + Send + 'a>>;

/// An error of any kind, as a source.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Delivers jobs to workers.
///
/// Delivery is at least once: a job that was pulled and neither acknowledged nor released comes
/// again, to another worker, once its worker has been silent for as long as the backend waits. Jobs of one context are delivered one at a time and in the order in
/// which they were pushed; jobs of different contexts side by side, and turn by turn between
/// owners, as far as the backend looks ahead. A scheduler only delivers: whether a job still makes sense the task tells.
pub trait Scheduler: fmt::Debug + Send + Sync + 'static {
    /// Puts a job at the end of its context's queue. One that waits or runs already, by its task
    /// and [`version`](Job::version), is not put there twice. Never refused for want of room; ask
    /// [`is_full`](Self::is_full) before the job is made.
    ///
    /// # Errors
    ///
    /// [`SchedulerError::Closed`] after [`close`](Self::close); [`SchedulerError::Backend`] if the
    /// backend cannot be reached.
    fn push(&self, job: Job) -> BoxFuture<'_, Result<(), SchedulerError>>;

    /// Waits for the next job. May be called by many workers at once; a dropped future loses no
    /// job.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    fn pull(&self) -> BoxFuture<'_, Result<Delivered, SchedulerError>>;

    /// The job is done: it does not come again, and its context's next job may be delivered.
    ///
    /// # Errors
    ///
    /// [`SchedulerError::Backend`].
    fn ack<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<(), SchedulerError>>;

    /// The job is handed back: it comes again, before its context's other jobs.
    ///
    /// # Errors
    ///
    /// [`SchedulerError::Backend`].
    fn release<'a>(&'a self, delivered: &'a Delivered)
    -> BoxFuture<'a, Result<(), SchedulerError>>;

    /// The job is still being worked on: a queue that gives the jobs of a silent worker to another
    /// counts its silence from now. To say so of a delivery that has ended is no error.
    ///
    /// # Errors
    ///
    /// [`SchedulerError::Backend`].
    fn keep<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<(), SchedulerError>> {
        let _ = delivered;
        Box::pin(async { Ok(()) })
    }

    /// The job is given up: like [`ack`](Self::ack), but a queue that has a place for dead letters
    /// keeps it there, with the reason.
    ///
    /// # Errors
    ///
    /// [`SchedulerError::Backend`].
    fn bury<'a>(
        &'a self,
        delivered: &'a Delivered,
        why: &'a str,
    ) -> BoxFuture<'a, Result<(), SchedulerError>> {
        let _ = why;
        self.ack(delivered)
    }

    /// Whether the queue is the outbox of the store itself: its jobs are entries that are written
    /// together with the task. Then nobody needs to push after a write, and a push is only for a
    /// job that was lost.
    fn reads_outbox(&self) -> bool {
        false
    }

    /// Asks the other processes of the agent to look at a task, as soon as can be; if they cannot be
    /// told, nothing happens.
    fn nudge<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, ()> {
        let _ = task;
        Box::pin(async {})
    }

    /// The tasks that other processes [ask](Self::nudge) to look at.
    fn nudges(&self) -> BoxStream<'static, TaskId> {
        Box::pin(Silent)
    }

    /// Whether new work should be turned away, because as much waits as may wait.
    fn is_full(&self) -> bool;

    /// Whether the backend could be reached when it was last tried. While it could not, new work
    /// should be turned away, since it might wait for long.
    fn is_up(&self) -> bool {
        true
    }

    /// How much waits.
    ///
    /// # Errors
    ///
    /// [`SchedulerError::Backend`].
    fn depth(&self) -> BoxFuture<'_, Result<Depth, SchedulerError>>;

    /// Takes no more jobs and delivers none; waiting workers are told
    /// [`SchedulerError::Closed`]. What waited is lost only if it was nowhere but here.
    fn close(&self) -> BoxFuture<'_, ()>;

    /// Whether the backend answers.
    ///
    /// # Errors
    ///
    /// [`SchedulerError::Backend`].
    fn ping(&self) -> BoxFuture<'_, Result<(), SchedulerError>>;

    /// The name of the backend, for health answers: `InMemoryScheduler`, `RedisScheduler`.
    fn name(&self) -> &'static str;
}

/// One run that a worker is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The task to run.
    pub task: TaskId,
    /// Its conversation: the queue that keeps order.
    pub context: ContextId,
    /// To whom the task belongs: between owners, turns are taken.
    pub owner: Owner,
    /// The task's version that waits for a run; with the task it names the job.
    pub version: u64,
    /// The W3C `traceparent` of the request that caused it.
    pub trace: Option<Box<str>>,
}

/// A job in a worker's hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The job.
    pub job: Job,
    /// How often it was delivered, this time included.
    pub attempt: u32,
    /// What the backend knows this delivery by.
    pub receipt: Receipt,
}

/// What a backend knows a delivery by: its own text, or a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Receipt {
    /// A number.
    Number(u64),
    /// A text, such as a stream entry's id.
    Text(Box<str>),
}

/// How much waits in a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that no worker has.
    pub waiting: u64,
    /// Jobs that a worker has.
    pub running: u64,
    /// How long the oldest job has waited; `None` if none waits.
    pub oldest: Option<Duration>,
}

/// Why a [`Scheduler`] call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// The scheduler was closed.
    #[error("the scheduler is closed")]
    Closed,
    /// The backend failed; the same call may succeed later.
    #[error("scheduler backend failed while {doing}")]
    Backend {
        /// What was under way: "pushing a job".
        doing: &'static str,
        /// The backend's own error.
        source: BoxError,
    },
}

/// What other processes ask: there are none, and there always might be.
struct Silent;

impl Stream for Silent {
    type Item = TaskId;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<TaskId>> {
        Poll::Pending
    }
}
