//! What the tests share: a small Hydra whose answers can be spoiled, and a clock that is set
//! by hand.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bindu_http::client::Client;
use bindu_http::server::{Config as ServerConfig, Server, Shutdown};
use bindu_http::{Body, read_body};
use bindu_hydra::{Clock, Config, Hydra};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What is answered instead of the truth.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, and a page for humans.
    Status(u16),
    /// 503, to try again after so many seconds.
    RetryAfter(u32),
    /// 200, and a page for humans.
    NotJson,
    /// 200, and JSON of another kind.
    OtherJson,
    /// Half an answer.
    Cut,
    /// Nothing, ever.
    Silence,
    /// The truth, but the client never hears of it: 502.
    Unheard,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) body: Carried,
}

/// What a request carried.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Carried {
    Form(BTreeMap<String, String>),
    Json(Value),
    None,
}

impl Call {
    pub(crate) fn form(&self, name: &str) -> Option<&str> {
        match &self.body {
            Carried::Form(fields) => fields.get(name).map(String::as_str),
            _ => None,
        }
    }

    pub(crate) fn is(&self, method: &Method, path: &str) -> bool {
        self.method == *method && self.path.starts_with(path)
    }
}

struct State {
    clients: Mutex<BTreeMap<String, Value>>,
    /// What introspection says, by token.
    tokens: Mutex<BTreeMap<String, Value>>,
    issued: Mutex<u32>,
    /// How long an issued token lives, in seconds.
    life: Mutex<Option<u64>>,
    calls: Mutex<Vec<Call>>,
    /// One for each of the next requests whose path begins so.
    faults: Mutex<VecDeque<(&'static str, Fault)>>,
    /// For every request whose path begins so.
    always: Mutex<Option<(&'static str, Fault)>>,
    /// Each answer takes one.
    answers: Semaphore,
}

/// A Hydra of the test's own, both APIs at one address. Stopped when dropped.
pub(crate) struct FakeHydra {
    url: String,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl Drop for FakeHydra {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds this")
}

impl FakeHydra {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(State {
            clients: Mutex::default(),
            tokens: Mutex::default(),
            issued: Mutex::default(),
            life: Mutex::new(Some(3600)),
            calls: Mutex::default(),
            faults: Mutex::default(),
            always: Mutex::default(),
            answers: Semaphore::new(Semaphore::MAX_PERMITS / 2),
        });
        let server = Server::bind(ServerConfig::default(), "127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", server.local_addr());
        let shared = Arc::clone(&state);
        let service = tower::service_fn(move |request| {
            let state = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(state.answer(request).await) }
        });
        let serving = tokio::spawn(async move {
            server.serve(service, Shutdown::new()).await;
        });
        Self { url, state, serving }
    }

    /// Settings for impatient tests, which meet no breaker.
    pub(crate) fn config(&self) -> Config {
        let url: url::Url = self.url.parse().expect("an address");
        Config {
            min_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(2),
            failure_threshold: u32::MAX,
            ..Config::new(url.clone(), url)
        }
    }

    pub(crate) fn hydra(&self) -> Hydra {
        Hydra::new(&self.config(), Client::default()).expect("settings that can be used")
    }

    /// Where it listens, without the scheme.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    pub(crate) fn know_token(&self, token: &str, answer: Value) {
        lock(&self.state.tokens).insert(token.to_owned(), answer);
    }

    pub(crate) fn know_client(&self, client: Value) {
        let id = client["client_id"].as_str().expect("an id").to_owned();
        lock(&self.state.clients).insert(id, client);
    }

    pub(crate) fn forget_client(&self, id: &str) {
        lock(&self.state.clients).remove(id);
    }

    /// A client with its secret.
    pub(crate) fn client(&self, id: &str) -> Option<Value> {
        lock(&self.state.clients).get(id).cloned()
    }

    /// How long tokens live from now on; `None` leaves it unsaid.
    pub(crate) fn set_life(&self, seconds: Option<u64>) {
        *lock(&self.state.life) = seconds;
    }

    /// Spoils the next answer to a path that begins so, after those before it.
    pub(crate) fn spoil(&self, path: &'static str, fault: Fault) {
        lock(&self.state.faults).push_back((path, fault));
    }

    /// Spoils all answers to paths that begin so.
    pub(crate) fn spoil_all(&self, path: &'static str, fault: Fault) {
        *lock(&self.state.always) = Some((path, fault));
    }

    pub(crate) fn heal(&self) {
        *lock(&self.state.always) = None;
        lock(&self.state.faults).clear();
    }

    /// Lets no answer out until [`let_out`](Self::let_out).
    pub(crate) fn hold(&self) {
        self.state.answers.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn let_out(&self, answers: usize) {
        self.state.answers.add_permits(answers);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.state.calls).clone()
    }

    /// How often a path that begins so was called.
    pub(crate) fn count(&self, method: &Method, path: &str) -> usize {
        lock(&self.state.calls).iter().filter(|call| call.is(method, path)).count()
    }

