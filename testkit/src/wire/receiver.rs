//! A receiver of webhooks on the loopback address.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_LENGTH, HeaderMap},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use regex::Regex;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time,
};

use super::json::{Json, Style, insert};

static ANSWER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\A/(status|flaky)/(\d+)/").expect("the pattern is a constant"));

/// Takes what arrives, in order.
///
/// It answers 200; under `/status/NNN/` that status, and under `/flaky/N/` 503 to
/// the first N requests of the same path.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) url: String,
    inbox: Arc<Inbox>,
    server: JoinHandle<()>,
}

/// Which webhooks a step waits for, and how long.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// What the path opens with.
    pub(super) prefix: &'a str,
    pub(super) count: f64,
    pub(super) timeout: Duration,
    /// How long to go on listening after enough have come.
    pub(super) settle: Duration,
    /// A text that the body, written as JSON, contains.
    pub(super) body_has: Option<&'a str>,
}

impl Receiver {
    /// Listens on `port`, or on any free one if it is 0.
    pub(super) async fn start(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let inbox = Arc::new(Inbox { items: Mutex::default(), arrived: watch::Sender::new(()) });
        let server = tokio::spawn(serve(listener, Arc::clone(&inbox)));
        Ok(Self { url, inbox, server })
    }

    /// Waits until enough have come, or the time is over; gives all that fit.
    pub(super) async fn wait(&self, wanted: &Wanted<'_>) -> Vec<Json> {
        let mut arrived = self.inbox.arrived.subscribe();
        let enough = async {
            #[expect(clippy::cast_precision_loss, reason = "a handful of webhooks")]
            while (self.inbox.select(wanted).len() as f64) < wanted.count {
                if arrived.changed().await.is_err() {
                    break;
                }
            }
        };
        // Too few is for the comparison to report.
        let _elapsed = time::timeout(wanted.timeout, enough).await;
        time::sleep(wanted.settle).await;
        self.inbox.select(wanted)
    }

    /// Stops listening; the port is free again afterwards.
    pub(super) async fn stop(self) {
        self.server.abort();
        let _cancelled = self.server.await;
    }
}

#[derive(Debug)]
struct Inbox {
    items: Mutex<Vec<Json>>,
    arrived: watch::Sender<()>,
}

impl Inbox {
    fn select(&self, wanted: &Wanted<'_>) -> Vec<Json> {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |item: &&Json| {
            path(item).starts_with(wanted.prefix)
                && wanted.body_has.is_none_or(|text| {
                    item.get("body")
                        .is_some_and(|body| body.to_text(Style::SEARCHED).contains(text))
                })
        };
        items.iter().filter(fits).cloned().collect()
    }

    /// Keeps a request and counts those that came to its path so far.
    fn keep(&self, item: Json) -> usize {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let same = items.iter().filter(|known| path(known) == path(&item)).count() + 1;
        items.push(item);
        drop(items);
        self.arrived.send_replace(());
        same
    }
}

fn path(item: &Json) -> &str {
    item.get("path").and_then(Json::as_str).unwrap_or_default()
}

async fn serve(listener: TcpListener, inbox: Arc<Inbox>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let inbox = Arc::clone(&inbox);
        connections.spawn(async move {
            let service = service_fn(move |request| receive(request, Arc::clone(&inbox)));
            // A client that goes away in the middle has sent no webhook.
            let _gone = http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn receive(
    request: Request<Incoming>,
    inbox: Arc<Inbox>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let status = if [Method::POST, Method::PUT, Method::GET].contains(&head.method) {
        // Only a body whose length is stated is read.
        let raw = match body.collect().await {
            Ok(body) if head.headers.contains_key(CONTENT_LENGTH) => body.to_bytes(),
            _ => Bytes::new(),
        };
        let text = String::from_utf8_lossy(&raw).into_owned();
        let path = head.uri.to_string();
        let item = Json::Object(vec![
            ("method".to_owned(), Json::string("POST")),
            ("path".to_owned(), Json::string(path.as_str())),
            ("body".to_owned(), Json::parse(&text).unwrap_or(Json::String(text))),
            ("headers".to_owned(), kept_headers(&head.headers)),
        ]);
        status_for(&path, inbox.keep(item))
    } else {
        StatusCode::NOT_IMPLEMENTED
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

/// The headers worth comparing; the others depend on the HTTP client.
fn kept_headers(headers: &HeaderMap) -> Json {
    let mut kept = Vec::new();
    for (name, value) in headers {
        let name = name.as_str();
        if name == "content-type" || name == "authorization" || name.starts_with("x-") {
            let value: String = value.as_bytes().iter().copied().map(char::from).collect();
            insert(&mut kept, name.to_owned(), Json::String(value));
        }
    }
    Json::Object(kept)
}

fn status_for(path: &str, count: usize) -> StatusCode {
    let Some(found) = ANSWER.captures(path) else { return StatusCode::OK };
    let number = &found[2];
    if &found[1] == "status" {
        return StatusCode::from_bytes(number.as_bytes())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    }
    // A number that does not fit is more than will ever come.
    let fails = number.parse().map_or(true, |fails: usize| count <= fails);
    if fails { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Json, Receiver, Wanted, status_for};
    use crate::wire::http::Call;

    #[test]
    fn the_path_says_what_is_answered() {
        let status = |path: &str, count| status_for(path, count).as_u16();
        assert_eq!(status("/hook", 1), 200);
        assert_eq!(status("/status/503/x", 9), 503);
        assert_eq!(status("/status/503", 1), 200);
        assert_eq!([1, 2, 3].map(|count| status("/flaky/2/x", count)), [503, 503, 200]);
    }

    #[tokio::test]
    async fn what_arrives_is_kept_in_order_with_the_headers_that_count() {
        let receiver = Receiver::start(0).await.unwrap();
        for number in 1..=3 {
            let body = Json::Object(vec![("n".to_owned(), Json::Int(number))]);
            let path = if number == 2 { "/flaky/1/a" } else { "/a" };
            let mut call = Call::post(&receiver.url, path, &body);
            call.headers.push(("Authorization".to_owned(), "Bearer t".to_owned()));
            call.headers.push(("X-Id".to_owned(), "7".to_owned()));
            call.headers.push(("User-Agent".to_owned(), "test".to_owned()));
            let answer = call.send(Duration::from_secs(5)).await.unwrap();
            assert_eq!(answer.status, if number == 2 { 503 } else { 200 });
        }
        let wanted = Wanted {
            prefix: "/a",
            count: 2.0,
            timeout: Duration::from_secs(5),
            settle: Duration::ZERO,
            body_has: None,
        };
        let item = |number: i32| {
            Json::parse(&format!(
                r#"{{"method":"POST","path":"/a","body":{{"n":{number}}},"headers":{{"content-type":"application/json","authorization":"Bearer t","x-id":"7"}}}}"#
            ))
            .unwrap()
        };
        let came = receiver.wait(&wanted).await;
        assert!(Json::Array(came).equals(&Json::Array(vec![item(1), item(3)])));
        let came =
            receiver.wait(&Wanted { count: 1.0, body_has: Some("\"n\": 3"), ..wanted }).await;
        assert!(Json::Array(came).equals(&Json::Array(vec![item(3)])));
        receiver.stop().await;
    }
}
