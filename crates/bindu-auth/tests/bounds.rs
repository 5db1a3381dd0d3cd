//! Strangers cost little.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bindu_auth::Config;
use bindu_protocol::Denied;
use serde_json::json;

use crate::door::{BODY, Door, NOW, Somebody};

#[tokio::test]
async fn ten_thousand_made_up_tokens_ask_hydra_a_bounded_number_of_times() {
    let config = Config { max_refusals: 100, ..Config::default() };
    let door = Arc::new(Door::with(config).await);
    door.token("service", json!({}));
    assert!(door.with_token("service").await.is_ok());
    let begun = Instant::now();
    let mut strangers = tokio::task::JoinSet::new();
    for stranger in 0..10_000 {
        let door = Arc::clone(&door);
        strangers.spawn(async move { door.with_token(&format!("made-up-{stranger}")).await.err() });
    }
    let refused = strangers.join_all().await;
    let count = |why: &Denied| refused.iter().filter(|it| it.as_ref() == Some(why)).count();
    let (asked, limited) = (count(&Denied::TokenInactive), count(&Denied::TooManyRefusals));
    assert_eq!(asked + limited, 10_000);
    // A hundred, and one more for each fifth of a second that it took.
    let questions = door.hydra.asked.load(Ordering::SeqCst) - 1;
    let allowed = 101 + usize::try_from(begun.elapsed().as_millis() / 200).unwrap();
    assert!(questions == asked && questions <= allowed, "{questions} questions");
    assert!(door.with_token("service").await.is_ok(), "whoever is known gets through");
}

#[tokio::test]
async fn a_thousand_requests_with_one_token_ask_about_it_once() {
    let (door, ann) = (Arc::new(Door::open().await), Somebody::new("ann"));
    door.know(&ann, "good");
    let mut requests = tokio::task::JoinSet::new();
    for second in 0..1000_u64 {
        let (door, signature) = (Arc::clone(&door), ann.sign_at(BODY, NOW - second % 300));
        requests.spawn(async move { door.send("good", &signature, BODY).await.is_ok() });
    }
    assert!(requests.join_all().await.into_iter().all(|it| it));
    assert_eq!(door.hydra.asked.load(Ordering::SeqCst), 2, "the token and the key");
}
