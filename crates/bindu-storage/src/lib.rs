//! Keeps tasks, contexts and their event logs.
//!
//! A task lives in a store as a [`Record`]: the task itself, to whom it belongs, who runs it, and
//! the number of its last [`Event`]. There is one way to write, [`Storage::commit`]: a [`Change`]
//! says which version it was made from, what happened, and what is to be done about it; all of it is
//! stored, or nothing.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bindu_protocol::{
//!     ContextId, Dialect, Message, Owner, Part, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
//! };
//! use bindu_storage::{Birth, Change, EventBody, Hold, MemoryStore, Storage, StorageError};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), StorageError> {
//! let store = MemoryStore::default();
//! let now = Timestamp::now();
//! let task = Arc::new(Task {
//!     id: TaskId::random(),
//!     context_id: ContextId::random(),
//!     status: TaskStatus::new(TaskState::Submitted, now),
//!     history: vec![Arc::new(Message::new(Role::User, vec![Part::text("hello")]))],
//!     artifacts: Vec::new(),
//!     metadata: None,
//! });
//! let born = store
//!     .commit(Change {
//!         events: vec![EventBody::Snapshot(Arc::clone(&task))],
//!         task,
//!         expected: None, // it must not exist
//!         birth: Some(Birth {
//!             owner: Owner::nobody(),
//!             dialect: Dialect::V0_3,
//!             webhooks: Vec::new(),
//!         }),
//!         hold: Hold::Outside,
//!         at: now,
//!         outbox: Vec::new(),
//!         once: None,
//!     })
//!     .await?
//!     .record;
//!
//! // Two cancel it at once; one of them has to look again.
//! let canceled = EventBody::Status(TaskStatus::new(TaskState::Canceled, now));
//! let mut task = Task::clone(&born.task);
//! canceled.apply(&mut task);
//! let cancel = Change {
//!     task: Arc::new(task),
//!     expected: Some(born.version),
//!     birth: None,
//!     hold: Hold::Outside,
//!     events: vec![canceled],
//!     at: now,
//!     outbox: Vec::new(),
//!     once: None,
//! };
//! assert!(store.commit(cancel.clone()).await.is_ok());
//! assert!(matches!(store.commit(cancel).await, Err(StorageError::Conflict(_))));
//! assert_eq!(store.events(&born.task.id, 0, 10).await?.len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! The log is the source: applying a task's events one by one gives the task, and streams, webhooks
//! and counts are views of it. [`Hold`] and [`Lease`] see to it that one run at a time may write a
//! task; the outbox keeps what a change wants done, jobs and webhook deliveries, in the same write.
//!
//! Payments for tasks are beside them: a [`Ledger`] writes each down before its money moves, and lets
//! one of several take its next step.
//!
//! The trait is object-safe, and callers hold an `Arc<dyn Storage>`. [`MemoryStore`] is the store of
//! one process without a disk.
//!
//! # Features
//!
//! - `memory` (default): [`MemoryStore`].
//! - `conformance`: the module `conformance`, with the rules of the trait as tests. A backend of
//!   your own runs them in one line.
//!
//! # What it leaves out
//!
//! The state machine: a store keeps whatever state it is given, whoever writes has checked the move.
//! Who may see what: a store knows owners, and callers compare. Clocks: every write says what time it
//! is. Databases: those are backends of their own.

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod event;
mod ledger;
#[cfg(feature = "memory")]
mod memory;
mod record;
mod replay;
mod storage;

pub use error::{BoxError, StorageError};
pub use event::{Event, EventBody};
pub use ledger::{
    Ledger, NotAKey, NotAPaymentState, Opened, Payment, PaymentKey, PaymentQuery, PaymentState,
};
#[cfg(feature = "memory")]
pub use memory::{MemoryConfig, MemoryLedger, MemoryReplayGuard, MemoryStore};
pub use record::{Lease, Record, RunId, Version, Webhook};
pub use replay::ReplayGuard;
pub use storage::{
    Birth, BoxFuture, BoxStream, Change, Changed, Committed, ContextQuery, Delivery, Durability,
    Feedback, Hold, Once, OutboxBody, OutboxEntry, OutboxId, OutboxKind, OutboxQuery, Page,
    StateChange, StateScope, StateValue, Storage, StrandedQuery, TaskQuery,
};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
