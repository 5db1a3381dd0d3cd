//! Calls to handlers: what arrives, what comes back, and what is done when it does not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod balance;
mod health;
mod retries;
mod streams;

use std::time::Duration;

use bindu_agent::{Handler, Turn, TurnParts};
use bindu_grpc::calls::{CallError, Callback, Config, Head, Instances};
use bindu_grpc::content::Transcriber;
use bindu_grpc::documents::{self, Documents};
use bindu_grpc::metrics::Metrics;
use bindu_grpc::proto::{ChatMessage, HandleRequest, HandleResponse};
use bindu_grpc::remote::RemoteHandler;
use bindu_protocol::{Message, Part, Role};
use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::support::raw::{self, Peer, Script};
use crate::support::{Act, LONG, Sdk, until};

/// Everything fast, but for what a test is about.
fn config() -> Config {
    Config {
        handler_timeout: LONG,
        health_interval: Duration::from_millis(100),
        health_timeout: LONG,
        connect_timeout: LONG,
        reconnect_window: LONG,
        ..Config::default()
    }
}

fn instances(config: Config, of: impl IntoIterator<Item = Callback>) -> Instances {
    let instances = Instances::new("the-agent", config, None);
    of.into_iter().for_each(|callback| instances.add(callback));
    instances
}

fn saying(text: &str) -> HandleRequest {
    HandleRequest {
        messages: vec![ChatMessage { role: "user".into(), content: text.into() }],
        ..HandleRequest::default()
    }
}

async fn call(instances: &Instances) -> Result<HandleResponse, CallError> {
    let calling = async { instances.call(&saying("hi"), Head::default()).await };
    timeout(LONG * 2, calling).await.expect("a call ends")
}

/// A call that runs beside the test.
fn spawn(instances: &Instances) -> tokio::task::JoinHandle<Result<HandleResponse, CallError>> {
    let instances = instances.clone();
    tokio::spawn(async move { call(&instances).await })
}

fn turn(text: &str, trace: Option<&str>) -> Turn {
    let message = Message::new(Role::User, vec![Part::text(text)]);
    let ids = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
    Turn::new(TurnParts {
        trace: trace.map(Into::into),
        ..TurnParts::new(ids.0.parse().unwrap(), ids.1.parse().unwrap(), vec![message.into()])
    })
}

fn handler(instances: &Instances) -> RemoteHandler {
    let documents = Documents::new(documents::Config::default());
    RemoteHandler::new(instances.clone(), Transcriber::new(documents))
}

#[tokio::test]
async fn a_turn_arrives_with_its_ids_and_comes_back() {
    let sdk = Sdk::start().await;
    let instances = instances(config(), [sdk.callback()]);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let reply = handler(&instances).handle(turn("hello", Some(trace))).await.unwrap();
    assert!(format!("{reply:?}").contains("echo hello"), "{reply:?}");

    let calls = sdk.calls();
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert!(!call.is_stream);
    assert_eq!(call.request.task_id, "11111111-1111-4111-8111-111111111111");
    assert_eq!(call.header("x-bindu-task-id"), Some("11111111-1111-4111-8111-111111111111"));
    assert_eq!(call.header("x-bindu-context-id"), Some("22222222-2222-4222-8222-222222222222"));
    assert_eq!(call.header("x-bindu-agent-id"), Some("the-agent"));
    assert_eq!(call.header("traceparent"), Some(trace));
    let timeout = call.header("grpc-timeout").unwrap().strip_suffix('m').unwrap();
    let timeout: u128 = timeout.parse().unwrap();
    assert!((1..=LONG.as_millis()).contains(&timeout), "{timeout}");
}