    /// Waits until there were so many calls.
    pub(crate) async fn wait_for_calls(&self, calls: usize) {
        let enough = async {
            while lock(&self.state.calls).len() < calls {
                tokio::task::yield_now().await;
            }
        };
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, enough).await.expect("calls that never came");
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = read_body(body, 1 << 20).await.unwrap_or_default();
        let path = parts.uri.path_and_query().expect("a path").as_str().to_owned();
        let content_type = parts.headers.get("content-type").map(http::HeaderValue::as_bytes);
        let body = match content_type {
            Some(b"application/json") => {
                Carried::Json(serde_json::from_slice(&body).expect("JSON"))
            }
            Some(b"application/x-www-form-urlencoded") => {
                Carried::Form(url::form_urlencoded::parse(&body).into_owned().collect())
            }
            _ => Carried::None,
        };
        let call = Call { method: parts.method, path, body };
        lock(&self.calls).push(call.clone());
        if let Ok(turn) = self.answers.acquire().await {
            turn.forget();
        }
        match self.fault(&call.path) {
            None => self.truth(&call),
            Some(Fault::Status(status)) => page(status),
            Some(Fault::RetryAfter(seconds)) => {
                let mut answer = page(503);
                answer.headers_mut().insert("retry-after", seconds.into());
                answer
            }
            Some(Fault::NotJson) => page(200),
            Some(Fault::OtherJson) => json_answer(200, &json!(["unexpected"])),
            Some(Fault::Cut) => {
                let chunks = [Ok(Bytes::from_static(b"{\"active\":")), Err("cut")];
                Response::new(Body::try_stream(futures_util::stream::iter(chunks)))
            }
            Some(Fault::Silence) => future::pending().await,
            Some(Fault::Unheard) => {
                self.truth(&call);
                page(502)
            }
        }
    }

    fn fault(&self, path: &str) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        if let Some(at) = faults.iter().position(|(prefix, _)| path.starts_with(prefix)) {
            return faults.remove(at).map(|(_, fault)| fault);
        }
        let always = lock(&self.always);
        always.as_ref().filter(|(prefix, _)| path.starts_with(prefix)).map(|(_, f)| f.clone())
    }

    fn truth(&self, call: &Call) -> Response<Body> {
        let (path, _) = call.path.split_once('?').unwrap_or((&call.path, ""));
        match (call.method.as_str(), path) {
            ("GET", "/health/ready") => json_answer(200, &json!({ "status": "ok" })),
            ("POST", "/admin/oauth2/introspect") => {
                let tokens = lock(&self.tokens);
                let found = call.form("token").and_then(|token| tokens.get(token));
                json_answer(200, found.unwrap_or(&json!({ "active": false })))
            }
            ("POST", "/oauth2/token") => self.token(call),
            ("POST", "/oauth2/revoke") => {
                lock(&self.tokens).remove(call.form("token").unwrap_or_default());
                json_answer(200, &json!({}))
            }
            ("POST", "/admin/clients") => {
                let Carried::Json(client) = &call.body else { return page(400) };
                let id = client["client_id"].as_str().unwrap_or_default().to_owned();
                let mut clients = lock(&self.clients);
                if clients.contains_key(&id) {
                    return json_answer(409, &json!({ "error": "conflict" }));
                }
                clients.insert(id, client.clone());
                json_answer(201, client)
            }
            (method, path) => match path.strip_prefix("/admin/clients/") {
                Some(id) => self.client(method, id, call),
                None => page(404),
            },
        }
    }

    fn client(&self, method: &str, id: &str, call: &Call) -> Response<Body> {
        let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy().into_owned();
        let mut clients = lock(&self.clients);
        let Some(client) = clients.get_mut(&id) else {
            return json_answer(404, &json!({ "error": "Unable to locate the resource" }));
        };
        match (method, &call.body) {
            ("GET", _) => {
                let mut public = client.clone();
                public.as_object_mut().expect("an object").remove("client_secret");
                json_answer(200, &public)
            }
            ("PUT", Carried::Json(new)) => {
                *client = new.clone();
                json_answer(200, new)
            }
            ("DELETE", _) => {
                clients.remove(&id);
                let mut gone = Response::new(Body::empty());
                *gone.status_mut() = StatusCode::NO_CONTENT;
                gone
            }
            _ => page(405),
        }
    }

    fn token(&self, call: &Call) -> Response<Body> {
        let clients = lock(&self.clients);
        let client = call.form("client_id").and_then(|id| clients.get(id));
        let secret = call.form("client_secret").unwrap_or_default();
        if client.is_none_or(|client| client["client_secret"] != secret) {
            // Hydra would not repeat the secret; whatever does must not get it into a log.
            let about = format!("Client authentication failed for {secret}.");
            return json_answer(
                401,
                &json!({ "error": "invalid_client", "error_description": about }),
            );
        }
        let mut issued = lock(&self.issued);
        *issued += 1;
        let mut answer = json!({
            "access_token": format!("ory_at_{issued}"),
            "token_type": "bearer",
            "scope": call.form("scope").unwrap_or_default(),
        });
        if let Some(life) = *lock(&self.life) {
            answer["expires_in"] = json!(life);
        }
        json_answer(200, &answer)
    }
}

fn page(status: u16) -> Response<Body> {
    let mut answer = Response::new(Body::from("<html>an answer for humans</html>"));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

fn json_answer(status: u16, body: &Value) -> Response<Body> {
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

/// A clock that stands still until it is set.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<Mutex<SystemTime>>);

/// When test clocks begin, in seconds since 1970.
pub(crate) const START: i64 = 1_800_000_000;

impl TestClock {
    pub(crate) fn new() -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(START.unsigned_abs());
        Self(Arc::new(Mutex::new(start)))
    }

    pub(crate) fn clock(&self) -> Clock {
        let this = self.clone();
        Arc::new(move || *lock(&this.0))
    }

    pub(crate) fn advance(&self, seconds: u64) {
        *lock(&self.0) += Duration::from_secs(seconds);
    }

    pub(crate) fn set_back(&self, seconds: u64) {
        *lock(&self.0) -= Duration::from_secs(seconds);
    }
}
