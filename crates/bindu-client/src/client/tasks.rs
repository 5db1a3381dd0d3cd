//! Tasks, contexts and webhooks.

use std::sync::Arc;
use std::time::Duration;

use bindu_http::client::Replay;
use bindu_protocol::{
    ContextId, ContextSummary, Dialect, Json, ListParams, PushConfig, PushConfigId, Task, TaskId,
    TaskPushConfig, method,
};
use serde::de::IgnoredAny;
use tokio::time::{sleep, timeout};

use super::Client;
use crate::{ClientError, params};

/// The pause after the first look at a task that is waited for, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Client {
    /// Reads a task, with at most so many of its latest messages.
    ///
    /// # Errors
    ///
    /// [`ClientError::Rpc`] with [`Code::TASK_NOT_FOUND`](bindu_protocol::Code::TASK_NOT_FOUND)
    /// if there is none, or it is another caller's; else [`ClientError`].
    pub async fn get(&self, id: &TaskId, history_length: Option<i64>) -> Result<Task, ClientError> {
        let params = params::task(self.dialect().await?, id, history_length);
        self.checked(self.call(method::TASKS_GET, &params, Replay::Safe).await?)
    }

    /// Waits until a task is over or waits for its caller. Asks again and again, less and
    /// less often: after 25 ms at first, every 2 s in the end.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotFinished`] after `patience`, with the task as it was last seen; else
    /// as [`get`](Self::get).
    pub async fn wait(&self, id: &TaskId, patience: Duration) -> Result<Task, ClientError> {
        let mut seen = None;
        match timeout(patience, self.settled(id, |task| seen = Some(task))).await {
            Ok(task) => task,
            Err(_) => Err(ClientError::NotFinished {
                task_id: Some(id.clone()),
                task: seen.map(Arc::new),
                waited: patience,
            }),
        }
    }

    /// The task once it is settled; each time it is not, it is shown to `seen`.
    pub(crate) async fn settled(
        &self,
        id: &TaskId,
        mut seen: impl FnMut(Task),
    ) -> Result<Task, ClientError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let task = self.get(id, None).await?;
            if task.status.state.is_settled() {
                return Ok(task);
            }
            seen(task);
            sleep(pause).await;
            pause = pause.mul_f64(1.5).min(LONGEST_PAUSE);
        }
    }

    /// Cancels a task. Sent again only if it certainly did not arrive.
    ///
    /// # Errors
    ///
    /// [`ClientError::Rpc`] if the task is over already; else as [`get`](Self::get).
    pub async fn cancel(&self, id: &TaskId) -> Result<Task, ClientError> {
        let params = params::task(self.dialect().await?, id, None);
        self.checked(self.call(method::TASKS_CANCEL, &params, Replay::Unsafe).await?)
    }

    /// The caller's tasks (Bindu; plain A2A 0.3 has no such method).
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn list(&self, filter: &ListParams) -> Result<Vec<Task>, ClientError> {
        let params = params::list(filter);
        let tasks: Vec<Task> = self.call(method::TASKS_LIST, &params, Replay::Safe).await?;
        for task in &tasks {
            self.check(task)?;
        }
        Ok(tasks)
    }

    /// The caller's contexts (Bindu). Of the filter, the lengths and the page count.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn contexts(&self, filter: &ListParams) -> Result<Vec<ContextSummary>, ClientError> {
        self.call(method::CONTEXTS_LIST, &params::list(filter), Replay::Safe).await
    }

    /// Deletes a context and its tasks (Bindu).
    ///
    /// # Errors
    ///
    /// [`ClientError::Rpc`] if there is no such context, or a task of it is under way; else
    /// [`ClientError`].
    pub async fn clear_context(&self, id: &ContextId) -> Result<(), ClientError> {
        let params = params::context(id);
        let _: IgnoredAny = self.call(method::CONTEXTS_CLEAR, &params, Replay::Unsafe).await?;
        Ok(())
    }

    /// Leaves an opinion on a task (Bindu), with a rating from 1 to 5 if you like.
    ///
    /// # Errors
    ///
    /// [`ClientError::Input`] if the rating is another; else as [`get`](Self::get).
    pub async fn feedback(
        &self,
        id: &TaskId,
        text: &str,
        rating: Option<u8>,
    ) -> Result<(), ClientError> {
        if rating.is_some_and(|rating| !(1..=5).contains(&rating)) {
            return Err(ClientError::Input("a rating is from 1 to 5".to_owned()));
        }
        let params = params::feedback(id, text, rating);
        let _: IgnoredAny = self.call(method::TASKS_FEEDBACK, &params, Replay::Unsafe).await?;
        Ok(())
    }

    /// Has a task's changes posted to a webhook.
    ///
    /// # Errors
    ///
    /// [`ClientError::Rpc`] if the agent sends none, or refuses the URL; else as
    /// [`get`](Self::get).
    pub async fn push_set(
        &self,
        task: &TaskId,
        mut config: PushConfig,
    ) -> Result<TaskPushConfig, ClientError> {
        let dialect = self.dialect().await?;
        if dialect == Dialect::Reference {
            config.id.get_or_insert_with(PushConfigId::random);
        }
        let params = params::push_set(dialect, task, config)?;
        self.call(method::PUSH_SET, &params, Replay::Unsafe).await
    }

    /// Reads one webhook of a task; without an id, the only one or the first.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), also if the task has no such webhook.
    pub async fn push_get(
        &self,
        task: &TaskId,
        config: Option<&PushConfigId>,
    ) -> Result<TaskPushConfig, ClientError> {
        let params = params::push_get(self.dialect().await?, task, config);
        self.call(method::PUSH_GET, &params, Replay::Safe).await
    }

    /// Reads all webhooks of a task.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn push_list(&self, task: &TaskId) -> Result<Vec<TaskPushConfig>, ClientError> {
        let params = params::push(self.dialect().await?, task, None);
        let json: Json = self.call(method::PUSH_LIST, &params, Replay::Safe).await?;
        // The reference has one webhook a task, and answers with that alone.
        let list = if json.is_object() { json.parse().map(|one| vec![one]) } else { json.parse() };
        list.map_err(|error| ClientError::protocol(method::PUSH_LIST, error))
    }

    /// Removes a webhook of a task.
    ///
    /// # Errors
    ///
    /// As [`push_get`](Self::push_get).
    pub async fn push_delete(
        &self,
        task: &TaskId,
        config: &PushConfigId,
    ) -> Result<(), ClientError> {
        let params = params::push(self.dialect().await?, task, Some(config));
        let _: IgnoredAny = self.call(method::PUSH_DELETE, &params, Replay::Unsafe).await?;
        Ok(())
    }
}
