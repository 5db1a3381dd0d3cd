//! Answers piece by piece.

use std::time::Duration;

use bindu_agent::{Handler, Reply};
use bindu_grpc::calls::{Answer, CallError, Config, Head, Instances, Pieces};
use bindu_grpc::metrics::Metrics;
use bindu_grpc::proto::HandleResponse;
use futures_util::StreamExt;
use tonic::Code;

use super::{config, handler, instances, saying, turn};
use crate::support::{Act, Can, Sdk, piece, text, until};

/// Instances that know what their one process can do.
async fn knowing(config: Config, sdk: &Sdk) -> Instances {
    let instances = instances(config, [sdk.callback()]);
    let watching = async {
        tokio::select! {
            () = instances.watch() => {}
            () = until("it was asked", || instances.statuses()[0].streams.is_some()) => {}
        }
    };
    watching.await;
    instances
}

async fn ask(instances: &Instances) -> Result<Answer, CallError> {
    instances.ask(&saying("hi"), Head::default()).await
}

async fn pieces(instances: &Instances) -> Pieces {
    match ask(instances).await {
        Ok(Answer::Pieces(pieces)) => pieces,
        other => panic!("expected a stream, got {other:?}"),
    }
}

async fn texts(pieces: Pieces) -> Vec<Result<String, String>> {
    let show = |piece: Result<HandleResponse, CallError>| {
        piece.map(|piece| piece.content).map_err(|error| error.to_string())
    };
    pieces.map(show).collect().await
}

fn ok(texts: &[&str]) -> Vec<Result<String, String>> {
    texts.iter().map(|text| Ok((*text).to_owned())).collect()
}

#[tokio::test]
async fn pieces_come_in_order_and_end() {
    let sdk = Sdk::streaming(Act::Stream(vec![piece("a"), piece("b"), text("c")])).await;
    let instances = knowing(config(), &sdk).await;
    assert_eq!(texts(pieces(&instances).await).await, ok(&["a", "b", "c"]));
    let calls = sdk.calls();
    assert!(calls.len() == 1 && calls[0].is_stream);
    // The limit is for each piece, and not for all of them.
    assert_eq!(calls[0].header("grpc-timeout"), None);
    assert_eq!(instances.statuses()[0].running, 0);
}

#[tokio::test]
async fn a_turn_is_streamed() {
    let sdk = Sdk::streaming(Act::Stream(vec![piece("a "), text("b")])).await;
    let instances = knowing(config(), &sdk).await;
    let reply = handler(&instances).handle(turn("hi", None)).await.unwrap();
    assert!(matches!(reply, Reply::Stream(_)), "{reply:?}");
}

#[tokio::test]
async fn a_stream_without_pieces_ends_at_once() {
    let sdk = Sdk::streaming(Act::Stream(Vec::new())).await;
    let instances = knowing(config(), &sdk).await;
    assert_eq!(texts(pieces(&instances).await).await, ok(&[]));
}

#[tokio::test]
async fn a_stream_that_fails_says_so_after_its_pieces() {
    let sdk = Sdk::streaming(Act::StreamThenFail(vec![piece("a")], Code::DataLoss)).await;
    let instances = knowing(config(), &sdk).await;
    let seen = texts(pieces(&instances).await).await;
    assert_eq!(seen, [Ok("a".into()), Err("DATA_LOSS: the stream broke".into())]);

    sdk.set(Act::Fail(Code::Internal, "at once".into()));
    assert_eq!(ask(&instances).await.unwrap_err().to_string(), "INTERNAL: at once");
    assert_eq!(sdk.count(), 2);
}

