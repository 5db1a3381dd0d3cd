//! Calls to handlers in other processes: which one, over which connection, how often, how long.
//!
//! [`Instances`] are the processes that run the handler of one agent. A call goes to the healthy
//! one with the fewest running calls. A call that was never sent is tried again, elsewhere at once
//! and then with growing pauses; one that was sent never is, since the handler may have acted.
//!
//! What counts as never sent: no connection could be made; HTTP/2 has not taken the message yet;
//! the peer refused the stream, or said with GOAWAY that it has not looked at it (RFC 9113,
//! sections 6.8 and 8.7).

mod callback;
mod connection;
mod error;
mod instance;
mod pieces;
mod pool;
mod send;
mod watch;
mod wire;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tonic::Code;

pub use self::callback::{Callback, InvalidCallback};
pub use self::connection::Secure;
pub use self::error::{CallError, code_name};
pub use self::pieces::Pieces;

use self::connection::Tasks;
use self::instance::{Instance, Method, Running};
use self::send::{Attempts, Sent};
use crate::metrics::{AgentMetrics, Metrics, Observed};
use crate::proto::{HandleRequest, HandleResponse};

/// Longer ids are not passed on as metadata.
const MAX_METADATA: usize = 1024;

/// How handlers are called.
///
/// ```
/// use std::time::Duration;
///
/// use bindu_grpc::calls::Config;
///
/// let config = Config { handler_timeout: Duration::from_secs(120), ..Config::default() };
/// assert_eq!(config.channels, 4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a handler may take for an answer, or for the next piece of one. Default 30 s.
    pub handler_timeout: Duration,
    /// How often processes are asked for their health. Default 30 s.
    pub health_interval: Duration,
    /// How long they may take to answer that. Default 5 s.
    pub health_timeout: Duration,
    /// How long connecting may take, TLS and the beginning of HTTP/2 included. Default 5 s.
    pub connect_timeout: Duration,
    /// For how long a call that was not sent is tried again. Zero tries every process once.
    /// Default 10 s.
    pub reconnect_window: Duration,
    /// The most connections to one process; at least one. Default 4.
    pub channels: usize,
    /// The most bytes of a request, of an answer, and of one piece of an answer. Default 4 MiB.
    pub max_message_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            handler_timeout: Duration::from_secs(30),
            health_interval: Duration::from_secs(30),
            health_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            reconnect_window: Duration::from_secs(10),
            channels: 4,
            max_message_bytes: 4 * 1024 * 1024,
        }
    }
}

/// What goes along with a call, apart from the request.
///
/// Ids that cannot be written as metadata (anything but printable ASCII, or over 1 KiB) are left
/// out; they are in the request as well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// The task under work, for `x-bindu-task-id`.
    pub task_id: &'a str,
    /// The conversation, for `x-bindu-context-id`.
    pub context_id: &'a str,
    /// The W3C `traceparent`, if there is one.
    pub trace: Option<&'a str>,
    /// When nobody waits for the answer any more.
    pub deadline: Option<Instant>,
}

/// How a handler answered.
#[derive(Debug)]
pub enum Answer {
    /// In one piece.
    Whole(HandleResponse),
    /// Piece by piece.
    Pieces(Pieces),
}

/// One process of an agent, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Where it serves the handler.
    pub callback: Callback,
    /// Whether it gets work: fewer than three health checks in a row went wrong.
    pub healthy: bool,
    /// Whether it is healthy, but the last connection to it could not be made. Others are
    /// preferred until it answers.
    pub suspect: bool,
    /// Since when it is [`healthy`](Self::healthy), or not.
    pub since: Instant,
    /// Calls that run.
    pub running: usize,
    /// Open connections.
    pub connections: usize,
    /// Whether it can stream, by what it said; `None` while it was not asked.
    pub streams: Option<bool>,
}

/// The processes that run the handler of one agent. A clone is the same set.
///
/// ```
/// use bindu_grpc::calls::{Config, Head, Instances};
/// use bindu_grpc::proto::HandleRequest;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config { reconnect_window: std::time::Duration::ZERO, ..Config::default() };
/// let instances = Instances::new("my-agent", config, None);
/// // Port 1 is nobody's.
/// instances.add("127.0.0.1:1".parse()?);
/// let error = instances.call(&HandleRequest::default(), Head::default()).await.unwrap_err();
/// assert!(error.to_string().starts_with("UNAVAILABLE: 127.0.0.1:1: Connection refused"), "{error}");
/// # Ok(())
/// # }
/// ```
///
/// Nothing connects before a call is made or [`watch`](Self::watch) runs. All connections end when
/// the last clone is dropped, or with [`close`](Self::close).
#[derive(Clone)]
pub struct Instances(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    agent_id: Box<str>,
    config: Config,
    metrics: Option<Arc<AgentMetrics>>,
    roster: Mutex<Roster>,
    /// Whose turn it is among equals.
    turn: AtomicUsize,
    /// An instance came.
    joined: Notify,
    /// An instance came, or may take work again.
    better: Notify,
    security: Mutex<Option<Arc<dyn Secure>>>,
    tasks: Tasks,
}

