//! Runs an example as its reader would: as a program of its own, in an empty directory, on a free
//! port, spoken to over HTTP and ended by SIGTERM. No part of the tutorial.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bindu_client::{Client, Outgoing};
use bindu_protocol::{SendResult, Task};
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

/// How long an answer may take before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// An example that runs.
#[derive(Debug)]
pub struct Example {
    child: Child,
    url: String,
    log: Option<JoinHandle<String>>,
    _directory: TempDir,
}

impl Example {
    /// Starts a program, `env!("CARGO_BIN_EXE_…")`, and waits until its `/health` says 200.
    ///
    /// # Errors
    ///
    /// If it does not come up; with what it logged.
    pub async fn start(program: &str) -> anyhow::Result<Self> {
        Self::start_with(program, &[]).await
    }

    /// Starts a program with these variables beside.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(program: &str, vars: &[(&str, &OsStr)]) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut child = Command::new(program)
            // Nothing of the tester's own settings; port 0 is any free one.
            .env_clear()
            .env("BINDU_PORT", "0")
            .envs(vars.iter().copied())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let mut stderr = BufReader::new(child.stderr.take().context("the log is piped")?);
        let url = ready(&mut stderr);
        let mut example = Self {
            child,
            url: String::new(),
            // Read on, or the program would stop at a full pipe.
            log: Some(thread::spawn(move || rest(stderr))),
            _directory: directory,
        };
        example.url = url?;
        let health = http::Request::get(format!("{}/health", example.url)).body(Bytes::new())?;
        let answer = bindu_http::client::Client::default().send(health).await?;
        ensure!(answer.status() == http::StatusCode::OK, "health: {}", answer.status());
        Ok(example)
    }

    /// The address that it serves at.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of it.
    ///
    /// # Errors
    ///
    /// If the address is none.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.url)?)
    }

    /// Sends a message and waits until its task is over or asks something.
    ///
    /// # Errors
    ///
    /// If the answer is no such task.
    pub async fn ask(&self, message: impl Into<Outgoing>) -> anyhow::Result<Task> {
        match self.client()?.send_and_wait(message, PATIENCE).await? {
            SendResult::Task(task) => Ok(Task::clone(&task)),
            other => bail!("expected a task, got {other:?}"),
        }
    }

    /// Asks it to end, and checks that it ends well.
    ///
    /// # Errors
    ///
    /// If it ends with anything but 0.
    pub fn stop(mut self) -> anyhow::Result<()> {
        // A shell always has `kill`; to signal from Rust takes unsafe code or one more package.
        let kill = format!("kill -TERM {}", self.child.id());
        ensure!(Command::new("sh").args(["-c", &kill]).status()?.success(), "{kill}");
        let status = self.child.wait()?;
        let log = self.log.take().and_then(|log| log.join().ok()).unwrap_or_default();
        ensure!(status.success(), "ended with {status}; it logged:\n{log}");
        Ok(())
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill; after a failed test there is.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the log up to the line that says where the agent listens.
fn ready(log: &mut BufReader<ChildStderr>) -> anyhow::Result<String> {
    let mut seen = String::new();
    for line in log.lines() {
        let line = line?;
        seen.push_str(&line);
        seen.push('\n');
        if let Ok(event) = serde_json::from_str::<Value>(&line)
            && event["msg"] == "ready"
        {
            return event["url"].as_str().map(str::to_owned).context("`ready` without a url");
        }
    }
    bail!("the program ended before it was ready; it logged:\n{seen}")
}

fn rest(log: BufReader<ChildStderr>) -> String {
    log.lines().map_while(Result::ok).collect::<Vec<_>>().join("\n")
}

/// What `docs/signatures.md` shows is run as a test.
#[doc = include_str!("../../../docs/signatures.md")]
#[cfg(doctest)]
struct Signatures;
