//! Signing what comes out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bindu_did::{PartPayload, Signature, SigningKey};
use bindu_protocol::{Content, JsonObject, Part};
use serde_json::Value;

/// Signs each part of an artifact with the agent's key, into the part's metadata.
pub(crate) fn sign_parts(parts: &mut [Part], key: &SigningKey, name: &str) {
    for part in parts {
        if let Some(signature) = sign(part, key) {
            part.metadata = Some(noted(part.metadata.take(), name, &signature));
        }
    }
}

/// `None` for a file whose bytes are no base64: there is nothing certain to sign.
fn sign(part: &Part, key: &SigningKey) -> Option<Signature> {
    Some(match &part.content {
        Content::Text(text) => key.sign_text(text),
        Content::Data { data, .. } => key.sign_part(&PartPayload::Data(&data.to_value())),
        Content::File { file, .. } => match (&file.bytes, &file.uri) {
            (Some(bytes), _) => {
                key.sign_part(&PartPayload::FileBytes(&STANDARD.decode(bytes).ok()?))
            }
            (None, Some(uri)) => key.sign_part(&PartPayload::FileUri(uri)),
            (None, None) => return None,
        },
        _ => return None,
    })
}

fn noted(metadata: Option<JsonObject>, name: &str, signature: &Signature) -> JsonObject {
    let mut map = metadata.map(|metadata| metadata.to_map()).unwrap_or_default();
    map.insert(name.to_owned(), Value::String(signature.to_base58()));
    map.into()
}