#[derive(Debug)]
struct Roster {
    instances: Vec<Arc<Instance>>,
    /// When the last one was taken away.
    empty_since: Instant,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.tasks.kill.cancel();
    }
}

impl fmt::Debug for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statuses = self.statuses();
        f.debug_struct("Instances")
            .field("agent_id", &self.0.agent_id)
            .field("statuses", &statuses)
            .finish_non_exhaustive()
    }
}

impl Instances {
    /// No processes yet, of the agent with this id.
    #[must_use]
    pub fn new(agent_id: &str, config: Config, metrics: Option<Arc<Metrics>>) -> Self {
        Self(Arc::new(Shared {
            agent_id: agent_id.into(),
            config,
            metrics: metrics.map(|metrics| Arc::new(AgentMetrics::new(&metrics, agent_id))),
            roster: Mutex::new(Roster { instances: Vec::new(), empty_since: Instant::now() }),
            turn: AtomicUsize::new(0),
            joined: Notify::new(),
            better: Notify::new(),
            security: Mutex::default(),
            tasks: Tasks::default(),
        }))
    }

    /// Adds a process, which counts as healthy. One that is known was started anew: what is known
    /// of it is forgotten, and its connections are replaced; calls that run over them may end.
    pub fn add(&self, callback: Callback) {
        let shared = &*self.0;
        if shared.tasks.kill.is_cancelled() {
            return;
        }
        let new = Arc::new(Instance::new(callback, &shared.config, shared.tasks.clone()));
        {
            let mut roster = lock(&shared.roster);
            for other in &roster.instances {
                // A new address often means that the process at the old one has gone.
                other.look.notify_one();
            }
            match roster.instances.iter_mut().find(|known| known.callback == new.callback) {
                Some(known) => std::mem::replace(known, new).gone.cancel(),
                None => roster.instances.push(new),
            }
            shared.count(&roster);
        }
        shared.joined.notify_waiters();
        shared.better.notify_waiters();
    }

    /// Takes a process away; says whether it was there. Calls that run there may end.
    #[must_use = "the process may not have been there"]
    pub fn remove(&self, callback: &Callback) -> bool {
        self.take_away(|instance| instance.callback == *callback) > 0
    }

    /// Takes away the processes that are unhealthy since `age` or longer, but only while there are
    /// healthy ones: an agent without any is evicted as a whole.
    pub fn remove_dead(&self, age: Duration) {
        if self.healthy() > 0 {
            self.take_away(|instance| {
                let is_meant = !instance.is_healthy() && instance.since().elapsed() >= age;
                if is_meant {
                    let callback = &instance.callback;
                    tracing::info!(agent = %self.0.agent_id, %callback, "a dead process is dropped");
                }
                is_meant
            });
        }
    }

    fn take_away(&self, is_meant: impl Fn(&Instance) -> bool) -> usize {
        let mut roster = lock(&self.0.roster);
        let before = roster.instances.len();
        roster.instances.retain(|instance| {
            let stays = !is_meant(instance);
            if !stays {
                instance.gone.cancel();
            }
            stays
        });
        let taken = before - roster.instances.len();
        if taken > 0 && roster.instances.is_empty() {
            roster.empty_since = Instant::now();
        }
        self.0.count(&roster);
        taken
    }

