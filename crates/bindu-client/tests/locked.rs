//! Agents that want to know who calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bindu_client::{Client, ClientBuilder, ClientError, Token, TokenAsk};
use bindu_did::key_dir::Identity;
use bindu_did::{Did, SigningKey, request::RequestSignature};
use bindu_protocol::{CARD_PATH, Dialect};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, LOCATION};
use serde_json::json;

use crate::canned::{Canned, End, Result, Seen, answer, camel_task, events, hasty, text};

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn did() -> Did {
    Did::for_agent("ann", "caller", key().public_key().id()).expect("a DID")
}

fn identity() -> Arc<Identity> {
    let now = std::time::SystemTime::now();
    Arc::new(Identity::new(key(), &did(), uuid::Uuid::nil(), now))
}

fn builder(agent: &Canned) -> ClientBuilder {
    Client::builder(&agent.url).dialect(Dialect::V0_3).retry(hasty()).identity(identity())
}

/// An agent that shows no card and answers everything else.
async fn plain() -> Result<Canned> {
    Canned::start(|seen, _| match seen.path.as_str() {
        "/" if seen.rpc() == "message/stream" => {
            events(&[(Some(1), seen.wrap(&camel_task("t", "completed")))], End::Clean)
        }
        "/" => seen.result(&camel_task("t", "completed")),
        "/agent/skills" => answer(200, &json!({ "skills": [] })),
        _ => answer(404, &json!({})),
    })
    .await
}

/// Whether the request is signed by us over its very body.
fn is_ours(seen: &Seen) -> Result<RequestSignature> {
    let texts = seen
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()));
    let signature = RequestSignature::from_headers(texts)?;
    signature.verify(&key().public_key(), &seen.bytes, signature.timestamp)?;
    assert_eq!(signature.did, did().as_str());
    Ok(signature)
}

#[tokio::test]
async fn every_request_is_signed_over_its_very_bytes() -> Result {
    let agent = plain().await?;
    let client = builder(&agent).build()?;
    client.send("grüße \u{7f} 🎉").await?;
    client.get(&"t".parse()?, None).await?;
    client.skills().await?;
    let _ = client.stream("hello").await?;
    let seen = agent.seen();
    let bearing: Vec<_> = seen.iter().filter(|seen| seen.header("x-did").is_some()).collect();
    for seen in &bearing {
        is_ours(seen)?;
    }
    let of = |seen: &&Seen| (seen.method.to_string(), seen.path.clone(), seen.bytes.is_empty());
    let expected = [("POST", "/", false), ("POST", "/", false), ("GET", "/agent/skills", true)];
    let found: Vec<_> = bearing.iter().map(of).collect();
    let expected = expected.map(|(method, path, empty)| (method.into(), path.into(), empty));
    assert_eq!(found[..3], expected);
    assert_eq!(found.len(), 4, "{found:?}");
    Ok(())
}

#[tokio::test]
async fn who_the_agent_is_is_asked_without_saying_who_we_are() -> Result {
    let agent = plain().await?;
    let client = builder(&agent).tokens(Token::new("secret")).build()?;
    client.send("hello").await?;
    for seen in agent.seen() {
        let bears = seen.header("x-did").is_some() || seen.header("authorization").is_some();
        assert_eq!(bears, !seen.path.starts_with("/.well-known"), "{} {seen:?}", seen.path);
    }
    Ok(())
}

#[tokio::test]
async fn each_attempt_has_an_id_and_a_signature_of_its_own() -> Result {
    let agent = Canned::start(|seen, _| match (seen.path.as_str(), seen.rpc()) {
        ("/", "message/send") => answer(503, &json!({})),
        _ => answer(404, &json!({})),
    })
    .await?;
    builder(&agent).build()?.send("hello").await.unwrap_err();
    let seen: Vec<_> = agent.seen().into_iter().filter(|seen| seen.path == "/").collect();
    assert_eq!(seen.len(), 4);
    for pair in seen.windows(2) {
        assert_ne!(pair[0].body["id"], pair[1].body["id"]);
        assert_ne!(is_ours(&pair[0])?.signature, is_ours(&pair[1])?.signature);
        let message = |seen: &Seen| seen.params()["message"].clone();
        assert_eq!(message(&pair[0]), message(&pair[1]), "the message is the same");
    }
    Ok(())
}

