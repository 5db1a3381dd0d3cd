//! Sending messages.

use std::sync::Arc;
use std::time::Duration;

use bindu_http::client::Replay;
use bindu_protocol::{Code, ContextId, Dialect, PushConfigId, SendResult, Task, TaskId, method};
use tokio::time::{Instant, timeout_at};

use super::Client;
use crate::{ClientError, EventStream, Outgoing, params};

impl Client {
    /// Sends a message, and answers with what the agent says at once: the task that the
    /// message began or continued, or, from agents without tasks, a message.
    ///
    /// Whether the task is over by then: see [`Outgoing::blocking`]. If no answer comes, the
    /// message is sent again with the same message id: see
    /// [`ClientBuilder::send_replay`](crate::ClientBuilder::send_replay).
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn send(&self, outgoing: impl Into<Outgoing>) -> Result<SendResult, ClientError> {
        let outgoing = self.prepare(outgoing.into()).await?;
        let params = params::send(self.dialect().await?, outgoing.params())?;
        let sent = self.call(method::MESSAGE_SEND, &params, self.shared.send_replay).await?;
        if let SendResult::Task(task) = &sent {
            self.check(task)?;
        }
        Ok(sent)
    }

    /// As [`send`](Self::send), for agents that always answer with a task, as every agent of
    /// Bindu does.
    ///
    /// # Errors
    ///
    /// [`ClientError::Protocol`] if the agent answered with a mere message; else as
    /// [`send`](Self::send).
    pub async fn send_task(&self, outgoing: impl Into<Outgoing>) -> Result<Task, ClientError> {
        match self.send(outgoing).await? {
            SendResult::Task(task) => Ok(Arc::unwrap_or_clone(task)),
            _ => Err(ClientError::protocol(method::MESSAGE_SEND, "it is a message, not a task")),
        }
    }

    /// Sends a message, and waits until the task is over or waits for its caller.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotFinished`] after `timeout`; else as [`send`](Self::send).
    pub async fn send_and_wait(
        &self,
        outgoing: impl Into<Outgoing>,
        timeout: Duration,
    ) -> Result<SendResult, ClientError> {
        let mut outgoing = outgoing.into();
        let configuration = &mut outgoing.params_mut().configuration;
        // Most often one exchange is then enough.
        configuration.blocking.get_or_insert(true);
        let started = Instant::now();
        let outgoing = match timeout_at(started + timeout, self.prepare(outgoing)).await {
            Ok(prepared) => prepared?,
            Err(_) => return Err(not_finished(None, timeout)),
        };
        let task_id = outgoing.params().message.task_id.clone();
        let sent = match timeout_at(started + timeout, self.send(outgoing)).await {
            Ok(sent) => sent?,
            Err(_) => return Err(not_finished(task_id, timeout)),
        };
        match sent {
            SendResult::Task(task) if !task.status.state.is_settled() => {
                let left = timeout.saturating_sub(started.elapsed());
                let done = self.wait(&task.id, left).await.map_err(|error| match error {
                    ClientError::NotFinished { task_id, task: seen, .. } => {
                        let task = seen.or(Some(task));
                        ClientError::NotFinished { task_id, task, waited: timeout }
                    }
                    other => other,
                })?;
                Ok(SendResult::Task(Arc::new(done)))
            }
            settled => Ok(settled),
        }
    }

    /// Sends a message, and follows what becomes of it.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), for what comes instead of a stream. Later errors are items of
    /// the stream.
    pub async fn stream(&self, outgoing: impl Into<Outgoing>) -> Result<EventStream, ClientError> {
        let outgoing = self.prepare(outgoing.into()).await?;
        let dialect = self.dialect().await?;
        let params = params::send(dialect, outgoing.params())?;
        let task_id = outgoing.params().message.task_id.clone();
        let replay = self.shared.send_replay;
        let opened = self.open_with_retry(method::MESSAGE_STREAM, &params, "", replay).await?;
        let resend = (replay == Replay::Safe).then_some(params);
        Ok(EventStream::new(self.clone(), dialect, opened, task_id, String::new(), resend))
    }

    /// Follows a task from now on; or, with the id of the last event that was seen, from
    /// there on.
    ///
    /// If the agent cannot do that (agents of the reference cannot), the task is asked for
    /// until it is over or waits for its caller; it is then the stream's only event.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn resubscribe(
        &self,
        id: &TaskId,
        last_event_id: Option<&str>,
    ) -> Result<EventStream, ClientError> {
        let dialect = self.dialect().await?;
        let params = params::task(dialect, id, None);
        let last = last_event_id.unwrap_or_default().to_owned();
        let opened =
            self.open_with_retry(method::TASKS_RESUBSCRIBE, &params, &last, Replay::Safe).await;
        let task_id = Some(id.clone());
        match opened {
            Ok(opened) => Ok(EventStream::new(self.clone(), dialect, opened, task_id, last, None)),
            Err(error) if cannot_resubscribe(&error) => {
                // Tells at once if there is no such task.
                self.get(id, Some(1)).await?;
                Ok(EventStream::polling(self.clone(), dialect, id.clone()))
            }
            Err(error) => Err(error),
        }
    }

    /// Adds the ids that the reference wants its callers to choose.
    async fn prepare(&self, outgoing: Outgoing) -> Result<Outgoing, ClientError> {
        let mut outgoing = self.in_conversation(outgoing);
        if self.dialect().await? != Dialect::Reference {
            return Ok(outgoing);
        }
        let params = outgoing.params_mut();
        let message = &mut params.message;
        if message.context_id.is_none() {
            // A task that is continued has its context already.
            let known = match &message.task_id {
                Some(task) => self.get(task, Some(1)).await.map(|task| Some(task.context_id)),
                None => Ok(None),
            };
            message.context_id = match known {
                Ok(Some(context)) => Some(context),
                Err(error) if error.code() != Some(Code::TASK_NOT_FOUND) => return Err(error),
                _ => Some(ContextId::random()),
            };
        }
        message.task_id.get_or_insert_with(TaskId::random);
        if let Some(push) = &mut params.configuration.push {
            push.id.get_or_insert_with(PushConfigId::random);
        }
        Ok(outgoing)
    }
}

/// Whether the agent has no way of following a task.
pub(crate) fn cannot_resubscribe(error: &ClientError) -> bool {
    matches!(error.code(), Some(Code::METHOD_NOT_FOUND | Code::UNSUPPORTED_OPERATION))
}

const fn not_finished(task_id: Option<TaskId>, waited: Duration) -> ClientError {
    ClientError::NotFinished { task_id, task: None, waited }
}
