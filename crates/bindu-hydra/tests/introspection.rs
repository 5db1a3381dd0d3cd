//! Tokens: asked about once, remembered for a while.

use std::sync::Arc;
use std::time::Duration;

use bindu_hydra::{Credentials, Introspection, Introspector, IntrospectorConfig};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::support::{FakeHydra, Fault, START, TestClock};

const PATH: &str = "/admin/oauth2/introspect";

fn good(scope: &str, exp: i64) -> Value {
    json!({
        "active": true, "client_id": "did:bindu:a:b", "sub": "did:bindu:a:b", "scope": scope,
        "exp": exp, "token_type": "Bearer", "token_use": "access_token",
    })
}

struct Stage {
    fake: FakeHydra,
    clock: TestClock,
    introspector: Introspector,
}

impl Stage {
    async fn set() -> Self {
        Self::with(IntrospectorConfig::default()).await
    }

    async fn with(config: IntrospectorConfig) -> Self {
        let fake = FakeHydra::start().await;
        let clock = TestClock::new();
        let introspector = Introspector::with_clock(fake.hydra(), config, clock.clock());
        Self { fake, clock, introspector }
    }

    async fn ask(&self, token: &str) -> Arc<Introspection> {
        self.introspector.introspect(token).await.expect("Hydra answers")
    }

    fn asked(&self) -> usize {
        self.fake.count(&Method::POST, PATH)
    }
}

