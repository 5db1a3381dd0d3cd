//! What differs between a client and what it should be.

use serde_json::{Map, Value, json};

use crate::hydra::joined;
use crate::{HydraError, OAuthClient, Registration};

/// Id and secret in the body of a token request: a DID's colons break HTTP Basic.
pub(super) const AUTH_METHOD: &str = "client_secret_post";

/// Refuses a client that is registered with a key that is not ours: whoever holds that key
/// may own the DID, and whoever replaces it speaks in its name.
pub(super) fn refuse_foreign_key(
    client: &OAuthClient,
    what: &Registration,
) -> Result<(), HydraError> {
    let registered = match client.metadata("public_key") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(key)) if key.is_empty() => return Ok(()),
        Some(Value::String(key)) => key.clone(),
        // Nothing that we would have written.
        Some(other) => other.to_string(),
    };
    if what.allow_key_change || client.public_key() == Some(what.public_key) {
        return Ok(());
    }
    Err(HydraError::ForeignKey {
        did: what.did.as_str().into(),
        registered: registered.chars().filter(|c| !c.is_control()).take(100).collect(),
        ours: what.public_key.to_base58().into(),
    })
}

/// Makes the client what it should be, and says what differed. Adds to lists, never takes
/// away, and leaves alone what it does not know.
pub(super) fn reconcile(client: &mut OAuthClient, what: &Registration) -> Vec<&'static str> {
    let mut changed = Vec::new();

    let scopes = union(client.scopes(), &what.scopes);
    if let Some(scopes) = scopes {
        client.members_mut().insert("scope".to_owned(), json!(joined(&scopes)));
        changed.push("scope");
    }
    let grant_types = union(client.grant_types(), &what.grant_types);
    if let Some(grant_types) = grant_types {
        client.members_mut().insert("grant_types".to_owned(), json!(grant_types));
        changed.push("grant_types");
    }
    let audience = union(client.audience(), what.audience.as_slice());
    if let Some(audience) = audience {
        client.members_mut().insert("audience".to_owned(), json!(audience));
        changed.push("audience");
    }
    if set(client.members_mut(), "token_endpoint_auth_method", json!(AUTH_METHOD)) {
        changed.push("token_endpoint_auth_method");
    }
    if what.jwt_tokens && set(client.members_mut(), "access_token_strategy", json!("jwt")) {
        changed.push("access_token_strategy");
    }

    let metadata = client.members_mut().entry("metadata").or_insert(Value::Null);
    if !metadata.is_object() {
        *metadata = Value::Object(Map::new());
    }
    if let Value::Object(metadata) = metadata {
        for (report, name, value) in what.metadata() {
            if set(metadata, name, value) {
                changed.push(report);
            }
        }
    }
    changed
}

/// Sets a member. Returns whether it was another before.
fn set(members: &mut Map<String, Value>, name: &str, value: Value) -> bool {
    if members.get(name) == Some(&value) {
        return false;
    }
    members.insert(name.to_owned(), value);
    true
}

