//! Requests signed for one agent.
//!
//! The [three headers](crate::request) of a signed request do not say whom it is for, so whoever
//! receives one could send it on to another agent. Two more headers say it: [`TARGET_HEADER`] names
//! the agent, and [`SIGNATURE_HEADER`] is a second signature, over body, signer, target and time.
//! Agents that do not know them pass them over.
//!
//! ```
//! use bindu_did::{Did, SigningKey, request, target};
//!
//! let key = SigningKey::generate()?;
//! let did = Did::for_agent("ann", "caller", key.public_key().id())?;
//! let echo: Did = "did:bindu:ann:echo:1".parse()?;
//! let request = request::sign(&key, &did, b"{}", 1_800_000_000)?;
//! let signature = target::sign(&key, &request, b"{}", &echo)?;
//!
//! // On the other side:
//! target::verify(&key.public_key(), &request, b"{}", "did:bindu:ann:echo:1", &signature)?;
//! assert!(target::verify(&key.public_key(), &request, b"{}", "did:bindu:ann:x:1", &signature).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt::Write;

use crate::did::Did;
use crate::json::write_python_string;
use crate::key::{PublicKey, SigningKey};
use crate::request::{RequestError, RequestSignature};
use crate::signature::Signature;

/// The header with the DID that a request is meant for.
pub const TARGET_HEADER: &str = "X-DID-Target";
/// The header with the signature that covers it, in base58.
pub const SIGNATURE_HEADER: &str = "X-DID-Target-Signature";

/// Signs a request, which is signed already, for one agent. The result is the value of
/// [`SIGNATURE_HEADER`].
///
/// # Errors
///
/// [`RequestError::Body`] if the body is not UTF-8.
pub fn sign(
    key: &SigningKey,
    request: &RequestSignature,
    body: &[u8],
    target: &Did,
) -> Result<String, RequestError> {
    Ok(key.sign(payload(request, body, target.as_str())?.as_bytes()).to_base58())
}

/// Checks a signature for `target`. That the request's own signature is good and fresh is for the
/// caller to see to.
///
/// # Errors
///
/// [`RequestError::Body`], [`RequestError::Malformed`], [`RequestError::Mismatch`].
pub fn verify(
    key: &PublicKey,
    request: &RequestSignature,
    body: &[u8],
    target: &str,
    signature: &str,
) -> Result<(), RequestError> {
    let payload = payload(request, body, target)?;
    let signature: Signature = signature.parse().map_err(|_| RequestError::Malformed)?;
    key.verify(payload.as_bytes(), &signature).map_err(|_| RequestError::Mismatch)
}

/// `{"body": …, "did": …, "target": …, "timestamp": …}` with these very blanks, pure ASCII.
fn payload(request: &RequestSignature, body: &[u8], target: &str) -> Result<String, RequestError> {
    let body = str::from_utf8(body).map_err(|_| RequestError::Body)?;
    let mut out = String::with_capacity(body.len() + body.len() / 4 + 256);
    for (name, value) in
        [("{\"body\": ", body), (", \"did\": ", &request.did), (", \"target\": ", target)]
    {
        out.push_str(name);
        write_python_string(value, &mut out);
    }
    // Writing to a string does not fail.
    let _ = write!(out, ", \"timestamp\": {}}}", request.timestamp);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request;

    #[test]
    fn neither_signature_stands_for_the_other() {
        let key = SigningKey::from_seed(&[7; 32]);
        let did: Did = "did:bindu:a:b".parse().unwrap();
        let signed = request::sign(&key, &did, b"{}", 7).unwrap();
        let public = key.public_key();
        let mismatch = Err(RequestError::Mismatch);
        assert_eq!(verify(&public, &signed, b"{}", "did:bindu:a:b", &signed.signature), mismatch);
        let targeted = sign(&key, &signed, b"{}", &did).unwrap();
        let swapped = RequestSignature { signature: targeted.clone(), ..signed.clone() };
        assert_eq!(swapped.verify(&public, b"{}", 7), mismatch);
        assert_eq!(verify(&public, &signed, b"{}", "did:bindu:a:b", &targeted), Ok(()));
        assert_eq!(verify(&public, &signed, b"{} ", "did:bindu:a:b", &targeted), mismatch);
    }

    #[test]
    fn the_signed_text_is_json_with_sorted_members() {
        let signed =
            RequestSignature { did: "d\u{e9}".into(), timestamp: 5, signature: "s".into() };
        let text = payload(&signed, b"{\"a\": 1}", "t").unwrap();
        let expected = r#"{"body": "{\"a\": 1}", "did": "d\u00e9", "target": "t", "timestamp": 5}"#;
        assert_eq!(text, expected);
    }
}
