//! Cases about signatures and the JSON under them.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::{Outcome, flag, hex, integer, key, member, same, text, unexpected};
use crate::{
    Did, PublicKey, Signature,
    json::{KeyOrder, python},
    request::{self, RequestSignature},
};

pub(super) fn request(case: &Value) -> Outcome {
    let key = key(case)?;
    let public = key.public_key();
    same("public key", public.to_base58(), text(case, "public_key_base58")?)?;
    let did = text(case, "did")?;
    let (body, now) = (body(case)?, integer(case, "timestamp")?);

    let as_text = str::from_utf8(&body).map_err(unexpected)?;
    let payload = request::payload(as_text, did, now);
    same("payload", payload.as_str(), text(case, "payload")?)?;
    same("payload hash", sha256(payload.as_bytes()), text(case, "payload_sha256")?)?;

    let signed = match did.parse::<Did>() {
        Ok(did) => request::sign(&key, &did, &body, now).map_err(unexpected)?,
        // The scheme signs any text; only our own signing insists on a DID.
        Err(_) => RequestSignature {
            did: did.to_owned(),
            timestamp: now,
            signature: key.sign(payload.as_bytes()).to_base58(),
        },
    };
    let expected = member(case, "headers")?;
    for (name, value) in signed.headers() {
        same(name, value, text(expected, name)?)?;
    }
    signed.verify(&public, &body, now).map_err(unexpected)
}

pub(super) fn text_part(case: &Value) -> Outcome {
    let key = key(case)?;
    let content = text(case, "text")?;
    same("text", content.as_bytes().to_vec(), hex(case, "text_utf8_hex")?)?;
    let signature = key.sign_text(content);
    same("signature", signature.to_base58(), text(case, "signature")?)?;
    let public: PublicKey = text(case, "public_key_base58")?.parse().map_err(unexpected)?;
    let signature: Signature = text(case, "signature")?.parse().map_err(unexpected)?;
    public.verify_text(content, &signature).map_err(unexpected)
}

pub(super) fn python_json(case: &Value) -> Outcome {
    let value = text(case, "value_json")?;
    let sorted = python(value, KeyOrder::Sorted).map_err(unexpected)?;
    same("sorted", sorted.as_str(), text(case, "sorted")?)?;
    same("hash of sorted", sha256(sorted.as_bytes()), text(case, "sorted_sha256")?)?;
    let unsorted = python(value, KeyOrder::AsGiven).map_err(unexpected)?;
    same("unsorted", unsorted.as_str(), text(case, "unsorted")?)
}

pub(super) fn verify(case: &Value) -> Outcome {
    let signature = RequestSignature {
        did: text(case, "did")?.to_owned(),
        timestamp: integer(case, "timestamp")?,
        signature: text(case, "signature")?.to_owned(),
    };
    let found =
        text(case, "public_key")?.parse::<PublicKey>().map_err(unexpected).and_then(|public| {
            signature.verify(&public, &body(case)?, integer(case, "now")?).map_err(unexpected)
        });
    let name = case.get("name").and_then(Value::as_str).unwrap_or_default();
    same(&format!("{name:?} ({found:?})"), found.is_ok(), flag(case, "required_result")?)
}

pub(super) fn extract_headers(case: &Value) -> Outcome {
    let headers = member(case, "headers")?.as_object().ok_or("headers is not an object")?;
    let headers = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    let found = RequestSignature::from_headers(headers).ok().map(|signature| {
        serde_json::json!({
            "did": signature.did,
            "signature": signature.signature,
            "timestamp": signature.timestamp,
        })
    });
    // Where the recorded implementation is lenient, refusing is right too.
    if found.is_none() && flag(case, "either_ok")? {
        return Ok(());
    }
    same("headers", &found.unwrap_or_default(), member(case, "reference_result")?)
}

fn body(case: &Value) -> Result<Vec<u8>, String> {
    STANDARD.decode(text(case, "body_base64")?).map_err(unexpected)
}

fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
