//! How a worker behaves.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use bindu_protocol::Message;

use crate::BeforeRun;

/// How a worker behaves; every member has a default.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many tasks run at once. By default four for each core.
    pub concurrency: usize,
    /// How long a handler may take; `None` for as long as it likes.
    pub task_timeout: Option<Duration>,
    /// How often a run renews its lease: well before it ends.
    pub heartbeat: Duration,
    /// The operator's instructions, first in every handler's view.
    pub instructions: Option<Arc<Message>>,
    /// Whether the caller is kept from reading why a handler failed.
    pub redact_errors: bool,
    /// The metadata key of a part's signature.
    pub signature_key: String,
    /// Asked before each run; `None` runs everything at once.
    pub before_run: Option<Arc<dyn BeforeRun>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 4 * available_parallelism().map_or(1, usize::from),
            task_timeout: None,
            heartbeat: Duration::from_secs(10),
            instructions: None,
            redact_errors: false,
            signature_key: bindu_did::SIGNATURE_METADATA_KEY.to_owned(),
            before_run: None,
        }
    }
}
