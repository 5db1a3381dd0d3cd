//! A stand-in for Hydra, with the clients and tokens of the recorded conversations.
//!
//! It answers what an agent asks a Hydra: its own client, introspection, tokens. Every request is
//! kept and can be asked for, by a test or at `GET /__log?method=POST&path=/admin/clients`; and it
//! [fails](Fault) when it is told to.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use bindu_testkit::fake_hydra::{FakeHydra, Fault};
//!
//! let hydra = FakeHydra::start().await?;
//! // … an agent with `HYDRA__ADMIN_URL` set to `hydra.admin_url()` asks for the token `tok-good` …
//! assert_eq!(hydra.count("POST", "/admin/oauth2/introspect"), 0, "it has not yet");
//! hydra.fail(Some(Fault::Down));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | token | belongs to |
//! |---|---|
//! | `tok-good`, `tok-other` | DIDs with a key: the seed is SHA-256 of `wire-fixture:caller-good`, `…-other` |
//! | `tok-nokey`, `tok-badkey`, `tok-unregistered` | DIDs whose client has no key, no valid one, or is not there |
//! | `tok-service`, `tok-cached` | `service-client`, which is no DID |
//! | `tok-readonly`, `tok-noscope`, `tok-sensitive` | the same, with fewer scopes, none, or one more (`admin`) |
//! | `tok-expired`, `tok-noexp`, `tok-nosub` | the same, too late or incomplete |
//! | `tok-human` | a person, through `web-app` |
//!
//! A suffix after a dot makes a fresh token of the same kind (`tok-good.1`). Asked for a token that
//! begins with `tok-hydra-500`, it fails; every other token is inactive.

mod answer;
mod log;
mod world;

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

use self::answer::Answer;
use self::log::{Log, Seen};
use self::world::World;

/// A Hydra that is not one, on two free ports of the loopback address. Dropped, it is gone.
#[derive(Debug)]
pub struct FakeHydra {
    admin_url: String,
    public_url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// How it fails. It goes on keeping what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every connection is closed as soon as something is asked on it.
    Down,
    /// Answers come this much later than they could.
    Slow(Duration),
    /// Every answer has this status, and no news in it.
    Status(StatusCode),
    /// Every answer is 200, and says in HTML that there is something to log in to.
    NotJson,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    log: Mutex<Log>,
    fault: Mutex<Option<Fault>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeHydra {
    /// Starts one on free ports. Needs a runtime of tokio, with I/O and time.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub async fn start() -> io::Result<Self> {
        Self::start_at(0, 0).await
    }

    /// Starts one on these ports: where another one was, for example.
    ///
    /// # Errors
    ///
    /// A port is taken.
    pub async fn start_at(admin_port: u16, public_port: u16) -> io::Result<Self> {
        let bind = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let (admin, public) = (bind(admin_port).await?, bind(public_port).await?);
        let admin_url = format!("http://{}", admin.local_addr()?);
        let public_url = format!("http://{}", public.local_addr()?);
        let shared = Arc::new(Shared {
            world: Mutex::new(World::recorded(&public_url)),
            log: Mutex::default(),
            fault: Mutex::default(),
        });
        let server = tokio::spawn(serve([admin, public], Arc::clone(&shared)));
        Ok(Self { admin_url, public_url, shared, server })
    }

    /// Where administrators reach it. Both doors answer everything.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Where everybody reaches it; the issuer of its tokens.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Fails from now on, or no longer. `/__log` is always answered.
    pub fn fail(&self, fault: Option<Fault>) {
        *lock(&self.shared.fault) = fault;
    }

    /// What it was asked, in order: `{"method", "path", "headers", "body"}`. The path comes with
    /// its query and without percent-encoding; of the headers, content-type, accept and
    /// authorization are kept; a form is an object.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        lock(&self.shared.log).all().map(Seen::to_value).collect()
    }

    /// How often it was asked this.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        lock(&self.shared.log).all().filter(|seen| seen.is(method, path)).count()
    }

    /// How often it was asked about this token.
    #[must_use]
    pub fn introspections(&self, token: &str) -> usize {
        let log = lock(&self.shared.log);
        log.all()
            .filter(|seen| seen.is("POST", answer::INTROSPECT) && seen.has("token", token))
            .count()
    }

    /// A client as it was last written, with its secret.
    #[must_use]
    pub fn client(&self, id: &str) -> Option<Value> {
        lock(&self.shared.world).clients.get(id).cloned()
    }

    /// Writes a client, which has to have a `client_id`; one with the same is replaced.
    pub fn put_client(&self, client: Value) {
        if let Some(id) = client["client_id"].as_str() {
            let id = id.to_owned();
            lock(&self.shared.world).clients.insert(id, client);
        }
    }

    /// Removes a client.
    pub fn remove_client(&self, id: &str) {
        lock(&self.shared.world).clients.remove(id);
    }

    /// From now on, introspection of this token (and of it with a suffix after a dot) gives this.
    pub fn put_token(&self, token: &str, introspection: Value) {
        lock(&self.shared.world).tokens.insert(token.to_owned(), introspection);
    }
}

impl Drop for FakeHydra {
    fn drop(&mut self) {
        // Its connections go with it.
        self.server.abort();
    }
}

async fn serve([admin, public]: [TcpListener; 2], shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = admin.accept() => accepted,
            accepted = public.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
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
    let seen = Seen::new(&head, &body.collect().await?.to_bytes());
    if head.uri.path() == log::PATH {
        return Ok(json(lock(&shared.log).answer(&head)));
    }
    lock(&shared.log).keep(seen.clone());
    let fault = *lock(&shared.fault);
    match fault {
        Some(Fault::Down) => return Err(Closed::Down),
        Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
        Some(Fault::Status(status)) => {
            return Ok(json(Answer::error(status, "temporarily_unavailable")));
        }
        Some(Fault::NotJson) => {
            let mut response = Response::new(Full::from("<html>Please log in</html>"));
            let kind = header::HeaderValue::from_static("text/html");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            return Ok(response);
        }
        None => {}
    }
    Ok(json(lock(&shared.world).answer(&head, &seen)))
}

fn json(answer: Answer) -> Response<Full<Bytes>> {
    let body = answer.body.map(|body| body.to_string());
    let mut response = Response::new(Full::from(body.clone().unwrap_or_default()));
    *response.status_mut() = answer.status;
    if body.is_some() {
        let kind = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

#[cfg(test)]
mod tests;
