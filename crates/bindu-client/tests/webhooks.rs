//! Posts that claim to come from an agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bindu_client::{Client, ClientError, KeySource, WebhookError, WebhookReceiver};
use bindu_did::{Did, DidDocument, PublicKey, SigningKey, request};
use bindu_protocol::{CARD_PATH, StreamEvent, TaskState};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::json;

use crate::canned::{Canned, Result, answer, camel_task, hasty};

const NOW: u64 = 1_800_000_000;

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn did() -> Did {
    Did::for_agent("ann", "echo", key().public_key().id()).expect("a DID")
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn body() -> Vec<u8> {
    json!({ "event_id": "e-1", "sequence": 3, "timestamp": "2026-11-21T14:55:48.457325+00:00",
            "kind": "status-update", "task_id": "t", "context_id": "c", "final": true,
            "status": { "state": "completed", "timestamp": "2026-11-21T14:55:48.457325+00:00" } })
    .to_string()
    .into_bytes()
}

/// As an agent sends it, with the token where plain A2A has it.
fn signed(by: &SigningKey, did: &Did, body: &[u8], seconds: u64) -> HeaderMap {
    let seconds = i64::try_from(seconds).expect("a time");
    let signature = request::sign(by, did, body, seconds).expect("UTF-8");
    let mut headers = HeaderMap::new();
    for (name, value) in signature.headers() {
        let name = HeaderName::try_from(name).expect("a name");
        headers.insert(name, HeaderValue::try_from(value).expect("a value"));
    }
    headers.insert("x-a2a-notification-token", HeaderValue::from_static("hunter2"));
    headers
}

fn post() -> HeaderMap {
    signed(&key(), &did(), &body(), NOW)
}

/// A source that knows one agent, and counts how often it is asked.
#[derive(Clone, Default)]
struct Directory {
    asked: Arc<AtomicUsize>,
    fails: bool,
}

impl KeySource for Directory {
    fn key<'a>(&'a self, wanted: &'a Did) -> BoxFuture<'a, Result<Option<PublicKey>, ClientError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let found = (*wanted == did()).then(|| key().public_key());
        let failed = || ClientError::Http(bindu_http::HttpError::Io("gone".into()));
        std::future::ready(if self.fails { Err(failed()) } else { Ok(found) }).boxed()
    }
}

fn receiver() -> WebhookReceiver {
    WebhookReceiver::builder().agent(Directory::default()).token("hunter2").build()
}

async fn refusal(headers: &HeaderMap, body: &[u8]) -> Result<WebhookError> {
    let outcome = receiver().receive_at(headers, body, at(NOW)).await;
    outcome.map_or_else(Ok, |delivery| Err(format!("it must not pass: {delivery:?}").into()))
}

#[tokio::test]
async fn a_post_is_an_event_with_a_sender() -> Result {
    let delivery = receiver().receive_at(&post(), &body(), at(NOW + 5)).await?;
    assert_eq!((delivery.from, delivery.sequence), (Some(did()), Some(3)));
    assert_eq!(delivery.event_id.as_deref(), Some("e-1"));
    let StreamEvent::Status(update) = delivery.event else { return Err("no status".into()) };
    assert_eq!(update.status.state, TaskState::Completed);

    let task = camel_task("t", "working").to_string().into_bytes();
    let headers = signed(&key(), &did(), &task, NOW);
    let delivery = receiver().receive_at(&headers, &task, at(NOW)).await?;
    assert!(matches!(delivery.event, StreamEvent::Task(_)) && delivery.event_id.is_none());
    Ok(())
}

#[tokio::test]
async fn the_very_same_post_passes_once() -> Result {
    let receiver = receiver();
    receiver.receive_at(&post(), &body(), at(NOW)).await?;
    for later in [0, 1, 300] {
        let error = receiver.receive_at(&post(), &body(), at(NOW + later)).await.unwrap_err();
        assert!(matches!(error, WebhookError::Replayed), "{error:?}");
        assert_eq!(error.status().as_u16(), 425);
    }
    let stale = receiver.receive_at(&post(), &body(), at(NOW + 301)).await.unwrap_err();
    assert!(matches!(stale, WebhookError::Signature(_)), "{stale:?}");
    // The next attempt of the agent is signed anew.
    let again = signed(&key(), &did(), &body(), NOW + 1);
    receiver.receive_at(&again, &body(), at(NOW + 1)).await?;
    Ok(())
}

