use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bindu_http::Body;
use bindu_http::client::Client;
use bindu_http::server::Config;
use bindu_http::sse::{self, SseBody, SseStream, parse_last_event_id, write_event};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tower::service_fn;

use crate::support::{Result, Running, get, within};

fn event(id: u64) -> Bytes {
    let mut buffer = BytesMut::new();
    let data = format!("{{\"n\":{id},\"text\":\"{}\"}}", "x".repeat(200));
    write_event(&mut buffer, Some(id), Some("tick"), data.as_bytes()).expect("the name is fine");
    buffer.freeze()
}

/// Counts to 20,000, from after `Last-Event-ID`.
async fn count(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let after = parse_last_event_id(request.headers()).ok().flatten().unwrap_or(0);
    let events = stream::iter((after + 1..=20_000).map(event));
    let mut response = Response::new(Body::wrap(SseBody::new(events)));
    response.headers_mut().insert(CONTENT_TYPE, sse::CONTENT_TYPE);
    Ok(response)
}

#[tokio::test]
async fn a_slow_reader_gets_every_event_in_order_and_can_resume() -> Result {
    let running = Running::start(Config::default(), service_fn(count)).await?;
    let client = Client::default();
    let response = client.send_streaming(get(&running.url("/"))?).await?;
    let mut events = SseStream::new(response.into_body());
    for expected in 1..=10_000_u64 {
        let event = within(events.next()).await?.ok_or("ended early")??;
        assert_eq!(event.id, Some(expected.to_string()));
        assert_eq!(event.event.as_deref(), Some("tick"));
        if expected % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut again = get(&running.url("/"))?;
    again.headers_mut().insert(sse::LAST_EVENT_ID, events.last_event_id().parse()?);
    drop(events);

    let response = client.send_streaming(again).await?;
    let rest: Vec<_> = within(SseStream::new(response.into_body()).collect()).await?;
    assert_eq!(rest.len(), 10_000);
    assert_eq!(rest[0].as_ref().map_err(ToString::to_string)?.id.as_deref(), Some("10001"));
    assert_eq!(running.stop().await?.cut, 0);
    Ok(())
}

#[tokio::test]
async fn an_event_leaves_at_once_and_a_comment_in_silence() -> Result {
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let service = service_fn(move |_: Request<Incoming>| {
        let receiver = receiver.lock().unwrap().take();
        async move {
            let pieces = stream::unfold(receiver, async |receiver| {
                let mut receiver: mpsc::UnboundedReceiver<Bytes> = receiver?;
                Some((receiver.recv().await?, Some(receiver)))
            });
            let body = SseBody::with_keep_alive(pieces, Duration::from_millis(20));
            Ok::<_, Infallible>(Response::new(Body::wrap(body)))
        }
    });
    let running = Running::start(Config::default(), service).await?;
    let response = Client::default().send_streaming(get(&running.url("/"))?).await?;
    let mut body = response.into_body();
    sender.send(event(1))?;
    let mut seen = BytesMut::new();
    while !seen.ends_with(sse::KEEP_ALIVE) {
        let frame = within(body.frame()).await?.ok_or("ended early")??;
        seen.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    assert!(String::from_utf8_lossy(&seen).contains("id: 1\nevent: tick\n"));
    drop(sender);
    running.stop().await?;
    Ok(())
}