    /// Whether there is no process.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.0.roster).instances.is_empty()
    }

    /// How many processes are healthy.
    #[must_use]
    pub fn healthy(&self) -> usize {
        lock(&self.0.roster).instances.iter().filter(|instance| instance.is_healthy()).count()
    }

    /// Since when no process is healthy; `None` while one is.
    #[must_use]
    pub fn all_dead_since(&self) -> Option<Instant> {
        let roster = lock(&self.0.roster);
        if roster.instances.iter().any(|instance| instance.is_healthy()) {
            return None;
        }
        let last = roster.instances.iter().map(|instance| instance.since()).max();
        Some(last.unwrap_or(roster.empty_since))
    }

    /// All processes as they stand, in the order in which they came.
    #[must_use]
    pub fn statuses(&self) -> Vec<Status> {
        let of = |instance: &Arc<Instance>| Status {
            callback: instance.callback.clone(),
            healthy: instance.is_healthy(),
            suspect: instance.is_suspect(),
            since: instance.since(),
            running: instance.running(),
            connections: instance.pool.size(),
            streams: instance.streams(),
        };
        lock(&self.0.roster).instances.iter().map(of).collect()
    }

    /// Sets how connections to `grpcs://` are secured. Without it such calls are not sent.
    pub fn secure(&self, security: Arc<dyn Secure>) {
        *lock(&self.0.security) = Some(security);
        self.0.better.notify_waiters();
    }

    /// Asks for an answer in one piece. Dropping the future cancels the call.
    ///
    /// # Errors
    ///
    /// Whatever the SDK answered; `UNAVAILABLE` if the call could not be sent within
    /// [`Config::reconnect_window`], `DEADLINE_EXCEEDED` if there was no answer within
    /// [`Config::handler_timeout`] or by the deadline.
    pub async fn call(
        &self,
        request: &HandleRequest,
        head: Head<'_>,
    ) -> Result<HandleResponse, CallError> {
        let framed = wire::frame(request, self.0.config.max_message_bytes)?;
        let mut observed = Observed::begin(self.0.metrics.as_ref());
        let answer = self.answer(framed, head, false, &mut observed).await;
        let answer = answer.and_then(|answer| match answer {
            Opened::Whole(response) => Ok(response),
            Opened::Pieces(..) => Err(CallError::new(Code::Internal, "a stream was not asked for")),
        });
        observed.ended(code_of(&answer));
        answer
    }

    /// Asks for an answer, piece by piece where the process can: one that says so, and has not
    /// answered that it cannot after all. Dropping the future, or the stream, cancels the call.
    ///
    /// # Errors
    ///
    /// As for [`call`](Self::call). An error after the first piece is the stream's.
    pub async fn ask(&self, request: &HandleRequest, head: Head<'_>) -> Result<Answer, CallError> {
        let framed = wire::frame(request, self.0.config.max_message_bytes)?;
        let mut observed = Observed::begin(self.0.metrics.as_ref());
        match self.answer(framed, head, true, &mut observed).await {
            Ok(Opened::Whole(response)) => {
                observed.ended(Code::Ok);
                Ok(Answer::Whole(response))
            }
            Ok(Opened::Pieces(first, reader, sent)) => {
                let gap = self.0.config.handler_timeout;
                let pieces = Pieces::new(first, reader, sent, gap, head.deadline, observed);
                Ok(Answer::Pieces(pieces))
            }
            Err(error) => {
                observed.ended(error.code());
                Err(error)
            }
        }
    }

    async fn answer(
        &self,
        framed: bytes::Bytes,
        head: Head<'_>,
        may_stream: bool,
        observed: &mut Observed,
    ) -> Result<Opened, CallError> {
        let shared = &*self.0;
        let began = Instant::now();
        let own = began.checked_add(shared.config.handler_timeout);
        let deadline = match (own, head.deadline) {
            (Some(own), Some(theirs)) => Some(own.min(theirs)),
            (own, theirs) => own.or(theirs),
        };
        let metadata = self.metadata(head);
        let mut attempts = Attempts::new(framed, &metadata, deadline, head.deadline);
        let answering = shared.answer(&mut attempts, may_stream, observed);
        let timed = async {
            match deadline {
                Some(deadline) => timeout_at(deadline, answering).await.ok(),
                None => Some(answering.await),
            }
        };
        let answer = tokio::select! {
            biased;
            answer = timed => answer,
            () = shared.tasks.kill.cancelled() => return Err(closed()),
        };
        answer.unwrap_or_else(|| Err(attempts.out_of_time(began.elapsed())))
    }

    fn metadata(&self, head: Head<'_>) -> HeaderMap {
        const NAMES: [HeaderName; 4] = [
            HeaderName::from_static("x-bindu-task-id"),
            HeaderName::from_static("x-bindu-context-id"),
            HeaderName::from_static("x-bindu-agent-id"),
            HeaderName::from_static("traceparent"),
        ];
        let values = [head.task_id, head.context_id, &self.0.agent_id, head.trace.unwrap_or("")];
        let mut metadata = HeaderMap::with_capacity(12);
        for (name, text) in NAMES.into_iter().zip(values) {
            // What else HTTP allows, gRPC does not.
            let is_good = (1..=MAX_METADATA).contains(&text.len())
                && text.trim() == text
                && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if let Some(value) = is_good.then(|| HeaderValue::from_str(text).ok()).flatten() {
                metadata.insert(name, value);
            }
        }
        metadata
    }

    /// Keeps an eye on the processes until [`close`](Self::close), or until this is dropped: asks
    /// each what it can do, once, and for its health at every [`Config::health_interval`]. Three
    /// misses in a row make one unhealthy, one good answer healthy again; one that could not be
    /// reached is looked at sooner.
    pub async fn watch(&self) {
        self.0.watch().await;
    }

    /// Ends everything: calls fail, waiting ones included, connections are cut, processes are
    /// forgotten. Nothing can be added afterwards.
    pub fn close(&self) {
        self.0.tasks.kill.cancel();
        self.take_away(|_| true);
    }

    /// Waits, after [`close`](Self::close), until all connections are gone.
    pub async fn closed(&self) {
        self.0.tasks.kill.cancelled().await;
        self.0.tasks.tracker.close();
        self.0.tasks.tracker.wait().await;
    }
}

