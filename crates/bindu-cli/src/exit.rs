//! How the command ends, for scripts.

use std::process::ExitCode;

use bindu_client::ClientError;
use bindu_http::HttpError;
use bindu_protocol::TaskState;
use serde_json::json;

use crate::output::{Closed, Output};
use crate::sanitize;

/// The table of [`Exit`] for `--help`.
pub(crate) const HELP: &str = "Exit status:
  0  done; the task, if there is one, is completed
  1  the agent could not be reached, refused, or answered nonsense
  2  the arguments are wrong
  3  the task failed
  4  the task was rejected
  5  the task was canceled
  6  the task waits for you: for an answer, a sign-in or a payment
  7  not finished in time";

/// How the command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Error = 1,
    // 2 is clap's.
    Failed = 3,
    Rejected = 4,
    Canceled = 5,
    Waiting = 6,
    Unfinished = 7,
}

impl Exit {
    /// What the state of a task says to a script.
    pub(crate) const fn of(state: TaskState) -> Self {
        match state {
            TaskState::Completed => Self::Done,
            TaskState::Failed => Self::Failed,
            TaskState::Rejected | TaskState::NegotiationBidLost => Self::Rejected,
            TaskState::Canceled => Self::Canceled,
            state if state.is_interrupted() => Self::Waiting,
            _ => Self::Unfinished,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Tells an error on stderr, with what to do about it.
pub(crate) fn report(error: &anyhow::Error, output: &mut Output) -> Exit {
    if error.is::<Closed>() {
        // Whoever read our output has read enough.
        return Exit::Done;
    }
    let client = error.chain().find_map(|cause| cause.downcast_ref::<ClientError>());
    let hint = client.and_then(ClientError::hint);
    if output.is_json() {
        let code = client.and_then(ClientError::code).map(|code| code.0);
        let report = json!({ "error": format!("{error:#}"), "code": code, "hint": hint });
        output.raw_note(&sanitize::json(&report.to_string()));
    } else {
        output.note(&format!("error: {error:#}"));
        if let Some(hint) = hint {
            output.note(&format!("hint: {hint}"));
        }
    }
    match client {
        Some(ClientError::NotFinished { .. } | ClientError::Http(HttpError::Timeout { .. })) => {
            Exit::Unfinished
        }
        _ => Exit::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_status() {
        let told = |state| Exit::of(state) as u8;
        let told: Vec<_> = TaskState::ALL[..10].iter().copied().map(told).collect();
        assert_eq!(told, [7, 7, 6, 0, 5, 3, 4, 6, 7, 6]);
    }

    #[test]
    fn the_help_names_every_status() {
        for exit in [
            Exit::Done,
            Exit::Error,
            Exit::Failed,
            Exit::Rejected,
            Exit::Canceled,
            Exit::Waiting,
            Exit::Unfinished,
        ] {
            assert!(HELP.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
