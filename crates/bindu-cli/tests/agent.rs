//! An agent that answers what it is told to, and remembers what it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bindu_http::server::{Config, Server, Shutdown};
use bindu_http::{Body, read_body};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::run::Result;

/// One JSON-RPC request, or the path of another.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) bytes: Bytes,
}

impl Seen {
    pub(crate) fn rpc(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn message(&self) -> &Value {
        &self.body["params"]["message"]
    }

    pub(crate) fn result(&self, result: &Value) -> Response<Body> {
        answer(200, &json!({ "jsonrpc": "2.0", "id": self.body["id"], "result": result }))
    }

    pub(crate) fn error(&self, code: i32, message: &str) -> Response<Body> {
        let error = json!({ "code": code, "message": message });
        answer(200, &json!({ "jsonrpc": "2.0", "id": self.body["id"], "error": error }))
    }

    /// A stream of these events, numbered from 1, as A2A 0.3 has it.
    pub(crate) fn stream(&self, events: &[Value]) -> Response<Body> {
        let mut text = String::new();
        for (i, event) in events.iter().enumerate() {
            let event = json!({ "jsonrpc": "2.0", "id": self.body["id"], "result": event });
            text.extend(["id: ", &(i + 1).to_string(), "\ndata: ", &event.to_string(), "\n\n"]);
        }
        with_type("text/event-stream", text)
    }
}

pub(crate) fn answer(status: u16, body: &Value) -> Response<Body> {
    let mut response = with_type("application/json", body.to_string());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

fn with_type(kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

pub(crate) struct Agent {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    shutdown: Shutdown,
}

impl Agent {
    /// `answer` is given each request, and how many JSON-RPC requests came before. The card is
    /// that of a plain A2A agent.
    pub(crate) async fn start(
        reply: impl Fn(&Seen, usize) -> Response<Body> + Send + Sync + 'static,
    ) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Vec::<Seen>::new()));
        let (log, reply) = (Arc::clone(&seen), Arc::new(reply));
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let (log, reply) = (Arc::clone(&log), Arc::clone(&reply));
            async move {
                let (head, body) = request.into_parts();
                let body = read_body(body, 10 * 1024 * 1024).await.unwrap_or_default();
                let request = Seen {
                    path: head.uri.path().to_owned(),
                    headers: head.headers,
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                    bytes: body,
                };
                if request.path == "/.well-known/agent-card.json" {
                    return Ok::<_, Infallible>(answer(200, &card()));
                }
                let before = {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.push(request.clone());
                    log.len() - 1
                };
                Ok(reply(&request, before))
            }
        });
        let server = Server::bind(Config::default(), "127.0.0.1:0").await?;
        let url = format!("http://{}", server.local_addr());
        let shutdown = Shutdown::new();
        tokio::spawn(server.serve(service, shutdown.clone()));
        Ok(Self { url, seen, shutdown })
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shutdown.drain(Duration::ZERO);
    }
}

fn card() -> Value {
    json!({
        "name": "echo", "description": "Says it \u{1b}[31magain.", "url": "http://elsewhere/",
        "version": "1.2.3", "protocolVersion": "0.3.0",
        "capabilities": { "streaming": true, "extensions": [{ "uri": "did:bindu:a:b:c" }] },
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "skills": [{ "id": "echo-v1", "name": "echo", "description": "Repeats.", "tags": [] }],
    })
}

/// A task in a state, with an answer if there is one.
pub(crate) fn task(state: &str, said: Option<&str>) -> Value {
    let mut task = json!({ "id": "t-1", "contextId": "c-1", "kind": "task",
        "status": { "state": state, "timestamp": "2026-01-02T03:04:05Z" },
        "history": [{ "messageId": "m-1", "kind": "message", "role": "user",
                      "parts": [{ "kind": "text", "text": "hello" }] }] });
    if let Some(said) = said {
        let parts = json!([{ "kind": "text", "text": said }]);
        if state == "completed" {
            task["artifacts"] = json!([{ "artifactId": "a", "name": "result", "parts": parts }]);
        } else {
            task["status"]["message"] =
                json!({ "messageId": "m-2", "kind": "message", "role": "agent", "parts": parts });
        }
    }
    task
}

pub(crate) fn status(state: &str, is_final: bool) -> Value {
    json!({ "kind": "status-update", "taskId": "t-1", "contextId": "c-1", "final": is_final,
            "status": { "state": state } })
}

pub(crate) fn chunk(text: &str, append: bool, last: bool) -> Value {
    json!({ "kind": "artifact-update", "taskId": "t-1", "contextId": "c-1",
            "append": append, "lastChunk": last,
            "artifact": { "artifactId": "a", "parts": [{ "kind": "text", "text": text }] } })
}
