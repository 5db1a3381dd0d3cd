//! What the engine tells whoever counts.

use std::fmt;
use std::time::Duration;

use bindu_protocol::TaskState;

/// Hears what happens, to count it. Every method is called on a hot path and must not block.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A task reached a terminal state, so long after it was submitted.
    fn task_ended(&self, state: TaskState, after: Duration) {
        let _ = (state, after);
    }

    /// A call on the store took so long: `load`, `commit`, `events`.
    fn stored(&self, operation: &'static str, took: Duration, ok: bool) {
        let _ = (operation, took, ok);
    }

    /// A task whose run was lost is run again.
    fn recovered(&self) {}

    /// A task was failed because nobody will run it.
    fn given_up(&self) {}

    /// One attempt to tell a webhook ended: `delivered`, `retried`, `refused` (a final answer) or
    /// `given-up` (no attempts left).
    fn delivered(&self, result: &'static str) {
        let _ = result;
    }
}

/// Hears nothing.
#[derive(Debug)]
pub(crate) struct Deaf;

impl Observer for Deaf {}
