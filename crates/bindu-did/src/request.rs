//! Signed HTTP requests: three headers that tie a body to a DID and a moment.
//!
//! The signature covers the exact bytes of the body, which must be UTF-8, so
//! serialise once, sign, and send that buffer. It covers neither method nor path.
//!
//! ```
//! use bindu_did::{Did, SigningKey, request};
//!
//! let key = SigningKey::generate()?;
//! let did = Did::for_agent("ann", "echo", key.public_key().id())?;
//! let body = br#"{"state":"completed"}"#;
//!
//! let signed = request::sign(&key, &did, body, 1_800_000_000)?;
//! let headers = signed.headers();
//!
//! // On the other side, a few seconds later:
//! let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
//! let received = request::RequestSignature::from_headers(headers)?;
//! received.verify(&key.public_key(), body, 1_800_000_004)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt::Write;

use crate::{
    did::Did,
    json::write_python_string,
    key::{PublicKey, SigningKey},
    signature::Signature,
};

/// The header with the signer's DID.
pub const DID_HEADER: &str = "X-DID";
/// The header with the signature, in base58.
pub const SIGNATURE_HEADER: &str = "X-DID-Signature";
/// The header with the time of signing: seconds since 1970, in decimal.
pub const TIMESTAMP_HEADER: &str = "X-DID-Timestamp";

/// How many seconds a signature is good for, into the past and into the future.
/// Exactly so many are still good.
pub const WINDOW: u64 = 300;

/// What the three headers of a signed request say.
///
/// The texts are kept as they came: a DID is compared with the one that the
/// caller's token names, byte for byte, before the signature is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSignature {
    /// The signer.
    pub did: String,
    /// When it was signed, in seconds since 1970.
    pub timestamp: i64,
    /// The signature in base58.
    pub signature: String,
}

/// Why a signed request is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// One of the three headers is missing or empty, or the timestamp is not a
    /// plain decimal integer of at most 18 digits.
    #[error("signature headers are missing or malformed")]
    Headers,
    /// One of the three headers came more than once.
    #[error("signature header {0} came more than once")]
    Repeated(&'static str),
    /// The signer's name is no DID.
    #[error("the signer's name is no DID")]
    Did,
    /// Signed more than [`WINDOW`] seconds ago or ahead.
    #[error("timestamp is out of the window")]
    OutOfWindow,
    /// The body is not UTF-8, so it can neither be signed nor verified.
    #[error("body is not UTF-8")]
    Body,
    /// The signature is not base58 of 64 bytes.
    #[error("signature is malformed")]
    Malformed,
    /// The signature is not this key's over this body, DID and time.
    #[error("signature does not match")]
    Mismatch,
}

impl RequestError {
    /// A short word for logs: `timestamp_out_of_window`, `crypto_mismatch`,
    /// `malformed_input` or `missing_signature_headers`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Headers | Self::Repeated(_) => "missing_signature_headers",
            Self::OutOfWindow => "timestamp_out_of_window",
            Self::Did | Self::Body | Self::Malformed => "malformed_input",
            Self::Mismatch => "crypto_mismatch",
        }
    }
}

/// Signs a request body at `now`, in seconds since 1970. A request without a body
/// signs the empty one.
///
/// # Errors
///
/// [`RequestError::Body`] if the body is not UTF-8.
pub fn sign(
    key: &SigningKey,
    did: &Did,
    body: &[u8],
    now: i64,
) -> Result<RequestSignature, RequestError> {
    let body = str::from_utf8(body).map_err(|_| RequestError::Body)?;
    let signature = key.sign(payload(body, did.as_str(), now).as_bytes());
    Ok(RequestSignature { did: did.to_string(), timestamp: now, signature: signature.to_base58() })
}

/// The text that is signed: `{"body": …, "did": …, "timestamp": …}` with these
/// very blanks, pure ASCII.
///
/// ```
/// # use bindu_did::request::payload;
/// assert_eq!(payload("{\"a\":\"é\"}", "did:bindu:a:b", 7),
///     r#"{"body": "{\"a\":\"\u00e9\"}", "did": "did:bindu:a:b", "timestamp": 7}"#);
/// ```
#[must_use]
pub fn payload(body: &str, did: &str, timestamp: i64) -> String {
    let mut out = String::with_capacity(body.len() + body.len() / 4 + did.len() + 64);
    out.push_str("{\"body\": ");
    write_python_string(body, &mut out);
    out.push_str(", \"did\": ");
    write_python_string(did, &mut out);
    // Writing to a string does not fail.
    let _ = write!(out, ", \"timestamp\": {timestamp}}}");
    out
}

