//! Public keys: looked up once, remembered for a while.

use bindu_did::SigningKey;
use bindu_hydra::{Keys, KeysConfig};
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::support::{FakeHydra, Fault, TestClock};

const DID: &str = "did:bindu:ann_at_example_com:echo:53cbcb43-82ef-8a50-ba7c-f79217d463de";

fn key(seed: u8) -> bindu_did::PublicKey {
    SigningKey::from_seed(&[seed; 32]).public_key()
}

fn client(key: &Value) -> Value {
    json!({ "client_id": DID, "metadata": { "public_key": key } })
}

async fn stage() -> (FakeHydra, TestClock, Keys) {
    let (fake, clock) = (FakeHydra::start().await, TestClock::new());
    let keys = Keys::with_clock(fake.hydra(), KeysConfig::default(), clock.clock());
    (fake, clock, keys)
}

#[tokio::test]
async fn a_key_is_looked_up_once_a_minute() {
    let (fake, clock, keys) = stage().await;
    fake.know_client(client(&json!(key(1).to_base58())));
    let asking = (0..100).map(|_| keys.key(DID));
    for found in join_all(asking).await {
        assert_eq!(found.unwrap(), Some(key(1)));
    }
    clock.advance(59);
    assert_eq!(keys.key(DID).await.unwrap(), Some(key(1)));
    let calls = fake.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        calls[0].path,
        "/admin/clients/did%3Abindu%3Aann_at_example_com%3Aecho%3A53cbcb43-82ef-8a50-ba7c-f79217d463de"
    );
    clock.advance(1);
    assert_eq!(keys.key(DID).await.unwrap(), Some(key(1)));
    assert_eq!(fake.calls().len(), 2);
}

#[tokio::test]
async fn what_is_no_key_is_none_and_remembered_for_five_seconds() {
    let bad = [json!(null), json!(""), json!("0OIl"), json!("abc"), json!(1), json!(["x"])];
    let mut clients: Vec<_> = bad.iter().map(|key| Some(client(key))).collect();
    clients.push(Some(json!({ "client_id": DID })));
    clients.push(None);
    for found in clients {
        let (fake, clock, keys) = stage().await;
        if let Some(client) = &found {
            fake.know_client(client.clone());
        }
        assert_eq!(keys.key(DID).await.unwrap(), None, "{found:?}");
        fake.know_client(client(&json!(key(1).to_base58())));
        clock.advance(4);
        assert_eq!(keys.key(DID).await.unwrap(), None, "{found:?}");
        clock.advance(1);
        assert_eq!(keys.key(DID).await.unwrap(), Some(key(1)), "{found:?}");
    }
}

#[tokio::test]
async fn a_changed_key_is_found_once_the_old_one_is_five_seconds_old() {
    let (fake, clock, keys) = stage().await;
    fake.know_client(client(&json!(key(1).to_base58())));
    keys.key(DID).await.unwrap();
    fake.know_client(client(&json!(key(2).to_base58())));
    clock.advance(4);
    assert_eq!(keys.key_again(DID).await.unwrap(), Some(key(1)));
    clock.advance(1);
    let asking = (0..100).map(|_| keys.key_again(DID));
    for found in join_all(asking).await {
        assert_eq!(found.unwrap(), Some(key(2)));
    }
    assert_eq!(keys.key(DID).await.unwrap(), Some(key(2)));
    assert_eq!(fake.calls().len(), 2);
}

#[tokio::test]
async fn a_forgotten_key_is_looked_up_again() {
    let (fake, _, keys) = stage().await;
    fake.know_client(client(&json!(key(1).to_base58())));
    keys.key(DID).await.unwrap();
    fake.forget_client(DID);
    keys.forget(DID);
    assert_eq!(keys.key(DID).await.unwrap(), None);
}

#[tokio::test]
async fn a_hydra_that_is_away_is_not_a_did_without_key() {
    let (fake, _, keys) = stage().await;
    fake.know_client(client(&json!(key(1).to_base58())));
    for fault in [Fault::Status(500), Fault::Status(403), Fault::NotJson, Fault::OtherJson] {
        fake.spoil("/admin/clients/", fault.clone());
        let error = keys.key(DID).await.unwrap_err();
        assert!(error.is_unavailable(), "{fault:?}");
    }
    assert_eq!(keys.key(DID).await.unwrap(), Some(key(1)));
}

#[tokio::test]
async fn unknown_dids_are_bounded_and_push_no_key_out() {
    let (fake, _, keys) = stage().await;
    fake.know_client(client(&json!(key(1).to_base58())));
    keys.key(DID).await.unwrap();
    for number in 0..1500 {
        assert_eq!(keys.key(&format!("did:bindu:x:{number}")).await.unwrap(), None);
    }
    let stats = keys.stats();
    assert_eq!(stats.entries, 1);
    assert!(stats.negative_entries <= 1000, "{stats:?}");
}

#[tokio::test]
async fn ids_that_are_no_path_segment_are_nobody() {
    let (fake, _, keys) = stage().await;
    for id in ["", ".", ".."] {
        assert_eq!(keys.key(id).await.unwrap(), None);
    }
    assert_eq!(keys.key("../keys?x=1#y").await.unwrap(), None);
    assert_eq!(fake.count(&Method::GET, "/"), 1);
    assert_eq!(fake.calls()[0].path, "/admin/clients/..%2Fkeys%3Fx%3D1%23y");
}
