//! Payment headers: JSON in base64.
//!
//! ```
//! use bindu_x402::{PaymentPayload, header};
//!
//! # let signed = r#"{"x402Version":2,"payload":{},"accepted":{"scheme":"exact",
//! #     "network":"eip155:8453","asset":"0x0","amount":"1","payTo":"0x0","maxTimeoutSeconds":60}}"#;
//! let payload: PaymentPayload = serde_json::from_str(signed)?;
//! let value = header::encode(&payload);
//! assert_eq!(header::decode(value.as_bytes())?, payload);
//! assert_eq!(
//!     header::decode(b"%%%").unwrap_err().to_string(),
//!     "Invalid X-PAYMENT header: it is not base64",
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bindu_protocol::Json;
use serde::{Deserialize, Serialize};

use crate::{PaymentPayload, Refusal, X402_VERSION};

/// The request header of x402 v2: a payment.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";

/// The request header of x402 v1, which the reference reads a payment of v2 from.
pub const X_PAYMENT: &str = "x-payment";

/// The response header of a 402: what is asked for.
pub const PAYMENT_REQUIRED: &str = "payment-required";

/// The response header of x402 v2 in which a receipt goes back.
pub const PAYMENT_RESPONSE: &str = "payment-response";

/// The longest payment that is read, in bytes as they come.
pub const MAX_BYTES: usize = 16 * 1024;

/// Takes what encoders make of it: with padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Anything as JSON in base64: what stands in a header.
///
/// ```
/// # use bindu_x402::header;
/// assert_eq!(header::encode(&[1, 2]), "WzEsMl0=");
/// ```
#[must_use]
pub fn encode<T: Serialize + ?Sized>(value: &T) -> String {
    // The words of this crate always print.
    STANDARD.encode(serde_json::to_vec(value).unwrap_or_default())
}

/// Reads the value of a payment header.
///
/// The base64 may be of either alphabet, padded or not, with space in between.
///
/// # Errors
///
/// [`Refusal::Missing`] if there is nothing in it, [`Refusal::Version1`], or
/// [`Refusal::InvalidHeader`].
pub fn decode(value: &[u8]) -> Result<PaymentPayload, Refusal> {
    check_length(value)?;
    let text: Vec<u8> = value
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .map(|byte| match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => *other,
        })
        .collect();
    let json = LENIENT.decode(text).map_err(|_| Refusal::invalid_header("it is not base64"))?;
    read(&json)
}

/// Reads a payment as [`decode`] does, or as plain JSON: what a person may paste into a page.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_or_json(value: &[u8]) -> Result<PaymentPayload, Refusal> {
    if value.trim_ascii_start().starts_with(b"{") {
        check_length(value)?;
        read(value)
    } else {
        decode(value)
    }
}

/// Reads a payment that came as JSON: in a task's `x402.payment.payload`. Of x402 v2 only; see
/// [`v1::decode`](crate::v1::decode) for both.
///
/// # Errors
///
/// As [`decode`].
pub fn from_json(json: &Json) -> Result<PaymentPayload, Refusal> {
    check_length(json.as_str().as_bytes())?;
    read(json.as_str().as_bytes())
}

fn check_length(value: &[u8]) -> Result<(), Refusal> {
    if value.trim_ascii().is_empty() {
        Err(Refusal::Missing)
    } else if value.len() > MAX_BYTES {
        Err(Refusal::invalid_header("it is longer than 16384 bytes"))
    } else {
        Ok(())
    }
}

fn read(json: &[u8]) -> Result<PaymentPayload, Refusal> {
    match version(json)? {
        X402_VERSION => serde_json::from_slice(json)
            .map_err(|error| Refusal::invalid_header(&error.to_string())),
        1 => Err(Refusal::Version1),
        other => Err(Refusal::invalid_header(&format!("x402Version {other} is not known"))),
    }
}

/// The version, before all else: what is of another version has other members.
pub(crate) fn version(json: &[u8]) -> Result<u32, Refusal> {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(rename = "x402Version", alias = "x402_version")]
        version: u32,
    }
    let text = std::str::from_utf8(json).map_err(|_| Refusal::invalid_header("it is not UTF-8"))?;
    // An array would be read as the members in order.
    if !text.trim_start().starts_with('{') {
        return Err(Refusal::invalid_header("it is not a JSON object"));
    }
    let versioned: Versioned =
        serde_json::from_str(text).map_err(|error| Refusal::invalid_header(&error.to_string()))?;
    Ok(versioned.version)
}
