//! A stand-in for an x402 facilitator, with a chain of its own on which money really moves.
//!
//! It verifies and settles whatever it is asked, keeps every request, and [misbehaves](Behaviour)
//! when it is told to: for all payments whose nonce begins so, or for [everything](Fault). What
//! counts in the end is its [chain](FakeFacilitator::chain), where each authorization moves money
//! once at most, and which does not lie. Over HTTP it is at `GET /__chain`, what was asked at
//! `GET /__log?path=/settle&contains=0xc0de`, and what a nonce is to do is told at
//! `POST /__behave` with `{"prefix", "behaviour"}`.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use bindu_testkit::fake_facilitator::{Behaviour, FakeFacilitator};
//!
//! let facilitator = FakeFacilitator::start().await?;
//! facilitator.behave("0x0001", Behaviour::SettledThen500);
//! // … an agent with `X402__FACILITATOR_URL` set to `facilitator.url()` is paid …
//! assert!(facilitator.chain().is_empty(), "it has not yet been");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a nonce does by itself:
//!
//! | nonce | does |
//! |---|---|
//! | `0xbad0…` | [`Behaviour::VerifyNo`] |
//! | `0xfa11…` | [`Behaviour::SettleNo`] |
//! | `0xcdcd…` | [`Behaviour::Hang`] |
//! | `0x71e0…` | [`Behaviour::SettledThenHang`] |
//! | `0x5e77…` | [`Behaviour::SettledThen500`] |
//! | `0xc105…` | [`Behaviour::SettledThenClosed`] |
//! | `0xdead…` | [`Behaviour::Closed`] |
//! | `0xf1a0…` | [`Behaviour::FirstFails`] |
//! | `0x11e0…` | [`Behaviour::OtherPayer`] |
//! | `0x11e1…` | [`Behaviour::NoTransaction`] |
//! | `0x11e2…` | [`Behaviour::OtherNetwork`] |
//! | `0x11e3…` | [`Behaviour::SettledSaysNo`] |
//! | `0x11e4…` | [`Behaviour::VerifyOtherPayer`] |
//! | any other | both say yes, and the money moves |
//!
//! An authorization that comes again after its money moved is told the same as the first time, if
//! that was a yes. With `99` as its third byte (`0x5e7799…`) it is refused instead, by `/verify`
//! too: `nonce already used`; and so is everything after
//! [`refuse_repeats`](FakeFacilitator::refuse_repeats).

mod answer;
mod behaviour;
mod chain;
mod log;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use self::answer::{Answer, World};
pub use self::behaviour::Behaviour;
pub use self::chain::Moved;
use self::log::{Log, Seen};

/// How long something that hangs does so, unless it is told otherwise.
const HANG: Duration = Duration::from_secs(3);

/// A facilitator that is not one, on a free port of the loopback address. Dropped, it is gone.
#[derive(Debug)]
pub struct FakeFacilitator {
    url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// How it fails, whatever it is asked. It goes on keeping what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every connection is closed as soon as something is asked on it.
    Down,
    /// Answers come this much later than they could. What is asked is done at once.
    Slow(Duration),
    /// Every answer has this status, and no news in it; nothing is done.
    Status(StatusCode),
    /// Every answer is 200, and says in HTML that there is something to log in to; nothing is
    /// done.
    NotJson,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    log: Mutex<Log>,
    fault: Mutex<Option<Fault>>,
    hang: Mutex<Duration>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeFacilitator {
    /// Starts one on a free port. Needs a runtime of tokio, with I/O and time.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub async fn start() -> io::Result<Self> {
        Self::start_at(0).await
    }

