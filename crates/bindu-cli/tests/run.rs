//! Running the command.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Longer than anything here takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bindu"));
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub(crate) async fn bindu(args: &[&str]) -> Result<Ran> {
    finish(command(args)).await
}

pub(crate) async fn finish(mut command: Command) -> Result<Ran> {
    let output = tokio::time::timeout(PATIENCE, command.output()).await??;
    Ok(Ran {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

#[tokio::test]
async fn without_a_command_there_is_help() -> Result {
    let ran = bindu(&[]).await?;
    assert_eq!(ran.status, Some(1));
    assert!(ran.stdout.contains("Usage: bindu"), "{ran:?}");
    assert!(ran.stdout.contains("Exit status:"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn the_version_is_that_of_the_package() -> Result {
    let ran = bindu(&["--version"]).await?;
    assert_eq!(ran.stdout, concat!("bindu ", env!("CARGO_PKG_VERSION"), "\n"));
    Ok(())
}

#[tokio::test]
async fn wrong_arguments_end_with_2() -> Result {
    for args in [
        &["nonsense"][..],
        &["send", "http://h"],
        &["send", "http://h", "x", "--wait", "soon"],
        &["send", "http://h", "x", "--wait", "1", "--no-wait"],
        &["task", "get", "http://h", ""],
    ] {
        assert_eq!(bindu(args).await?.status, Some(2), "{args:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_url_ends_with_1_and_a_reason() -> Result {
    let ran = bindu(&["card", "localhost:3773"]).await?;
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("put http:// or https:// in front"), "{ran:?}");
    Ok(())
}
