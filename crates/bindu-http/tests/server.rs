use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bindu_http::server::{Accepted, Acceptor, Config, RemoteAddr, Server};
use bindu_http::{Body, ReadBodyError, read_body};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tower::service_fn;

use crate::support::{PATIENCE, Result, Running, Wire, text, within};

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_connection_serves_many_requests_and_says_how_long_answers_are() -> Result {
    let running = Running::start(Config::default(), service_fn(async |_| text("hello"))).await?;
    let mut wire = Wire::connect(&running).await?;
    for _ in 0..3 {
        wire.send(GET).await?;
        let response = wire.response().await?;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.contains("content-length: 5\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nhello"), "{response}");
    }
    assert_eq!(running.stop().await?.cut, 0);
    Ok(())
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_with_431() -> Result {
    let config = Config { max_header_bytes: 4096, max_headers: 10, ..Config::default() };
    let running = Running::start(config, service_fn(async |_| text(""))).await?;
    let large = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(5000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: a\r\n".repeat(11));
    for head in [large, many] {
        let mut wire = Wire::connect(&running).await?;
        wire.send(&head).await?;
        let response = wire.rest().await?;
        assert!(response.starts_with("HTTP/1.1 431 "), "{response}");
    }
    running.stop().await?;
    Ok(())
}

/// Answers 413 to bodies beyond 1000 bytes, and 200 with the length otherwise.
async fn measure(request: Request<Incoming>) -> Result<Response<Body>, std::convert::Infallible> {
    match read_body(request.into_body(), 1000).await {
        Ok(body) => text(&body.len().to_string()),
        Err(error) => {
            let mut refused = Response::new(Body::from(error.to_string()));
            *refused.status_mut() = match error {
                ReadBodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            Ok(refused)
        }
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_peer_that_is_still_sending_its_body() -> Result {
    let running = Running::start(Config::default(), service_fn(measure)).await?;
    let announced = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2dc6c0\r\n";
    for head in [announced, chunked] {
        let mut wire = Wire::connect(&running).await?;
        wire.send(head).await?;
        within(wire.0.write_all(&[b'x'; 2000])).await??;
        let response = wire.response().await?;
        assert!(response.starts_with("HTTP/1.1 413 "), "{response:?}");
        assert!(response.ends_with("larger than 1000 bytes"), "{response:?}");
        // Had the server just closed, this would meet a reset.
        within(wire.0.write_all(&vec![b'x'; 3_000_000])).await??;
    }
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up() -> Result {
    let config = Config { header_read_timeout: SOON, ..Config::default() };
    let running = Running::start(config, service_fn(async |_| text("hello"))).await?;
    for start in ["", "GET / HT"] {
        let mut wire = Wire::connect(&running).await?;
        wire.send(start).await?;
        assert_eq!(wire.rest().await?, "", "{start:?}");
    }
    let mut second = Wire::connect(&running).await?;
    second.send(GET).await?;
    second.response().await?;
    second.send("GET / HT").await?;
    assert_eq!(second.rest().await?, "");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_is_closed() -> Result {
    let config = Config { idle_timeout: SOON, ..Config::default() };
    let running = Running::start(config, service_fn(async |_| text("hello"))).await?;
    let mut wire = Wire::connect(&running).await?;
    wire.send(GET).await?;
    wire.response().await?;
    assert_eq!(wire.rest().await?, "");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn draining_closes_the_idle_and_finishes_the_busy() -> Result {
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (begun, release) = (Arc::clone(&begun), Arc::clone(&release));
        service_fn(move |request: Request<Incoming>| {
            let (begun, release) = (Arc::clone(&begun), Arc::clone(&release));
            async move {
                if request.uri().path() == "/slow" {
                    begun.notify_one();
                    release.notified().await;
                }
                text("done")
            }
        })
    };
    let running = Running::start(Config::default(), slow).await?;
    let mut unused = Wire::connect(&running).await?;
    let mut idle = Wire::connect(&running).await?;
    idle.send(GET).await?;
    idle.response().await?;
    let mut busy = Wire::connect(&running).await?;
    busy.send("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await?;
    within(begun.notified()).await?;

    running.shutdown.drain(PATIENCE);
    assert_eq!(idle.rest().await?, "");
    assert_eq!(unused.rest().await?, "");
    assert!(TcpStream::connect(running.addr).await.is_err());
    release.notify_one();
    let response = busy.rest().await?;
    assert!(response.contains("connection: close\r\n"), "{response}");
    assert!(response.ends_with("done"), "{response}");
    assert_eq!(running.ended().await?.cut, 0);
    Ok(())
}

#[tokio::test]
async fn no_longer_accepting_leaves_open_connections_alone() -> Result {
    let running = Running::start(Config::default(), service_fn(async |_| text("hello"))).await?;
    let mut wire = Wire::connect(&running).await?;
    wire.send(GET).await?;
    wire.response().await?;
    running.shutdown.stop_accepting();
    within(async { while TcpStream::connect(running.addr).await.is_ok() {} }).await?;
    wire.send(GET).await?;
    let response = wire.response().await?;
    assert!(!response.contains("connection: close"), "{response}");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_not_done_at_the_deadline_is_cut() -> Result {
    let (begun, mut begins) = mpsc::channel(1);
    let stuck = service_fn(move |_| {
        let begun = begun.clone();
        async move {
            let _ = begun.send(()).await;
            std::future::pending::<()>().await;
            text("never")
        }
    });
    let running = Running::start(Config::default(), stuck).await?;
    let mut wire = Wire::connect(&running).await?;
    wire.send(GET).await?;
    within(begins.recv()).await?;
    running.shutdown.drain(PATIENCE * 10);
    // A second signal.
    running.shutdown.drain(Duration::ZERO);
    assert_eq!(running.ended().await?.cut, 1);
    assert_eq!(wire.rest().await?, "");
    Ok(())
}

#[tokio::test]
async fn an_endless_answer_can_end_when_the_drain_begins() -> Result {
    let server = Server::bind(Config::default(), "127.0.0.1:0").await?;
    let (begun, mut begins) = mpsc::channel(1);
    let running = Running::run(server.local_addr(), |shutdown| {
        let watched = shutdown.clone();
        let service = service_fn(move |_| {
            let (begun, shutdown) = (begun.clone(), watched.clone());
            async move {
                let _ = begun.send(()).await;
                let last = stream::once(async move {
                    shutdown.draining().await;
                    Bytes::from_static(b"bye")
                });
                Ok(Response::new(Body::stream(last)))
            }
        });
        tokio::spawn(server.serve(service, shutdown))
    });
    let mut wire = Wire::connect(&running).await?;
    wire.send(GET).await?;
    within(begins.recv()).await?;
    running.shutdown.drain(PATIENCE);
    let response = wire.rest().await?;
    assert!(response.contains("bye"), "{response}");
    assert_eq!(running.ended().await?.cut, 0);
    Ok(())
}

/// Says when it is dropped.
struct Dropped(mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_dropped() -> Result {
    let config = Config { write_stall_timeout: SOON, ..Config::default() };
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let endless = service_fn(move |_| {
        let guard = Dropped(dropped.clone());
        async move {
            let piece = Bytes::from(vec![0; 64 * 1024]);
            Ok(Response::new(Body::stream(stream::repeat_with(move || {
                let _held = &guard;
                piece.clone()
            }))))
        }
    });
    let running = Running::start(config, endless).await?;

    let mut wire = Wire::connect(&running).await?;
    wire.send(GET).await?;
    assert_eq!(within(drops.recv()).await?, Some(()), "HTTP/1.1");

    // HTTP/2: the socket is read, but the window of the stream stays shut.
    let tcp = TokioIo::new(TcpStream::connect(running.addr).await?);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), tcp).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get("http://x/").body(Empty::<Bytes>::new())?;
    let _unread = within(sender.send_request(request)).await??;
    assert_eq!(within(drops.recv()).await?, Some(()), "HTTP/2");
    let _ = within(connection).await?;
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_panic_ends_its_connection_only() -> Result {
    let service = service_fn(async |request: Request<Incoming>| {
        assert_ne!(request.uri().path(), "/panic", "as asked");
        text("fine")
    });
    let running = Running::start(Config::default(), service).await?;
    let mut other = Wire::connect(&running).await?;
    other.send(GET).await?;
    other.response().await?;
    let mut doomed = Wire::connect(&running).await?;
    doomed.send("GET /panic HTTP/1.1\r\nhost: x\r\n\r\n").await?;
    assert_eq!(doomed.rest().await?, "");
    other.send(GET).await?;
    assert!(other.response().await?.ends_with("fine"));
    assert_eq!(running.stop().await?.cut, 0);
    Ok(())
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() -> Result {
    let served = Arc::new(AtomicUsize::new(0));
    let counter = {
        let served = Arc::clone(&served);
        service_fn(move |_| {
            let number = served.fetch_add(1, Ordering::Relaxed);
            async move { text(&format!("number {number}")) }
        })
    };
    let config = Config { max_connections: 1, ..Config::default() };
    let running = Running::start(config, counter).await?;
    let mut first = Wire::connect(&running).await?;
    first.send(GET).await?;
    assert!(first.response().await?.ends_with("number 0"));
    let mut second = Wire::connect(&running).await?;
    second.send(GET).await?;
    for number in 1..5 {
        first.send(GET).await?;
        assert!(first.response().await?.ends_with(&format!("number {number}")));
    }
    drop(first);
    assert!(second.response().await?.ends_with("number 5"));
    running.stop().await?;
    Ok(())
}

#[derive(Clone, Debug, PartialEq)]
struct Greeting {
    nodelay: bool,
}

struct Greeter;

impl Acceptor for Greeter {
    type Io = TcpStream;

    async fn accept(&self, stream: TcpStream, _: SocketAddr) -> io::Result<Accepted<TcpStream>> {
        let nodelay = stream.nodelay()?;
        Ok(Accepted::new(stream).with_extension(Greeting { nodelay }))
    }
}

#[tokio::test]
async fn what_the_acceptor_learned_comes_with_each_request() -> Result {
    let server = Server::bind(Config::default(), "127.0.0.1:0").await?.with_acceptor(Greeter);
    let who = service_fn(async |request: Request<Incoming>| {
        let greeting = request.extensions().get::<Greeting>();
        let remote = request.extensions().get::<RemoteAddr>().map(|remote| remote.0);
        text(&format!("{greeting:?} {remote:?}"))
    });
    let running =
        Running::run(server.local_addr(), |shutdown| tokio::spawn(server.serve(who, shutdown)));
    let mut wire = Wire::connect(&running).await?;
    let expected =
        format!("{:?} {:?}", Some(Greeting { nodelay: true }), Some(wire.0.local_addr()?));
    for _ in 0..2 {
        wire.send(GET).await?;
        let response = wire.response().await?;
        assert!(response.ends_with(&expected), "{response}");
    }
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn http2_is_served_on_the_same_port_and_drained() -> Result {
    let running = Running::start(Config::default(), service_fn(measure)).await?;
    let tcp = TokioIo::new(TcpStream::connect(running.addr).await?);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), tcp).await?;
    let connection = tokio::spawn(connection);
    for (length, status) in [(1000, 200), (1001, 413)] {
        let request = Request::post("http://x/").body(Body::from(vec![0; length]))?;
        let response = within(sender.send_request(request)).await??;
        assert_eq!(response.status(), status);
        within(response.into_body().collect()).await??;
    }
    assert_eq!(running.stop().await?.cut, 0);
    within(connection).await???;
    Ok(())
}
