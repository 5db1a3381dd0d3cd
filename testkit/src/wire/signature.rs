//! Ed25519: checking what an agent signed, and signing as a fixture identity.

use std::collections::BTreeMap;

use ring::{
    digest::{SHA256, digest},
    signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey},
};

use super::{
    http::{Answer, Call},
    json::Json,
};

/// Where a part's signature stands in its metadata.
pub(super) const KEY: &str = "did.message.signature";

/// Checks that `part` carries its agent's signature over its text.
pub(super) fn check(part: &Json, agent_key: &Result<Vec<u8>, String>) -> Result<(), String> {
    let cannot = |why: &str| format!("cannot check signature: {why}");
    let signature = part
        .get("metadata")
        .and_then(|metadata| metadata.get(KEY))
        .and_then(Json::as_str)
        .ok_or_else(|| cannot("the part has none"))?;
    let signature =
        bs58::decode(signature).into_vec().map_err(|error| cannot(&error.to_string()))?;
    let agent_key = agent_key.as_ref().map_err(|error| cannot(error))?;
    let text =
        part.get("text").and_then(Json::as_str).ok_or_else(|| cannot("the part has no text"))?;
    UnparsedPublicKey::new(&ED25519, agent_key).verify(text.as_bytes(), &signature).map_err(|_| {
        "signature does not verify over the part's text with the agent's key".to_owned()
    })
}

/// Tells whether a pattern asks for a signature anywhere, so that the agent's key
/// is wanted.
pub(super) fn is_wanted(pattern: &Json) -> bool {
    let asks =
        pattern.get("metadata").and_then(|metadata| metadata.get(KEY)).and_then(Json::as_str)
            == Some("<signature>");
    asks || match pattern {
        Json::Array(items) => items.iter().any(is_wanted),
        Json::Object(members) => members.iter().any(|(_, value)| is_wanted(value)),
        _ => false,
    }
}

/// Signs `message` as the fixture identity of that name and writes base58.
///
/// Its private key's seed is SHA-256 of `wire-fixture:` and the name.
pub(super) fn sign_as(identity: &str, message: &str) -> Result<String, String> {
    let seed = digest(&SHA256, format!("wire-fixture:{identity}").as_bytes());
    let key = Ed25519KeyPair::from_seed_unchecked(seed.as_ref())
        .map_err(|error| format!("no key for {identity}: {error}"))?;
    Ok(bs58::encode(key.sign(message.as_bytes())).into_string())
}

/// The public keys of the agents met in a run, by their address.
#[derive(Debug, Default)]
pub(super) struct AgentKeys {
    known: BTreeMap<String, Vec<u8>>,
}

impl AgentKeys {
    /// The key in the DID document of the agent at `base`.
    ///
    /// What is found is kept; a failure is tried again by the next step.
    pub(super) async fn of(&mut self, base: &str) -> Result<Vec<u8>, String> {
        if let Some(key) = self.known.get(base) {
            return Ok(key.clone());
        }
        let key = resolve(base).await?;
        self.known.insert(base.to_owned(), key.clone());
        Ok(key)
    }
}

async fn resolve(base: &str) -> Result<Vec<u8>, String> {
    let body = |answer: Answer| answer.body.ok_or("an answer is not JSON");
    let card = body(Call::get(base, "/.well-known/agent.json").send_within_10s().await?)?;
    let did = card
        .lookup(&Json::string("capabilities.extensions"))
        .and_then(Json::as_array)
        .and_then(|extensions| {
            extensions
                .iter()
                .filter_map(|extension| extension.get("uri")?.as_str())
                .find(|uri| uri.starts_with("did:"))
        })
        .ok_or("the card names no DID")?;
    let question = Json::Object(vec![("did".to_owned(), Json::string(did))]);
    let document = body(Call::post(base, "/did/resolve", &question).send_within_10s().await?)?;
    let key = document
        .lookup(&Json::string("authentication.0.publicKeyBase58"))
        .and_then(Json::as_str)
        .ok_or("the DID document holds no key")?;
    bs58::decode(key).into_vec().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use ring::signature::KeyPair;

    use super::{Ed25519KeyPair, Json, SHA256, check, digest, is_wanted, sign_as};

    fn public_key(identity: &str) -> Vec<u8> {
        let seed = digest(&SHA256, format!("wire-fixture:{identity}").as_bytes());
        Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).unwrap().public_key().as_ref().to_vec()
    }

    fn part(text: &str, signature: &str) -> Json {
        Json::parse(&format!(
            r#"{{"text":"{text}","metadata":{{"did.message.signature":"{signature}"}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn a_signature_over_the_text_holds_and_over_another_does_not() {
        let signature = sign_as("echo", "hello").unwrap();
        let key = Ok(public_key("echo"));
        assert_eq!(check(&part("hello", &signature), &key), Ok(()));
        let refused = check(&part("hullo", &signature), &key).unwrap_err();
        assert!(refused.starts_with("signature does not verify"), "{refused}");
        assert!(check(&part("hello", &signature), &Ok(public_key("slow"))).is_err());
    }

    #[test]
    fn what_cannot_be_checked_says_why() {
        let signature = sign_as("echo", "hello").unwrap();
        let why = |part: &Json| check(part, &Err("no card".to_owned())).unwrap_err();
        assert_eq!(why(&part("hello", &signature)), "cannot check signature: no card");
        assert_eq!(why(&Json::Null), "cannot check signature: the part has none");
        assert!(why(&part("hello", "0OIl")).starts_with("cannot check signature: "));
    }

    #[test]
    fn only_patterns_that_ask_for_a_signature_want_the_key() {
        let wanted = |text: &str| is_wanted(&Json::parse(text).unwrap());
        assert!(wanted(
            r#"{"a":[{"$optional":{"metadata":{"did.message.signature":"<signature>"}}}]}"#
        ));
        assert!(!wanted(
            r#"{"a":[{"metadata":{"did.message.signature":"<base58>"}},"<signature>"]}"#
        ));
    }
}
