use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use bindu_client::{Client, EventStream};
use bindu_protocol::{ContextId, Dialect, ListParams, StreamEvent, Task, TaskId, TaskState};
use clap::Subcommand;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::peer::{Peer, seconds};
use crate::content::Show;
use crate::exit::Exit;
use crate::output::Output;
use crate::sanitize::line;
use crate::save::Saver;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a task; the exit status tells its state.
    Get {
        #[command(flatten)]
        peer: Peer,
        /// The task's id.
        id: TaskId,
        /// Show at most so many of the latest messages.
        #[arg(long, value_name = "N")]
        history: Option<u32>,
        /// Write files of the task into this directory.
        #[arg(long, value_name = "DIR")]
        save: Option<PathBuf>,
    },
    /// End a task.
    Cancel {
        #[command(flatten)]
        peer: Peer,
        /// The task's id.
        id: TaskId,
    },
    /// List your tasks.
    List {
        #[command(flatten)]
        peer: Peer,
        /// Only those of this conversation.
        #[arg(long, value_name = "ID")]
        context: Option<ContextId>,
    },
    /// Follow a task until it is over or waits for you.
    Watch {
        #[command(flatten)]
        peer: Peer,
        /// The task's id.
        id: TaskId,
        /// Go on after this event.
        #[arg(long, value_name = "EVENT")]
        after: Option<String>,
        /// Watch for so many seconds at most.
        #[arg(long, value_name = "SECS", value_parser = seconds)]
        wait: Option<Duration>,
        /// Write files that the agent sends into this directory.
        #[arg(long, value_name = "DIR")]
        save: Option<PathBuf>,
    },
}

impl Command {
    pub(crate) async fn run(self, output: &mut Output) -> Result<Exit> {
        match self {
            Self::Get { peer, id, history, save } => {
                let saver = save.map(Saver::new).transpose()?;
                let task = peer.client().await?.get(&id, history.map(i64::from)).await?;
                show(&task, saver.as_ref(), output)?;
                Ok(Exit::of(task.status.state))
            }
            Self::Cancel { peer, id } => {
                let task = peer.client().await?.cancel(&id).await?;
                let state = task.status.state;
                if output.is_json() {
                    output.json(&Dialect::V0_3.view(&task))?;
                } else {
                    output.line(&format!("task {} is {state}", line(&id.to_string())))?;
                }
                Ok(if state == TaskState::Canceled { Exit::Done } else { Exit::of(state) })
            }
            Self::List { peer, context } => {
                let filter = ListParams { context_id: context.clone(), ..ListParams::default() };
                let mut tasks = peer.client().await?.list(&filter).await?;
                // Not every agent knows the filter.
                tasks.retain(|task| context.as_ref().is_none_or(|id| task.context_id == *id));
                list(&tasks, output)?;
                Ok(Exit::Done)
            }
            Self::Watch { peer, id, after, wait, save } => {
                let saver = save.map(Saver::new).transpose()?;
                let client = peer.client().await?;
                let events = client.resubscribe(&id, after.as_deref()).await?;
                follow(&client, &peer, events, wait, saver.as_ref(), output).await
            }
        }
    }
}

fn show(task: &Task, saver: Option<&Saver>, output: &mut Output) -> Result<()> {
    if output.is_json() {
        Show::new(output, saver).json_task(task)
    } else {
        Show::new(output, saver).task(task)
    }
}

fn list(tasks: &[Task], output: &mut Output) -> Result<()> {
    if output.is_json() {
        return output.json(&Dialect::V0_3.view(tasks));
    }
    for task in tasks {
        let id = line(&task.id.to_string());
        let since = task.status.timestamp.map(|at| at.to_string()).unwrap_or_default();
        let said = task.history.first().map(|message| message.text()).unwrap_or_default();
        let said: String = line(said.lines().next().unwrap_or_default()).chars().take(60).collect();
        output.line(&format!("{id}  {:<15} {since}  {said}", task.status.state.as_str()))?;
    }
    if tasks.is_empty() {
        output.note("no tasks");
    }
    Ok(())
}

/// Shows events as they come, and ends as the task does.
pub(crate) async fn follow(
    client: &Client,
    peer: &Peer,
    mut events: EventStream,
    patience: Option<Duration>,
    saver: Option<&Saver>,
    output: &mut Output,
) -> Result<Exit> {
    let until = patience.and_then(|patience| Instant::now().checked_add(patience));
    let json = output.is_json();
    let mut show = Show::new(output, saver);
    let mut state = None;
    loop {
        let next = match until {
            Some(until) => timeout_at(until, events.next()).await,
            None => Ok(events.next().await),
        };
        // Out of patience, or nothing more to come.
        let Some(event) = next.unwrap_or(None).transpose()? else { break };
        match &event {
            StreamEvent::Task(task) => state = Some(task.status.state),
            StreamEvent::Status(update) => state = Some(update.status.state),
            StreamEvent::Message(_) => state = Some(TaskState::Completed),
            _ => {}
        }
        if json { show.json_event(&event)? } else { show.event(&event)? }
    }
    let exit = state.map_or(Exit::Unfinished, Exit::of);
    let Some(id) = events.task_id().filter(|_| !json) else { return Ok(exit) };
    if show.lacks_explanation() {
        // In the reference's dialect a stream does not say what the agent asks.
        show.outcome(&client.get(id, None).await?)?;
    }
    match exit {
        Exit::Unfinished => {
            let after = events.last_event_id().map(|id| format!(" --after {}", line(id)));
            let after = after.unwrap_or_default();
            output.note(&format!(
                "not finished; go on with: bindu task watch {} {id}{after}",
                peer.arguments()
            ));
        }
        Exit::Waiting => {
            output.note(&format!("answer with: bindu send {} TEXT --task {id}", peer.arguments()));
        }
        _ => {}
    }
    Ok(exit)
}
