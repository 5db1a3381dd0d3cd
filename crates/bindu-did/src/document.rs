//! DID documents: what an agent publishes about its key.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    did::{Did, validate_format},
    error::DidError,
    key::PublicKey,
    timestamp::isoformat,
};

/// The document that `/did/resolve` answers with: five members, in this order.
///
/// ```
/// # use bindu_did::{Did, DidDocument, SigningKey};
/// # use std::time::SystemTime;
/// let key = SigningKey::from_seed(&[0; 32]).public_key();
/// let did: Did = "did:bindu:ann:echo:1".parse()?;
/// let document = DidDocument::new(&did, &key, SystemTime::UNIX_EPOCH);
/// assert_eq!(serde_json::to_string(&document)?, concat!(
///     r#"{"@context":["https://www.w3.org/ns/did/v1","https://getbindu.com/ns/v1"],"#,
///     r#""id":"did:bindu:ann:echo:1","created":"1970-01-01T00:00:00+00:00","#,
///     r#""authentication":[{"id":"did:bindu:ann:echo:1#key-1","#,
///     r#""type":"Ed25519VerificationKey2020","controller":"did:bindu:ann:echo:1","#,
///     r#""publicKeyBase58":"4zvwRjXUKGfvwnParsHAS3HuSVzV5cA4McphgmoCtajS"}]}"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DidDocument {
    /// The vocabularies in use.
    #[serde(rename = "@context")]
    pub context: Vec<String>,
    /// The DID that the document is about.
    pub id: Did,
    /// When the key was made, as ISO 8601 in UTC with offset `+00:00`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created: String,
    /// The keys by which the holder of the DID proves itself; ours has one.
    #[serde(default)]
    pub authentication: Vec<VerificationMethod>,
}

/// One key in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationMethod {
    /// The DID, `#`, and a name for the key.
    pub id: String,
    /// `Ed25519VerificationKey2020`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The DID that holds the key.
    pub controller: String,
    /// The key in base58.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub public_key_base58: String,
}

impl DidDocument {
    /// The document of an agent with one key, made at `created`.
    #[must_use]
    pub fn new(did: &Did, key: &PublicKey, created: SystemTime) -> Self {
        Self::with_created(did, key, isoformat(created))
    }

    /// As [`new`](Self::new), with the time as text.
    #[must_use]
    pub fn with_created(did: &Did, key: &PublicKey, created: String) -> Self {
        Self {
            context: ["https://www.w3.org/ns/did/v1", "https://getbindu.com/ns/v1"]
                .map(str::to_owned)
                .to_vec(),
            id: did.clone(),
            created,
            authentication: vec![VerificationMethod {
                id: format!("{did}#key-1"),
                kind: "Ed25519VerificationKey2020".to_owned(),
                controller: did.to_string(),
                public_key_base58: key.to_base58(),
            }],
        }
    }

    /// The document, if `did` is the one it is about, byte for byte.
    ///
    /// An agent answers for itself only; nothing is looked up.
    #[must_use]
    pub fn resolve(&self, did: &str) -> Option<&Self> {
        (self.id.as_str() == did).then_some(self)
    }

    /// The first key.
    ///
    /// # Errors
    ///
    /// [`DidError::NoKeyInDocument`] if there is none, [`DidError::Base58`] if it
    /// cannot be read.
    pub fn public_key(&self) -> Result<PublicKey, DidError> {
        let method = self.authentication.first().ok_or(DidError::NoKeyInDocument)?;
        method.public_key_base58.parse()
    }

    /// Whether the DID is a fingerprint of the document's first key; see
    /// [`Did::is_self_certified`].
    #[must_use]
    pub fn is_self_certified(&self) -> bool {
        self.public_key().is_ok_and(|key| self.id.is_self_certified(&key))
    }
}

/// All that is wrong with a document, in a fixed order; nothing if it is sound.
///
/// `service_url` is the agent's own URL: every service endpoint must be it, save
/// for slashes at the end.
#[must_use]
pub fn validate_document(document: &Value, service_url: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if document.get("@context").is_none() {
        errors.push("Missing @context field".to_owned());
    }
    match document.get("id") {
        None => errors.push("Missing id field".to_owned()),
        Some(id) => {
            // An id that is no string fails as an empty one does.
            if let Err(error) = validate_format(id.as_str().unwrap_or_default()) {
                errors.push(format!("Invalid DID in id field: {error}"));
            }
        }
    }
    match document.get("authentication") {
        None => {}
        Some(Value::Array(methods)) => {
            for (i, method) in methods.iter().enumerate() {
                validate_method(i, method, &mut errors);
            }
        }
        Some(_) => errors.push("Authentication must be an array".to_owned()),
    }
    for service in document.get("service").and_then(Value::as_array).into_iter().flatten() {
        let endpoints = match service.get("serviceEndpoint") {
            Some(Value::Array(endpoints)) => endpoints.as_slice(),
            Some(endpoint) => std::slice::from_ref(endpoint),
            None => &[],
        };
        for endpoint in endpoints.iter().filter_map(Value::as_str) {
            if endpoint.trim_end_matches('/') != service_url.trim_end_matches('/') {
                errors.push(format!(
                    "Service endpoint {endpoint} does not match configured URL {service_url}"
                ));
            }
        }
    }
    errors
}

