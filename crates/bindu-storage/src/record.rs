//! What is kept of a task beside the task itself.

use std::fmt;
use std::sync::Arc;

use bindu_protocol::{Dialect, Owner, PushConfig, Task, Timestamp};
use uuid::Uuid;

/// A task and what is kept beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The task, as of `version`.
    pub task: Arc<Task>,
    /// To whom it belongs; never changes.
    pub owner: Owner,
    /// The number of its last event.
    pub version: Version,
    /// The dialect of the message that began it.
    pub dialect: Dialect,
    /// Who runs it, while somebody does.
    pub lease: Option<Lease>,
    /// How many runs were begun.
    pub attempts: u32,
    /// How many webhook deliveries were numbered.
    pub deliveries: u64,
    /// Where its changes are posted to, oldest configuration first.
    pub webhooks: Arc<[Webhook]>,
    /// When it was stored first.
    pub created: Timestamp,
}

/// The number of a task's last event: 1 after its creation, one more with each event.
///
/// A writer says which version its change was made from; if the task has moved on meanwhile, the
/// change is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one run of a task: the fence of everything that the run writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId(pub Uuid);

impl RunId {
    /// Names a new run.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

/// The right of one run to write a task, for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run that has it.
    pub run: RunId,
    /// When it ends, unless it is renewed.
    pub until: Timestamp,
}

/// A webhook configuration, and the dialect that it was made in and is served in.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// The configuration; its `id` is there.
    pub config: PushConfig,
    /// The dialect of the request that made it.
    pub dialect: Dialect,
}
