//! The clients and tokens that there are.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

/// A caller whose key is known.
pub(super) const GOOD: &str =
    "did:bindu:caller_at_example_com:good:11111111-1111-4111-8111-111111111111";
const OTHER: &str = "did:bindu:caller_at_example_com:other:22222222-2222-4222-8222-222222222222";
const NOKEY: &str = "did:bindu:caller_at_example_com:nokey:33333333-3333-4333-8333-333333333333";
const BADKEY: &str = "did:bindu:caller_at_example_com:badkey:44444444-4444-4444-8444-444444444444";
const UNREGISTERED: &str =
    "did:bindu:caller_at_example_com:unregistered:55555555-5555-4555-8555-555555555555";

const SERVICE: &str = "service-client";

/// What most tokens allow.
const ALL_SCOPES: &str = "openid offline agent:read agent:write";

#[derive(Debug)]
pub(super) struct World {
    pub(super) clients: BTreeMap<String, Value>,
    /// Tokens that a test made.
    pub(super) tokens: BTreeMap<String, Value>,
    issuer: String,
}

impl World {
    /// What the recorded conversations have.
    pub(super) fn recorded(issuer: &str) -> Self {
        let clients = [
            (GOOD, json!({ "public_key": public_key("caller-good") })),
            (OTHER, json!({ "public_key": public_key("caller-other") })),
            (NOKEY, json!({})),
            (BADKEY, json!({ "public_key": "0OIl-not-base58" })),
            (SERVICE, json!({})),
        ];
        let clients = clients.map(|(id, metadata)| {
            (id.to_owned(), json!({ "client_id": id, "metadata": metadata }))
        });
        Self { clients: clients.into(), tokens: BTreeMap::new(), issuer: issuer.to_owned() }
    }

    /// What introspection says of a token of this kind.
    pub(super) fn token(&self, kind: &str) -> Option<Value> {
        if let Some(token) = self.tokens.get(kind) {
            return Some(token.clone());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let mut token = json!({
            "active": true,
            "client_id": SERVICE,
            "sub": SERVICE,
            "scope": ALL_SCOPES,
            "exp": now + 3600,
            "iat": now.saturating_sub(10),
            "iss": self.issuer,
            "token_type": "Bearer",
            "token_use": "access_token",
        });
        let mut of = |did: &str| {
            token["client_id"] = did.into();
            token["sub"] = did.into();
        };
        match kind {
            "tok-good" => of(GOOD),
            "tok-other" => of(OTHER),
            "tok-nokey" => of(NOKEY),
            "tok-badkey" => of(BADKEY),
            "tok-unregistered" => of(UNREGISTERED),
            "tok-service" | "tok-cached" => {}
            "tok-readonly" => token["scope"] = "agent:read".into(),
            "tok-noscope" => token["scope"] = "".into(),
            "tok-sensitive" => token["scope"] = format!("{ALL_SCOPES} admin").into(),
            "tok-expired" => token["exp"] = now.saturating_sub(60).into(),
            "tok-nosub" => remove(&mut token, "sub"),
            "tok-noexp" => remove(&mut token, "exp"),
            "tok-human" => {
                token["client_id"] = "web-app".into();
                token["sub"] = "user-1".into();
                token["ext"] =
                    json!({ "username": "ann", "email": "ann@example.com", "name": "Ann" });
            }
            _ => return None,
        }
        Some(token)
    }
}

fn remove(token: &mut Value, key: &str) {
    if let Some(token) = token.as_object_mut() {
        token.remove(key);
    }
}

/// The public key of a fixture identity, in base58: its seed is SHA-256 of `wire-fixture:` and the
/// name.
fn public_key(identity: &str) -> String {
    let seed = digest(&SHA256, format!("wire-fixture:{identity}").as_bytes());
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).expect("a seed has 32 bytes");
    bs58::encode(pair.public_key()).into_string()
}
