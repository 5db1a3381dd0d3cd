//! A task's life: submit, advance, cancel, follow, notify.
mod config;
mod conversation;
mod error;
mod follow;
mod hub;
mod observer;
mod push;
mod run;
mod submit;
mod tasks;

pub use config::Config;
pub use conversation::Conversation;
pub use error::TaskError;
pub use follow::{Follow, Followed, is_settled, to_stream_event};
pub use observer::Observer;
pub use push::{PushSettings, Pushes};
pub use run::{Outcome, Run};
pub use submit::{Submission, Submitted};
pub use tasks::{Tasks, TasksBuilder};
