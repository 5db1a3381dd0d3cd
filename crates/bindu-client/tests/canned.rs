//! An agent that answers what it is told to, and remembers what it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bindu_client::Client;
use bindu_http::client::RetryPolicy;
use bindu_http::server::{Config, Server, Shutdown};
use bindu_http::{Body, read_body};
use bindu_protocol::Dialect;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) bytes: Bytes,
    pub(crate) query: Option<String>,
}

impl Seen {
    pub(crate) fn rpc(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    pub(crate) fn params(&self) -> &Value {
        &self.body["params"]
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The right envelope around a result.
    pub(crate) fn result(&self, result: &Value) -> Response<Body> {
        answer(200, &json!({ "jsonrpc": "2.0", "id": self.body["id"], "result": result }))
    }

    pub(crate) fn error(&self, status: u16, code: i32) -> Response<Body> {
        let error = json!({ "code": code, "message": "no" });
        answer(status, &json!({ "jsonrpc": "2.0", "id": self.body["id"], "error": error }))
    }

    /// An event in the envelope that A2A 0.3 has.
    pub(crate) fn wrap(&self, event: &Value) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.body["id"], "result": event })
    }
}

pub(crate) fn answer(status: u16, body: &Value) -> Response<Body> {
    text(status, "application/json", body.to_string())
}

pub(crate) fn text(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

/// How an event stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Clean,
    Broken,
}

/// Events, each with an id or none.
pub(crate) fn events(events: &[(Option<u64>, Value)], end: End) -> Response<Body> {
    let mut pieces: Vec<Result<Frame<Bytes>>> = Vec::new();
    for (id, event) in events {
        let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
        pieces.push(Ok(Frame::data(Bytes::from(format!("{id}data: {event}\n\n")))));
    }
    let pieces = stream::iter(pieces);
    let broken = stream::once(async {
        // What came before leaves while there is nothing to send, even if only for a moment.
        tokio::task::yield_now().await;
        Err("broken on purpose".into())
    });
    let pieces = match end {
        End::Clean => pieces.left_stream(),
        End::Broken => pieces.chain(broken).right_stream(),
    };
    let mut response = Response::new(Body::wrap(StreamBody::new(pieces)));
    let kind = http::HeaderValue::from_static("text/event-stream; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub(crate) struct Canned {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    shutdown: Shutdown,
    _serving: JoinHandle<()>,
}

impl Canned {
    /// `answer` is given each request, and how many came before it.
    pub(crate) async fn start(
        answer: impl Fn(&Seen, usize) -> Response<Body> + Send + Sync + 'static,
    ) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            async move {
                let (head, body) = request.into_parts();
                let body = read_body(body, 10 * 1024 * 1024).await.unwrap_or_default();
                let request = Seen {
                    method: head.method,
                    path: head.uri.path().to_owned(),
                    headers: head.headers,
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                    bytes: body,
                    query: head.uri.query().map(str::to_owned),
                };
                let before = {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.push(request.clone());
                    log.len() - 1
                };
                Ok::<_, Infallible>(answer(&request, before))
            }
        });
        let server = Server::bind(Config::default(), "127.0.0.1:0").await?;
        let url = format!("http://{}", server.local_addr());
        let shutdown = Shutdown::new();
        let serving = server.serve(service, shutdown.clone());
        let serving = tokio::spawn(async move {
            let _ = serving.await;
        });
        Ok(Self { url, seen, shutdown, _serving: serving })
    }

    pub(crate) fn client(&self, dialect: Dialect) -> Result<Client> {
        Ok(Client::builder(&self.url).dialect(dialect).retry(hasty()).build()?)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        self.shutdown.drain(Duration::ZERO);
    }
}

/// As by default, but without pauses that a test would have to wait for.
pub(crate) fn hasty() -> RetryPolicy {
    RetryPolicy {
        min_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(2),
        ..RetryPolicy::default()
    }
}

pub(crate) fn camel_task(id: &str, state: &str) -> Value {
    json!({ "id": id, "contextId": "c-1", "kind": "task", "status": { "state": state } })
}

pub(crate) fn snake_task(id: &str, state: &str) -> Value {
    json!({ "id": id, "context_id": "c-1", "kind": "task", "status": { "state": state } })
}
