//! Looking after the processes: what they can do, and whether they are there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::HeaderMap;
use hyper::client::conn::TrySendError;
use prost::Message;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Code;

use super::error::CallError;
use super::instance::{Change, Instance, Method};
use super::send::Failed;
use super::wire::{Outgoing, Reader, frame, request};
use super::{Shared, code_of, lock};
use crate::proto::{
    GetCapabilitiesRequest, GetCapabilitiesResponse, HealthCheckRequest, HealthCheckResponse,
};

/// How soon a process that could not be reached is looked at again; twice as long each time, up to
/// the ordinary interval.
const SOON: Duration = Duration::from_millis(250);
/// At most ten looks in a second, however many calls ask for one.
const PAUSE: Duration = Duration::from_millis(100);

/// Somebody watches an instance, until this is dropped.
struct Watching<'a>(&'a Instance);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.is_watched.store(false, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) async fn watch(&self) {
        let mut watched = FuturesUnordered::new();
        loop {
            let joined = self.joined.notified();
            tokio::pin!(joined);
            // From here on no new one is missed.
            joined.as_mut().enable();
            for instance in &lock(&self.roster).instances {
                if !instance.is_watched.swap(true, Ordering::Relaxed) {
                    watched.push(self.attend(Arc::clone(instance)));
                }
            }
            tokio::select! {
                () = self.tasks.kill.cancelled() => return,
                () = joined => {}
                Some(()) = watched.next(), if !watched.is_empty() => {}
            }
        }
    }

    /// Looks after one process until it is taken away.
    async fn attend(&self, instance: Arc<Instance>) {
        let _watching = Watching(&instance);
        let gone = instance.gone.clone();
        gone.run_until_cancelled(self.look_after(&instance)).await;
    }

    async fn look_after(&self, instance: &Instance) {
        let interval = self.config.health_interval.max(PAUSE);
        let mut next = Instant::now() + interval;
        let mut soon = SOON;
        loop {
            if instance.streams().is_none() {
                self.ask_capabilities(instance).await;
                instance.asked.cancel();
            }
            let now = Instant::now();
            let is_fine = instance.is_healthy() && !instance.is_suspect();
            let due = if is_fine { next } else { next.min(now + soon) };
            tokio::select! {
                () = sleep_until(due) => {}
                () = instance.look.notified() => {
                    soon = SOON;
                    sleep_until(now + PAUSE).await;
                }
            }
            soon = (soon * 2).min(interval);
            let is_ordinary = Instant::now() >= next;
            if is_ordinary {
                next = Instant::now() + interval;
            }
            let change = if self.is_well(instance).await {
                soon = SOON;
                instance.is_well()
            } else if is_ordinary {
                instance.missed()
            } else {
                // Looks that come sooner do not count against it.
                Change::None
            };
            match change {
                Change::None => {}
                Change::Better => {
                    tracing::info!(agent = %self.agent_id, callback = %instance.callback, "a process is back");
                    self.count(&lock(&self.roster));
                    self.better.notify_waiters();
                }
                Change::Dead => {
                    tracing::warn!(agent = %self.agent_id, callback = %instance.callback, "a process is gone");
                    self.count(&lock(&self.roster));
                }
            }
        }
    }

    /// Asks for its health. A process without such a method is there, at least.
    async fn is_well(&self, instance: &Instance) -> bool {
        let asked = self.ask_at(instance, Method::HealthCheck, &HealthCheckRequest {}).await;
        match asked {
            Ok(HealthCheckResponse { healthy, message }) => {
                if !healthy {
                    let callback = &instance.callback;
                    let message = CallError::new(Code::Ok, &message);
                    tracing::debug!(%callback, message = message.details(), "a process is not well");
                }
                healthy
            }
            Err(error) => error.code() == Code::Unimplemented,
        }
    }

    /// Asks what it can do. Whatever it answers is kept; only silence is asked again.
    async fn ask_capabilities(&self, instance: &Instance) {
        let method = Method::GetCapabilities;
        match self.ask_at(instance, method, &GetCapabilitiesRequest {}).await {
            Ok(GetCapabilitiesResponse { supports_streaming, .. }) => {
                instance.set_streams(supports_streaming);
            }
            Err(error) => {
                let silent = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled];
                if !silent.contains(&error.code()) {
                    instance.set_streams(false);
                }
            }
        }
    }

    async fn ask_at<M: Message + Default>(
        &self,
        instance: &Instance,
        method: Method,
        question: &impl Message,
    ) -> Result<M, CallError> {
        let answer = self.exchange(instance, method, question).await;
        if let Some(metrics) = &self.metrics {
            metrics.ended(method.name(), code_of(&answer));
        }
        answer
    }

    async fn exchange<M: Message + Default>(
        &self,
        instance: &Instance,
        method: Method,
        question: &impl Message,
    ) -> Result<M, CallError> {
        let timeout = self.config.health_timeout;
        let deadline = Instant::now() + timeout;
        let late = || CallError::new(Code::DeadlineExceeded, "there was no answer in time");
        let framed = frame(question, self.config.max_message_bytes)?;
        let mut stale = 0;
        loop {
            let leasing = timeout_at(deadline, self.lease(instance));
            let lease = match leasing.await.map_err(|_| late())? {
                Ok(lease) => lease,
                Err(Failed::NotSent(why)) => return Err(CallError::new(Code::Unavailable, &why)),
                Err(Failed::Sent(error)) => return Err(error),
            };
            let body = Outgoing::new(framed.clone(), Arc::default());
            let request = request(instance.uri(method), &HeaderMap::new(), Some(timeout), body);
            let mut sender = lease.sender();
            let answering = async {
                let response = sender.try_send_request(request).await?;
                let reader = Reader::begin(response, self.config.max_message_bytes);
                Ok(async { reader?.only().await }.await)
            };
            match timeout_at(deadline, answering).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err::<_, TrySendError<_>>(error)) => {
                    // A connection that was closed says nothing of the process. Asking twice does
                    // no harm.
                    lease.retire();
                    if lease.is_fresh || stale > self.config.channels {
                        return Err(CallError::broken(error.error()));
                    }
                    stale += 1;
                }
                Err(_) => {
                    // Perhaps only the connection is dead; the next look tries another one.
                    lease.retire();
                    return Err(late());
                }
            }
        }
    }
}
