//! What a client certificate adds.

use std::sync::Arc;

use bindu_auth::{Certificate, Config, Head, Policy, Proof};
use bindu_protocol::Denied;
use bindu_storage::MemoryReplayGuard;
use serde_json::json;

use crate::door::{BODY, Door, NOW, Somebody, map, now};

#[tokio::test]
async fn a_certificate_must_name_the_did_of_the_token() {
    let (door, ann, bob) = (Door::open().await, Somebody::new("ann"), Somebody::new("bob"));
    door.know(&ann, "good");
    door.token("service", json!({}));
    let fields = ann.sign_at(BODY, NOW).headers();
    let mut headers = vec![("authorization", "Bearer good")];
    headers.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));

    let knock = |certificate| door.knock(&headers, BODY, certificate);
    assert!(knock(Certificate::Of(ann.did.as_str())).await.is_ok());
    assert!(knock(Certificate::Absent).await.is_ok());
    let denied = knock(Certificate::Of(bob.did.as_str())).await.unwrap_err();
    assert_eq!(denied, Denied::DidMismatch);
    assert_eq!(knock(Certificate::Nameless).await.unwrap_err(), Denied::CertificateWithoutDid);
    // The connection outlived the certificate.
    assert_eq!(knock(Certificate::Expired).await.unwrap_err(), Denied::NoCertificate);
    // A service has no DID of its own that could differ.
    let service = [("authorization", "Bearer service")];
    assert!(door.knock(&service, BODY, Certificate::Of(ann.did.as_str())).await.is_ok());
}

#[tokio::test]
async fn where_the_certificate_alone_counts_it_names_the_caller() {
    let ann = Somebody::new("ann");
    let scopes = vec!["agent:read".into()];
    let proof = Proof::Certificate { scopes, keys: None };
    let policy = Policy::new(Config::default(), proof, Arc::new(MemoryReplayGuard::default()));
    let headers = map(&[("authorization", "Bearer whatever")]);
    let head = |certificate| Head {
        is_get: false,
        path: "/",
        query: None,
        headers: &headers,
        certificate,
        remote: None,
    };
    let claim = policy.identify(&head(Certificate::Of(ann.did.as_str())), now()).await;
    let grant = claim.unwrap().unwrap().verify(BODY, now()).await.unwrap();
    assert_eq!(grant.caller().name.as_deref(), Some(ann.did.as_str()));
    assert!(grant.permit("tasks/list", now()).await.is_ok());
    assert!(grant.permit("message/send", now()).await.is_err());
    let denied = policy.identify(&head(Certificate::Absent), now()).await.unwrap_err();
    assert_eq!(denied, Denied::NoCertificate);
}

#[tokio::test]
async fn a_certificate_alone_shows_no_key_that_a_did_could_be_a_fingerprint_of() {
    let ann = Somebody::new("ann");
    let config = Config { require_self_certified: true, ..Config::default() };
    let proof = Proof::Certificate { scopes: Vec::new(), keys: None };
    let policy = Policy::new(config, proof, Arc::new(MemoryReplayGuard::default()));
    let headers = map(&[("authorization", "Bearer secret")]);
    let head = Head {
        is_get: false,
        path: "/",
        query: Some("token=secret"),
        headers: &headers,
        certificate: Certificate::Of(ann.did.as_str()),
        remote: None,
    };
    assert!(!format!("{head:?}").contains("secret"));
    let claim = policy.identify(&head, now()).await.unwrap().unwrap();
    assert_eq!(claim.verify(BODY, now()).await.unwrap_err(), Denied::NotAdmitted);
}

#[tokio::test]
async fn a_signature_beside_a_certificate_must_be_good() {
    let (door, ann, bob) = (Door::open().await, Somebody::new("ann"), Somebody::new("bob"));
    door.know(&ann, "unused");
    let proof = Proof::Certificate { scopes: Vec::new(), keys: Some(door.keys.clone()) };
    let policy = Policy::new(Config::default(), proof, Arc::new(MemoryReplayGuard::default()));
    let verdict = async |signer: &Somebody, body: &'static [u8], keep: usize| {
        let fields = signer.sign_at(BODY, NOW).headers();
        let fields = fields.iter().take(keep).map(|(name, value)| (*name, value.as_str()));
        let headers = map(&fields.collect::<Vec<_>>());
        let head = Head {
            is_get: false,
            path: "/",
            query: None,
            headers: &headers,
            certificate: Certificate::Of(ann.did.as_str()),
            remote: None,
        };
        let claim = policy.identify(&head, now()).await?.expect("the path is not open");
        claim.verify(body, now()).await.map(|_| ())
    };
    assert_eq!(verdict(&ann, BODY, 0).await, Ok(()), "no signature is asked for");
    assert_eq!(verdict(&ann, BODY, 3).await, Ok(()));
    assert_eq!(verdict(&ann, BODY, 2).await, Err(Denied::SignatureMissing));
    assert_eq!(verdict(&bob, BODY, 3).await, Err(Denied::DidMismatch));
    assert!(matches!(verdict(&ann, b"{}", 3).await, Err(Denied::SignatureInvalid { .. })));
}
