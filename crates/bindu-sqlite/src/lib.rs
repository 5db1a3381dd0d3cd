//! Keeps an agent's tasks in one `SQLite` file: for one process, without a server.
//!
//! [`SqliteStore`] is a [`Storage`](bindu_storage::Storage): whatever was answered is on the disk,
//! and is there again after a crash, a `kill -9`, or a loss of power.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bindu_sqlite::{SqliteConfig, SqliteStore};
//! use bindu_storage::{Storage, TaskQuery};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("tasks.db");
//! let config = SqliteConfig::new(&path, "did:bindu:alice:agent:1");
//! let store: Arc<dyn Storage> = Arc::new(SqliteStore::open(config).await?);
//!
//! let page = store.tasks(TaskQuery { limit: 50, ..TaskQuery::default() }).await?;
//! assert!(page.items.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! [`SqliteConfig`] says where the file is and how durable a write is; [`path_of_url`] reads the path
//! out of `sqlite:tasks.db`. [`OpenError`] names what speaks against a file: one file serves one
//! process and one agent, and files of later versions or other programs are left as they are.
//!
//! The store is a [`ReplayGuard`](bindu_storage::ReplayGuard) as well, whose keys are as durable as
//! its tasks, and a [`Ledger`](bindu_storage::Ledger), whose payments stay for good.
//!
//! # How it writes
//!
//! One thread writes. It takes all writes that wait, makes them in one transaction, and answers once
//! that is flushed; so with many writers a flush, which is what costs, is shared. A write that is
//! refused changes nothing and does not harm those beside it. A few threads read, beside the writer
//! and without waiting for it; the tasks written last are answered out of memory.
//!
//! A change of a small task writes the events and the task's row, and reading the task is one
//! look-up by an index. Of a large task only the events are written, and the whole of it each time
//! its log has doubled, so that a conversation of thousands of messages costs what its messages cost.
//!
//! # What it leaves out
//!
//! A second process: that is for a database server. Features: there are none; `SQLite` itself is
//! compiled in. Compaction: deleted rows leave room in the file for others, but the file does not
//! shrink; `VACUUM` by the `sqlite3` tool does that while the agent is down.

mod cache;
mod config;
mod error;
mod failure;
mod flusher;
mod json;
mod open;
mod readers;
mod schema;
mod sql;
mod store;
mod writer;

pub use config::{SqliteConfig, Synchronous, path_of_url};
pub use error::OpenError;
pub use schema::LAYOUT_VERSION;
pub use store::SqliteStore;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