impl RequestSignature {
    /// Picks the three headers out of a request's headers. Names are compared
    /// without regard to case.
    ///
    /// # Errors
    ///
    /// [`RequestError::Headers`] and [`RequestError::Repeated`].
    pub fn from_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RequestError> {
        const NAMES: [&str; 3] = [DID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER];
        let mut found: [Option<&str>; 3] = [None; 3];
        for (name, value) in headers {
            let Some(i) = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)) else {
                continue;
            };
            if found[i].replace(value).is_some() {
                return Err(RequestError::Repeated(NAMES[i]));
            }
        }
        let [Some(did), Some(signature), Some(timestamp)] = found else {
            return Err(RequestError::Headers);
        };
        if did.is_empty() || signature.is_empty() {
            return Err(RequestError::Headers);
        }
        let timestamp = parse_timestamp(timestamp).ok_or(RequestError::Headers)?;
        Ok(Self { did: did.to_owned(), timestamp, signature: signature.to_owned() })
    }

    /// The three headers to send.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, String); 3] {
        [
            (DID_HEADER, self.did.clone()),
            (SIGNATURE_HEADER, self.signature.clone()),
            (TIMESTAMP_HEADER, self.timestamp.to_string()),
        ]
    }

    /// Whether the time of signing is at most [`WINDOW`] seconds from `now`. Needs
    /// no key and no body, so ask this first.
    #[must_use]
    pub fn is_fresh(&self, now: i64) -> bool {
        now.abs_diff(self.timestamp) <= WINDOW
    }

    /// Checks the signature over `body` at `now`, in seconds since 1970.
    ///
    /// That [`did`](Self::did) is the caller's, and `key` the key of that DID, is
    /// for the caller of this function to know.
    ///
    /// # Errors
    ///
    /// [`RequestError::OutOfWindow`], [`RequestError::Body`],
    /// [`RequestError::Malformed`], [`RequestError::Mismatch`], in this order.
    pub fn verify(&self, key: &PublicKey, body: &[u8], now: i64) -> Result<(), RequestError> {
        if !self.is_fresh(now) {
            return Err(RequestError::OutOfWindow);
        }
        let body = str::from_utf8(body).map_err(|_| RequestError::Body)?;
        let signature: Signature = self.signature.parse().map_err(|_| RequestError::Malformed)?;
        let payload = payload(body, &self.did, self.timestamp);
        key.verify(payload.as_bytes(), &signature).map_err(|_| RequestError::Mismatch)
    }
}

/// An optional minus and 1 to 18 digits: no plus, blank, underscore or exponent.
fn parse_timestamp(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = (1..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timestamps_are_plain_decimal_integers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-5", Some(-5)),
            ("007", Some(7)),
            ("999999999999999999", Some(999_999_999_999_999_999)),
        ] {
            assert_eq!(parse_timestamp(text), expected);
        }
        for text in ["", "-", "+5", " 7", "7 ", "1_000", "1e3", "1.0", "1000000000000000000", "٣"]
        {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn a_repeated_header_is_refused() {
        let headers =
            [("X-DID", "d"), ("X-DID-Signature", "s"), ("x-did", "d"), ("X-DID-Timestamp", "1")];
        let error = RequestSignature::from_headers(headers).unwrap_err();
        assert_eq!(error, RequestError::Repeated("X-DID"));
    }

    #[test]
    fn extreme_timestamps_are_out_of_the_window() {
        let signature =
            RequestSignature { did: "d".into(), timestamp: i64::MIN, signature: "s".into() };
        assert!(!signature.is_fresh(i64::MAX));
    }

    proptest! {
        #[test]
        fn the_payload_is_json_that_holds_the_body(body: String, did: String, time: i64) {
            let payload = payload(&body, &did, time);
            prop_assert!(payload.is_ascii());
            let read: serde_json::Value = serde_json::from_str(&payload).unwrap();
            prop_assert_eq!(read["body"].as_str(), Some(body.as_str()));
            prop_assert_eq!(read["did"].as_str(), Some(did.as_str()));
            prop_assert_eq!(read["timestamp"].as_i64(), Some(time));
        }
    }
}
