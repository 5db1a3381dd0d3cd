//! Each gate alone: missing, wrong, over.

use std::sync::atomic::Ordering;

use bindu_auth::{Certificate, Config, Head};
use bindu_protocol::{Denied, TrustLevel};
use serde_json::json;

use crate::door::{BODY, Door, NOW, Somebody, map, now};

fn invalid(somebody: &Somebody, timestamp: u64) -> Denied {
    Denied::SignatureInvalid {
        did: somebody.did.as_str().into(),
        timestamp: i64::try_from(timestamp).unwrap(),
    }
}

#[tokio::test]
async fn who_shows_all_is_let_in_as_himself() {
    let (door, ann) = (Door::open().await, Somebody::new("ann"));
    door.know(&ann, "good");
    let grant = door.send("good", &ann.sign_at(BODY, NOW), BODY).await.unwrap();
    assert_eq!(grant.caller().name.as_deref(), Some(ann.did.as_str()));
    assert_eq!(grant.permit("message/send", now()).await, Ok(()));
}

#[tokio::test]
async fn open_paths_ask_for_nothing() {
    let door = Door::open().await;
    let headers = map(&[]);
    for (path, is_open) in [("/health", true), ("/", false), ("/nowhere", false)] {
        let head = Head {
            is_get: true,
            path,
            query: None,
            headers: &headers,
            certificate: Certificate::Nameless,
            remote: None,
        };
        let found = door.policy.identify(&head, now()).await;
        assert_eq!(matches!(found, Ok(None)), is_open, "{path}");
    }
    assert_eq!(door.hydra.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_token_is_refused_for_what_it_lacks() {
    let door = Door::open().await;
    door.token("off", json!({ "active": false }));
    door.token("over", json!({ "exp": NOW - 1 }));
    door.token("nobody", json!({ "sub": null }));
    door.token("endless", json!({ "exp": null }));
    door.token("refresh", json!({ "token_use": "refresh_token" }));
    door.token("id", json!({ "token_use": "id_token" }));
    door.token("last", json!({ "exp": NOW }));
    for (token, why) in [
        ("off", Denied::TokenInactive),
        ("unknown", Denied::TokenInactive),
        ("over", Denied::TokenExpired),
        ("nobody", Denied::TokenIncomplete("subject (sub) claim")),
        ("endless", Denied::TokenIncomplete("expiration (exp) claim")),
        ("refresh", Denied::TokenInactive),
        ("id", Denied::TokenInactive),
    ] {
        assert_eq!(door.with_token(token).await.unwrap_err(), why, "{token}");
    }
    assert!(door.with_token("last").await.is_ok(), "in its last second it is good");
    let denied = door.knock(&[], BODY, Certificate::Absent).await.unwrap_err();
    assert_eq!(denied, Denied::NoToken);
}

#[tokio::test]
async fn a_token_for_another_agent_is_refused_where_that_is_asked_for() {
    let config = Config { audience: Some("did:bindu:ann:me:1".to_owned()), ..Config::default() };
    let door = Door::with(config).await;
    door.token("any", json!({}));
    door.token("other", json!({ "aud": ["did:bindu:ann:you:1"] }));
    door.token("mine", json!({ "aud": ["did:bindu:ann:you:1", "did:bindu:ann:me:1"] }));
    assert_eq!(door.with_token("any").await.unwrap_err(), Denied::TokenAudience);
    assert_eq!(door.with_token("other").await.unwrap_err(), Denied::TokenAudience);
    assert!(door.with_token("mine").await.is_ok());
}

#[tokio::test]
async fn a_did_must_sign_and_a_service_need_not() {
    let (door, ann) = (Door::open().await, Somebody::new("ann"));
    door.know(&ann, "good");
    door.token("service", json!({}));
    assert_eq!(door.with_token("good").await.unwrap_err(), Denied::SignatureMissing);
    let grant = door.with_token("service").await.unwrap();
    assert_eq!(grant.caller().name.as_deref(), Some("service"));

    let signature = ann.sign_at(BODY, NOW);
    for left_out in ["X-DID", "X-DID-Signature", "X-DID-Timestamp"] {
        let fields = signature.headers();
        let mut headers = vec![("authorization", "Bearer good")];
        let fields = fields.iter().filter(|(name, _)| *name != left_out);
        headers.extend(fields.map(|(name, value)| (*name, value.as_str())));
        let denied = door.knock(&headers, BODY, Certificate::Absent).await.unwrap_err();
        assert_eq!(denied, Denied::SignatureMissing, "{left_out}");
    }
    // A second value is nobody's to choose from.
    let fields = signature.headers();
    let mut headers = vec![("authorization", "Bearer good"), ("x-did", "did:bindu:a:b")];
    headers.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    let denied = door.knock(&headers, BODY, Certificate::Absent).await.unwrap_err();
    assert_eq!(denied, Denied::SignatureMissing);
}

#[tokio::test]
async fn a_signature_is_refused_for_each_thing_it_covers() {
    let (door, ann, bob) = (Door::open().await, Somebody::new("ann"), Somebody::new("bob"));
    door.know(&ann, "good");
    door.know(&bob, "bobs");
    let signature = ann.sign_at(BODY, NOW);

    // Another body, one blank more.
    let denied = door.send("good", &signature, b"{}").await.unwrap_err();
    assert_eq!(denied, invalid(&ann, NOW));
    // Another's token.
    assert_eq!(door.send("bobs", &signature, BODY).await.unwrap_err(), Denied::DidMismatch);
    // Another's key, in Ann's name.
    let mut forged = bob.sign_at(BODY, NOW);
    forged.did = ann.did.to_string();
    assert_eq!(door.send("good", &forged, BODY).await.unwrap_err(), invalid(&ann, NOW));
    // Another time.
    let mut moved = signature.clone();
    moved.timestamp += 1;
    assert_eq!(door.send("good", &moved, BODY).await.unwrap_err(), invalid(&ann, NOW + 1));
    // No signature at all, in form.
    for text in ["", "1", "0OIl", &"z".repeat(4000)] {
        let mut broken = signature.clone();
        broken.signature = text.to_owned();
        let why = if text.is_empty() { Denied::SignatureMissing } else { invalid(&ann, NOW) };
        assert_eq!(door.send("good", &broken, BODY).await.unwrap_err(), why, "{text:.9}");
    }
    // A body that is no text.
    assert_eq!(door.send("good", &signature, b"\xff").await.unwrap_err(), invalid(&ann, NOW));
}

#[tokio::test]
async fn a_signature_is_good_for_five_minutes_either_way() {
    let (door, ann) = (Door::open().await, Somebody::new("ann"));
    door.know(&ann, "good");
    for at in [NOW - 300, NOW + 300] {
        assert!(door.send("good", &ann.sign_at(BODY, at), BODY).await.is_ok(), "{at}");
    }
    for at in [NOW - 301, NOW + 301] {
        let denied = door.send("good", &ann.sign_at(BODY, at), BODY).await.unwrap_err();
        assert_eq!(denied, invalid(&ann, at));
    }
}

#[tokio::test]
async fn a_signature_out_of_time_costs_no_question_about_its_key() {
    let (door, ann) = (Door::open().await, Somebody::new("ann"));
    door.know(&ann, "good");
    let old = ann.sign_at(BODY, NOW - 301);
    door.send("good", &old, BODY).await.unwrap_err();
    assert_eq!(door.hydra.asked.load(Ordering::SeqCst), 1, "the token alone");
}

#[tokio::test]
async fn a_request_for_another_agent_is_refused() {
    let config = |require_target| Config {
        own_did: Some("did:bindu:ann:me:1".to_owned()),
        require_target,
        ..Config::default()
    };
    let ann = Somebody::new("ann");
    let signature = ann.sign_at(BODY, NOW);
    for (named, is_required, is_let_in) in [
        (None, false, true),
        (None, true, false),
        (Some("did:bindu:ann:me:1"), true, true),
        (Some("did:bindu:ann:you:1"), false, false),
    ] {
        let door = Door::with(config(is_required)).await;
        door.know(&ann, "good");
        let mut fields = signature.headers().to_vec();
        if let Some(named) = named {
            let target = named.parse().unwrap();
            let by = bindu_did::target::sign(&ann.key, &signature, BODY, &target).unwrap();
            fields.push((bindu_did::target::TARGET_HEADER, named.to_owned()));
            fields.push((bindu_did::target::SIGNATURE_HEADER, by));
        }
        let knock = async |fields: &[(&str, String)]| {
            let mut headers = vec![("authorization", "Bearer good")];
            headers.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
            door.knock(&headers, BODY, Certificate::Absent).await.map(|_| ())
        };
        let verdict = knock(&fields).await;
        assert_eq!(verdict.is_ok(), is_let_in, "{named:?} {is_required}");
        if named.is_some() && is_let_in {
            // Half of it, or the name changed on the way.
            assert_eq!(knock(&fields[..4]).await, Err(invalid(&ann, NOW)));
            fields[4].1 = signature.signature.clone();
            assert_eq!(knock(&fields).await, Err(invalid(&ann, NOW)));
        }
    }
}

#[tokio::test]
async fn a_caller_whose_key_is_not_known_is_refused() {
    let (door, ann) = (Door::open().await, Somebody::new("ann"));
    door.token("good", json!({ "client_id": ann.did.as_str() }));
    let signature = ann.sign_at(BODY, NOW);
    let denied = door.send("good", &signature, BODY).await.unwrap_err();
    assert_eq!(denied, Denied::KeyUnavailable, "no such client");
    for key in [json!(null), json!("0OIl"), json!("1111"), json!(7)] {
        door.know_key(&ann, key.clone());
        door.keys.forget(ann.did.as_str());
        let denied = door.send("good", &signature, BODY).await.unwrap_err();
        assert_eq!(denied, Denied::KeyUnavailable, "{key}");
    }
}

#[tokio::test]
async fn a_hydra_that_is_away_is_no_reason_to_call_a_token_bad() {
    let (door, ann) = (Door::open().await, Somebody::new("ann"));
    door.know(&ann, "good");
    door.token("service", json!({}));
    assert!(door.with_token("service").await.is_ok());
    assert_eq!(door.with_token("good").await.unwrap_err(), Denied::SignatureMissing);
    door.hydra.is_down.store(true, Ordering::SeqCst);
    assert!(door.with_token("service").await.is_ok(), "it is remembered");
    assert_eq!(door.with_token("new").await.unwrap_err(), Denied::Unavailable);
    let signature = ann.sign_at(BODY, NOW);
    let denied = door.send("good", &signature, BODY).await.unwrap_err();
    assert_eq!(denied, Denied::Unavailable, "the key cannot be looked up");
}

#[tokio::test]
async fn lists_say_who_is_admitted() {
    let (ann, bob) = (Somebody::new("ann"), Somebody::new("bob"));
    let config = Config {
        allowed: Some([ann.did.to_string(), bob.did.to_string()].into()),
        denied: [bob.did.to_string()].into(),
        ..Config::default()
    };
    let door = Door::with(config).await;
    door.know(&ann, "good");
    door.know(&bob, "bobs");
    door.token("prefix", json!({ "client_id": &ann.did.as_str()[4..] }));
    assert!(door.send("good", &ann.sign_at(BODY, NOW), BODY).await.is_ok());
    let denied = door.send("bobs", &bob.sign_at(BODY, NOW), BODY).await.unwrap_err();
    assert_eq!(denied, Denied::NotAdmitted);
    assert_eq!(door.with_token("prefix").await.unwrap_err(), Denied::NotAdmitted);
}

#[tokio::test]
async fn a_did_that_anybody_could_have_claimed_is_refused_where_that_is_asked_for() {
    let config = Config { require_self_certified: true, ..Config::default() };
    let (door, ann, mut bob) = (Door::with(config).await, Somebody::new("a"), Somebody::new("b"));
    bob.did = ann.did.as_str().replace(":a:", ":b:").parse().unwrap();
    door.know(&ann, "good");
    door.know(&bob, "bobs");
    assert!(door.send("good", &ann.sign_at(BODY, NOW), BODY).await.is_ok());
    let denied = door.send("bobs", &bob.sign_at(BODY, NOW), BODY).await.unwrap_err();
    assert_eq!(denied, Denied::NotAdmitted);
}

#[tokio::test]
async fn a_method_needs_its_scope_and_its_trust() {
    let config = Config {
        operations: [("tasks/cancel".to_owned(), TrustLevel::Operator)].into(),
        trust: [("boss".to_owned(), TrustLevel::Admin)].into(),
        ..Config::default()
    };
    let door = Door::with(config).await;
    door.token("reader", json!({ "scope": "agent:read" }));
    door.token("nothing", json!({ "scope": "" }));
    door.token("near", json!({ "scope": "agent:writer xagent:write agent" }));
    door.token("writer", json!({}));
    door.token("boss", json!({ "client_id": "boss" }));
    let write = || Err(Denied::MissingPermissions(vec!["agent:write".into()]));
    let read = || Err(Denied::MissingPermissions(vec!["agent:read".into()]));
    for (token, method, expected) in [
        ("reader", "message/send", write()),
        ("reader", "message/stream", write()),
        ("reader", "contexts/clear", write()),
        ("reader", "tasks/pushNotificationConfig/set", write()),
        ("reader", "tasks/get", Ok(())),
        ("reader", "tasks/resubscribe", Ok(())),
        ("nothing", "tasks/get", read()),
        ("nothing", "agent/getAuthenticatedExtendedCard", Ok(())),
        ("near", "message/send", write()),
        ("writer", "message/send", Ok(())),
        ("writer", "tasks/cancel", Err(Denied::TrustTooLow)),
        ("boss", "tasks/cancel", Ok(())),
    ] {
        let grant = door.with_token(token).await.unwrap();
        assert_eq!(grant.permit(method, now()).await, expected, "{token} {method}");
    }
}