#[tokio::test]
async fn a_good_token_says_what_it_is_for() {
    let stage = Stage::set().await;
    stage.fake.know_token("t&k=1 +%", good("agent:read agent:write", START + 60));
    let found = stage.ask("t&k=1 +%").await;
    assert!(found.is_access_token() && found.is_machine());
    assert_eq!(found.scopes, ["agent:read", "agent:write"]);
    assert_eq!(found.exp, Some(START + 60));
    assert_eq!(stage.fake.calls()[0].form("scope"), Some(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_with_one_token_ask_once() {
    let stage = Stage::set().await;
    stage.fake.know_token("t", good("agent:read", START + 3600));
    stage.fake.hold();
    let asking = (0..1000).map(|_| {
        let introspector = stage.introspector.clone();
        tokio::spawn(async move { introspector.introspect("t").await })
    });
    let asking: Vec<_> = asking.collect();
    stage.fake.wait_for_calls(1).await;
    stage.fake.let_out(1000);
    for found in join_all(asking).await {
        assert!(found.unwrap().unwrap().active);
    }
    assert_eq!(stage.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unknown_tokens_are_bounded_and_push_no_good_one_out() {
    let stage = Stage::set().await;
    stage.fake.know_token("good", good("agent:read", START + 3600));
    assert!(stage.ask("good").await.active);

    let flood = (0..10_000).map(|number| {
        let introspector = stage.introspector.clone();
        async move { introspector.introspect(&format!("made-up-{number}")).await }
    });
    let answers: Vec<_> = futures_util::stream::iter(flood).buffer_unordered(500).collect().await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|found| !found.active)));

    let stats = stage.introspector.stats();
    assert_eq!((stats.entries, stats.asked), (1, 10_001));
    assert!(stats.negative_entries <= 1000, "{stats:?}");
    assert!(stage.ask("good").await.active);
    assert_eq!(stage.asked(), 10_001, "the good token is still remembered");
}

#[tokio::test]
async fn good_tokens_are_bounded_too() {
    let config = IntrospectorConfig { max_entries: 10, ..IntrospectorConfig::default() };
    let stage = Stage::with(config).await;
    for number in 0..100 {
        let token = format!("t{number}");
        stage.fake.know_token(&token, good("agent:read", START + 3600));
        assert!(stage.ask(&token).await.active);
    }
    assert!(stage.introspector.stats().entries <= 10);
}

#[tokio::test]
async fn a_good_token_is_remembered_for_five_minutes() {
    let stage = Stage::set().await;
    stage.fake.know_token("t", good("agent:read", START + 3600));
    stage.ask("t").await;
    stage.clock.advance(299);
    stage.ask("t").await;
    assert_eq!(stage.asked(), 1);
    stage.clock.advance(1);
    stage.ask("t").await;
    assert_eq!(stage.asked(), 2);
}

#[tokio::test]
async fn but_not_beyond_its_end() {
    let stage = Stage::set().await;
    stage.fake.know_token("t", good("agent:read", START + 20));
    stage.ask("t").await;
    stage.clock.advance(19);
    stage.ask("t").await;
    assert_eq!(stage.asked(), 1);
    stage.clock.advance(1);
    stage.ask("t").await;
    assert_eq!(stage.asked(), 2);
}

#[tokio::test]
async fn what_lets_nobody_in_is_remembered_for_ten_seconds() {
    let mut without_sub = good("agent:read", START + 3600);
    without_sub.as_object_mut().unwrap().remove("sub");
    let without_exp = json!({ "active": true, "sub": "ann" });
    for answer in [json!({ "active": false }), without_sub, without_exp, good("", START)] {
        let stage = Stage::set().await;
        stage.fake.know_token("t", answer.clone());
        let first = stage.ask("t").await;
        assert_eq!(*first, Introspection::from_json(&answer));
        stage.clock.advance(9);
        assert_eq!(stage.ask("t").await, first);
        assert_eq!(stage.asked(), 1, "{answer}");
        stage.clock.advance(1);
        stage.ask("t").await;
        assert_eq!(stage.asked(), 2, "{answer}");
        assert_eq!(stage.introspector.stats().entries, 0);
    }
}

#[tokio::test]
async fn a_token_that_becomes_good_is_good_after_ten_seconds() {
    let stage = Stage::set().await;
    assert!(!stage.ask("t").await.active);
    stage.fake.know_token("t", good("agent:read", START + 3600));
    stage.clock.advance(10);
    assert!(stage.ask("t").await.active);
    let stats = stage.introspector.stats();
    assert_eq!((stats.entries, stats.negative_entries), (1, 0));
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nothing_live_longer() {
    let stage = Stage::set().await;
    stage.fake.know_token("t", good("agent:read", START + 3600));
    stage.ask("t").await;
    stage.clock.set_back(86_400);
    stage.ask("t").await;
    assert_eq!(stage.asked(), 2);
}

#[tokio::test]
async fn sensitive_tokens_are_never_remembered() {
    let stage = Stage::set().await;
    for scope in ["admin", "agent:execute", "payment:capture", "key:rotate"] {
        stage.fake.know_token(scope, good(&format!("agent:read {scope}"), START + 3600));
        let before = stage.asked();
        assert!(stage.ask(scope).await.active);
        assert!(stage.ask(scope).await.active);
        assert_eq!(stage.asked(), before + 2, "{scope}");
    }
    let stats = stage.introspector.stats();
    assert_eq!((stats.entries, stats.negative_entries), (0, 0));
}

#[tokio::test]
async fn a_forgotten_token_is_asked_about_again() {
    let stage = Stage::set().await;
    stage.fake.know_token("t", good("agent:read", START + 3600));
    stage.fake.know_token("u", good("agent:read", START + 3600));
    stage.ask("t").await;
    stage.ask("u").await;
    stage.fake.know_token("t", json!({ "active": false }));
    assert!(stage.introspector.remembered("t").is_some_and(|found| found.active));
    stage.introspector.forget("t");
    assert_eq!(stage.introspector.remembered("t"), None);
    assert!(!stage.ask("t").await.active);
    assert!(stage.introspector.remembered("t").is_some_and(|found| !found.active));
    assert!(stage.ask("u").await.active);
    assert_eq!(stage.asked(), 3);

    stage.introspector.clear();
    stage.ask("u").await;
    assert_eq!(stage.asked(), 4);
}

#[tokio::test]
async fn a_revoked_token_is_forgotten_even_if_hydra_did_not_hear_of_it() {
    let stage = Stage::set().await;
    let credentials = Credentials {
        agent_id: "b".to_owned(),
        client_id: "did:bindu:a:b".to_owned(),
        client_secret: "hunter2".into(),
        created_at: String::new(),
        scopes: Vec::new(),
    };
    for fault in [None, Some(Fault::Status(500))] {
        stage.fake.know_token("t", good("agent:read", START + 3600));
        assert!(stage.ask("t").await.active);
        let heard = fault.is_none();
        if let Some(fault) = fault {
            stage.fake.spoil("/oauth2/revoke", fault);
        }
        let revoked = stage.introspector.revoke(&credentials, "t").await;
        assert_eq!(revoked.is_ok(), heard);
        assert_eq!(stage.ask("t").await.active, !heard);
        stage.introspector.forget("t");
    }
    let calls = stage.fake.calls();
    let call = calls.iter().find(|call| call.path == "/oauth2/revoke").unwrap();
    let sent = ["token", "client_id", "client_secret"].map(|name| call.form(name).unwrap());
    assert_eq!(sent, ["t", "did:bindu:a:b", "hunter2"]);
}

#[tokio::test]
async fn an_answer_from_before_a_revocation_is_not_remembered_after_it() {
    let stage = Stage::set().await;
    stage.fake.know_token("t", good("agent:read", START + 3600));
    stage.fake.hold();
    let introspector = stage.introspector.clone();
    let before = tokio::spawn(async move { introspector.introspect("t").await });
    stage.fake.wait_for_calls(1).await;

    stage.introspector.forget("t");
    let introspector = stage.introspector.clone();
    let after = tokio::spawn(async move { introspector.introspect("t").await });
    stage.fake.wait_for_calls(2).await;
    stage.fake.let_out(1);
    assert!(before.await.unwrap().unwrap().active);
    assert_eq!(stage.introspector.remembered("t"), None);
    stage.fake.know_token("t", json!({ "active": false }));
    stage.fake.let_out(1);
    assert!(!after.await.unwrap().unwrap().active);
    assert!(!stage.ask("t").await.active);
}

#[tokio::test]
async fn failures_are_not_remembered() {
    let stage = Stage::set().await;
    stage.fake.know_token("t", good("agent:read", START + 3600));
    stage.fake.spoil(PATH, Fault::Status(500));
    let error = stage.introspector.introspect("t").await.unwrap_err();
    assert!(error.is_unavailable());
    assert!(stage.ask("t").await.active);
}

#[tokio::test]
async fn one_failure_is_told_to_all_who_waited_for_it() {
    let stage = Stage::set().await;
    stage.fake.hold();
    stage.fake.spoil(PATH, Fault::NotJson);
    let asking = (0..10).map(|_| {
        let introspector = stage.introspector.clone();
        tokio::spawn(async move { introspector.introspect("t").await })
    });
    let asking: Vec<_> = asking.collect();
    stage.fake.wait_for_calls(1).await;
    // The test has one thread, so all ten have begun to wait by the time it goes on.
    tokio::task::yield_now().await;
    stage.fake.let_out(1);
    for outcome in join_all(asking).await {
        assert!(outcome.unwrap().unwrap_err().is_unavailable());
    }
    assert_eq!(stage.asked(), 1);
}

#[tokio::test]
async fn whoever_gives_up_leaves_the_question_to_those_who_still_wait() {
    let stage = Stage::set().await;
    stage.fake.know_token("t", good("agent:read", START + 3600));
    stage.fake.hold();
    let (one, other) = (stage.introspector.clone(), stage.introspector.clone());
    let first = tokio::spawn(async move { one.introspect("t").await });
    stage.fake.wait_for_calls(1).await;
    let second = tokio::spawn(async move { other.introspect("t").await });
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    stage.fake.let_out(1);
    assert!(second.await.unwrap().unwrap().active);
    assert_eq!(stage.asked(), 1);
}

#[tokio::test]
async fn a_question_that_nobody_waits_for_is_put_anew() {
    let stage = Stage::set().await;
    stage.fake.know_token("t", good("agent:read", START + 3600));
    stage.fake.hold();
    let introspector = stage.introspector.clone();
    let only = tokio::spawn(async move { introspector.introspect("t").await });
    stage.fake.wait_for_calls(1).await;
    only.abort();
    assert!(only.await.unwrap_err().is_cancelled());
    stage.fake.let_out(1000);
    let asked = tokio::time::timeout(Duration::from_secs(5), stage.ask("t")).await;
    assert!(asked.expect("an answer").active);
}