    /// Starts one on this port: where another one was, for example. Its chain is a new one.
    ///
    /// # Errors
    ///
    /// The port is taken.
    pub async fn start_at(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            world: Mutex::default(),
            log: Mutex::default(),
            fault: Mutex::default(),
            hang: Mutex::new(HANG),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { url, shared, server })
    }

    /// Its address, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Fails from now on, or no longer. `/__log`, `/__chain` and `/__behave` are always answered.
    pub fn fail(&self, fault: Option<Fault>) {
        *lock(&self.shared.fault) = fault;
    }

    /// From now on, this is what payments do whose nonce begins so. Of several beginnings the
    /// longest counts, then the latest; the empty one is all.
    pub fn behave(&self, nonce_prefix: &str, behaviour: Behaviour) {
        lock(&self.shared.world).behave(nonce_prefix, behaviour);
    }

    /// From now on, an authorization whose money moved is refused when it comes again.
    pub fn refuse_repeats(&self, refuse: bool) {
        lock(&self.shared.world).refuse_repeats = refuse;
    }

    /// How long something that hangs does so. At first 3 s.
    pub fn hang_for(&self, time: Duration) {
        *lock(&self.shared.hang) = time;
    }

    /// What `/supported` answers from now on. At first: `exact` on Base and Base Sepolia.
    pub fn support(&self, kinds: Value) {
        lock(&self.shared.world).supported = kinds;
    }

    /// The money that really moved, in order.
    #[must_use]
    pub fn chain(&self) -> Vec<Moved> {
        lock(&self.shared.world).chain.all().to_vec()
    }

    /// Whether money moved for an authorization with this nonce.
    #[must_use]
    pub fn has_moved(&self, nonce: &str) -> bool {
        self.chain().iter().any(|moved| moved.nonce.eq_ignore_ascii_case(nonce))
    }

    /// What it was asked, in order: `{"method", "path", "body"}`, the path without its query.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        lock(&self.shared.log).all().map(Seen::to_value).collect()
    }

    /// How often it was asked this.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        lock(&self.shared.log).all().filter(|seen| seen.is(method, path)).count()
    }

    /// How often it was asked this about an authorization with this nonce.
    #[must_use]
    pub fn count_for(&self, path: &str, nonce: &str) -> usize {
        lock(&self.shared.log).all().filter(|seen| seen.path == path && seen.says(nonce)).count()
    }
}

impl Drop for FakeFacilitator {
    fn drop(&mut self) {
        // Its connections go with it.
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
            // A client that goes away is none of its business; nor is one that it turns away.
            let _gone = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Closed {
    #[error("it is down")]
    Down,
    #[error("the request did not come whole")]
    Half(#[from] hyper::Error),
}

async fn respond(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    let seen = Seen::new(&head, &body.collect().await?.to_bytes());
    match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "/__log") => return Ok(json(StatusCode::OK, &lock(&shared.log).answer(query))),
        ("GET", "/__chain") => {
            return Ok(json(StatusCode::OK, &lock(&shared.world).chain.answer(query)));
        }
        ("POST", "/__behave") => {
            let told = lock(&shared.world).be_told(&seen.body);
            let status = if told { StatusCode::NO_CONTENT } else { StatusCode::BAD_REQUEST };
            return Ok(json(status, &Value::Null));
        }
        _ => lock(&shared.log).keep(seen.clone()),
    }
    let fault = *lock(&shared.fault);
    match fault {
        Some(Fault::Down) => return Err(Closed::Down),
        Some(Fault::Status(status)) => {
            return Ok(json(status, &serde_json::json!({ "error": "temporarily_unavailable" })));
        }
        Some(Fault::NotJson) => {
            let mut response = Response::new(Full::from("<html>Please log in</html>"));
            let kind = header::HeaderValue::from_static("text/html");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            return Ok(response);
        }
        Some(Fault::Slow(_)) | None => {}
    }
    let answer = lock(&shared.world).answer(&seen);
    if let Some(Fault::Slow(time)) = fault {
        tokio::time::sleep(time).await;
    }
    match answer {
        Answer::Now(status, body) => Ok(json(status, &body)),
        Answer::Late => {
            let hang = *lock(&shared.hang);
            tokio::time::sleep(hang).await;
            Ok(json(StatusCode::INTERNAL_SERVER_ERROR, &answer::broken()))
        }
        Answer::Never => Err(Closed::Down),
    }
}

fn json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
