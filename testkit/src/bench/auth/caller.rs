//! Who calls, and what it has signed before anything is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bindu_did::{Did, SigningKey, request};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::json;
use uuid::Uuid;

use super::super::floor::Signed;
use crate::fake_hydra::FakeHydra;

/// The bearer token of the caller.
pub(super) const TOKEN: &str = "tok-bench";

/// What is sent to be echoed: as long as in the other measurements.
const TEXT: &str = "What does it cost to say this sentence back to whoever said it?";

/// Ids begin here, so that all of them have as many digits.
const FIRST_ID: u64 = 1_000_000_000;

/// Somebody with a token and a key. No two of its requests have the same bytes.
#[derive(Clone, Debug)]
pub(super) struct Caller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    did: Did,
    key: SigningKey,
    next: AtomicU64,
}

impl Caller {
    /// One with a client and a token at this Hydra.
    pub(super) fn known_to(hydra: &FakeHydra) -> anyhow::Result<Self> {
        let key = SigningKey::generate()?;
        let did = Did::for_agent("caller@example.com", "bench", key.public_key().id())?;
        let metadata = json!({ "public_key": key.public_key().to_base58() });
        hydra.put_client(json!({ "client_id": did.as_str(), "metadata": metadata }));
        let token = json!({
            "active": true,
            "client_id": did.as_str(),
            "sub": did.as_str(),
            "scope": "openid offline agent:read agent:write",
            "exp": now() + 3600,
            "token_type": "Bearer",
            "token_use": "access_token",
        });
        hydra.put_token(TOKEN, token);
        Ok(Self(Arc::new(Inner { did, key, next: AtomicU64::new(FIRST_ID) })))
    }

    pub(super) fn did(&self) -> &Did {
        &self.0.did
    }

    /// So many requests, whole and signed now.
    pub(super) fn requests(&self, count: usize) -> anyhow::Result<Vec<Box<[u8]>>> {
        (0..count).map(|_| self.request()).collect()
    }

    fn request(&self) -> anyhow::Result<Box<[u8]>> {
        let Inner { did, key, next } = &*self.0;
        let id = next.fetch_add(1, Ordering::Relaxed);
        let body = body(id);
        let signed = request::sign(key, did, body.as_bytes(), now())?;
        let (signature, timestamp) = (&signed.signature, signed.timestamp);
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             authorization: Bearer {TOKEN}\r\nx-did: {did}\r\nx-did-signature: {signature}\r\n\
             x-did-timestamp: {timestamp}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Ok(format!("{head}{body}").into_bytes().into_boxed_slice())
    }

    /// What a signature of such a request is over, and the signature.
    pub(super) fn sample(&self) -> Signed {
        let Inner { did, key, .. } = &*self.0;
        let now = now();
        let text = request::payload(&body(FIRST_ID), did.as_str(), now);
        Signed {
            by: UnparsedPublicKey::new(&ED25519, key.public_key().as_bytes().to_vec()),
            signature: key.sign(text.as_bytes()).as_bytes().to_vec(),
            text: text.into_bytes(),
        }
    }
}

/// A message as an A2A 0.3 client sends it.
fn body(id: u64) -> String {
    let request = json!({
        "jsonrpc": "2.0",
        "id": id,
        "method": "message/send",
        "params": {
            "message": {
                "role": "user",
                "parts": [{ "kind": "text", "text": TEXT }],
                "messageId": Uuid::from_u64_pair(id, id | (1 << 63)),
                "kind": "message",
            },
            "configuration": { "blocking": true },
        },
    });
    request.to_string()
}

/// Seconds since 1970.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
