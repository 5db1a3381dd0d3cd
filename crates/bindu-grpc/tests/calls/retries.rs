//! What is tried again, and what is not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bindu_agent::BoxFuture;
use bindu_grpc::calls::{Callback, Config, Instances, Secure};
use bindu_grpc::metrics::Metrics;
use bindu_http::client::BoxIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tonic::Code;

use super::{call, config, instances, spawn};
use crate::support::raw::{self, Peer, Script};
use crate::support::{Act, LONG, Sdk, until};

/// A port that was free a moment ago.
async fn free_port() -> Callback {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string().parse().unwrap()
}

/// TLS that never comes to an end.
#[derive(Debug)]
struct Endless;

impl Secure for Endless {
    fn secure<'a>(&'a self, _: &'a str, _: TcpStream) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(std::future::pending())
    }
}

/// Not TLS at all, but it counts as it.
#[derive(Debug)]
struct Pretended;

impl Secure for Pretended {
    fn secure<'a>(&'a self, _: &'a str, tcp: TcpStream) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(async { Ok(Box::new(tcp) as BoxIo) })
    }
}

fn short() -> Config {
    Config { reconnect_window: Duration::ZERO, ..config() }
}

#[tokio::test]
async fn nobody_at_the_port_fails_and_is_named() {
    let nobody = free_port().await;
    let error = call(&instances(short(), [nobody.clone()])).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    let expected = format!("UNAVAILABLE: {nobody}: Connection refused");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn nobody_at_all_fails_and_is_named() {
    let error = call(&instances(short(), [])).await.unwrap_err();
    assert_eq!(error.to_string(), "UNAVAILABLE: no process of the agent is healthy");
}

#[tokio::test]
async fn the_cause_is_named_when_the_deadline_comes_before_the_window_ends() {
    let nobody = free_port().await;
    let config = Config { handler_timeout: Duration::from_millis(250), ..config() };
    let error = call(&instances(config, [nobody])).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.details().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_refused_call_goes_to_the_next_process_at_once() {
    let sdk = Sdk::start().await;
    // Without a window there is no second round: whatever works, works in the first.
    let instances = instances(short(), [free_port().await, free_port().await, sdk.callback()]);
    for _ in 0..6 {
        call(&instances).await.unwrap();
    }
    assert_eq!(sdk.count(), 6);
    // Both are known by now, and are not tried first any more.
    let suspects: Vec<_> = instances.statuses().iter().map(|status| status.suspect).collect();
    assert_eq!(suspects, [true, true, false]);
}

#[tokio::test]
async fn a_call_waits_for_a_process_that_starts() {
    let mut sdk = Sdk::start().await;
    sdk.kill().await;
    let instances = instances(config(), [sdk.callback()]);
    let calling = spawn(&instances);
    until("the call was refused", || instances.statuses()[0].suspect).await;
    sdk.restart().await;
    assert_eq!(calling.await.unwrap().unwrap().content, "echo hi");
    assert_eq!(sdk.count(), 1);
    assert!(!instances.statuses()[0].suspect);
}

#[tokio::test]
async fn a_call_waits_for_a_process_that_is_added() {
    let sdk = Sdk::start().await;
    let instances = instances(config(), []);
    let calling = spawn(&instances);
    tokio::task::yield_now().await;
    instances.add(sdk.callback());
    assert_eq!(calling.await.unwrap().unwrap().content, "echo hi");
}

#[tokio::test]
async fn a_handshake_that_hangs_is_given_up_for_another_process() {
    let sdk = Sdk::start().await;
    let silent = Peer::start(Script::Silent).await;
    let hanging: Callback = format!("grpcs://{}", silent.callback()).parse().unwrap();
    for stuck in [hanging, silent.callback()] {
        let config = Config { connect_timeout: Duration::from_millis(100), ..short() };
        let instances = instances(config, [stuck, sdk.callback()]);
        instances.secure(Arc::new(Endless));
        for _ in 0..2 {
            assert_eq!(call(&instances).await.unwrap().content, "echo hi");
        }
        assert!(instances.statuses()[0].suspect);
    }
    // Both were asked, once each, and nothing was ever sent there.
    assert_eq!((silent.connections(), silent.requests()), (2, 0));
}

#[tokio::test]
async fn one_handshake_that_hangs_holds_up_all_who_wait_only_once() {
    let silent = Peer::start(Script::Silent).await;
    let config = Config { connect_timeout: Duration::from_millis(200), ..short() };
    let instances = instances(config, [silent.callback()]);
    let calls: Vec<_> = (0..50).map(|_| spawn(&instances)).collect();
    for calling in calls {
        let error = calling.await.unwrap().unwrap_err();
        assert!(error.details().contains("took too long"), "{error}");
    }
    assert_eq!(silent.connections(), 1);
}

#[tokio::test]
async fn tls_needs_a_certificate_and_uses_it_once_it_is_there() {
    let sdk = Sdk::start().await;
    let callback: Callback = format!("grpcs://{}", sdk.callback()).parse().unwrap();
    let none = instances(short(), [callback.clone()]);
    let error = call(&none).await.unwrap_err();
    assert!(error.details().ends_with("there is no certificate for TLS yet"), "{error}");
    none.secure(Arc::new(Pretended));
    assert_eq!(call(&none).await.unwrap().content, "echo hi");
}

#[tokio::test]
async fn what_is_no_http2_is_never_sent_to() {
    for script in [Script::Http1, Script::CloseAtOnce] {
        let peer = Peer::start(script).await;
        let sdk = Sdk::start().await;
        let instances = instances(short(), [peer.callback(), sdk.callback()]);
        for _ in 0..2 {
            call(&instances).await.unwrap();
        }
        assert_eq!((sdk.count(), peer.requests()), (2, 0));
    }
}

#[tokio::test]
async fn a_process_killed_while_idle_and_started_again_takes_the_next_call() {
    let metrics = Metrics::new();
    let mut sdk = Sdk::start().await;
    let instances = Instances::new("a", config(), Some(metrics.clone()));
    instances.add(sdk.callback());
    for round in 0..5 {
        call(&instances).await.unwrap();
        sdk.kill().await;
        sdk.restart().await;
        until("the loss is noticed", || instances.statuses()[0].connections == 0).await;
        call(&instances).await.unwrap();
        assert_eq!(sdk.count(), 2 * (round + 1));
    }
    let families = metrics.collect();
    let of_name = families.iter().find(|family| family.name() == "bindu_grpc_reconnects_total");
    let counted = of_name.unwrap().get_metric()[0].get_counter().get_value();
    assert!((counted - 5.0).abs() < 0.1, "{counted}");
}

#[tokio::test]
async fn a_stream_that_was_refused_goes_elsewhere() {
    const REFUSED_STREAM: u32 = 7;
    let peer = Peer::start(Script::Frames(raw::reset(REFUSED_STREAM))).await;
    let sdk = Sdk::start().await;
    let instances = instances(short(), [peer.callback(), sdk.callback()]);
    for _ in 0..4 {
        call(&instances).await.unwrap();
    }
    assert_eq!((sdk.count(), peer.requests(), peer.connections()), (4, 2, 1));
}

#[tokio::test]
async fn a_call_that_goaway_leaves_out_is_sent_again() {
    let peer = Peer::start(Script::Frames(raw::go_away(0, 0))).await;
    let sdk = Sdk::start().await;
    let instances = instances(short(), [peer.callback(), sdk.callback()]);
    for _ in 0..2 {
        call(&instances).await.unwrap();
    }
    assert_eq!((sdk.count(), peer.requests()), (2, 1));
}

#[tokio::test]
async fn a_process_that_drains_answers_what_runs_and_gets_nothing_new() {
    let mut sdk = Sdk::with(Act::Held("first")).await;
    let instances = instances(config(), [sdk.callback()]);
    let first = spawn(&instances);
    until("the handler runs", || sdk.running() == 1).await;
    let drained = sdk.drain();
    sdk.restart().await;
    let second = spawn(&instances);
    until("the second call has arrived", || sdk.count() == 2).await;
    sdk.release();
    assert_eq!(first.await.unwrap().unwrap().content, "first");
    assert_eq!(second.await.unwrap().unwrap().content, "first");
    timeout(LONG, drained).await.unwrap().unwrap();
    assert_eq!(sdk.count(), 2);
}

/// What breaks a call after it was sent; each must fail it, with another process at hand.
#[tokio::test]
async fn a_call_that_was_sent_is_never_sent_again() {
    const INTERNAL_ERROR: u32 = 2;
    const CANCEL: u32 = 8;
    let half = [raw::grpc_head(), raw::data(&raw::message("half of it")[..8])].concat();
    for (what, script, code) in [
        ("reset", Script::Frames(raw::reset(INTERNAL_ERROR)), Code::Internal),
        ("cancelled", Script::Frames(raw::reset(CANCEL)), Code::Cancelled),
        ("closed", Script::FramesThenClose(Vec::new()), Code::Unavailable),
        ("goaway after", Script::FramesThenClose(raw::go_away(1, 0)), Code::Unavailable),
        ("goaway in anger", Script::FramesThenClose(raw::go_away(1, 2)), Code::Unavailable),
        ("half an answer", Script::FramesThenClose(half.clone()), Code::Unavailable),
        (
            "half, then reset",
            Script::Frames([half, raw::reset(INTERNAL_ERROR)].concat()),
            Code::Internal,
        ),
        (
            "half, then refused",
            Script::Frames([raw::grpc_head(), raw::reset(7)].concat()),
            Code::Unavailable,
        ),
        ("not HTTP/2 any more", Script::FramesThenClose(b"garbage!".repeat(9)), Code::Unavailable),
    ] {
        let peer = Peer::start(script).await;
        let sdk = Sdk::start().await;
        let instances = instances(config(), [peer.callback(), sdk.callback()]);
        let answers = [call(&instances).await, call(&instances).await];
        let failed: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert_eq!(failed.len(), 1, "{what}: {answers:?}");
        assert_eq!(failed[0].code(), code, "{what}: {}", failed[0]);
        assert_eq!((peer.requests(), sdk.count()), (1, 1), "{what}");
    }
}

#[tokio::test]
async fn a_process_killed_in_the_middle_fails_its_calls_and_no_others() {
    let mut killed = Sdk::with(Act::Hang).await;
    let other = Sdk::with(Act::Held("held")).await;
    let instances = instances(config(), [killed.callback(), other.callback()]);
    let calls: Vec<_> = (0..20).map(|_| spawn(&instances)).collect();
    until("all run", || killed.running() == 10 && other.running() == 10).await;
    killed.kill().await;
    // These find one process gone.
    let more: Vec<_> = (0..20).map(|_| spawn(&instances)).collect();
    until("all others run", || other.running() == 30).await;
    other.release();
    let mut failed = 0;
    for calling in calls {
        failed += usize::from(calling.await.unwrap().is_err());
    }
    assert_eq!(failed, 10);
    for calling in more {
        assert_eq!(calling.await.unwrap().unwrap().content, "held");
    }
    assert_eq!((killed.count(), other.count()), (10, 30));
}
