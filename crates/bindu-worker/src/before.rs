//! The seam: what is asked before a task is run.

use std::fmt;

use bindu_protocol::{JsonObject, TaskId};
use bindu_storage::{BoxError, BoxFuture, Record};
use bindu_tasks::Outcome;

/// Asked before each run of a task, while nothing of it has been done and it is not `working` yet;
/// and told of the end of each. This is where money is taken.
///
/// The same task may be asked for again, and by two workers at once: jobs come more than once.
pub trait BeforeRun: fmt::Debug + Send + Sync + 'static {
    /// Whether a task may be run now. It may take its time: the job stays the worker's meanwhile.
    /// What is stopped by the end of the process is asked again by another.
    ///
    /// # Errors
    ///
    /// Whatever cannot be known now; the job comes again a little later.
    fn before<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Ready, BoxError>>;

    /// A task was run, or stopped, or could not be. `stored` is what this worker stored last, if it
    /// stored its end: the task itself may be gone by now.
    fn after<'a>(&'a self, task: &'a TaskId, stored: Option<&'a Record>) -> BoxFuture<'a, ()>;

    /// Waits for whatever still goes on beside, as the worker ends. It is dropped when its time is
    /// over.
    fn idle(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What is to become of a task whose turn has come.
#[derive(Clone, Debug)]
pub enum Ready {
    /// It is run.
    Run {
        /// Members of the task's metadata, written when the run begins.
        metadata: Option<JsonObject>,
        /// Members of the metadata of what comes out: of each artifact, and of the agent's message.
        marks: Option<JsonObject>,
    },
    /// It is not run: it ends, or waits for its caller again.
    Stop(Box<Outcome>),
    /// Nothing happens to it now; whoever decides so sees to it that it is queued again.
    Later,
}
