//! A server that gives the answers it was told, and remembers what it was asked.

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, body::Incoming, client, header::HOST, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Answers by `METHOD /path`, in order; the last of a list stays. Everything else
/// is 404. Dropped, it stops.
#[derive(Debug)]
pub(crate) struct Canned {
    pub(crate) url: String,
    state: Arc<State>,
    _server: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    answers: Mutex<HashMap<String, Vec<Value>>>,
    sent: Mutex<Vec<String>>,
}

impl Canned {
    pub(crate) async fn start(answers: &Value) -> Result<Self, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let answers = Mutex::new(serde_json::from_value(answers.clone())?);
        let state = Arc::new(State { answers, sent: Mutex::default() });
        let mut server = JoinSet::new();
        let shared = Arc::clone(&state);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(request, Arc::clone(&state)));
                    // An answer that is an error closes the connection without one.
                    let _closed =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { url, state, _server: server })
    }

    /// Every request so far: `METHOD /path body`.
    pub(crate) fn sent(&self) -> Vec<String> {
        self.state.sent.lock().expect("no answer panics").clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, BoxError> {
    let (head, body) = request.into_parts();
    let body = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
    let line = format!("{} {}", head.method, head.uri);
    state.sent.lock().expect("no answer panics").push(format!("{line} {body}"));
    let answer = {
        let mut answers = state.answers.lock().expect("no answer panics");
        match answers.get_mut(&line) {
            Some(list) if list.len() > 1 => list.remove(0),
            Some(list) => list.first().cloned().unwrap_or_default(),
            None => serde_json::json!({"status": 404, "text": ""}),
        }
    };
    if answer.get("close").is_some() {
        return Err("closed as the case says".into());
    }
    for webhook in answer["webhooks"].as_array().into_iter().flatten() {
        let url = serde_json::from_str::<Value>(&body)?["url"].as_str().unwrap_or("").to_owned();
        post(&url, webhook).await?;
    }
    let status = answer["status"].as_u64().unwrap_or(200);
    let mut response = Response::builder().status(u16::try_from(status)?);
    let text = if let Some(body) = answer.get("body") {
        if answer["headers"].get("content-type").is_none() {
            response = response.header("content-type", "application/json");
        }
        body.to_string()
    } else {
        answer["text"].as_str().unwrap_or("").to_owned()
    };
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        response = response.header(name, value.as_str().unwrap_or(""));
    }
    Ok(response.body(Full::new(Bytes::from(text)))?)
}

async fn post(url: &str, webhook: &Value) -> Result<(), BoxError> {
    let uri: hyper::Uri = url.parse()?;
    let authority = uri.authority().ok_or("a webhook needs a whole address")?.as_str();
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut request = Request::post(uri.path())
        .header(HOST, authority)
        .header("content-type", "application/json");
    for (name, value) in webhook["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap_or(""));
    }
    let body = Full::new(Bytes::from(webhook["body"].to_string()));
    sender.send_request(request.body(body)?).await?;
    Ok(())
}