#[tokio::test]
async fn ids_that_are_no_metadata_are_left_out() {
    let sdk = Sdk::start().await;
    let instances = Instances::new("agent\nx-evil: 1", config(), None);
    instances.add(sdk.callback());
    let long = "x".repeat(1025);
    let head = Head { task_id: "zwölf", context_id: &long, trace: Some(" x"), deadline: None };
    instances.call(&saying("hi"), head).await.unwrap();
    let call = &sdk.calls()[0];
    for name in
        ["x-bindu-task-id", "x-bindu-context-id", "x-bindu-agent-id", "traceparent", "x-evil"]
    {
        assert_eq!(call.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn every_recorded_status_fails_the_turn_with_its_details_and_is_not_repeated() {
    let text = include_str!("../../../fixtures/grpc/handle_status.json");
    let recorded: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut seen = 0;
    for case in recorded["cases"].as_array().unwrap() {
        assert_eq!(case["result"]["state"], "failed", "{case}");
        let name = case["case"].as_str().unwrap();
        // The others are about limits and the deadline, which have tests of their own.
        let (act, expected) = match name {
            "servicer raises" => {
                let details = "Exception calling application: py boom";
                (Act::Fail(Code::Unknown, details.into()), format!("UNKNOWN: {details}"))
            }
            "response over 4 MiB" => {
                let answer = crate::support::text("x".repeat(4 * 1024 * 1024));
                let expected = "RESOURCE_EXHAUSTED: the answer has 4194311 bytes, and 4194304 are \
                                allowed";
                (Act::Answer(answer), expected.to_owned())
            }
            "request over 4 MiB" => continue,
            name if name.starts_with("deadline") => continue,
            name => {
                let is_named = |code: &Code| bindu_grpc::calls::code_name(*code) == name;
                let code = (1..=16).map(Code::from_i32).find(is_named).unwrap();
                (Act::Fail(code, format!("detail {name}")), format!("{name}: detail {name}"))
            }
        };
        let sdk = Sdk::with(act).await;
        let instances = instances(config(), [sdk.callback()]);
        let failed = handler(&instances).handle(turn("hi", None)).await.unwrap_err();
        assert_eq!(failed.to_string(), expected);
        assert_eq!(sdk.count(), 1, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 18);
}

#[tokio::test]
async fn a_request_over_the_limit_never_leaves() {
    let sdk = Sdk::start().await;
    let instances = instances(config(), [sdk.callback()]);
    let request = saying(&"x".repeat(4 * 1024 * 1024));
    let error = instances.call(&request, Head::default()).await.unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert_eq!(sdk.count(), 0);

    let request = saying(&"x".repeat(4 * 1024 * 1024 - 64));
    let answer = instances.call(&request, Head::default()).await.unwrap();
    assert_eq!(answer.content.len(), 4 * 1024 * 1024 - 64 + "echo ".len());
}

#[tokio::test]
async fn a_handler_that_is_late_is_told_that_nobody_waits() {
    let sdk = Sdk::with(Act::Hang).await;
    let instances = instances(
        Config { handler_timeout: Duration::from_millis(150), ..config() },
        [sdk.callback()],
    );
    let error = call(&instances).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
    until("the handler is cancelled", || sdk.cancelled() == 1).await;
    assert_eq!(sdk.count(), 1);
}

#[tokio::test]
async fn the_deadline_of_the_turn_counts_too() {
    let sdk = Sdk::with(Act::Hang).await;
    let instances = instances(config(), [sdk.callback()]);
    let deadline = Some(Instant::now() + Duration::from_millis(150));
    let head = Head { deadline, ..Head::default() };
    let error = instances.call(&saying("hi"), head).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_at_the_sdk() {
    let sdk = Sdk::with(Act::Hang).await;
    let instances = instances(config(), [sdk.callback()]);
    let calling = spawn(&instances);
    until("the handler runs", || sdk.running() == 1).await;
    calling.abort();
    until("the handler is cancelled", || sdk.cancelled() == 1).await;
    until("nothing counts as running", || instances.statuses()[0].running == 0).await;
    // The connection is as good as before.
    sdk.set(Act::Echo("still"));
    assert_eq!(call(&instances).await.unwrap().content, "still hi");
    assert_eq!(instances.statuses()[0].connections, 1);
}

#[tokio::test]
async fn answers_that_break_the_rules_are_errors() {
    let ok: &[(&str, &[u8])] = &[("grpc-status", b"0")];
    let framed = |bytes: &[u8]| raw::data(bytes);
    let join = |frames: &[Vec<u8>]| frames.concat();
    let compressed = [&[1], &raw::message("x")[1..]].concat();
    for (what, frames, expected) in [
        (
            "details that are no base64",
            raw::only(&[
                ("content-type", b"application/grpc"),
                ("grpc-status", b"3"),
                ("grpc-message", b"no%20way"),
                ("grpc-status-details-bin", b"%%%"),
            ]),
            "INVALID_ARGUMENT: no way",
        ),
        (
            "no message",
            join(&[raw::grpc_head(), raw::trailers(ok)]),
            "INTERNAL: the answer holds no message",
        ),
        (
            "two messages",
            join(&[
                raw::grpc_head(),
                framed(&[raw::message("a"), raw::message("b")].concat()),
                raw::trailers(ok),
            ]),
            "INTERNAL: the answer holds several messages",
        ),
        (
            "half a message",
            join(&[raw::grpc_head(), framed(&raw::message("half")[..7]), raw::trailers(ok)]),
            "INTERNAL: the answer ends within a message",
        ),
        (
            "no status",
            join(&[raw::grpc_head(), framed(&raw::message("x")), raw::trailers(&[("x", b"y")])]),
            "UNKNOWN: the answer ends without a status",
        ),
        (
            "a status after a message",
            join(&[
                raw::grpc_head(),
                framed(&raw::message("x")),
                raw::trailers(&[("grpc-status", b"10"), ("grpc-message", b"late")]),
            ]),
            "ABORTED: late",
        ),
        (
            "compressed",
            join(&[raw::grpc_head(), framed(&compressed), raw::trailers(ok)]),
            "INTERNAL: the answer is compressed, which was not offered",
        ),
        (
            "no protobuf",
            join(&[raw::grpc_head(), framed(&[0, 0, 0, 0, 1, 255]), raw::trailers(ok)]),
            "INTERNAL: the answer cannot be decoded",
        ),
        (
            "a length that is a lie",
            join(&[raw::grpc_head(), framed(&[0, 255, 255, 255, 255, 1])]),
            "RESOURCE_EXHAUSTED: the answer has 4294967295 bytes, and 4194304 are allowed",
        ),
        (
            "a web page",
            join(&[raw::head(&[("content-type", b"text/html")]), framed(b"<h1>")]),
            "UNKNOWN: the answer is not gRPC; its HTTP status is 200 OK",
        ),
    ] {
        let peer = Peer::start(Script::Frames(frames)).await;
        let instances = instances(config(), [peer.callback()]);
        let error = call(&instances).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{what}: {error}");
        assert_eq!(peer.requests(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_message_in_many_small_frames_is_one_answer() {
    let message = raw::message(&"long ".repeat(1000));
    let mut frames = raw::grpc_head();
    for chunk in message.chunks(7) {
        frames.extend(raw::data(chunk));
    }
    frames.extend(raw::trailers(&[("grpc-status", b"0")]));
    let peer = Peer::start(Script::Frames(frames)).await;
    let instances = instances(config(), [peer.callback()]);
    assert_eq!(call(&instances).await.unwrap().content, "long ".repeat(1000));
}

#[tokio::test]
async fn closing_ends_calls_that_run_and_calls_that_wait() {
    let sdk = Sdk::with(Act::Hang).await;
    let instances = instances(config(), [sdk.callback()]);
    let running = spawn(&instances);
    until("the handler runs", || sdk.running() == 1).await;
    let empty = Instances::new("empty", config(), None);
    let waiting = spawn(&empty);
    tokio::task::yield_now().await;
    instances.close();
    empty.close();
    for calling in [running, waiting] {
        let error = calling.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "UNAVAILABLE: the agent has been closed");
    }
    timeout(LONG, instances.closed()).await.unwrap();
    until("the handler is cancelled", || sdk.cancelled() == 1).await;
    instances.add(sdk.callback());
    assert!(instances.is_empty());
}

#[tokio::test]
async fn dropping_the_instances_closes_the_connections() {
    let sdk = Sdk::start().await;
    let instances = instances(config(), [sdk.callback()]);
    call(&instances).await.unwrap();
    let kept = instances.clone();
    drop(instances);
    call(&kept).await.unwrap();
    drop(kept);
    let mut sdk = sdk;
    // The server waits for its connections to end.
    timeout(LONG, sdk.drain()).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_happens_is_counted() {
    let metrics = Metrics::new();
    let sdk = Sdk::start().await;
    let instances = Instances::new("counted", config(), Some(metrics.clone()));
    instances.add(sdk.callback());
    call(&instances).await.unwrap();
    sdk.set(Act::Fail(Code::Internal, "boom".into()));
    call(&instances).await.unwrap_err();
    sdk.set(Act::Hang);
    let calling = spawn(&instances);
    until("the handler runs", || sdk.running() == 1).await;

    let page = || {
        let mut text = String::new();
        prometheus::TextEncoder::new().encode_utf8(&metrics.collect(), &mut text).unwrap();
        text
    };
    let requests = r#"bindu_grpc_handler_requests_total{agent="counted",code="#;
    for line in [
        format!(r#"{requests}"OK",method="HandleMessages"}} 1"#),
        format!(r#"{requests}"INTERNAL",method="HandleMessages"}} 1"#),
        r#"bindu_grpc_handler_inflight{agent="counted"} 1"#.into(),
        r#"bindu_grpc_instances{agent="counted",healthy="true"} 1"#.into(),
        r#"bindu_grpc_instances{agent="counted",healthy="false"} 0"#.into(),
        r#"bindu_grpc_reconnects_total{agent="counted"} 0"#.into(),
        concat!(
            r#"bindu_grpc_handler_duration_seconds_count"#,
            r#"{agent="counted",method="HandleMessages"} 2"#
        )
        .into(),
        "bindu_grpc_evictions_total 0".into(),
    ] {
        assert!(page().lines().any(|found| found == line), "{line}\n{}", page());
    }
    calling.abort();
    let line = format!(r#"{requests}"CANCELLED",method="HandleMessages"}} 1"#);
    until("the dropped call is counted", || page().contains(&line)).await;
    instances.close();
    drop(instances);
    until("the series are gone", || !page().contains("counted")).await;
}

#[tokio::test]
async fn whatever_a_process_sends_a_call_ends() {
    let mut random = fastrand::Rng::with_seed(7);
    let good = [
        raw::grpc_head(),
        raw::data(&raw::message("fine")),
        raw::trailers(&[("grpc-status", b"0"), ("grpc-message", b"%41")]),
        raw::reset(0),
        raw::go_away(0, 11),
    ];
    let mut answered = 0;
    for round in 0..150 {
        let mut frames = Vec::new();
        for _ in 0..random.usize(1..6) {
            frames.extend(random.choice(&good).expect("there are some"));
        }
        // Some rounds keep the frames whole, so that orders are tried as well as bytes.
        for _ in 0..random.usize(0..4) {
            let at = random.usize(..frames.len());
            frames[at] = random.u8(..);
        }
        let peer = Peer::start(Script::FramesThenClose(frames)).await;
        let config = Config { reconnect_window: Duration::ZERO, ..config() };
        let instances = instances(config, [peer.callback()]);
        answered += usize::from(call(&instances).await.is_ok());
        assert!(
            peer.requests() <= 2,
            "round {round}: only GOAWAY and a refusal allow a repetition"
        );
    }
    assert!(answered < 150);
}
