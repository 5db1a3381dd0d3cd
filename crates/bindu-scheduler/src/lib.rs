//! Delivers jobs to workers.
//!
//! A task that is to be run becomes a [`Job`]; a [`Scheduler`] hands it to a worker, which
//! acknowledges it when the task has been run, or hands it back:
//!
//! ```
//! use bindu_protocol::{ContextId, Owner, TaskId};
//! use bindu_scheduler::{Job, MemoryScheduler, Scheduler};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), bindu_scheduler::SchedulerError> {
//! let queue = MemoryScheduler::default();
//! let job = Job {
//!     task: TaskId::random(),
//!     context: ContextId::random(),
//!     owner: Owner::nobody(),
//!     version: 1,
//!     trace: None,
//! };
//! queue.push(job.clone()).await?;
//!
//! let delivered = queue.pull().await?;
//! assert_eq!(delivered.job, job);
//! queue.release(&delivered).await?; // not now
//!
//! let delivered = queue.pull().await?;
//! assert_eq!(delivered.attempt, 2);
//! queue.ack(&delivered).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Jobs of one conversation come in order and one at a time, those of different conversations side
//! by side; owners take turns, so that nobody waits for all the work of somebody else. Delivery is
//! at least once: what a repeated job means, the task it names tells.
//!
//! The trait is object-safe, and callers hold an `Arc<dyn Scheduler>`. [`MemoryScheduler`] is the
//! queue of one process.
//!
//! # Features
//!
//! - `memory` (default): [`MemoryScheduler`].
//! - `conformance`: the module `conformance`, with the rules of the trait as tests. A backend of
//!   your own runs them in one line.
//!
//! # What it leaves out
//!
//! Storing anything: a job that is lost with its queue is made again from the task, by whoever
//! looks for tasks that nobody works on. Running anything: that is a worker's part. Queues across
//! processes: those are backends of their own.

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "memory")]
mod memory;
mod scheduler;

#[cfg(feature = "memory")]
pub use memory::{MemoryConfig, MemoryScheduler};
pub use scheduler::{
    BoxError, BoxFuture, BoxStream, Delivered, Depth, Job, Receipt, Scheduler, SchedulerError,
};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