/// An answer of which the first piece is there.
enum Opened {
    Whole(HandleResponse),
    Pieces(Option<HandleResponse>, wire::Reader, Sent),
}

impl Shared {
    /// Makes the call, with or without a stream, as often as it takes.
    async fn answer(
        &self,
        attempts: &mut Attempts<'_>,
        may_stream: bool,
        observed: &mut Observed,
    ) -> Result<Opened, CallError> {
        loop {
            let (sent, response) = self.send(attempts, may_stream, observed).await?;
            let begun = wire::Reader::begin(response, self.config.max_message_bytes);
            if sent.method == Method::HandleMessages {
                return begun?.only().await.map(Opened::Whole);
            }
            let first = match begun {
                Ok(mut reader) => {
                    let first = std::future::poll_fn(|cx| reader.poll_next(cx)).await;
                    first.transpose().map(|first| (first, reader))
                }
                Err(error) => Err(error),
            };
            match first {
                Ok((first, reader)) => return Ok(Opened::Pieces(first, reader, sent)),
                // Nothing has been done, so this is no second time.
                Err(error) if error.code() == Code::Unimplemented => {
                    tracing::debug!(callback = %sent.callback(), "the process cannot stream after all");
                    sent.cannot_stream();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The healthy instance with the fewest calls that was not tried yet. One that could not be
    /// reached lately comes after all others.
    fn choose(&self, tried: &[Arc<Instance>]) -> Option<Running> {
        let roster = lock(&self.roster);
        let count = roster.instances.len();
        if count == 0 {
            return None;
        }
        // A second try of one call is nobody's turn.
        let turn = match tried {
            [] => self.turn.fetch_add(1, Ordering::Relaxed),
            _ => self.turn.load(Ordering::Relaxed),
        };
        let start = turn % count;
        let (before, after) = roster.instances.split_at(start);
        let is_free = |instance: &&Arc<Instance>| {
            instance.is_healthy() && !tried.iter().any(|tried| Arc::ptr_eq(tried, instance))
        };
        // The first of equals is taken, so that they take turns.
        let in_turn = after.iter().chain(before).filter(is_free);
        let least = in_turn.min_by_key(|instance| (instance.is_suspect(), instance.running()))?;
        // Under the lock, so that the next call sees it.
        Some(Running::new(Arc::clone(least)))
    }

    /// Asks whoever watches to look at the processes that get no work.
    fn look(&self) {
        for instance in &lock(&self.roster).instances {
            if !instance.is_healthy() || instance.is_suspect() {
                instance.look.notify_one();
            }
        }
    }

    fn security(&self, callback: &Callback) -> Option<Arc<dyn Secure>> {
        if callback.is_tls() { lock(&self.security).clone() } else { None }
    }

    /// Brings the counters up to date.
    fn count(&self, roster: &Roster) {
        if let Some(metrics) = &self.metrics {
            let healthy = roster.instances.iter().filter(|instance| instance.is_healthy()).count();
            metrics.set_instances(healthy, roster.instances.len() - healthy);
        }
    }
}

fn closed() -> CallError {
    CallError::new(Code::Unavailable, "the agent has been closed")
}

fn code_of<T>(answer: &Result<T, CallError>) -> Code {
    answer.as_ref().err().map_or(Code::Ok, CallError::code)
}

/// No code here can panic with a lock held in a way that leaves things wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
