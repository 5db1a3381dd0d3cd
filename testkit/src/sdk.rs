//! An SDK that does as it is told, and calls to a core as an SDK makes them.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

mod core;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bindu_grpc::calls::Callback;
use bindu_grpc::proto::agent_handler_server::{AgentHandler, AgentHandlerServer};
use bindu_grpc::proto::{
    GetCapabilitiesRequest, GetCapabilitiesResponse, HandleRequest, HandleResponse,
    HealthCheckRequest, HealthCheckResponse,
};
use bindu_grpc::tonic::metadata::MetadataMap;
use bindu_grpc::tonic::{self, Code, Request, Response, Status};
use bindu_http::server::{Config, Server, Shutdown};
use futures_core::Stream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use self::core::{Connection, Core};

/// How long a condition may take to come true. Never waited for in full unless something is wrong.
pub const LONG: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let checking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(LONG, checking).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}

/// What a handler does with one turn.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers with the last message, after the word.
    Echo(&'static str),
    /// Answers so.
    Answer(HandleResponse),
    /// Fails with a status.
    Fail(Code, String),
    /// Never answers.
    Hang,
    /// Waits for [`Sdk::release`], then answers with this text.
    Held(&'static str),
    /// Streams these, and ends well.
    Stream(Vec<HandleResponse>),
    /// Streams these, then fails.
    StreamThenFail(Vec<HandleResponse>, Code),
    /// Streams these, then says nothing more.
    StreamThenHang(Vec<HandleResponse>),
}

/// How a process answers when it is asked for its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is.
    Well,
    /// It says that it is not.
    Unwell,
    /// It does not know the method.
    Unimplemented,
    /// It never answers.
    Silent,
}

/// How a process answers when it is asked what it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Can {
    /// It streams.
    Stream,
    /// It does not.
    NotStream,
    /// It does not know the method.
    Unimplemented,
}

/// One call to a handler, as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whether a stream was asked for.
    pub is_stream: bool,
    /// The request.
    pub request: HandleRequest,
    /// The metadata.
    pub metadata: MetadataMap,
}

impl Call {
    /// The metadata of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.metadata.get(name).map(|value| value.to_str().unwrap())
    }
}

#[derive(Debug)]
struct State {
    /// Taken one by one; the last one stays.
    acts: Mutex<VecDeque<Act>>,
    health: Mutex<Health>,
    can: Mutex<Can>,
    serves_stream: AtomicBool,
    calls: Mutex<Vec<Call>>,
    running: AtomicUsize,
    cancelled: AtomicUsize,
    health_checks: AtomicUsize,
    capabilities: AtomicUsize,
    release: Notify,
    released: AtomicBool,
}

/// A process that serves a handler, with a script.
#[derive(Debug)]
pub struct Sdk {
    state: Arc<State>,
    address: SocketAddr,
    serving: Option<(JoinHandle<()>, Shutdown)>,
}

impl Sdk {
    /// Starts on a free port. It echoes, is well, and cannot stream.
    pub async fn start() -> Self {
        Self::with(Act::Echo("echo")).await
    }

    /// Starts on a free port, and does this with turns.
    pub async fn with(act: Act) -> Self {
        let mut sdk = Self {
            state: Arc::new(State {
                acts: Mutex::new(VecDeque::from([act])),
                health: Mutex::new(Health::Well),
                can: Mutex::new(Can::NotStream),
                serves_stream: AtomicBool::new(false),
                calls: Mutex::default(),
                running: AtomicUsize::new(0),
                cancelled: AtomicUsize::new(0),
                health_checks: AtomicUsize::new(0),
                capabilities: AtomicUsize::new(0),
                release: Notify::new(),
                released: AtomicBool::new(false),
            }),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            serving: None,
        };
        sdk.restart().await;
        sdk
    }

    /// One that streams, and says so.
    pub async fn streaming(act: Act) -> Self {
        let sdk = Self::with(act).await;
        sdk.set_can(Can::Stream);
        sdk.set_serves_stream(true);
        sdk
    }

