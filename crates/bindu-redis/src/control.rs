//! Nudges between the processes of an agent.

use std::sync::Arc;

use bindu_protocol::TaskId;
use bindu_scheduler::BoxStream;
use fred::clients::SubscriberClient;
use fred::interfaces::EventInterface;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::shared::{Shared, closed};

/// The channel's name among the agent's keys.
pub(crate) const CHANNEL: &str = "ctl";

/// A nudge as it is sent: who sends it, and the task.
pub(crate) fn nudge(instance: &str, task: &TaskId) -> String {
    format!("{instance} {task}")
}

/// Passes on what other processes say, until the queue is closed.
pub(crate) async fn run(shared: Arc<Shared>, client: SubscriberClient) {
    let mut messages = client.message_rx();
    let mut closing = shared.closing.subscribe();
    loop {
        let message = tokio::select! {
            message = messages.recv() => message,
            () = closed(&mut closing) => break,
        };
        let message = match message {
            Ok(message) => message,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => break,
        };
        let Some(text) = message.value.as_string() else { continue };
        if let Some((instance, task)) = text.split_once(' ')
            && instance != shared.instance
            && let Ok(task) = task.parse()
        {
            // Nobody listens: then there is nobody to look.
            let _ = shared.nudges.send(task);
        }
    }
    drop(client);
}

/// What one listener hears. Who listens too slowly misses some: a nudge only makes things faster.
pub(crate) fn stream(nudges: broadcast::Receiver<TaskId>) -> BoxStream<'static, TaskId> {
    Box::pin(futures_util::stream::unfold(nudges, async |mut nudges| {
        loop {
            match nudges.recv().await {
                Ok(task) => return Some((task, nudges)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }))
}
