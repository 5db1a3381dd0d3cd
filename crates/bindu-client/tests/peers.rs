//! Who the called agent is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use bindu_client::{Client, ClientBuilder, ClientError, Token};
use bindu_did::pins::{self, PinError, Pins, Trust};
use bindu_did::request::RequestSignature;
use bindu_did::{Did, DidDocument, SigningKey, agent_id, target};
use bindu_protocol::{CARD_PATH, Dialect};
use serde_json::json;

use crate::canned::{Canned, Result, answer, camel_task, hasty};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn asserted() -> Did {
    Did::for_agent("ann", "echo", agent_id("ann", "echo")).expect("a DID")
}

fn certified(seed: u8) -> Did {
    Did::for_agent("ann", "echo", key(seed).public_key().id()).expect("a DID")
}

/// An agent whose card names one DID, and whose document another, with a key.
async fn agent(card: &Did, document: &Did, seed: u8) -> Result<Canned> {
    let document = DidDocument::new(document, &key(seed).public_key(), SystemTime::UNIX_EPOCH);
    let did = card.to_string();
    let wanted: String =
        url::form_urlencoded::Serializer::new(String::new()).append_pair("did", &did).finish();
    Canned::start(move |seen, _| match seen.path.as_str() {
        CARD_PATH => answer(
            200,
            &json!({ "name": "echo", "url": "u", "id": "139e3940-e64b-5491-7220-88d9a0d74162",
                     "capabilities": { "extensions": [{ "uri": did }] } }),
        ),
        "/did/resolve" if seen.query.as_deref() == Some(&wanted) => answer(200, &json!(document)),
        "/" => seen.result(&camel_task("t", "completed")),
        _ => answer(404, &json!({})),
    })
    .await
}

fn builder(agent: &Canned) -> ClientBuilder {
    Client::builder(&agent.url).dialect(Dialect::V0_3).retry(hasty())
}

/// Nothing went out that is for the agent alone.
fn told_nothing(agent: &Canned) -> bool {
    agent.seen().iter().all(|seen| seen.path != "/" && seen.header("authorization").is_none())
}

#[tokio::test]
async fn a_did_that_is_a_fingerprint_proves_its_key() -> Result {
    let agent = agent(&certified(1), &certified(1), 1).await?;
    let client = builder(&agent).require_self_certified(true).build()?;
    client.send("hello").await?;
    let peer = client.peer().await?.ok_or("no peer")?;
    assert_eq!((peer.did, peer.trust), (certified(1), Trust::SelfCertified));
    assert_eq!(peer.key, key(1).public_key());
    let asked = agent.seen().iter().filter(|seen| seen.path == "/did/resolve").count();
    assert_eq!(asked, 1, "the key is kept");
    Ok(())
}

#[tokio::test]
async fn another_key_than_at_first_is_refused_before_anything_is_told() -> Result {
    let pins = Arc::new(Pins::in_memory());
    let first = agent(&asserted(), &asserted(), 1).await?;
    let client = builder(&first).pins(Arc::clone(&pins)).build()?;
    client.send("hello").await?;
    assert_eq!(client.peer().await?.map(|peer| peer.trust), Some(Trust::FirstUse));

    let impostor = agent(&asserted(), &asserted(), 2).await?;
    let client = builder(&impostor).pins(pins).tokens(Token::new("secret")).build()?;
    let error = client.send("hello").await.unwrap_err();
    assert!(matches!(&error, ClientError::Pin(PinError::OtherKey { .. })), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("owner")));
    assert!(told_nothing(&impostor));
    Ok(())
}

#[tokio::test]
async fn pins_in_a_file_are_remembered_by_the_next_program() -> Result {
    let dir = tempfile::tempdir()?;
    let file =
        || pins::Config { file: Some(dir.path().join("peers.json")), ..pins::Config::default() };
    for (seed, trust) in [(1, Some(Trust::FirstUse)), (1, Some(Trust::Pinned)), (2, None)] {
        let agent = agent(&asserted(), &asserted(), seed).await?;
        let client = builder(&agent).pins(Arc::new(Pins::open(file())?)).build()?;
        let found = client.peer().await.ok().flatten().map(|peer| peer.trust);
        assert_eq!(found, trust);
    }
    Ok(())
}

#[tokio::test]
async fn first_contact_with_an_unproved_did_is_refused_if_so_wished() -> Result {
    let agent = agent(&asserted(), &asserted(), 1).await?;
    let client =
        builder(&agent).require_self_certified(true).tokens(Token::new("secret")).build()?;
    let error = client.send("hello").await.unwrap_err();
    assert!(matches!(&error, ClientError::Pin(PinError::NotSelfCertified { .. })), "{error:?}");
    assert!(told_nothing(&agent));
    Ok(())
}