    /// Starts again at the same port, after [`kill`](Self::kill) or [`drain`](Self::drain).
    pub async fn restart(&mut self) {
        assert!(self.serving.is_none(), "it runs");
        let config = Config { h2_max_concurrent_streams: 1000, ..Config::default() };
        // One that drains may still hold the port for a moment.
        let binding = async {
            loop {
                match Server::bind(config.clone(), self.address).await {
                    Ok(server) => return server,
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        let server = timeout(LONG, binding).await.expect("the port becomes free");
        self.address = server.local_addr();
        let service = AgentHandlerServer::new(Handler(Arc::clone(&self.state)))
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        let shutdown = Shutdown::new();
        let serve = server.serve(service, shutdown.clone());
        let task = tokio::spawn(async move {
            serve.await;
        });
        self.serving = Some((task, shutdown));
    }

    /// Cuts all connections and stops listening, at once.
    pub async fn kill(&mut self) {
        let (task, _) = self.serving.take().expect("it runs");
        task.abort();
        _ = task.await;
    }

    /// Says GOAWAY on all connections, stops listening, and waits until running calls have ended.
    pub fn drain(&mut self) -> JoinHandle<()> {
        let (task, shutdown) = self.serving.take().expect("it runs");
        shutdown.drain(LONG);
        task
    }

    /// Where it serves.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, as a registration has it.
    #[must_use]
    pub fn callback(&self) -> Callback {
        self.address.to_string().parse().unwrap()
    }

    /// From now on, this is done with turns.
    pub fn set(&self, act: Act) {
        *lock(&self.state.acts) = VecDeque::from([act]);
    }

    /// These are done with turns, one by one; the last one again and again.
    pub fn set_all(&self, acts: impl IntoIterator<Item = Act>) {
        *lock(&self.state.acts) = acts.into_iter().collect();
    }

    /// From now on, this is answered to questions of health.
    pub fn set_health(&self, health: Health) {
        *lock(&self.state.health) = health;
    }

    /// From now on, this is what it says it can do.
    pub fn set_can(&self, can: Can) {
        *lock(&self.state.can) = can;
    }

    /// Whether it serves streams, whatever it says.
    pub fn set_serves_stream(&self, serves: bool) {
        self.state.serves_stream.store(serves, Ordering::SeqCst);
    }

    /// Lets all go that are [`Held`](Act::Held), now and later.
    pub fn release(&self) {
        self.state.released.store(true, Ordering::SeqCst);
        self.state.release.notify_waiters();
    }

    /// The turns that came.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.state.calls).clone()
    }

    /// How many turns came.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.state.calls).len()
    }

    /// How many turns run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.state.running.load(Ordering::SeqCst)
    }

    /// How many turns were cancelled by the caller, or cut off.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.state.cancelled.load(Ordering::SeqCst)
    }

    /// How often it was asked for its health.
    #[must_use]
    pub fn health_checks(&self) -> usize {
        self.state.health_checks.load(Ordering::SeqCst)
    }

    /// How often it was asked what it can do.
    #[must_use]
    pub fn capabilities(&self) -> usize {
        self.state.capabilities.load(Ordering::SeqCst)
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        if let Some((task, _)) = &self.serving {
            task.abort();
        }
    }
}

struct Handler(Arc<State>);

impl Handler {
    fn begin(&self, is_stream: bool, request: Request<HandleRequest>) -> (Act, String, Turn) {
        let (metadata, _, request) = request.into_parts();
        let said = request.messages.last().map_or_else(String::new, |last| last.content.clone());
        lock(&self.0.calls).push(Call { is_stream, request, metadata });
        let mut acts = lock(&self.0.acts);
        let act = if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() };
        self.0.running.fetch_add(1, Ordering::SeqCst);
        let turn = Turn { state: Arc::clone(&self.0), is_over: false };
        (act.expect("there is an act"), said, turn)
    }
}

/// A turn that runs.
struct Turn {
    state: Arc<State>,
    is_over: bool,
}

