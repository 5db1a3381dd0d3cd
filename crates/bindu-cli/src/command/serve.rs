//! `bindu serve`: an agent without a line of Rust.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bindu::settings::Settings;
use bindu::{Agent, AgentConfig, AnyHandler, HandlerError, Reply, Turn, handler_fn, loose};
use bindu_protocol::Dialect;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdout, Command};

use crate::exit::Exit;

/// How much a program may answer, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How much of what a program complains of is kept, in bytes.
const MAX_COMPLAINT: u64 = 4096;

/// Serve an agent whose handler is a program, or one that only echoes.
///
/// The program is started anew for each turn. It reads the conversation from its standard input, a
/// JSON array of messages, the newest last, and prints its answer: plain text, or JSON such as
/// {"state": "input-required", "prompt": "Which one?"}. If it ends with a status other than 0, the
/// task fails with what it wrote to its standard error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent's configuration, JSON: author, name, deployment and so on.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The program that answers.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "echo")]
    script: Option<PathBuf>,
    /// Answer with what was said.
    #[arg(long)]
    echo: bool,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit> {
        ensure!(self.script.is_some() || self.echo, "say what answers: --script PROGRAM or --echo");
        let (config, settings) = match &self.config {
            Some(file) => (AgentConfig::from_file(file)?, Settings::load_beside(file)?),
            None => (AgentConfig::new("local", "bindu"), Settings::load()?),
        };
        let handler = match self.script {
            Some(script) => {
                let script = std::path::absolute(&script).context("finding the program")?;
                ensure!(script.exists(), "there is no program {}", script.display());
                AnyHandler::new(handler_fn(script, ask))
            }
            None => AnyHandler::new(async |turn: Turn| Ok(Reply::text(turn.text()))),
        };
        let mut agent = Agent::builder_of(config, handler).settings(settings);
        if let Some(folder) = self.config.as_ref().and_then(|file| file.parent()) {
            agent = agent.directory(folder);
        }
        agent.serve()?;
        Ok(Exit::Done)
    }
}

/// Has a program answer one turn. Dropped, it kills the program.
async fn ask(script: Arc<PathBuf>, turn: Turn) -> Result<Reply, HandlerError> {
    let conversation = serde_json::to_vec(&Dialect::Reference.view(turn.messages()))?;
    let mut program = Command::new(&*script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = program.stdin.take().ok_or("the program has no standard input")?;
    let told = async move {
        // A program that does not read to the end is not wrong for that.
        let _ = stdin.write_all(&conversation).await;
    };
    let (answer, complaint) = (program.stdout.take(), program.stderr.take());
    let ((), answer, complaint) =
        tokio::join!(told, read_answer(answer), read_complaint(complaint));
    let (answer, complaint) = (answer?, complaint?);
    if answer.len() > MAX_ANSWER {
        return Err(format!("the program answered with more than {MAX_ANSWER} bytes").into());
    }
    let status = program.wait().await?;
    if !status.success() {
        let said = String::from_utf8_lossy(&complaint);
        let ended = format!("the program ended with {status}");
        return Err(match said.trim() {
            "" => ended.into(),
            said => format!("{ended}: {said}").into(),
        });
    }
    let text = String::from_utf8(answer)?;
    let text = text.trim_end_matches(['\r', '\n']);
    Ok(loose::reply(match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => Value::from(text),
    }))
}

/// Reads the answer, and at most one byte more than it may have: a program that goes on writing
/// finds the pipe closed.
async fn read_answer(pipe: Option<ChildStdout>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MAX_ANSWER as u64 + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// Reads the beginning of what a program complains of; the rest is read and dropped, so that the
/// program never waits for us.
async fn read_complaint(pipe: Option<ChildStderr>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(MAX_COMPLAINT).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}
