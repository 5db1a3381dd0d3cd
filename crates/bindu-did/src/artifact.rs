//! Checking an artifact as it came, in JSON.
//!
//! Every part of an artifact is signed by itself, over its content; see
//! [`PartPayload`]. These functions read parts in either spelling of A2A, so a program
//! that keeps answers needs no types of the protocol to check them.
//!
//! ```
//! use bindu_did::{SigningKey, artifact};
//! use serde_json::json;
//!
//! let key = SigningKey::from_seed(&[1; 32]);
//! let artifact = json!({ "artifactId": "a", "parts": [{
//!     "kind": "text", "text": "42",
//!     "metadata": { "did.message.signature": key.sign_text("42").to_base58() },
//! }]});
//! let checked = artifact::verify(&artifact, &key.public_key())?;
//! assert_eq!((checked.signed, checked.unsigned), (1, 0));
//! # Ok::<(), artifact::ArtifactError>(())
//! ```

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

use crate::{
    error::DidError,
    key::PublicKey,
    part::{PartPayload, SIGNATURE_METADATA_KEY},
};

/// The mark of data that are no object, and go out as `{"value": …}` in A2A 0.3.
const WRAPPED: &str = "data_part_compat";

/// How many parts of an artifact bore a signature, every one of them a good one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Parts with a good signature.
    pub signed: usize,
    /// Parts without a signature: nothing is known of where they come from.
    pub unsigned: usize,
}

impl Checked {
    /// Whether there are parts, and all are signed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.signed > 0 && self.unsigned == 0
    }
}

/// Why an artifact is not what the agent signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// A part bears a signature that is not this key's over its content.
    #[error("the signature of part {index} is wrong")]
    Part {
        /// Which part, counted from 0.
        index: usize,
        /// What is wrong with it.
        source: DidError,
    },
    /// A part bears a signature, but has no content that could be signed.
    #[error("part {index} is signed but cannot be read: {reason}")]
    Unreadable {
        /// Which part, counted from 0.
        index: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no array of parts.
    #[error("an artifact has an array of parts, and this has none")]
    NoParts,
}

/// Checks every signature in an artifact, as it came in JSON.
///
/// # Errors
///
/// [`ArtifactError`] for the first part whose signature is not good. Parts without a
/// signature are no error; [`Checked`] counts them.
pub fn verify(artifact: &Value, key: &PublicKey) -> Result<Checked, ArtifactError> {
    let parts = artifact.get("parts").and_then(Value::as_array).ok_or(ArtifactError::NoParts)?;
    let mut checked = Checked::default();
    for (index, part) in parts.iter().enumerate() {
        if verify_part(index, part, key)? {
            checked.signed += 1;
        } else {
            checked.unsigned += 1;
        }
    }
    Ok(checked)
}

/// Whether the part is signed; an error if it is, but not well.
fn verify_part(index: usize, part: &Value, key: &PublicKey) -> Result<bool, ArtifactError> {
    let metadata = part.get("metadata");
    let Some(signature) = metadata.and_then(|metadata| metadata.get(SIGNATURE_METADATA_KEY)) else {
        return Ok(false);
    };
    let wrong = |source| ArtifactError::Part { index, source };
    let unreadable = |reason| ArtifactError::Unreadable { index, reason };
    let signature = signature.as_str().ok_or_else(|| unreadable("its signature is no text"))?;
    let signature = signature.parse().map_err(wrong)?;
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    match part.get("kind").and_then(Value::as_str) {
        Some("text") => {
            let text = text(part, "text").ok_or_else(|| unreadable("it has no text"))?;
            key.verify_text(&text, &signature).map_err(wrong)?;
        }
        Some("data") => {
            let data = part.get("data").ok_or_else(|| unreadable("it has no data"))?;
            let data = unwrapped(data, metadata);
            key.verify_part(&PartPayload::Data(data), &signature).map_err(wrong)?;
        }
        Some("file") => {
            let file = part.get("file").ok_or_else(|| unreadable("it has no file"))?;
            match (text(file, "bytes"), text(file, "uri")) {
                (Some(bytes), _) => {
                    let bytes = file_bytes(&bytes)
                        .ok_or_else(|| unreadable("the file's bytes are no base64"))?;
                    key.verify_part(&PartPayload::FileBytes(&bytes), &signature).map_err(wrong)?;
                }
                (None, Some(uri)) => {
                    key.verify_part(&PartPayload::FileUri(&uri), &signature).map_err(wrong)?;
                }
                (None, None) => return Err(unreadable("the file has neither bytes nor a URI")),
            }
        }
        _ => return Err(unreadable("its kind is neither text, data nor file")),
    }
    Ok(true)
}

/// Undoes the wrapping of data that are no object; what is signed is what was wrapped.
fn unwrapped<'a>(data: &'a Value, metadata: Option<&Value>) -> &'a Value {
    let marked = metadata.and_then(|metadata| metadata.get(WRAPPED)) == Some(&Value::Bool(true));
    match data.as_object() {
        Some(map) if marked && map.len() == 1 => {
            map.get("value").filter(|value| !value.is_object()).unwrap_or(data)
        }
        _ => data,
    }
}

