//! A task's life: submit, advance, cancel, follow, notify.
//!
//! [`Tasks`] is the engine between those who speak to callers and those who run handlers. It
//! takes messages, keeps the state machine, and tells whoever listens; it needs a store
//! ([`bindu_storage::Storage`]) and a queue ([`bindu_scheduler::Scheduler`]), and knows neither
//! HTTP routes nor handlers.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bindu_protocol::{Artifact, Caller, Message, Part, Role, TaskState};
//! use bindu_scheduler::MemoryScheduler;
//! use bindu_storage::MemoryStore;
//! use bindu_tasks::{Begun, Outcome, Submission, Tasks};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), bindu_tasks::TaskError> {
//! let (store, queue) = (MemoryStore::default(), MemoryScheduler::default());
//! let tasks = Tasks::builder(Arc::new(store), Arc::new(queue)).build();
//!
//! // A caller's side: a message begins a task.
//! let caller = Caller::anonymous();
//! let message = Message::new(Role::User, vec![Part::text("hello")]);
//! let submission = Submission::new(message);
//! let submitted = tasks.submit(&caller, submission).await?;
//! assert_eq!(submitted.record.task.status.state, TaskState::Submitted);
//!
//! // A worker's side: a job from the queue, a run, an outcome.
//! let delivered = tasks.scheduler().pull().await?;
//! let Begun::Run(run) = tasks.begin(&delivered.job.task).await? else {
//!     unreachable!("nobody else runs it")
//! };
//! let answer = vec![Part::text("hello yourself")];
//! run.finish(Outcome {
//!     state: TaskState::Completed,
//!     message: Some(answer.clone()),
//!     remarks: None,
//!     artifacts: vec![Artifact::new("result", answer)],
//!     metadata: None,
//! })
//! .await?;
//! tasks.scheduler().ack(&delivered).await?;
//!
//! let done = tasks.get(&caller, &submitted.record.task.id).await?;
//! assert_eq!(done.task.status.state, TaskState::Completed);
//! # Ok(())
//! # }
//! ```
//!
//! # The types that matter
//!
//! - [`Tasks`]: what callers may do. Each method takes the [`Caller`](bindu_protocol::Caller),
//!   and answers for what is somebody else's as for what is not there.
//! - [`Run`]: what a worker may do with the one task it holds. Its writes are void once the task
//!   was canceled or taken over ([`TaskError::RunLost`]).
//! - [`Follow`]: a task's events, in order and without gaps, from any point on; first from the
//!   log, then as they are stored.
//! - [`Pushes`]: webhooks, told in the background from the store's outbox.
//! - [`Tasks::upkeep`]: finds what a vanished process or a lost queue left behind, hears what other
//!   processes of the same agent change, and lets old tasks go. Whoever starts an engine runs it
//!   beside.
//! - [`Observer`]: whoever counts.
//!
//! Every write is a compare-and-set on the task's version, with the events it adds and the work
//! it causes in the same commit. A writer that loses a race looks again and decides anew.
//!
//! # What it leaves out
//!
//! Running handlers (`bindu-worker`), the wire (`bindu-server`), and who a caller is. There are no
//! features.

mod clock;
mod config;
mod conversation;
mod error;
mod follow;
mod hub;
mod observer;
mod push;
mod run;
mod submit;
mod tasks;
mod upkeep;

pub use clock::Clock;
pub use config::{Config, OnCrash};
pub use conversation::Conversation;
pub use error::TaskError;
pub use follow::{Follow, Followed, is_settled, to_stream_event};
pub use observer::Observer;
pub use push::{Courier, PushSettings, Pushes};
pub use run::{Begun, Outcome, Run};
pub use submit::{Only, Preview, Submission, Submitted, Wait};
pub use tasks::{Tasks, TasksBuilder};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
