//! An agent's own tokens.

use std::error::Error;

use bindu_hydra::{Credentials, Secret, Tokens};
use futures_util::future::join_all;
use http::Method;
use serde_json::json;

use crate::support::{FakeHydra, Fault, TestClock};

const PATH: &str = "/oauth2/token";
const SCOPES: [&str; 2] = ["agent:read", "agent:write"];

async fn stage() -> (FakeHydra, TestClock, Tokens) {
    let (fake, clock) = (FakeHydra::start().await, TestClock::new());
    fake.know_client(json!({ "client_id": "did:bindu:a:b", "client_secret": "hunter2" }));
    let credentials = Credentials {
        agent_id: "b".to_owned(),
        client_id: "did:bindu:a:b".to_owned(),
        client_secret: Secret::from("hunter2"),
        created_at: String::new(),
        scopes: Vec::new(),
    };
    let tokens = Tokens::with_clock(fake.hydra(), credentials, clock.clock());
    (fake, clock, tokens)
}

#[tokio::test]
async fn a_token_is_requested_with_the_secret_in_the_body() {
    let (fake, _, tokens) = stage().await;
    let token = tokens.token(&SCOPES, Some("step-ca")).await.unwrap();
    assert_eq!(token.reveal(), "ory_at_1");
    let call = &fake.calls()[0];
    let sent = ["grant_type", "client_id", "client_secret", "scope", "audience"];
    assert_eq!(
        sent.map(|name| call.form(name).unwrap()),
        ["client_credentials", "did:bindu:a:b", "hunter2", "agent:read agent:write", "step-ca"]
    );

    let none: [&str; 0] = [];
    tokens.token(&none, None).await.unwrap();
    let call = &fake.calls()[1];
    assert_eq!((call.form("scope"), call.form("audience")), (None, None));
}

#[tokio::test]
async fn all_who_need_a_token_at_once_share_one() {
    let (fake, _, tokens) = stage().await;
    let found = join_all((0..1000).map(|_| tokens.token(&SCOPES, None))).await;
    assert!(found.into_iter().all(|token| token.unwrap().reveal() == "ory_at_1"));
    assert_eq!(tokens.token(&SCOPES, Some("other")).await.unwrap().reveal(), "ory_at_2");
    assert_eq!(tokens.token(&SCOPES[..1], None).await.unwrap().reveal(), "ory_at_3");
    assert_eq!(tokens.token(&SCOPES, None).await.unwrap().reveal(), "ory_at_1");
    assert_eq!(fake.calls().len(), 3);
}

#[tokio::test]
async fn a_token_is_replaced_before_it_expires() {
    // An hour: a twentieth before. Five minutes: 30 s before. Ten seconds: after half.
    for (life, replaced_after) in [(Some(3600), 3420), (Some(300), 270), (Some(10), 5), (None, 30)]
    {
        let (fake, clock, tokens) = stage().await;
        fake.set_life(life);
        tokens.token(&SCOPES, None).await.unwrap();
        clock.advance(replaced_after - 1);
        assert_eq!(tokens.token(&SCOPES, None).await.unwrap().reveal(), "ory_at_1", "{life:?}");
        clock.advance(1);
        assert_eq!(tokens.token(&SCOPES, None).await.unwrap().reveal(), "ory_at_2", "{life:?}");
        assert_eq!(fake.calls().len(), 2);
    }
}

#[tokio::test]
async fn a_token_that_is_still_good_is_used_up_while_hydra_is_away() {
    let (fake, clock, tokens) = stage().await;
    tokens.token(&SCOPES, None).await.unwrap();
    fake.spoil_all(PATH, Fault::Status(503));
    clock.advance(3599);
    assert_eq!(tokens.token(&SCOPES, None).await.unwrap().reveal(), "ory_at_1");
    clock.advance(1);
    assert!(tokens.token(&SCOPES, None).await.unwrap_err().is_unavailable());
    fake.heal();
    assert_eq!(tokens.token(&SCOPES, None).await.unwrap().reveal(), "ory_at_2");
}

#[tokio::test]
async fn of_all_whose_token_was_rejected_one_requests_another() {
    let (fake, _, tokens) = stage().await;
    let rejected = tokens.token(&SCOPES, None).await.unwrap();
    let found = join_all((0..100).map(|_| tokens.fresh_token(&SCOPES, None, &rejected))).await;
    assert!(found.into_iter().all(|token| token.unwrap().reveal() == "ory_at_2"));
    // One who comes late, with the old token, gets the new one.
    let late = tokens.fresh_token(&SCOPES, None, &rejected).await.unwrap();
    assert_eq!(late.reveal(), "ory_at_2");
    assert_eq!(fake.calls().len(), 2);

    fake.spoil_all(PATH, Fault::Status(503));
    assert!(tokens.fresh_token(&SCOPES, None, &late).await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn a_token_for_one_use_is_nobody_elses() {
    let (_fake, _, tokens) = stage().await;
    tokens.token(&SCOPES, None).await.unwrap();
    assert_eq!(tokens.one_time_token(&SCOPES, None).await.unwrap().reveal(), "ory_at_2");
    assert_eq!(tokens.token(&SCOPES, None).await.unwrap().reveal(), "ory_at_1");
    tokens.forget(&SCOPES, None);
    assert_eq!(tokens.token(&SCOPES, None).await.unwrap().reveal(), "ory_at_3");
}

#[tokio::test]
async fn a_refusal_names_the_reason_and_no_secret() {
    let (fake, _, tokens) = stage().await;
    fake.know_client(json!({ "client_id": "did:bindu:a:b", "client_secret": "another" }));
    let error = tokens.token(&SCOPES, None).await.unwrap_err();
    assert!(error.is_invalid_client() && !error.is_unavailable() && error.source().is_none());
    insta::assert_snapshot!(error, @"hydra refused with status 401 (requesting a token): invalid_client: Client authentication failed for [redacted].");
    let printed = format!("{error:?} {tokens:?}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert_eq!(fake.count(&Method::POST, PATH), 1, "a refusal is not asked for again");
}

#[tokio::test]
async fn an_answer_without_a_token_is_none() {
    let (fake, _, tokens) = stage().await;
    for fault in [Fault::NotJson, Fault::OtherJson] {
        fake.spoil(PATH, fault);
        assert!(tokens.token(&SCOPES, None).await.unwrap_err().is_unavailable());
    }
}
