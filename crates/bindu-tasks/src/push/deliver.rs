//! Emptying the outbox, in order for each task and webhook.

use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use bindu_did::request;
use bindu_http::HttpError;
use bindu_http::client::retry_after;
use bindu_protocol::{Dialect, PushConfigId, TaskId, Timestamp};
use bindu_storage::{Delivery, OutboxBody, OutboxEntry, OutboxKind};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};

use super::{GLOBAL, Pushes, Sender};
use crate::Tasks;

/// What came of one attempt.
enum Attempt {
    Delivered,
    /// Worth another attempt, not before the wait that the receiver asked for.
    Failed {
        why: String,
        wait: Option<Duration>,
    },
    /// Another attempt would bring the same answer.
    Refused {
        why: String,
    },
}

impl Pushes {
    /// There may be something to tell a webhook of a task.
    pub(crate) fn wake(&self, tasks: &Tasks, task: &TaskId, config: PushConfigId) {
        let key = (task.clone(), config);
        let mut chains = self.0.chains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = chains.get_mut(&key) {
            *more = true;
            return;
        }
        chains.insert(key.clone(), false);
        drop(chains);
        let (pushes, tasks) = (self.clone(), tasks.clone());
        self.0.tracker.spawn(async move {
            let stop = pushes.0.stop.clone();
            tokio::select! {
                () = pushes.0.empty(&tasks, &key) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

impl Tasks {
    /// Goes on telling webhooks what an earlier process left in the outbox.
    ///
    /// # Errors
    ///
    /// [`TaskError::Storage`](crate::TaskError::Storage).
    pub async fn resume_pushes(&self) -> Result<(), crate::TaskError> {
        let Some(pushes) = &self.0.pushes else { return Ok(()) };
        let left = self.0.storage.outbox(OutboxKind::Deliver, None, usize::MAX).await?;
        for entry in left {
            if let OutboxBody::Deliver(Delivery { webhook, .. }) = entry.body
                && let Some(config) = webhook.config.id
            {
                pushes.wake(self, &entry.task, config);
            }
        }
        Ok(())
    }
}

impl Sender {
    /// Tells one webhook of one task all there is, then leaves.
    async fn empty(&self, tasks: &Tasks, key: &(TaskId, PushConfigId)) {
        loop {
            match self.next(tasks, key).await {
                Ok(Some((entry, delivery))) => self.tell(tasks, &entry, &delivery).await,
                Ok(None) => {
                    let mut chains = self.chains.lock().unwrap_or_else(PoisonError::into_inner);
                    // Something may have come after the outbox was read.
                    let more = chains.get_mut(key).is_some_and(std::mem::take);
                    if !more {
                        chains.remove(key);
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(task = %key.0, %error, "the outbox cannot be read");
                    tokio::time::sleep(self.settings.min_wait).await;
                }
            }
        }
    }

    /// The oldest entry of a chain.
    async fn next(
        &self,
        tasks: &Tasks,
        (task, config): &(TaskId, PushConfigId),
    ) -> Result<Option<(OutboxEntry, Delivery)>, bindu_storage::StorageError> {
        let storage = tasks.storage();
        // All of them: behind the many of a dead webhook there may be one of a live one.
        let entries = storage.outbox(OutboxKind::Deliver, Some(task.clone()), usize::MAX).await?;
        Ok(entries.into_iter().find_map(|entry| match &entry.body {
            OutboxBody::Deliver(delivery)
                if delivery.webhook.config.id.as_ref() == Some(config) =>
            {
                let delivery = delivery.clone();
                Some((entry, delivery))
            }
            _ => None,
        }))
    }

    async fn tell(&self, tasks: &Tasks, entry: &OutboxEntry, delivery: &Delivery) {
        let due = SystemTime::from(entry.next).duration_since(SystemTime::now());
        if let Ok(wait) = due {
            tokio::time::sleep(wait).await;
        }
        if !is_wanted(tasks, entry, delivery).await {
            if let Err(error) = tasks.storage().outbox_done(entry.id).await {
                tracing::warn!(task = %entry.task, %error, "the outbox cannot be written");
                tokio::time::sleep(self.settings.min_wait).await;
            }
            return;
        }
        let attempt = {
            let _permit = self.permits.acquire().await;
            self.attempt(delivery).await
        };
        let attempts = entry.attempts.saturating_add(1);
        let settled = match attempt {
            Attempt::Delivered => {
                tasks.0.observer.delivered("delivered");
                tasks.storage().outbox_done(entry.id).await
            }
            Attempt::Failed { wait, why } if attempts < self.settings.max_attempts => {
                tasks.0.observer.delivered("retried");
                let pause = self.pause(attempts).max(wait.unwrap_or_default());
                tracing::debug!(task = %entry.task, attempts, ?pause, why, "webhook not reached");
                let next = Timestamp::from(SystemTime::now() + pause.min(self.settings.max_wait));
                tasks.storage().outbox_retry(entry.id, next).await
            }
            Attempt::Failed { why, .. } => {
                tasks.0.observer.delivered("given-up");
                tracing::warn!(task = %entry.task, attempts, why, "webhook given up");
                tasks.storage().outbox_done(entry.id).await
            }
            Attempt::Refused { why } => {
                tasks.0.observer.delivered("refused");
                tracing::warn!(task = %entry.task, why, "webhook refused the delivery");
                tasks.storage().outbox_done(entry.id).await
            }
        };
        if let Err(error) = settled {
            tracing::warn!(task = %entry.task, %error, "the outbox cannot be written");
            tokio::time::sleep(self.settings.min_wait).await;
        }
    }

    /// Doubles with each attempt, of which somewhere between half and all is waited.
    fn pause(&self, attempts: u32) -> Duration {
        let doubled = self.settings.min_wait.saturating_mul(1 << (attempts - 1).min(16));
        doubled.min(self.settings.max_wait).mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    async fn attempt(&self, delivery: &Delivery) -> Attempt {
        // Signed anew each time: a receiver takes a signature for a few minutes only.
        let request = match self.request(delivery) {
            Ok(request) => request,
            Err(why) => return Attempt::Refused { why },
        };
        match self.client.send(request).await {
            Ok(response) => judge(&response),
            Err(HttpError::Address(error)) => Attempt::Refused { why: error.to_string() },
            Err(error) => Attempt::Failed { why: error.to_string(), wait: None },
        }
    }

    fn request(&self, delivery: &Delivery) -> Result<Request<Bytes>, String> {
        let config = &delivery.webhook.config;
        let mut request = Request::post(&config.url)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let secret = |text: String| {
            let value = HeaderValue::try_from(text).map(|mut value| {
                value.set_sensitive(true);
                value
            });
            value.map_err(|_| "the webhook's token cannot be sent in a header".to_owned())
        };
        if let Some(token) = &config.token {
            request = if delivery.webhook.dialect == Dialect::V0_3 {
                request.header("X-A2A-Notification-Token", secret(token.clone())?)
            } else {
                request.header(header::AUTHORIZATION, secret(format!("Bearer {token}"))?)
            };
        }
        if let Some(identity) = &self.identity {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            let signed = request::sign(identity.key(), identity.did(), &delivery.body, seconds)
                .map_err(|error| error.to_string())?;
            for (name, value) in signed.headers() {
                request = request.header(name, value);
            }
        }
        request.body(delivery.body.clone()).map_err(|error| error.to_string())
    }
}

/// Whether the task still has the webhook. It may have been removed while the change that it was
/// to be told of was being written.
async fn is_wanted(tasks: &Tasks, entry: &OutboxEntry, delivery: &Delivery) -> bool {
    let config = &delivery.webhook.config.id;
    let is_global = config.as_ref().is_some_and(|id| id.with_str(|id| id == GLOBAL));
    match tasks.load(&entry.task).await {
        Ok(Some(record)) => {
            is_global || record.webhooks.iter().any(|webhook| webhook.config.id == *config)
        }
        _ => true,
    }
}

fn judge(response: &Response<Bytes>) -> Attempt {
    let status = response.status();
    if status.is_success() {
        return Attempt::Delivered;
    }
    let why = format!("answered {status}");
    let again = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
    if again {
        Attempt::Failed { why, wait: retry_after(response.headers(), SystemTime::now()) }
    } else {
        Attempt::Refused { why }
    }
}