/// What is there and then what is wanted besides; `None` if all of it is there.
fn union<'a>(there: impl Iterator<Item = &'a str>, wanted: &[String]) -> Option<Vec<String>> {
    let mut all: Vec<String> = there.map(str::to_owned).collect();
    let before = all.len();
    for one in wanted {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
    (all.len() > before).then_some(all)
}

#[cfg(test)]
mod tests {
    use bindu_did::SigningKey;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn registration() -> Registration {
        let key = SigningKey::from_seed(&[7; 32]).public_key();
        let did = "did:bindu:ann:echo:53cbcb43-82ef-8a50-ba7c-f79217d463de".parse().unwrap();
        Registration {
            url: Some("https://echo.example.com".to_owned()),
            audience: Some("step-ca".to_owned()),
            jwt_tokens: true,
            ..Registration::new(did, Uuid::nil(), "echo", key)
        }
    }

    #[test]
    fn what_differs_is_mended_and_what_is_foreign_stays() {
        let mut client = OAuthClient::of(json!({
            "client_id": "did:bindu:ann:echo:53cbcb43-82ef-8a50-ba7c-f79217d463de",
            "audience": ["theirs"],
            "scope": "agent:read custom",
            "grant_types": ["implicit", "client_credentials"],
            "token_endpoint_auth_method": "client_secret_basic",
            "contacts": ["ann@example.com"],
            "created_at": "2026-01-01T00:00:00Z",
            "metadata": { "agent_url": "http://localhost", "team": "x", "registered_at": "then" },
        }));
        let changed = reconcile(&mut client, &registration());
        insta::assert_json_snapshot!((changed, client), @r#"
        [
          [
            "scope",
            "grant_types",
            "audience",
            "token_endpoint_auth_method",
            "access_token_strategy",
            "metadata.agent_id",
            "metadata.did",
            "metadata.public_key",
            "metadata.key_type",
            "metadata.verification_method",
            "metadata.hybrid_auth",
            "metadata.agent_url"
          ],
          {
            "access_token_strategy": "jwt",
            "audience": [
              "theirs",
              "step-ca"
            ],
            "client_id": "did:bindu:ann:echo:53cbcb43-82ef-8a50-ba7c-f79217d463de",
            "contacts": [
              "ann@example.com"
            ],
            "created_at": "2026-01-01T00:00:00Z",
            "grant_types": [
              "implicit",
              "client_credentials",
              "authorization_code",
              "refresh_token"
            ],
            "metadata": {
              "agent_id": "00000000-0000-0000-0000-000000000000",
              "agent_url": "https://echo.example.com",
              "did": "did:bindu:ann:echo:53cbcb43-82ef-8a50-ba7c-f79217d463de",
              "hybrid_auth": true,
              "key_type": "Ed25519",
              "public_key": "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB",
              "registered_at": "then",
              "team": "x",
              "verification_method": "Ed25519VerificationKey2020"
            },
            "scope": "agent:read custom openid offline agent:write",
            "token_endpoint_auth_method": "client_secret_post"
          }
        ]
        "#);
    }

    #[test]
    fn only_a_key_that_is_there_and_not_ours_is_foreign() {
        let what = registration();
        let with = |key: Value| OAuthClient::of(json!({ "metadata": { "public_key": key } }));
        let ours = what.public_key.to_base58();
        for fine in [json!(null), json!(""), json!(ours)] {
            assert!(refuse_foreign_key(&with(fine.clone()), &what).is_ok(), "{fine}");
        }
        let other = SigningKey::from_seed(&[8; 32]).public_key().to_base58();
        for foreign in [json!(other), json!("garbage"), json!(["x"]), json!(false)] {
            let client = with(foreign.clone());
            let refused = refuse_foreign_key(&client, &what);
            assert!(matches!(refused, Err(HydraError::ForeignKey { .. })), "{foreign}");
            let allowed = Registration { allow_key_change: true, ..what.clone() };
            assert!(refuse_foreign_key(&client, &allowed).is_ok(), "{foreign}");
        }
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::hash_map("[a-z_]{1,10}", inner, 0..3)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn member() -> impl Strategy<Value = (String, Value)> {
        let name = prop_oneof![
            prop::sample::select(vec![
                "scope",
                "audience",
                "grant_types",
                "metadata",
                "access_token_strategy",
                "token_endpoint_auth_method",
                "client_id",
            ])
            .prop_map(str::to_owned),
            "[a-z_]{1,10}",
        ];
        (name, json_value())
    }

    proptest! {
        /// Whatever a client holds: one pass is enough, members that nobody here knows stay
        /// as they are, and nothing is taken out of a list.
        #[test]
        fn reconciling_is_done_once_and_takes_nothing_away(
            members in prop::collection::vec(member(), 0..8),
        ) {
            const OURS: [&str; 6] = [
                "scope", "audience", "grant_types", "metadata", "access_token_strategy",
                "token_endpoint_auth_method",
            ];
            let what = registration();
            let before = OAuthClient::new(members.into_iter().collect());
            let mut after = before.clone();
            reconcile(&mut after, &what);

            prop_assert!(reconcile(&mut after.clone(), &what).is_empty());
            for (name, value) in before.members() {
                if !OURS.contains(&name.as_str()) {
                    prop_assert_eq!(after.members().get(name), Some(value));
                }
            }
            for scope in before.scopes() {
                prop_assert!(after.scopes().any(|kept| kept == scope));
            }
            for audience in before.audience() {
                prop_assert!(after.audience().any(|kept| kept == audience));
            }
            prop_assert!(after.audience().any(|audience| audience == "step-ca"));
            prop_assert_eq!(after.public_key(), Some(what.public_key));
        }
    }
}