#[tokio::test]
async fn a_document_of_another_did_or_with_another_key_is_refused() -> Result {
    let stranger = agent(&certified(1), &certified(2), 2).await?;
    let error = builder(&stranger).build()?.peer().await.unwrap_err();
    assert!(matches!(&error, ClientError::Untrusted { .. }), "{error:?}");

    // The fingerprint in the DID is of another key.
    let forged = agent(&certified(1), &certified(1), 2).await?;
    let client = builder(&forged).require_self_certified(true).build()?;
    assert!(matches!(client.peer().await, Err(ClientError::Pin(_))));
    Ok(())
}

#[tokio::test]
async fn another_agent_than_the_expected_one_is_told_nothing() -> Result {
    let agent = agent(&certified(1), &certified(1), 1).await?;
    let client = builder(&agent).expect_did(certified(2)).tokens(Token::new("secret")).build()?;
    let error = client.send("hello").await.unwrap_err();
    assert!(error.to_string().contains(certified(2).as_str()), "{error}");
    assert!(matches!(error, ClientError::Untrusted { .. }));
    assert!(told_nothing(&agent));
    let client = builder(&agent).expect_did(certified(1)).build()?;
    client.send("hello").await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_without_a_did_will_do_unless_one_is_expected() -> Result {
    let agent = Canned::start(|seen, _| match seen.path.as_str() {
        CARD_PATH => answer(200, &json!({ "name": "plain", "url": "u" })),
        "/" => seen.result(&camel_task("t", "completed")),
        _ => answer(404, &json!({})),
    })
    .await?;
    let client = builder(&agent).tokens(Token::new("x")).build()?;
    client.send("hello").await?;
    assert_eq!(client.peer().await?, None);
    let client = builder(&agent).expect_did(certified(1)).build()?;
    assert!(matches!(client.send("hello").await, Err(ClientError::Untrusted { .. })));
    Ok(())
}

#[tokio::test]
async fn an_agent_that_cannot_be_asked_is_not_trusted_meanwhile() -> Result {
    let up = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&up);
    let document = DidDocument::new(&certified(1), &key(1).public_key(), SystemTime::UNIX_EPOCH);
    let agent = Canned::start(move |seen, _| match seen.path.as_str() {
        CARD_PATH => answer(200, &json!({ "name": "a", "url": "u", "id": certified(1) })),
        "/did/resolve" if flag.load(Ordering::Relaxed) => answer(200, &json!(document)),
        "/did/resolve" => answer(503, &json!({})),
        "/" => seen.result(&camel_task("t", "completed")),
        _ => answer(404, &json!({})),
    })
    .await?;
    let client = builder(&agent).tokens(Token::new("secret")).build()?;
    let error = client.send("hello").await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(told_nothing(&agent));
    up.store(true, Ordering::Relaxed);
    client.send("hello").await?;
    Ok(())
}

#[tokio::test]
async fn a_request_is_signed_for_the_agent_it_goes_to() -> Result {
    let agent = agent(&certified(1), &certified(1), 1).await?;
    let (own, did) = (Arc::new(key(7)), Did::from_key(&key(7).public_key()));
    builder(&agent).signing_key(own, did).build()?.send("hello").await?;
    let seen = agent.seen();
    let sent = seen.iter().find(|seen| seen.path == "/").ok_or("nothing was sent")?;
    let texts = sent
        .headers
        .iter()
        .filter_map(|(name, value)| value.to_str().ok().map(|value| (name.as_str(), value)));
    let signature = RequestSignature::from_headers(texts)?;
    let targeted = sent.header(target::SIGNATURE_HEADER).ok_or("no signature for the agent")?;
    assert_eq!(sent.header(target::TARGET_HEADER), Some(certified(1).as_str()));
    let by = key(7).public_key();
    target::verify(&by, &signature, &sent.bytes, certified(1).as_str(), targeted)?;
    assert!(target::verify(&by, &signature, &sent.bytes, certified(2).as_str(), targeted).is_err());
    Ok(())
}

#[tokio::test]
async fn a_handler_passes_on_conversation_and_trace() -> Result {
    let agent = Canned::start(|seen, _| seen.result(&camel_task("t", "completed"))).await?;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let peer = builder(&agent).build()?;
    let peer = peer.with_conversation(&"c-7".parse()?).with_traceparent(trace)?;
    peer.send("hello").await?;
    let own = bindu_client::Outgoing::text("elsewhere").context("c-8".parse()?);
    peer.send(own).await?;
    let seen = agent.seen();
    assert_eq!(seen[0].params()["message"]["contextId"], "c-7");
    assert_eq!(seen[0].header("traceparent"), Some(trace));
    assert_eq!(seen[1].params()["message"]["contextId"], "c-8", "what a message says counts");
    Ok(())
}
