//! Takes one job, runs the handler, stores the outcome.
//!
//! A [`Worker`] is a number of slots over one engine. Each slot pulls a job from the engine's
//! queue, gives the handler its [`Turn`](bindu_agent::Turn), and stores what it answers: a result
//! as signed artifacts, a question as a pause, chunks as they come, an error as a failed task.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bindu_agent::{AnyHandler, Reply, Turn};
//! use bindu_protocol::{Caller, Message, Part, Role};
//! use bindu_scheduler::MemoryScheduler;
//! use bindu_storage::MemoryStore;
//! use bindu_tasks::{Submission, Tasks};
//! use bindu_worker::{Config, Worker};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), bindu_tasks::TaskError> {
//! let (store, queue) = (MemoryStore::default(), MemoryScheduler::default());
//! let tasks = Tasks::builder(Arc::new(store), Arc::new(queue)).build();
//! let shout = AnyHandler::new(async |turn: Turn| Ok(Reply::text(turn.text().to_uppercase())));
//! let worker = Worker::start(tasks.clone(), shout, None, Config::default());
//!
//! let message = Message::new(Role::User, vec![Part::text("hello")]);
//! let submission = Submission::new(message);
//! let patience = Duration::from_secs(10);
//! let done = tasks.submit_and_wait(&Caller::anonymous(), submission, patience).await?;
//! assert_eq!(done.record.task.artifacts[0].parts[0].as_text(), Some("HELLO"));
//! worker.drain(patience).await;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - At most [`Config::concurrency`] handlers run at once; the jobs of one context one after the
//!   other, because the queue gives them out so.
//! - A handler that panics, fails or takes longer than [`Config::task_timeout`] fails its own task
//!   and nothing else; nothing that a message or a queue entry holds ends a slot.
//! - A canceled task's async handler is dropped. A [blocking](bindu_agent::blocking) one is
//!   signalled; what it still returns is thrown away.
//! - A run renews its lease every [`Config::heartbeat`], and stops its handler if it cannot.
//! - With an [`Identity`](bindu_did::key_dir::Identity), every text, data and file part of every
//!   artifact carries a signature in its metadata, under [`Config::signature_key`].
//! - With a [`BeforeRun`], each task is asked about before it is run, and before it is `working`: it
//!   may be run, stopped, or left for later.
//! - What a handler keeps with [`Turn::state`](bindu_agent::Turn::state) is in the store of the
//!   tasks: [`state`].
//! - [`Worker::drain`] takes no more jobs, waits, then gives back what is left for another process
//!   to take up; with a store of this process alone it fails that, with words that say so.
//!
//! # What it leaves out
//!
//! Callers: the worker never sees a socket. Deciding what a task may become: that is
//! `bindu-tasks`. There are no features.

mod before;
mod config;
mod execute;
mod sign;
pub mod state;
mod worker;

pub use before::{BeforeRun, Ready};
pub use config::Config;
pub use worker::Worker;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
