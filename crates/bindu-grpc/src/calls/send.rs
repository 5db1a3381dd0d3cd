//! Getting a call out: which process, which connection, and when again.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};
use tonic::Code;

use super::connection::Lease;
use super::error::{CallError, chain};
use super::instance::{Change, Instance, Method, Running};
use super::wire::{Outgoing, request};
use super::{Callback, Shared};
use crate::metrics::Observed;

/// The first pause, and the longest one.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// A peer may count a little faster than we do.
const NEARLY: Duration = Duration::from_millis(100);

/// One call, and what has become of it so far.
#[derive(Debug)]
pub(super) struct Attempts<'a> {
    framed: Bytes,
    metadata: &'a HeaderMap,
    /// When the first answer has to be there.
    deadline: Option<Instant>,
    /// When nobody waits any more, which is later where an answer comes in pieces.
    last: Option<Instant>,
    began: Instant,
    pause: Duration,
    tried: Vec<Arc<Instance>>,
    /// Why it was not sent.
    cause: Option<String>,
    /// Whether HTTP/2 has taken the message of the last attempt.
    taken: Arc<AtomicBool>,
}

/// A call that was sent, until it is over.
#[derive(Debug)]
pub(super) struct Sent {
    running: Running,
    _lease: Lease,
    pub(super) method: Method,
}

impl Sent {
    pub(super) fn callback(&self) -> &Callback {
        &self.running.instance().callback
    }

    pub(super) fn cannot_stream(&self) {
        self.running.instance().set_streams(false);
    }
}

/// Why an attempt brought nothing.
pub(super) enum Failed {
    /// Nothing was sent that a handler could have acted upon.
    NotSent(String),
    /// It was sent, and will not be again.
    Sent(CallError),
}

impl<'a> Attempts<'a> {
    pub(super) fn new(
        framed: Bytes,
        metadata: &'a HeaderMap,
        deadline: Option<Instant>,
        last: Option<Instant>,
    ) -> Self {
        Self {
            framed,
            metadata,
            deadline,
            last,
            began: Instant::now(),
            pause: PAUSE,
            tried: Vec::new(),
            cause: None,
            taken: Arc::default(),
        }
    }

    /// What the caller is told when the time is over.
    pub(super) fn out_of_time(&self, after: Duration) -> CallError {
        let seconds = after.as_secs_f64();
        if self.taken.load(Ordering::Acquire) {
            let text = format!("the handler has not answered within {seconds:.1} s");
            return CallError::new(Code::DeadlineExceeded, &text);
        }
        let unreached = || format!("no process could be reached within {seconds:.1} s");
        CallError::new(Code::Unavailable, &self.cause.clone().unwrap_or_else(unreached))
    }

    /// The next pause: longer each time, and never the same for all who wait.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause.mul_f64(0.8 + 0.4 * fastrand::f64());
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        pause
    }
}

