use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bindu_http::client::{
    Client, Config, Connected, Connector, PlainConnector, Replay, RetryPolicy, Target,
};
use bindu_http::server;
use bindu_http::ssrf::AddressRules;
use bindu_http::{Body, HttpError, Phase};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::service_fn;

use crate::support::{Result, Running, get, text, within};

const SOON: Duration = Duration::from_millis(50);

/// Counts the connections of a server that answers each request with its path.
async fn counting() -> Result<(Running, Arc<AtomicUsize>)> {
    let server = Running::bind().await?;
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let make = move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        service_fn(async |request: Request<Incoming>| text(request.uri().path()))
    };
    let running = Running::run(server.local_addr(), |shutdown| {
        tokio::spawn(server.serve_connections(make, shutdown))
    });
    Ok((running, connections))
}

/// Connects in the clear, and has all connections made anew when it is told to.
#[derive(Debug, Default)]
struct Renewed(AtomicU64);

impl Connector for Renewed {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
        tcp: TcpStream,
    ) -> Pin<Box<dyn Future<Output = io::Result<Connected>> + Send + 'a>> {
        PlainConnector.connect(target, tcp)
    }

    fn generation(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_connection_of_an_old_generation_serves_no_further_request() -> Result {
    let (running, connections) = counting().await?;
    let connector = Arc::new(Renewed::default());
    let client = Client::builder().connector(Arc::clone(&connector) as _).build();
    let under_way = client.send_streaming(get(&running.url("/1"))?).await?;
    client.send(get(&running.url("/2"))?).await?;
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    connector.0.store(1, Ordering::Relaxed);
    // What is under way is read to its end, and its connection then not used again.
    assert_eq!(under_way.into_body().collect().await?.to_bytes(), "/1");
    for _ in 0..3 {
        client.send(get(&running.url("/3"))?).await?;
    }
    assert_eq!(connections.load(Ordering::Relaxed), 3);
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn requests_one_after_another_share_a_connection() -> Result {
    let (running, connections) = counting().await?;
    let client = Client::default();
    for number in 0..20 {
        let path = format!("/{number}");
        let response = client.send(get(&running.url(&path))?).await?;
        assert_eq!(response.body(), path.as_bytes());
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);

    client.close_idle();
    client.send(get(&running.url("/"))?).await?;
    assert_eq!(connections.load(Ordering::Relaxed), 2);

    // A body that was not read takes its connection with it.
    drop(client.send_streaming(get(&running.url("/long"))?).await?);
    client.send(get(&running.url("/"))?).await?;
    assert_eq!(connections.load(Ordering::Relaxed), 3);
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn requests_at_the_same_time_have_connections_of_their_own() -> Result {
    let (running, connections) = counting().await?;
    let client = Client::default();
    let first = client.send_streaming(get(&running.url("/a"))?).await?;
    let second = client.send(get(&running.url("/b"))?).await?;
    assert_eq!(second.body(), "/b");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    assert_eq!(first.into_body().collect().await?.to_bytes(), "/a");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_closed_by_the_server_is_replaced() -> Result {
    let (running, _) = counting().await?;
    let client = Client::default();
    client.send(get(&running.url("/"))?).await?;
    let addr = running.addr;
    running.stop().await?;
    let again = server::Server::bind(server::Config::default(), addr).await?;
    let running = Running::run(addr, |shutdown| {
        tokio::spawn(again.serve(service_fn(async |_| text("again")), shutdown))
    });
    assert_eq!(client.send(get(&running.url("/"))?).await?.body(), "again");
    running.stop().await?;
    Ok(())
}

/// Answers 503 twice, then 200.
async fn recovering() -> Result<(Running, Arc<AtomicUsize>)> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let service = service_fn(move |request: Request<Incoming>| {
        let call = counter.fetch_add(1, Ordering::Relaxed);
        async move {
            let attempt = request.headers().get("attempt").cloned();
            let mut response = Response::new(Body::from("ok"));
            if call < 2 {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("0"));
            }
            response
                .headers_mut()
                .extend(attempt.map(|value| (http::HeaderName::from_static("attempt"), value)));
            Ok::<_, Infallible>(response)
        }
    });
    Ok((Running::start(server::Config::default(), service).await?, calls))
}

fn quick() -> RetryPolicy {
    let delay = Duration::from_millis(1);
    RetryPolicy { min_delay: delay, max_delay: delay, ..RetryPolicy::default() }
}

#[tokio::test]
async fn a_safe_request_is_built_and_sent_again_until_it_succeeds() -> Result {
    let (running, calls) = recovering().await?;
    let build = |attempt: u32| {
        let request = Request::post(running.url("/")).header("attempt", attempt);
        request.body(Bytes::from("x")).map_err(|error| HttpError::Prepare(error.into()))
    };
    let response = Client::default().send_with_retry(&quick(), Replay::Safe, build).await?;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["attempt"], "3");
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_unsafe_request_is_sent_once() -> Result {
    let (running, calls) = recovering().await?;
    let build = |_| get(&running.url("/")).map_err(HttpError::Prepare);
    let response = Client::default().send_with_retry(&quick(), Replay::Unsafe, build).await?;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn attempts_end_when_nobody_listens() -> Result {
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let mut attempts = 0;
    let build = |attempt| {
        attempts = attempt;
        get(&format!("http://127.0.0.1:{port}/")).map_err(HttpError::Prepare)
    };
    let refused = Client::default().send_with_retry(&quick(), Replay::Unsafe, build).await;
    assert!(matches!(refused, Err(HttpError::Connect { .. })), "{refused:?}");
    assert_eq!(attempts, 4);
    Ok(())
}

#[tokio::test]
async fn redirects_are_answers() -> Result {
    let redirect = service_fn(async |request: Request<Incoming>| {
        assert_eq!(request.uri().path(), "/from");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("/to"));
        Ok::<_, Infallible>(response)
    });
    let running = Running::start(server::Config::default(), redirect).await?;
    let response = Client::default().send(get(&running.url("/from"))?).await?;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()[LOCATION], "/to");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_refused_address_is_never_connected_to() -> Result {
    let (running, connections) = counting().await?;
    let client = |rules| Client::builder().address_policy(Arc::new(rules)).build();
    let closed = AddressRules { allow_private: false, ..AddressRules::default() };
    let port = running.addr.port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]"] {
        let refused = client(closed.clone()).send(get(&format!("http://{host}:{port}/"))?).await;
        assert!(matches!(refused, Err(HttpError::Address(_))), "{host}: {refused:?}");
    }
    for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]"] {
        let refused = client(AddressRules::default()).send(get(&format!("http://{host}/"))?).await;
        assert!(matches!(refused, Err(HttpError::Address(_))), "{host}: {refused:?}");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 0);
    // A mapped address is connected to as the address it is.
    let mapped = format!("http://[::ffff:127.0.0.1]:{port}/mapped");
    assert_eq!(client(AddressRules::default()).send(get(&mapped)?).await?.body(), "/mapped");
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn each_deadline_says_what_was_late() -> Result {
    let service = service_fn(async |request: Request<Incoming>| {
        if request.uri().path() == "/head" {
            std::future::pending::<()>().await;
        }
        let pieces = stream::iter([Bytes::from_static(b"x")]).chain(stream::pending());
        Ok::<_, Infallible>(Response::new(Body::stream(pieces)))
    });
    let running = Running::start(server::Config::default(), service).await?;
    let client = Client::new(Config { timeout: SOON, ..Config::default() });
    for (path, late) in [("/head", Phase::Response), ("/body", Phase::Body)] {
        let error = client.send(get(&running.url(path))?).await.unwrap_err();
        assert!(matches!(error, HttpError::Timeout { phase } if phase == late), "{error:?}");
    }
    let quiet = Client::new(Config { read_idle_timeout: SOON, ..Config::default() });
    let response = quiet.send_streaming(get(&running.url("/body"))?).await?;
    let error = within(response.into_body().collect()).await?.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { phase: Phase::Body }), "{error:?}");
    running.shutdown.drain(Duration::ZERO);
    running.ended().await?;
    Ok(())
}