fn validate_method(i: usize, method: &Value, errors: &mut Vec<String>) {
    if !method.is_object() {
        errors.push(format!("Authentication[{i}] must be an object"));
        return;
    }
    for field in ["type", "controller"] {
        if method.get(field).is_none() {
            errors.push(format!("Authentication[{i}] missing {field}"));
        }
    }
}

/// Turns the snake-case keys of a document into camel case, at every depth. Keys
/// that start with `@` or have no `_` stay.
///
/// ```
/// # use bindu_did::document::normalize_keys;
/// # use serde_json::json;
/// let normal = normalize_keys(json!({ "public_key_base58": "x", "@con_text": [{ "a_b": 1 }] }));
/// assert_eq!(normal, json!({ "publicKeyBase58": "x", "@con_text": [{ "aB": 1 }] }));
/// ```
#[must_use]
pub fn normalize_keys(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(|(key, value)| {
                let plain = key.starts_with('@') || !key.contains('_');
                (if plain { key } else { to_camel(&key) }, normalize_keys(value))
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(normalize_keys).collect(),
        other => other,
    }
}

/// Camel case in three steps that peers agree on: capitals at the start of each
/// run of letters and small letters within; underscores dropped between an ASCII
/// letter or digit and an ASCII capital or digit; the very first letter small.
fn to_camel(key: &str) -> String {
    let mut title = Vec::with_capacity(key.len());
    let mut in_word = false;
    for character in key.chars() {
        let cased = character.is_lowercase() || character.is_uppercase();
        match (cased, in_word) {
            (true, true) => title.extend(character.to_lowercase()),
            (true, false) => title.extend(character.to_uppercase()),
            (false, _) => title.push(character),
        }
        in_word = cased;
    }
    let joins = |i: usize| {
        title[i] == '_'
            && i > 0
            && title[i - 1].is_ascii_alphanumeric()
            && title.get(i + 1).is_some_and(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    let mut camel: Vec<char> = (0..title.len()).filter(|&i| !joins(i)).map(|i| title[i]).collect();
    if let Some(first) = camel.iter_mut().find(|c| **c != '_') {
        first.make_ascii_lowercase();
    }
    camel.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_errors_of_a_document_come_in_order() {
        let document = json!({
            "id": 5,
            "authentication": ["x", {}, { "type": "t" }],
            "service": [{ "serviceEndpoint": "http://a//" }, { "serviceEndpoint": "http://b" }, 1],
        });
        assert_eq!(
            validate_document(&document, "http://a"),
            [
                "Missing @context field",
                "Invalid DID in id field: DID cannot be empty",
                "Authentication[0] must be an object",
                "Authentication[1] missing type",
                "Authentication[1] missing controller",
                "Authentication[2] missing controller",
                "Service endpoint http://b does not match configured URL http://a",
            ]
        );
    }

    #[test]
    fn a_document_answers_for_its_own_did_only() {
        let key = crate::SigningKey::from_seed(&[1; 32]).public_key();
        let did = Did::for_agent("ann", "echo", key.id()).unwrap();
        let document = DidDocument::new(&did, &key, SystemTime::UNIX_EPOCH);
        assert!(document.resolve(did.as_str()).is_some());
        assert!(document.resolve(&did.as_str().to_uppercase()).is_none());
        assert!(document.is_self_certified());
        assert!(validate_document(&serde_json::to_value(&document).unwrap(), "").is_empty());
    }

    #[test]
    fn a_peers_document_may_hold_more_and_less() {
        let text = r#"{"@context":[],"id":"did:web:x","service":[],"created_by":"me"}"#;
        let document: DidDocument = serde_json::from_str(text).unwrap();
        assert!(matches!(document.public_key(), Err(DidError::NoKeyInDocument)));
        assert!(!document.is_self_certified());
    }

    #[test]
    fn capitals_count_as_word_breaks_only_after_an_underscore() {
        for (key, expected) in [("ID_x", "idX"), ("fooBar_baz", "foobarBaz"), ("__x", "__x")] {
            assert_eq!(to_camel(key), expected);
        }
    }
}
