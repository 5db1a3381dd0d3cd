//! The worker with handlers of every kind, over the in-memory store and queue.

mod before;
mod drain;
mod queue;
mod run;
mod state;
mod stream;
mod support;