#[tokio::test]
async fn a_response_that_is_too_large_is_refused() -> Result {
    let service = service_fn(async |request: Request<Incoming>| {
        let pieces = stream::iter(vec![Bytes::from_static(&[0; 600]); 2]);
        Ok::<_, Infallible>(Response::new(match request.uri().path() {
            "/known" => Body::from(vec![0; 1001]),
            "/fits" => Body::from(vec![0; 1000]),
            _ => Body::stream(pieces),
        }))
    });
    let running = Running::start(server::Config::default(), service).await?;
    let client = Client::new(Config { max_response_bytes: 1000, ..Config::default() });
    for path in ["/known", "/stream"] {
        let refused = client.send(get(&running.url(path))?).await;
        assert!(matches!(refused, Err(HttpError::TooLarge { limit: 1000 })), "{refused:?}");
    }
    assert_eq!(client.send(get(&running.url("/fits"))?).await?.body().len(), 1000);
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_request_names_its_host_and_sender() -> Result {
    let service = service_fn(async |request: Request<Incoming>| {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        text(&format!("{:?} {:?} {}", header("host"), header(USER_AGENT.as_str()), request.uri()))
    });
    let running = Running::start(server::Config::default(), service).await?;
    let response = Client::default().send(get(&running.url("/a?b=c"))?).await?;
    let agent = concat!("bindu/", env!("CARGO_PKG_VERSION"));
    let expected = format!("{:?} {:?} /a?b=c", Some(running.addr.to_string()), Some(agent));
    assert_eq!(response.body(), expected.as_bytes());
    running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_told_from_one_that_hangs_up() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let peer = tokio::spawn(async move {
        for greeting in ["SSH-2.0-OpenSSH_9.9\r\n\r\n", ""] {
            let (mut tcp, _) = listener.accept().await?;
            let mut head = [0; 1024];
            let _ = tcp.read(&mut head).await?;
            tcp.write_all(greeting.as_bytes()).await?;
        }
        Ok::<_, io::Error>(())
    });
    let client = Client::default();
    let error = client.send(get(&url)?).await.unwrap_err();
    assert!(matches!(error, HttpError::Protocol(_)), "{error:?}");
    let error = client.send(get(&url)?).await.unwrap_err();
    assert!(matches!(error, HttpError::Io(_)), "{error:?}");
    within(peer).await???;
    Ok(())
}

#[tokio::test]
async fn https_needs_a_connector() -> Result {
    let (running, _) = counting().await?;
    let refused = Client::default().send(get(&format!("https://{}/", running.addr))?).await;
    assert!(matches!(refused, Err(HttpError::InvalidUrl(_))), "{refused:?}");
    running.stop().await?;
    Ok(())
}