impl Shared {
    /// Sends a call to some process, and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        attempts: &mut Attempts<'_>,
        may_stream: bool,
        observed: &mut Observed,
    ) -> Result<(Sent, Response<Incoming>), CallError> {
        let window = attempts.began.checked_add(self.config.reconnect_window);
        loop {
            if let Some(running) = self.choose(&attempts.tried) {
                let instance = running.instance();
                let streams = may_stream && instance.can_stream().await;
                let method =
                    if streams { Method::HandleMessagesStream } else { Method::HandleMessages };
                observed.is_stream(streams);
                match self.attempt(instance, method, attempts).await {
                    Ok((lease, response)) => {
                        return Ok((Sent { running, _lease: lease, method }, response));
                    }
                    Err(Failed::Sent(error)) => return Err(error),
                    Err(Failed::NotSent(why)) => {
                        let why = format!("{}: {why}", instance.callback);
                        tracing::debug!(agent = %self.agent_id, error = why, "a call was not sent");
                        attempts.cause = Some(why);
                        attempts.tried.push(Arc::clone(instance));
                        continue;
                    }
                }
            }
            self.pause(attempts, window).await?;
        }
    }

    /// Waits before the next round; until a process comes where there is none.
    async fn pause(
        &self,
        attempts: &mut Attempts<'_>,
        window: Option<Instant>,
    ) -> Result<(), CallError> {
        let better = self.better.notified();
        tokio::pin!(better);
        // From here on nothing is missed.
        better.as_mut().enable();
        let nobody = attempts.tried.is_empty();
        attempts.tried.clear();
        if nobody && self.choose(&[]).is_some() {
            return Ok(());
        }
        let now = Instant::now();
        if window.is_some_and(|window| window <= now) {
            let cause = attempts.cause.as_deref();
            let none = "no process of the agent is healthy";
            return Err(CallError::new(Code::Unavailable, cause.unwrap_or(none)));
        }
        if nobody {
            attempts.cause.get_or_insert_with(|| "no process of the agent is healthy".into());
            self.look();
        }
        let next = if nobody { None } else { now.checked_add(attempts.next_pause()) };
        match next.into_iter().chain(window).min() {
            Some(until) => tokio::select! {
                () = sleep_until(until) => {}
                () = better => {}
            },
            None => better.await,
        }
        Ok(())
    }

    /// Makes one attempt at one process. A connection that turns out to be closed is replaced.
    async fn attempt(
        &self,
        instance: &Instance,
        method: Method,
        attempts: &mut Attempts<'_>,
    ) -> Result<(Lease, Response<Incoming>), Failed> {
        // For an answer in pieces, the limit of each piece is ours to watch.
        let deadline = match method {
            Method::HandleMessagesStream => attempts.last,
            _ => attempts.deadline,
        };
        let mut stale = 0;
        loop {
            attempts.taken = Arc::default();
            let leased = self.lease(instance).await?;
            let body = Outgoing::new(attempts.framed.clone(), Arc::clone(&attempts.taken));
            let rest = deadline.map(|until| until.saturating_duration_since(Instant::now()));
            let request = request(instance.uri(method), attempts.metadata, rest, body);
            let mut sender = leased.sender();
            let error = match sender.try_send_request(request).await {
                Ok(response) => {
                    if instance.answered() == Change::Better {
                        self.better.notify_waiters();
                    }
                    return Ok((leased, response));
                }
                Err(error) => error.into_error(),
            };
            match judge(&error, attempts.taken.load(Ordering::Acquire)) {
                Verdict::Sent => return Err(Failed::Sent(in_time(&error, deadline))),
                Verdict::Refused => {
                    return Err(Failed::NotSent(chain(&error)));
                }
                Verdict::Closed => {
                    leased.retire();
                    if leased.is_fresh || stale > self.config.channels {
                        instance.suspect();
                        return Err(Failed::NotSent(chain(&error)));
                    }
                    stale += 1;
                }
            }
        }
    }

    pub(super) async fn lease(&self, instance: &Instance) -> Result<Lease, Failed> {
        let security = self.security(&instance.callback);
        match instance.pool.lease(&instance.callback, security.as_ref()).await {
            Ok(leased) => {
                if let Some(metrics) = self.metrics.as_ref().filter(|_| leased.is_reconnected) {
                    metrics.reconnected();
                }
                Ok(leased.lease)
            }
            Err(why) => {
                instance.suspect();
                Err(Failed::NotSent(why.to_string()))
            }
        }
    }
}

/// What an error of HTTP/2 says about the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The handler may have got it.
    Sent,
    /// The process turned down this one stream.
    Refused,
    /// The connection is of no use any more, and nobody has looked at the request.
    Closed,
}

/// `taken` says whether HTTP/2 has taken the message.
fn judge(error: &hyper::Error, taken: bool) -> Verdict {
    let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
    let by_peer = h2.filter(|h2| h2.is_remote());
    match by_peer {
        Some(h2) if h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM) => {
            Verdict::Refused
        }
        // A stream ends with GOAWAY only if its number is above the last one that was looked at.
        Some(h2) if h2.is_go_away() => Verdict::Closed,
        // The peer had something against the head alone; it would have so again.
        Some(h2) if h2.is_reset() => Verdict::Sent,
        _ if taken => Verdict::Sent,
        _ => Verdict::Closed,
    }
}

/// An error, unless it only says that the peer knew the deadline too.
pub(super) fn in_time(error: &hyper::Error, deadline: Option<Instant>) -> CallError {
    let error = CallError::broken(error);
    let is_over = deadline.is_some_and(|deadline| Instant::now() + NEARLY >= deadline);
    if error.code() == Code::Cancelled && is_over {
        return CallError::new(Code::DeadlineExceeded, "the process gave up at the deadline");
    }
    error
}
