use std::fmt;

/// The most that is repeated of what a stranger sent or said, in characters.
const LONGEST_DETAIL: usize = 200;

/// Why a payment is not taken.
///
/// Displayed, it is the `error` of a 402, to the letter; [`code`](Self::code) is what a task's
/// `x402.payment.error` says instead.
///
/// ```
/// # use bindu_x402::{Fault, Refusal};
/// assert_eq!(Refusal::Missing.to_string(), "X-PAYMENT header required");
/// let late = Refusal::Invalid(Fault::Expired);
/// assert_eq!(late.code(), "EXPIRED_PAYMENT");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no payment, or an empty one.
    #[error("X-PAYMENT header required")]
    Missing,
    /// What is to be paid for cannot be read.
    #[error("Malformed JSON-RPC body")]
    MalformedBody,
    /// The payment cannot be read.
    #[error("Invalid X-PAYMENT header: {0}")]
    InvalidHeader(Detail),
    /// It is of x402 v1.
    #[error("x402 v1 payment payloads are no longer accepted; please re-sign with v2")]
    Version1,
    /// It is for an offer that was not made.
    #[error("No matching payment requirements found")]
    NoMatch(Mismatch),
    /// It has no nonce, so it could be used again.
    #[error("Payment payload missing nonce")]
    MissingNonce,
    /// Whether it was used before cannot be found out now.
    #[error("Payment validation temporarily unavailable")]
    Unavailable,
    /// It was used before.
    #[error("Payment nonce already used (replay)")]
    Replay,
    /// The facilitator cannot be asked, or does not answer as one does.
    #[error("Payment verification failed")]
    NotVerified,
    /// It is plainly no good: no facilitator needs to be asked.
    #[error("Invalid payment: {0}")]
    Invalid(Fault),
    /// The facilitator says no.
    #[error("Invalid payment: {0}")]
    Rejected(Detail),
}

/// In what an offer that was paid differs from those that were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// None of those is on this chain.
    Network,
    /// On this chain, none asks for this.
    Terms,
}

/// What is plainly wrong with a payment, in the words that facilitators have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is no transfer of the scheme `exact` on a chain of the EVM family.
    Payload,
    /// The nonce is not 32 bytes in hexadecimal.
    Nonce,
    /// The signature is not 65 or more bytes in hexadecimal.
    Signature,
    /// It pays somebody else.
    Recipient,
    /// It pays less, or more.
    Value,
    /// It is not valid yet.
    TooEarly,
    /// It is not valid any more.
    Expired,
}

impl Fault {
    /// The reason, as facilitators call it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Payload => "invalid_payload",
            Self::Nonce => "invalid_exact_evm_payload_authorization_nonce",
            Self::Signature => "invalid_exact_evm_payload_signature",
            Self::Recipient => "invalid_exact_evm_payload_recipient_mismatch",
            Self::Value => "invalid_exact_evm_payload_authorization_value_mismatch",
            Self::TooEarly => "invalid_exact_evm_payload_authorization_valid_after",
            Self::Expired => "invalid_exact_evm_payload_authorization_valid_before",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

/// What a stranger sent or said, or what is wrong with it: on one line, and not long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail(Box<str>);

impl Detail {
    /// This text, without what is too long, and without control characters.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.chars().filter(|c| !c.is_control()).take(LONGEST_DETAIL).collect())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Refusal {
    /// The payment cannot be read, because of this.
    pub(crate) fn invalid_header(why: &str) -> Self {
        Self::InvalidHeader(Detail::new(why))
    }

    /// The facilitator says no, for this reason.
    #[must_use]
    pub fn rejected(reason: Option<&str>) -> Self {
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        Self::Rejected(Detail::new(reason.unwrap_or("unknown reason")))
    }

    /// The code of the A2A x402 extension, version 0.2: what a task's `x402.payment.error` says.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Replay => code::DUPLICATE_NONCE,
            Self::NoMatch(Mismatch::Network) => code::NETWORK_MISMATCH,
            Self::NoMatch(Mismatch::Terms) => code::INVALID_AMOUNT,
            Self::Invalid(fault) => code::of(fault.reason()),
            Self::Rejected(reason) => code::of(reason.as_str()),
            Self::Missing | Self::InvalidHeader(_) | Self::Version1 | Self::MissingNonce => {
                code::INVALID_SIGNATURE
            }
            Self::MalformedBody | Self::Unavailable | Self::NotVerified => code::SETTLEMENT_FAILED,
        }
    }

    /// Whether the payment may be good: the same one may be sent again, later.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable | Self::NotVerified)
    }
}

/// What a task's `x402.payment.error` says. Source: the A2A x402 extension, version 0.2.
pub mod code {
    /// The payer has not enough.
    pub const INSUFFICIENT_FUNDS: &str = "INSUFFICIENT_FUNDS";
    /// The payment is not signed by its payer, or not in a way that can be read.
    pub const INVALID_SIGNATURE: &str = "INVALID_SIGNATURE";
    /// The payment is not valid any more, or not yet.
    pub const EXPIRED_PAYMENT: &str = "EXPIRED_PAYMENT";
    /// The payment was used before.
    pub const DUPLICATE_NONCE: &str = "DUPLICATE_NONCE";
    /// The payment is on a chain that was not offered.
    pub const NETWORK_MISMATCH: &str = "NETWORK_MISMATCH";
    /// The payment is not what was asked for.
    pub const INVALID_AMOUNT: &str = "INVALID_AMOUNT";
    /// The money was not taken, for whatever other reason.
    pub const SETTLEMENT_FAILED: &str = "SETTLEMENT_FAILED";

    /// The code for what a facilitator gave as its reason, as far as its words tell.
    ///
    /// ```
    /// # use bindu_x402::code;
    /// assert_eq!(code::of("insufficient_funds"), code::INSUFFICIENT_FUNDS);
    /// assert_eq!(code::of("transfer reverted"), code::SETTLEMENT_FAILED);
    /// ```
    #[must_use]
    pub fn of(reason: &str) -> &'static str {
        let reason = reason.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
        if says(&["insufficient"]) {
            INSUFFICIENT_FUNDS
        } else if says(&["signature", "invalid_payload", "payload_authorization_nonce"]) {
            INVALID_SIGNATURE
        } else if says(&["valid_before", "valid_after", "expired"]) {
            EXPIRED_PAYMENT
        } else if says(&["nonce", "authorization is used", "already used"]) {
            DUPLICATE_NONCE
        } else if says(&["network"]) {
            NETWORK_MISMATCH
        } else if says(&["value", "amount", "recipient"]) {
            INVALID_AMOUNT
        } else {
            SETTLEMENT_FAILED
        }
    }
}
