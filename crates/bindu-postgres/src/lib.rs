//! Tasks in PostgreSQL, and the queue of their runs beside them.
//!
//! For agents of several processes or machines. [`PostgresStore`] keeps tasks, contexts and logs in
//! the tables of the Python reference: a database that the reference wrote opens, is brought up to
//! date, and stays readable to it. [`PostgresScheduler`] delivers jobs out of the same tables, so a
//! task and its job are written in one transaction.
//!
//! ```no_run
//! use bindu_postgres::{PostgresConfig, PostgresStore};
//! use bindu_scheduler::Scheduler;
//! use bindu_storage::{Storage, TaskQuery};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = PostgresConfig {
//!     did: Some("did:bindu:alice:agent1:abc123".to_owned()),
//!     ..PostgresConfig::new("postgresql://alice@db.example.com/agents")
//! };
//! let store = PostgresStore::open(config).await?;
//! let queue = store.scheduler()?;
//! let newest = store.tasks(TaskQuery { limit: 10, ..TaskQuery::default() }).await?;
//! println!("{} tasks, {} jobs wait", newest.items.len(), queue.depth().await?.waiting);
//! # Ok(())
//! # }
//! ```
//!
//! # The tables
//!
//! Each agent has a schema, [named](schema_name) after its DID; the DID itself is kept in it, and
//! another is refused. Every statement names its schema, whatever the search path is.
//! [`migrate`] makes the tables `contexts`, `tasks`, `task_feedback` and `webhook_configs`, or adds to
//! those that are there what is missing, and ours beside them: nullable columns, and tables and
//! indexes whose names begin with `bindu_`. Nothing is changed or taken away. [`check`] only
//! looks.
//!
//! The reference knows nothing of the log. A row that it wrote, or changed since, is noticed when the
//! task is loaded or its log is read, and enters the log as a snapshot; until then no writer that
//! has not seen it can overwrite it.
//!
//! The store is a [`Ledger`](bindu_storage::Ledger) as well: payments are in `bindu_payments`, as JSON texts
//! that come back as they were written, and stay when their task goes.
//!
//! Task and context ids that are no UUIDs are kept under a UUID made of them, with the id beside it.
//! Texts cannot hold U+0000; it becomes U+FFFD. A number with an exponent is written out. Metadata
//! that are an empty object are as good as none. A status without a time gets that of its change.
//!
//! # One write, one round trip
//!
//! A commit is one statement. It compares the version and the run, appends to history, artifacts and
//! log, and adds the outbox entries, all or nothing. Each carries a random name of its own: when
//! the connection is lost before the answer comes, the store asks whether that write was made, so it
//! is neither lost nor made twice. Reads, and writes that may be repeated, are tried three times
//! within about three seconds when the server restarts, is out of connections or breaks a deadlock.
//!
//! What changed is told to the other processes by `NOTIFY`, gathered for a few milliseconds and sent
//! beside the commits. After a lost connection [`changes`](bindu_storage::Storage::changes) says
//! that some were missed.
//!
//! # What it leaves out
//!
//! Encrypted connections: a URL that asks for one is refused. Poolers that hand out a connection per
//! transaction: listening and prepared statements need one that lasts. Writes of the reference are
//! not announced by anybody; a listener finds them when it looks.

mod codec;
mod commit;
mod config;
mod connect;
mod ear;
mod error;
mod ids;
mod layout;
mod outbox;
mod owner;
mod row;
mod scheduler;
mod schema;
mod sql;
mod store;
mod types;

pub use config::PostgresConfig;
pub use error::PostgresError;
pub use layout::{LAYOUT_VERSION, LayoutReport, check, migrate};
pub use owner::{OwnerCounts, backfill_owner, ownerless};
pub use scheduler::PostgresScheduler;
pub use schema::schema_name;
pub use sql::Statements;
pub use store::PostgresStore;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