#[tokio::test]
async fn one_that_is_signed_ahead_is_remembered_as_long_as_it_is_good() -> Result {
    let receiver = receiver();
    let ahead = signed(&key(), &did(), &body(), NOW + 300);
    receiver.receive_at(&ahead, &body(), at(NOW)).await?;
    let error = receiver.receive_at(&ahead, &body(), at(NOW + 600)).await.unwrap_err();
    assert!(matches!(error, WebhookError::Replayed));
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_remembered_is_put_off() -> Result {
    let one = WebhookReceiver::builder().agent(Directory::default()).remember(1).build();
    one.receive_at(&post(), &body(), at(NOW)).await?;
    let next = signed(&key(), &did(), &body(), NOW + 1);
    let error = one.receive_at(&next, &body(), at(NOW + 1)).await.unwrap_err();
    assert!(matches!(error, WebhookError::Busy) && error.status().as_u16() == 503);
    // Once the first can no longer be replayed there is room again.
    let later = signed(&key(), &did(), &body(), NOW + 301);
    one.receive_at(&later, &body(), at(NOW + 301)).await?;
    Ok(())
}

#[tokio::test]
async fn whatever_is_wrong_is_refused() -> Result {
    let mut no_token = post();
    no_token.remove("x-a2a-notification-token");
    assert!(matches!(refusal(&no_token, &body()).await?, WebhookError::Token));
    let mut wrong_token = post();
    wrong_token.insert("x-a2a-notification-token", HeaderValue::from_static("hunter3"));
    assert_eq!(refusal(&wrong_token, &body()).await?.status().as_u16(), 401);

    let mut unsigned = post();
    unsigned.remove("x-did-signature");
    assert_eq!(refusal(&unsigned, &body()).await?.status().as_u16(), 401);
    let mut twice = post();
    twice.append("x-did", HeaderValue::from_bytes(b"\xff")?);
    assert!(matches!(refusal(&twice, &body()).await?, WebhookError::Signature(_)));

    let mut changed = body();
    changed.push(b' ');
    let error = refusal(&post(), &changed).await?;
    assert!(matches!(error, WebhookError::Signature(_)) && error.status().as_u16() == 403);

    let other = SigningKey::from_seed(&[2; 32]);
    let forged = signed(&other, &did(), &body(), NOW);
    assert!(matches!(refusal(&forged, &body()).await?, WebhookError::Signature(_)));
    let stranger = Did::from_key(&other.public_key());
    let strange = signed(&other, &stranger, &body(), NOW);
    assert!(
        matches!(refusal(&strange, &body()).await?, WebhookError::Unknown(did) if did == stranger)
    );

    let nonsense = br#"{"kind":"weather"}"#;
    let error = refusal(&signed(&key(), &did(), nonsense, NOW), nonsense).await?;
    assert!(matches!(error, WebhookError::Body(_)) && error.status().as_u16() == 400);
    Ok(())
}

#[tokio::test]
async fn who_has_no_token_makes_us_ask_nobody() -> Result {
    let directory = Directory::default();
    let asked = Arc::clone(&directory.asked);
    let receiver = WebhookReceiver::builder().agent(directory).token("another").build();
    assert!(receiver.receive_at(&post(), &body(), at(NOW)).await.is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    Ok(())
}

#[tokio::test]
async fn a_source_that_fails_is_left_alone_for_a_moment() -> Result {
    let directory = Directory { fails: true, ..Directory::default() };
    let asked = Arc::clone(&directory.asked);
    let receiver = WebhookReceiver::builder().agent(directory).build();
    for _ in 0..10 {
        let error = receiver.receive_at(&post(), &body(), at(NOW)).await.unwrap_err();
        assert!(matches!(error, WebhookError::Unavailable(_)) && error.status().as_u16() == 503);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    Ok(())
}

#[tokio::test]
async fn a_source_that_fails_does_not_keep_others_from_deciding() -> Result {
    let failing = Directory { fails: true, ..Directory::default() };
    let receiver = WebhookReceiver::builder().agent(failing).agent(Directory::default()).build();
    receiver.receive_at(&post(), &body(), at(NOW)).await?;
    Ok(())
}

#[tokio::test]
async fn the_reference_posts_unsigned_with_a_bearer_token() -> Result {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("bearer hunter2"));
    let error = refusal(&headers, &body()).await?;
    assert!(matches!(error, WebhookError::Signature(_)), "only if it is allowed: {error:?}");
    let lax = WebhookReceiver::builder().token("hunter2").accept_unsigned(true).build();
    assert_eq!(lax.receive_at(&headers, &body(), at(NOW)).await?.from, None);
    // A signature that is there counts, and without a token nothing passes unsigned.
    assert!(lax.receive_at(&post(), &body(), at(NOW)).await.is_err());
    let open = WebhookReceiver::builder().accept_unsigned(true).build();
    assert!(open.receive_at(&headers, &body(), at(NOW)).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_client_knows_the_key_of_its_agent() -> Result {
    let document = DidDocument::new(&did(), &key().public_key(), SystemTime::UNIX_EPOCH);
    let agent = Canned::start(move |seen, _| match seen.path.as_str() {
        CARD_PATH => answer(200, &json!({ "name": "a", "url": "u", "id": did() })),
        "/did/resolve" => answer(200, &json!(document)),
        _ => answer(404, &json!({})),
    })
    .await?;
    let client = Client::builder(&agent.url).retry(hasty()).build()?;
    let receiver = WebhookReceiver::builder().agent(client).build();
    for later in 0..3 {
        let headers = signed(&key(), &did(), &body(), NOW + later);
        receiver.receive_at(&headers, &body(), at(NOW + later)).await?;
    }
    assert_eq!(agent.seen().len(), 2, "card and document are read once");
    Ok(())
}

proptest! {
    /// Whatever headers a stranger makes up, nothing passes, and nothing panics.
    #[test]
    fn made_up_headers_do_not_pass(
        names in proptest::collection::vec(0_usize..4, 0..6),
        values in proptest::collection::vec(proptest::collection::vec(32_u8..=255, 0..100), 6),
        body: Vec<u8>,
    ) {
        let known = ["x-did", "x-did-signature", "x-did-timestamp", "authorization"];
        let mut headers = HeaderMap::new();
        for (name, value) in names.into_iter().zip(values) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(known[name], value);
            }
        }
        let receiver = WebhookReceiver::builder().agent(Directory::default()).build();
        let judged = receiver.receive_at(&headers, &body, at(NOW)).now_or_never();
        prop_assert!(judged.is_some_and(|judged| judged.is_err()));
    }
}
