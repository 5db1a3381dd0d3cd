//! Which bytes of an artifact's part are signed.

use std::borrow::Cow;

use serde_json::Value;

use crate::json;

/// The key in a part's `metadata` that holds its signature, in base58.
pub const SIGNATURE_METADATA_KEY: &str = "did.message.signature";

/// The content of one part of an artifact, as far as it is signed.
///
/// The signature covers the content alone: not the DID, the task or the time.
///
/// ```
/// # use bindu_did::{PartPayload, SigningKey};
/// # use serde_json::json;
/// let key = SigningKey::from_seed(&[1; 32]);
/// let signature = key.sign_part(&PartPayload::Data(&json!({ "b": 1.0, "a": 2 })));
///
/// // The peer may have received the members in another order.
/// let received = serde_json::from_str(r#"{"a":2,"b":1}"#)?;
/// key.public_key().verify_part(&PartPayload::Data(&received), &signature)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum PartPayload<'a> {
    /// A text: its UTF-8 bytes.
    Text(&'a str),
    /// Data: its [canonical JSON](json::canonical).
    Data(&'a Value),
    /// A file sent along: its bytes, after decoding base64.
    FileBytes(&'a [u8]),
    /// A file that lies elsewhere: the bytes of the URI, not of the file.
    FileUri(&'a str),
}

impl PartPayload<'_> {
    /// The bytes to sign or verify.
    #[must_use]
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) | Self::FileUri(text) => Cow::Borrowed(text.as_bytes()),
            Self::Data(value) => Cow::Owned(json::canonical(value).into_bytes()),
            Self::FileBytes(bytes) => Cow::Borrowed(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_part_is_signed_over_its_own_content() {
        let data = json!({ "b": [1.0], "a": "ö" });
        let cases = [
            (PartPayload::Text("hé"), "hé"),
            (PartPayload::Data(&data), r#"{"a":"ö","b":[1]}"#),
            (PartPayload::FileBytes(b"\x00\x01"), "\x00\x01"),
            (PartPayload::FileUri("https://example.com/f"), "https://example.com/f"),
        ];
        for (part, expected) in cases {
            assert_eq!(part.to_bytes().as_ref(), expected.as_bytes());
        }
    }
}