/// An agent that takes the second token only.
async fn picky() -> Result<Canned> {
    Canned::start(|seen, _| match seen.path.as_str() {
        "/" if seen.header("authorization") != Some("Bearer token-2") => seen.error(401, -32010),
        "/" if seen.rpc() == "message/stream" => {
            events(&[(Some(1), seen.wrap(&camel_task("t", "completed")))], End::Clean)
        }
        "/" => seen.result(&camel_task("t", "completed")),
        _ => answer(404, &json!({})),
    })
    .await
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once() -> Result {
    for streamed in [false, true] {
        let agent = picky().await?;
        let asks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asks);
        let tokens = move |ask: TokenAsk| {
            counted.fetch_add(1, Ordering::Relaxed);
            let token = if ask.fresh { "token-2" } else { "token-1" };
            std::future::ready(Ok(Token::new(token)))
        };
        let client = builder(&agent).tokens(tokens).build()?;
        if streamed {
            let _ = client.stream("hello").await?;
        } else {
            client.send("hello").await?;
        }
        let seen: Vec<_> = agent.seen().into_iter().filter(|seen| seen.path == "/").collect();
        assert_eq!((seen.len(), asks.load(Ordering::Relaxed)), (2, 2));
        assert_eq!(
            seen[0].params()["message"]["messageId"],
            seen[1].params()["message"]["messageId"]
        );
        assert_ne!(is_ours(&seen[0])?.signature, is_ours(&seen[1])?.signature);
    }
    Ok(())
}

#[tokio::test]
async fn a_second_refusal_stands() -> Result {
    let agent = picky().await?;
    let client = builder(&agent).tokens(Token::new("token-1")).build()?;
    let error = client.send("hello").await.unwrap_err();
    assert_eq!(error.code().map(|code| code.0), Some(-32010));
    assert!(error.hint().is_some_and(|hint| hint.contains("locked")), "{error:?}");
    assert_eq!(agent.seen().iter().filter(|seen| seen.path == "/").count(), 2);
    Ok(())
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() -> Result {
    let agent = plain().await?;
    let tokens = |_: TokenAsk| std::future::ready(Err("the well is dry".into()));
    let error = builder(&agent).tokens(tokens).build()?.send("hello").await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Token(source) if source.to_string() == "the well is dry")
    );
    assert!(agent.seen().iter().all(|seen| seen.path != "/"));
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_not_followed() -> Result {
    let other = plain().await?;
    let to = HeaderValue::try_from(&other.url)?;
    let agent = Canned::start(move |seen, _| {
        let status = if seen.path == "/" { 307 } else { 404 };
        let mut response = text(status, "text/plain", "over there");
        response.headers_mut().insert(LOCATION, to.clone());
        response
    })
    .await?;
    let error = builder(&agent).tokens(Token::new("x")).build()?.send("hello").await.unwrap_err();
    assert!(matches!(&error, ClientError::Status { status, .. } if status.as_u16() == 307));
    assert!(error.hint().is_some_and(|hint| hint.contains("not followed")));
    assert!(other.seen().is_empty());
    Ok(())
}

#[test]
fn no_caller_sets_the_headers_that_say_who_calls() {
    let value = HeaderValue::from_static("x");
    for name in ["X-DID", "x-did-signature", "X-DID-Timestamp", "Authorization"] {
        let name = HeaderName::try_from(name).expect("a name");
        let builder = Client::builder("http://localhost")
            .identity(identity())
            .tokens(Token::new("token"))
            .header(name.clone(), value.clone());
        let error = builder.build().unwrap_err();
        assert!(error.to_string().contains(name.as_str()), "{error}");
    }
    // Without tokens of its own, a client may be given one by hand.
    let by_hand = Client::builder("http://localhost").identity(identity());
    assert!(by_hand.header(AUTHORIZATION, value).build().is_ok());
}

#[test]
fn nothing_secret_is_shown() {
    let builder = Client::builder("http://localhost")
        .identity(identity())
        .header(HeaderName::from_static("x-api-key"), HeaderValue::from_static("hunter2"))
        .tokens(Token::new("hunter2"));
    let shown = format!("{builder:?} {:?}", builder_into(Client::builder("http://localhost")));
    assert!(!shown.contains("hunter2") && shown.contains(did().as_str()), "{shown}");
}

fn builder_into(builder: ClientBuilder) -> Client {
    builder.tokens(Token::new("hunter2")).build().expect("a client")
}

#[tokio::test]
async fn a_refusal_says_what_to_change() -> Result {
    for (reason, hint) in [
        ("did_mismatch", "one and the same DID"),
        ("public_key_unavailable", "register"),
        ("missing_signature_headers", "identity"),
        ("invalid_signature", "clock"),
    ] {
        let agent = Canned::start(move |seen, _| match seen.path.as_str() {
            "/" => answer(
                403,
                &json!({ "error": "Invalid DID signature",
                         "details": { "did_verified": false, "reason": reason } }),
            ),
            _ => answer(404, &json!({})),
        })
        .await?;
        let error = builder(&agent).build()?.send("hello").await.unwrap_err();
        assert!(error.hint().is_some_and(|told| told.contains(hint)), "{reason}: {error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_hidden_card_is_asked_for_again_with_a_token() -> Result {
    let agent = Canned::start(|seen, _| match seen.path.as_str() {
        CARD_PATH if seen.header("authorization") == Some("Bearer token") => {
            answer(200, &json!({ "name": "hidden", "url": "http://h/" }))
        }
        CARD_PATH => answer(401, &json!({})),
        _ => answer(404, &json!({})),
    })
    .await?;
    let client = Client::builder(&agent.url).tokens(Token::new("token")).build()?;
    assert_eq!(client.card().await?.name, "hidden");
    Ok(())
}