#[tokio::test]
async fn the_next_piece_may_take_as_long_as_an_answer() {
    let sdk = Sdk::streaming(Act::StreamThenHang(vec![piece("a"), piece("b")])).await;
    let config = Config { handler_timeout: Duration::from_millis(300), ..config() };
    let instances = knowing(config, &sdk).await;
    let seen = texts(pieces(&instances).await).await;
    assert_eq!(seen[..2], ok(&["a", "b"]));
    assert_eq!(seen[2..], [Err("DEADLINE_EXCEEDED: nothing came for 0.3 s".into())]);
    until("the handler is cancelled", || sdk.cancelled() == 1).await;

    sdk.set(Act::Hang);
    assert_eq!(ask(&instances).await.unwrap_err().code(), Code::DeadlineExceeded);
    until("the handler is cancelled", || sdk.cancelled() == 2).await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_is_cancelled_at_the_sdk() {
    let sdk = Sdk::streaming(Act::StreamThenHang(vec![piece("a")])).await;
    let instances = knowing(config(), &sdk).await;
    let mut pieces = pieces(&instances).await;
    assert_eq!(pieces.next().await.unwrap().unwrap().content, "a");
    assert_eq!(instances.statuses()[0].running, 1);
    drop(pieces);
    until("the handler is cancelled", || sdk.cancelled() == 1).await;
    assert_eq!(instances.statuses()[0].running, 0);
}

#[tokio::test]
async fn a_process_that_cannot_stream_after_all_is_called_without() {
    let sdk = Sdk::start().await;
    sdk.set_can(Can::Stream);
    let instances = knowing(config(), &sdk).await;
    assert_eq!(instances.statuses()[0].streams, Some(true));
    for _ in 0..2 {
        match ask(&instances).await.unwrap() {
            Answer::Whole(response) => assert_eq!(response.content, "echo hi"),
            Answer::Pieces(_) => panic!("there is no stream"),
        }
    }
    assert_eq!(instances.statuses()[0].streams, Some(false));
    assert_eq!(sdk.count(), 2);
}

#[tokio::test]
async fn a_process_that_was_not_asked_is_called_without() {
    let sdk = Sdk::streaming(Act::Echo("whole")).await;
    let instances = instances(config(), [sdk.callback()]);
    assert!(matches!(ask(&instances).await, Ok(Answer::Whole(_))));
}

#[tokio::test]
async fn a_piece_over_the_limit_ends_the_stream() {
    let sdk = Sdk::streaming(Act::Stream(vec![piece("a"), piece(&"x".repeat(2000))])).await;
    let instances = knowing(Config { max_message_bytes: 1000, ..config() }, &sdk).await;
    let seen = texts(pieces(&instances).await).await;
    assert_eq!(seen[0], Ok("a".into()));
    assert!(seen[1].as_ref().unwrap_err().starts_with("RESOURCE_EXHAUSTED: "), "{seen:?}");
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_stream_that_is_dropped_after_its_final_piece_was_answered() {
    let sdk = Sdk::streaming(Act::StreamThenHang(vec![piece("a"), text("b")])).await;
    let metrics = Metrics::new();
    let instances = Instances::new("a", config(), Some(metrics.clone()));
    instances.add(sdk.callback());
    tokio::select! {
        () = instances.watch() => {}
        () = until("it was asked", || instances.statuses()[0].streams.is_some()) => {}
    }
    for (read, codes) in [(2, vec!["OK"]), (1, vec!["CANCELLED", "OK"])] {
        let mut pieces = pieces(&instances).await;
        for _ in 0..read {
            pieces.next().await.unwrap().unwrap();
        }
        drop(pieces);
        assert_eq!(stream_codes(&metrics), codes);
    }
}

/// The codes with which streams have ended.
fn stream_codes(metrics: &Metrics) -> Vec<String> {
    let mut text = String::new();
    prometheus::TextEncoder::new().encode_utf8(&metrics.collect(), &mut text).unwrap();
    let ended = text.lines().filter(|line| {
        line.starts_with("bindu_grpc_handler_requests_total")
            && line.contains(r#"method="HandleMessagesStream""#)
            && !line.ends_with(" 0")
    });
    let code = |line: &str| line.split(r#"code=""#).nth(1)?.split('"').next().map(str::to_owned);
    ended.filter_map(code).collect()
}
