//! Emptying the outbox, in order for each task and webhook.

use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use bindu_did::request;
use bindu_http::HttpError;
use bindu_http::client::retry_after;
use bindu_protocol::{Dialect, PushConfigId, TaskId, Timestamp};
use bindu_storage::{Delivery, OutboxBody, OutboxEntry, OutboxKind, OutboxQuery};
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
        self.0.tracker.spawn(async move { pushes.0.empty(&tasks, &key).await });
    }
}

impl Sender {
    /// Tells one webhook of one task all there is, then leaves.
    async fn empty(&self, tasks: &Tasks, key: &(TaskId, PushConfigId)) {
        while !self.stop.is_cancelled() {
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
                    tracing::warn!(task = %key.0, error = &error as &dyn std::error::Error, "the outbox cannot be read");
                    self.rest(self.settings.min_wait).await;
                }
            }
        }
    }

    /// Waits, but not longer than the sender is open.
    async fn rest(&self, wait: Duration) {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
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
        let query = OutboxQuery {
            kind: OutboxKind::Deliver,
            task: Some(task.clone()),
            due: None,
            limit: usize::MAX,
        };
        let entries = storage.outbox(query).await?;
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

    /// Sees to the oldest entry of a chain: waits until it is due, or makes one attempt.
    async fn tell(&self, tasks: &Tasks, entry: &OutboxEntry, delivery: &Delivery) {
        let settled = self.attempt_in_turn(tasks, entry, delivery).await;
        if let Err(error) = settled {
            tracing::warn!(task = %entry.task, error = &error as &dyn std::error::Error, "the outbox cannot be written");
            self.rest(self.settings.min_wait).await;
        }
    }

    async fn attempt_in_turn(
        &self,
        tasks: &Tasks,
        entry: &OutboxEntry,
        delivery: &Delivery,
    ) -> Result<(), bindu_storage::StorageError> {
        let due = SystemTime::from(entry.next).duration_since(tasks.now().into());
        if let Ok(wait) = due
            && !wait.is_zero()
        {
            // Not to the end, if that is far: another process may have the entry in hand, and be
            // done with it long before.
            self.rest(wait.min(self.settings.timeout)).await;
            return Ok(());
        }
        let storage = tasks.storage();
        if !is_wanted(tasks, entry, delivery).await {
            return storage.outbox_done(entry.id).await;
        }
        let _permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Ok(()),
            permit = self.permits.acquire() => permit,
        };
        // Whoever takes it has this long; then it counts as dropped, and anybody may take it.
        let until = tasks.after(self.settings.timeout * 3);
        if !storage.outbox_take(entry.id, entry.attempts, until).await? {
            return Ok(());
        }
        let attempts = entry.attempts.saturating_add(1);
        let attempt = tokio::select! {
            biased;
            attempt = self.attempt(delivery, tasks.now()) => attempt,
            // Nobody shall wait for an attempt that was broken off here.
            () = self.stop.cancelled() => return storage.outbox_retry(entry.id, tasks.now()).await,
        };
        match attempt {
            Attempt::Delivered => {
                tasks.0.observer.delivered("delivered");
                storage.outbox_done(entry.id).await
            }
            Attempt::Failed { wait, why } if attempts < self.settings.max_attempts => {
                tasks.0.observer.delivered("retried");
                let pause = self.pause(attempts).max(wait.unwrap_or_default());
                tracing::debug!(task = %entry.task, attempts, ?pause, why, "webhook not reached");
                let next = tasks.after(pause.min(self.settings.max_wait));
                storage.outbox_retry(entry.id, next).await
            }
            Attempt::Failed { why, .. } => {
                tasks.0.observer.delivered("given-up");
                tracing::warn!(task = %entry.task, attempts, why, "webhook given up");
                storage.outbox_done(entry.id).await
            }
            Attempt::Refused { why } => {
                tasks.0.observer.delivered("refused");
                tracing::warn!(task = %entry.task, why, "webhook refused the delivery");
                storage.outbox_done(entry.id).await
            }
        }
    }

    /// Doubles with each attempt, of which somewhere between half and all is waited.
    fn pause(&self, attempts: u32) -> Duration {
        let doubled = self.settings.min_wait.saturating_mul(1 << (attempts - 1).min(16));
        doubled.min(self.settings.max_wait).mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    async fn attempt(&self, delivery: &Delivery, now: Timestamp) -> Attempt {
        // Signed anew each time: a receiver takes a signature for a few minutes only.
        let request = match self.request(delivery, now) {
            Ok(request) => request,
            Err(why) => return Attempt::Refused { why },
        };
        // Bounded here too: after that time another process may make the attempt.
        let answer = tokio::time::timeout(self.settings.timeout * 2, self.courier.carry(request));
        match answer.await {
            Err(_) => Attempt::Failed { why: "no answer in time".to_owned(), wait: None },
            Ok(answer) => Self::judge_answer(answer, now),
        }
    }

    fn judge_answer(answer: Result<Response<Bytes>, HttpError>, now: Timestamp) -> Attempt {
        match answer {
            Ok(response) => judge(&response, now.into()),
            Err(HttpError::Address(error)) => Attempt::Refused { why: error.to_string() },
            Err(error) => Attempt::Failed { why: error.to_string(), wait: None },
        }
    }

    fn request(&self, delivery: &Delivery, now: Timestamp) -> Result<Request<Bytes>, String> {
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
            let seconds = now.as_unix_micros().div_euclid(1_000_000);
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

fn judge(response: &Response<Bytes>, now: SystemTime) -> Attempt {
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
        Attempt::Failed { why, wait: retry_after(response.headers(), now) }
    } else {
        Attempt::Refused { why }
    }
}