/// The bytes of a file part: what is signed of it. Padding may be missing; anything else
/// that is no base64 of RFC 4648, section 4, is `None`.
///
/// ```
/// # use bindu_did::artifact::file_bytes;
/// assert_eq!(file_bytes("AAE="), Some(vec![0, 1]));
/// assert_eq!(file_bytes("AAE"), Some(vec![0, 1]));
/// assert_eq!(file_bytes("A?"), None);
/// ```
#[must_use]
pub fn file_bytes(base64: &str) -> Option<Vec<u8>> {
    let any_padding =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&alphabet::STANDARD, any_padding).decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::SigningKey;

    fn signed(mut part: Value, payload: PartPayload<'_>) -> Value {
        let signature = SigningKey::from_seed(&[1; 32]).sign_part(&payload).to_base58();
        part["metadata"][SIGNATURE_METADATA_KEY] = signature.into();
        part
    }

    fn check(parts: &Value) -> Result<Checked, ArtifactError> {
        let key = SigningKey::from_seed(&[1; 32]).public_key();
        verify(&json!({ "parts": parts }), &key)
    }

    fn one_of_each() -> Vec<Value> {
        let data = json!({ "b": 1.0, "a": [true] });
        let mut wrapped = signed(
            json!({ "kind": "data", "data": { "value": [1] } }),
            PartPayload::Data(&json!([1])),
        );
        wrapped["metadata"][WRAPPED] = true.into();
        vec![
            signed(json!({ "kind": "text", "text": "hé" }), PartPayload::Text("hé")),
            signed(json!({ "kind": "data", "data": data }), PartPayload::Data(&data)),
            wrapped,
            signed(
                json!({ "kind": "file", "file": { "bytes": "AAE=", "mimeType": "x/y" } }),
                PartPayload::FileBytes(&[0, 1]),
            ),
            signed(
                json!({ "kind": "file", "file": { "uri": "https://e/f", "mime_type": "x/y" } }),
                PartPayload::FileUri("https://e/f"),
            ),
        ]
    }

    #[test]
    fn each_kind_of_part_is_checked_over_its_content() {
        let checked = check(&one_of_each().into()).unwrap();
        assert_eq!(checked, Checked { signed: 5, unsigned: 0 });
        assert!(checked.is_complete());
    }

    #[test]
    fn a_change_of_any_content_is_noticed() {
        for (pointer, index) in [
            ("/text", 0),
            ("/data/b", 1),
            ("/data/value/0", 2),
            ("/file/bytes", 3),
            ("/file/uri", 4),
        ] {
            let mut parts = one_of_each();
            *parts[index].pointer_mut(pointer).unwrap() = "AAAA".into();
            let error = check(&parts.into()).unwrap_err();
            assert!(
                matches!(error, ArtifactError::Part { index: at, .. } if at == index),
                "{error}"
            );
        }
    }

    #[test]
    fn a_signature_moved_to_another_part_is_wrong() {
        let mut parts = one_of_each();
        parts[4]["metadata"] = parts[0]["metadata"].clone();
        assert!(check(&parts.into()).is_err());
    }

    #[test]
    fn parts_that_are_signed_but_hold_nothing_are_refused() {
        let signature = SigningKey::from_seed(&[1; 32]).sign(b"").to_base58();
        for part in [
            json!({ "kind": "text" }),
            json!({ "kind": "data" }),
            json!({ "kind": "file" }),
            json!({ "kind": "file", "file": {} }),
            json!({ "kind": "file", "file": { "bytes": "?" } }),
            json!({ "kind": "song" }),
            json!({}),
        ] {
            let mut part = part;
            part["metadata"] = json!({ SIGNATURE_METADATA_KEY: signature });
            let error = check(&json!([part])).unwrap_err();
            assert!(matches!(error, ArtifactError::Unreadable { index: 0, .. }), "{part}: {error}");
        }
        let odd =
            json!([{ "kind": "text", "text": "", "metadata": { SIGNATURE_METADATA_KEY: 1 } }]);
        assert!(check(&odd).is_err());
    }

    #[test]
    fn what_is_not_signed_is_counted() {
        let checked = check(&json!([{ "kind": "text", "text": "x" }])).unwrap();
        assert_eq!(checked, Checked { signed: 0, unsigned: 1 });
        assert!(!checked.is_complete());
        assert!(!check(&json!([])).unwrap().is_complete());
        assert!(matches!(check(&Value::Null), Err(ArtifactError::NoParts)));
    }

    proptest! {
        #[test]
        fn any_text_that_was_signed_is_good_and_any_other_is_not(text: String, other: String) {
            let part = signed(json!({ "kind": "text", "text": text }), PartPayload::Text(&text));
            prop_assert!(check(&json!([part])).is_ok());
            let mut swapped = part;
            swapped["text"] = other.clone().into();
            prop_assert_eq!(check(&json!([swapped])).is_ok(), text == other);
        }
    }
}