impl Turn {
    async fn released(&self) {
        let released = self.state.release.notified();
        tokio::pin!(released);
        released.as_mut().enable();
        if !self.state.released.load(Ordering::SeqCst) {
            released.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.state.running.fetch_sub(1, Ordering::SeqCst);
        if !self.is_over {
            self.state.cancelled.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A port that nobody has, and that the system gives to nobody who asks for any: no connection of
/// another test takes it in the meantime.
pub fn free_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Below the range that Linux takes ports from; each process begins somewhere else.
    let begin = std::process::id() as usize * 37;
    loop {
        let offset = (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = 20_000 + u16::try_from(offset).expect("it is below 12,000");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A text as a whole answer.
#[must_use]
pub fn text(content: impl Into<String>) -> HandleResponse {
    HandleResponse { content: content.into(), is_final: true, ..HandleResponse::default() }
}

/// A piece of an answer.
#[must_use]
pub fn piece(content: &str) -> HandleResponse {
    HandleResponse { content: content.into(), ..HandleResponse::default() }
}

#[tonic::async_trait]
impl AgentHandler for Handler {
    async fn handle_messages(
        &self,
        request: Request<HandleRequest>,
    ) -> Result<Response<HandleResponse>, Status> {
        let (act, said, mut turn) = self.begin(false, request);
        let answer = match act {
            Act::Echo(word) => Ok(text(format!("{word} {said}"))),
            Act::Answer(response) => Ok(response),
            Act::Fail(code, details) => Err(Status::new(code, details)),
            Act::Held(content) => {
                turn.released().await;
                Ok(text(content))
            }
            Act::Hang => std::future::pending().await,
            stream => panic!("a stream was asked for by a unary call: {stream:?}"),
        };
        turn.is_over = true;
        answer.map(Response::new)
    }

    type HandleMessagesStreamStream = Answer;

    async fn handle_messages_stream(
        &self,
        request: Request<HandleRequest>,
    ) -> Result<Response<Answer>, Status> {
        if !self.0.serves_stream.load(Ordering::SeqCst) {
            return Err(Status::unimplemented("no streams here"));
        }
        let (act, said, turn) = self.begin(true, request);
        let (pieces, end) = match act {
            Act::Stream(pieces) => (pieces, End::Well),
            Act::StreamThenFail(pieces, code) => (pieces, End::Fail(code)),
            Act::StreamThenHang(pieces) => (pieces, End::Never),
            Act::Echo(word) => (vec![text(format!("{word} {said}"))], End::Well),
            Act::Answer(response) => (vec![response], End::Well),
            Act::Fail(code, details) => return Err(Status::new(code, details)),
            Act::Hang | Act::Held(_) => (Vec::new(), End::Never),
        };
        Ok(Response::new(Answer { pieces: pieces.into(), end, turn }))
    }

    async fn get_capabilities(
        &self,
        _: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesResponse>, Status> {
        self.0.capabilities.fetch_add(1, Ordering::SeqCst);
        let can = *lock(&self.0.can);
        if can == Can::Unimplemented {
            return Err(Status::unimplemented("no capabilities here"));
        }
        Ok(Response::new(GetCapabilitiesResponse {
            name: "scripted".into(),
            supports_streaming: can == Can::Stream,
            ..GetCapabilitiesResponse::default()
        }))
    }

    async fn health_check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.health_checks.fetch_add(1, Ordering::SeqCst);
        let health = *lock(&self.0.health);
        let answer = |healthy, message: &str| {
            Ok(Response::new(HealthCheckResponse { healthy, message: message.into() }))
        };
        match health {
            Health::Well => answer(true, "OK"),
            Health::Unwell => answer(false, "out of\nmemory"),
            Health::Unimplemented => Err(Status::unimplemented("no health here")),
            Health::Silent => std::future::pending().await,
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Well,
    Fail(Code),
    Never,
}

/// The pieces of a scripted answer.
struct Answer {
    pieces: VecDeque<HandleResponse>,
    end: End,
    turn: Turn,
}

impl Stream for Answer {
    type Item = Result<HandleResponse, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        use std::task::Poll::{Pending, Ready};
        if let Some(piece) = self.pieces.pop_front() {
            return Ready(Some(Ok(piece)));
        }
        self.turn.is_over = !matches!(self.end, End::Never);
        match self.end {
            End::Well => Ready(None),
            End::Fail(code) => Ready(Some(Err(Status::new(code, "the stream broke")))),
            End::Never => Pending,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
