//! `bindu serve`: an agent without a line of Rust, and the core for SDKs.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use bindu::settings::Settings;
use bindu::sidecar::{Program, Sidecar};
use bindu::{Agent, AgentConfig, AnyHandler, HandlerError, Reply, Turn, handler_fn, loose};
use bindu_protocol::Dialect;
use clap::Args as _;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, ChildStdout, Command};

use crate::exit::Exit;

/// How much a program may answer, in bytes.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// How much of what a program complains of is kept, in bytes.
const MAX_COMPLAINT: u64 = 4096;

/// Serve an agent whose handler is a program, or one that only echoes; or the agents of SDKs.
///
/// With --grpc, SDKs of any language register their handlers, and each has its agent served. It runs
/// until it is told to end by SIGINT or SIGTERM.
///
/// With --script, the program is started anew for each turn. It reads the conversation from its standard input, a
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
    /// Serve the agents whose SDKs register over gRPC.
    #[arg(long, conflicts_with_all = ["config", "script", "echo"])]
    grpc: bool,
    /// The port for SDKs; 0 leaves it to `GRPC__PORT`, whose default is 3774.
    #[arg(long, value_name = "PORT", requires = "grpc")]
    grpc_port: Option<u16>,
}

impl Args {
    pub(crate) fn run(self) -> Result<Exit> {
        if self.grpc {
            return sidecar(self.grpc_port.filter(|port| *port != 0));
        }
        if self.script.is_none() && !self.echo {
            return nothing();
        }
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

/// Serves SDKs.
fn sidecar(port: Option<u16>) -> Result<Exit> {
    let mut sidecar = Sidecar::new();
    if let Some(port) = port {
        sidecar = sidecar.port(port);
    }
    // This very program reads the documents that callers send, in a process of its own.
    if let Ok(path) = std::env::current_exe() {
        let arguments = vec![super::EXTRACT_TEXT.into()];
        sidecar = sidecar.extractor(Program { path, arguments });
    }
    sidecar.serve()?;
    Ok(Exit::Done)
}

/// Says what to say. Launchers look for it on the standard output.
fn nothing() -> Result<Exit> {
    let mut command = Args::augment_args(clap::Command::new("bindu serve"));
    let usage = command.render_usage();
    let mut out = io::stdout().lock();
    writeln!(out, "Error: --grpc or --script required for bindu serve (or --echo)\n\n{usage}")?;
    Ok(Exit::Error)
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
