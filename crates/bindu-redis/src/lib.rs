//! Delivers jobs over Redis to the workers of many processes.
//!
//! [`RedisScheduler`] is a [`Scheduler`](bindu_scheduler::Scheduler) that all processes of an agent
//! share: what one of them pushes, any of them pulls, and what a process had when it died comes
//! again to another.
//!
//! ```no_run
//! use bindu_redis::{RedisConfig, RedisScheduler};
//! use bindu_scheduler::Scheduler;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let config = RedisConfig::new("redis://localhost:6379", "9f1c2a44-6c1e-5d7b-8a4e-3f0b7c9d2e11");
//! let queue = RedisScheduler::connect(config).await?;
//! let delivered = queue.pull().await?;
//! queue.ack(&delivered).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`RedisConfig`] says where Redis is and how much is fetched ahead; its defaults are meant to be
//! used. [`RedisReplayGuard`] is the [`ReplayGuard`](bindu_storage::ReplayGuard) on the same server.
//! [`Known`] matters only where replicas that run the Python reference share a list with ours.
//!
//! # How it works
//!
//! Jobs are entries of a stream with one consumer group. Whatever changes the queue is one script,
//! so a step happens wholly or not at all, also when whoever asked for it dies. The stream holds at
//! most one job of a context: pushing puts further ones aside, and the end of a job lets the next
//! in. A job that comes again, because it was handed back or its worker fell silent, is a new
//! entry; the id of the old one ends nothing any more.
//!
//! One connection waits for all workers of a process, and only while a worker waits. It fetches
//! ahead; what no worker has taken after a quarter of a second, it gives back. Calls that come in
//! while others are under way go to the server together.
//!
//! # Features
//!
//! - `tls`: `rediss://` addresses, over rustls with ring and the system's certificates. Without it
//!   such an address is refused.
//!
//! # What it leaves out
//!
//! Tasks: a job that is lost with the server is made again from the task, by whoever looks for
//! tasks that nobody works on. Redis Cluster and Sentinel: the keys of an agent are in one slot,
//! but the connection is to one server.

mod batch;
mod compat;
mod config;
mod control;
mod entry;
mod error;
mod house;
mod link;
mod local;
mod reader;
mod replay;
mod scheduler;
mod script;
mod shared;

pub use compat::Known;
pub use config::RedisConfig;
pub use error::RedisError;
pub use replay::RedisReplayGuard;
pub use scheduler::RedisScheduler;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
