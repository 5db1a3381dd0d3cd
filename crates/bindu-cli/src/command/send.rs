use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bindu_client::{ClientError, Outgoing};
use bindu_protocol::{ContextId, Dialect, SendResult, Task, TaskId};

use super::peer::{Peer, seconds};
use super::task::follow;
use crate::content::Show;
use crate::exit::Exit;
use crate::media_type;
use crate::output::Output;
use crate::save::Saver;

/// How long the outcome is waited for unless told otherwise.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    peer: Peer,
    /// What to say; `-` reads it from stdin.
    #[arg(allow_hyphen_values = true)]
    text: String,
    /// Show what the agent says while it works.
    #[arg(long)]
    stream: bool,
    /// Send a file along; may be given several times.
    #[arg(long, value_name = "F")]
    file: Vec<PathBuf>,
    /// Continue this task: answer its question.
    #[arg(long, value_name = "ID")]
    task: Option<TaskId>,
    /// Belong to this conversation.
    #[arg(long, value_name = "ID")]
    context: Option<ContextId>,
    /// Point at an earlier task; may be given several times.
    #[arg(long, value_name = "ID")]
    reference: Vec<TaskId>,
    /// Wait so many seconds for the outcome: 60 unless told otherwise, for a stream for ever.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    wait: Option<Duration>,
    /// Do not wait for the outcome.
    #[arg(long, conflicts_with_all = ["wait", "stream"])]
    no_wait: bool,
    /// Write files that the agent sends into this directory.
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
}

impl Args {
    pub(crate) async fn run(self, output: &mut Output) -> Result<Exit> {
        let saver = self.save.clone().map(Saver::new).transpose()?;
        let client = self.peer.client().await?;
        let message = self.message()?;
        if self.stream {
            let opening = client.stream(message);
            let events = match self.wait {
                None => opening.await?,
                Some(patience) => match tokio::time::timeout(patience, opening).await {
                    Ok(events) => events?,
                    Err(_) => return Err(not_finished(patience).into()),
                },
            };
            return follow(&client, &self.peer, events, self.wait, saver.as_ref(), output).await;
        }
        // Not left to the agent: so the task's id is known if waiting takes too long.
        let result = client.send(message.blocking(false)).await?;
        let result = match result {
            SendResult::Task(task) if !self.no_wait && !task.status.state.is_settled() => {
                let patience = self.wait.unwrap_or(PATIENCE);
                match client.wait(&task.id, patience).await {
                    Ok(task) => SendResult::Task(task.into()),
                    Err(ClientError::NotFinished { task: seen, .. }) => {
                        SendResult::Task(seen.unwrap_or(task))
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            result => result,
        };
        self.show(&result, saver.as_ref(), output)
    }

    fn show(
        &self,
        result: &SendResult,
        saver: Option<&Saver>,
        output: &mut Output,
    ) -> Result<Exit> {
        match result {
            SendResult::Task(task) => {
                if output.is_json() {
                    Show::new(output, saver).json_task(task)?;
                } else {
                    Show::new(output, saver).outcome(task)?;
                    output.note(&format!("task {} is {}", task.id, task.status.state));
                    hint(task, &self.peer, output);
                }
                Ok(if self.no_wait && !task.status.state.is_settled() {
                    Exit::Done
                } else {
                    Exit::of(task.status.state)
                })
            }
            SendResult::Message(message) => {
                if output.is_json() {
                    output.json(&Dialect::V0_3.view(&**message))?;
                } else {
                    Show::new(output, saver).parts(&message.parts)?;
                }
                Ok(Exit::Done)
            }
            _ => Ok(Exit::Done),
        }
    }

    fn message(&self) -> Result<Outgoing> {
        let mut message = Outgoing::text(self.text()?);
        for path in &self.file {
            let content = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            message = message.and_file(name, media_type::of(path), &content);
        }
        if let Some(task) = &self.task {
            message = message.task(task.clone());
        }
        if let Some(context) = &self.context {
            message = message.context(context.clone());
        }
        for task in &self.reference {
            message = message.reference(task.clone());
        }
        Ok(message)
    }

    fn text(&self) -> Result<String> {
        if self.text != "-" {
            return Ok(self.text.clone());
        }
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("reading stdin")?;
        Ok(text)
    }
}

/// What a person can do with a task that waits for them, or that was only begun.
fn hint(task: &Task, peer: &Peer, output: &mut Output) {
    let state = task.status.state;
    if state.is_interrupted() {
        output.note(&format!(
            "answer with: bindu send {} TEXT --task {}",
            peer.arguments(),
            task.id
        ));
    } else if !state.is_settled() {
        output.note(&format!("follow with: bindu task watch {} {}", peer.arguments(), task.id));
    }
}

fn not_finished(waited: Duration) -> ClientError {
    ClientError::NotFinished { task_id: None, task: None, waited }
}
