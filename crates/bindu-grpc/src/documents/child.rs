//! The child process, from outside.
//!
//! Its input is a line `kind max-text seconds` and the document; its output is the text, if it ends
//! well.

use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Config, DocumentError, Kind, Program};

/// What the text may have beyond the limit: the line that says that there was more.
pub(super) const NOTE_ROOM: usize = 128;

pub(super) async fn run(
    program: &Program,
    config: &Config,
    kind: Kind,
    bytes: &[u8],
) -> Result<Arc<str>, DocumentError> {
    let spawned = Command::new(&program.path)
        .args(&program.arguments)
        // Settings and secrets are none of its business.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| {
        let program = program.path.display();
        tracing::error!(%program, error = &error as &dyn std::error::Error, "the program that reads documents does not start");
        DocumentError::NoProgram
    })?;
    let talked = tokio::time::timeout(config.timeout, talk(&mut child, config, kind, bytes)).await;
    // Whatever happened, it is not left behind.
    let result = match talked {
        Ok(text) => text.ok_or(DocumentError::Unreadable),
        Err(_) => Err(DocumentError::TooSlow),
    };
    if result.is_err()
        && let Err(error) = child.kill().await
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "a parser could not be killed");
    }
    result
}

/// The text, or nothing if the child ended badly or said too much.
async fn talk(child: &mut Child, config: &Config, kind: Kind, bytes: &[u8]) -> Option<Arc<str>> {
    let (mut input, output) = (child.stdin.take()?, child.stdout.take()?);
    let seconds = config.timeout.as_secs() + 1;
    let head = format!("{} {} {seconds}\n", kind.name(), config.max_text);
    let write = async move {
        // A child that has seen enough may close its end early; what it says is what counts.
        if input.write_all(head.as_bytes()).await.is_ok() {
            let _ = input.write_all(bytes).await;
        }
    };
    let mut text = Vec::new();
    let most = u64::try_from(config.max_text.saturating_add(NOTE_ROOM)).unwrap_or(u64::MAX);
    // One byte more than it may say shows that it says more.
    let mut output = output.take(most.saturating_add(1));
    let read = output.read_to_end(&mut text);
    let ((), read) = tokio::join!(write, read);
    if read.ok()? as u64 > most || !child.wait().await.ok()?.success() {
        return None;
    }
    Some(String::from_utf8(text).ok()?.into())
}
