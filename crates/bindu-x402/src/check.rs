use bindu_protocol::{JsonObject, Timestamp};
use bindu_storage::PaymentKey;
use serde_json::Value;

use crate::{
    Amount, EvmAddress, ExactEvmPayload, Fault, Mismatch, PaymentPayload, PaymentRequirements,
    Refusal,
};

/// A payment that is for an offer of ours and in which nothing is plainly wrong. Whether its
/// signature is good and its payer has the money, a facilitator knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    payload: PaymentPayload,
    signed: ExactEvmPayload,
    requirements: PaymentRequirements,
    key: PaymentKey,
    expires: Timestamp,
}

impl Checked {
    /// What goes to the facilitator: what was looked at, and nothing that hid beside it.
    #[must_use]
    pub fn payload(&self) -> &PaymentPayload {
        &self.payload
    }

    /// What was signed.
    #[must_use]
    pub fn signed(&self) -> &ExactEvmPayload {
        &self.signed
    }

    /// The offer that it is for, in our words.
    #[must_use]
    pub fn requirements(&self) -> &PaymentRequirements {
        &self.requirements
    }

    /// Its name in a ledger: of two payments with one name, only one can ever be taken.
    #[must_use]
    pub fn key(&self) -> &PaymentKey {
        &self.key
    }

    /// After this it is void: the end of the year 9999, if it is later than that.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Finds the offer that a payment is for, and whether something is plainly wrong with it at this
/// time. Nobody is asked.
///
/// The offer the payer saw has to be one of ours in every member; the case of the asset's and the
/// payee's hexadecimal digits makes no difference, and `extra` may hold more than ours. The
/// authorization has to pay whom and what the offer says, and be valid now.
///
/// # Errors
///
/// [`Refusal::NoMatch`], [`Refusal::MissingNonce`], or [`Refusal::Invalid`].
pub fn check(
    payload: &PaymentPayload,
    offers: &[PaymentRequirements],
    now: Timestamp,
) -> Result<Checked, Refusal> {
    let accepted = &payload.accepted;
    let requirements = offers.iter().find(|offer| is_for(accepted, offer)).ok_or_else(|| {
        let known = offers.iter().any(|offer| offer.network == accepted.network);
        Refusal::NoMatch(if known { Mismatch::Terms } else { Mismatch::Network })
    })?;
    if !has_nonce(&payload.payload) {
        return Err(Refusal::MissingNonce);
    }
    let signed = payload.exact_evm().map_err(|_| Refusal::Invalid(Fault::Payload))?;
    find_fault(&signed, requirements, now).map_or(Ok(()), |fault| Err(Refusal::Invalid(fault)))?;
    let authorization = &signed.authorization;
    let key = PaymentKey::new(
        &requirements.network,
        &requirements.asset,
        authorization.from.as_str(),
        &authorization.nonce,
    );
    let seconds = i64::try_from(authorization.valid_before.saturating_u64()).unwrap_or(i64::MAX);
    let expires = Timestamp::from_unix_micros(seconds.saturating_mul(1_000_000));
    let payload = PaymentPayload { payload: only(&signed)?, ..payload.clone() };
    Ok(Checked { payload, signed, requirements: requirements.clone(), key, expires })
}

/// What was signed as it was understood, without members that somebody else may read otherwise.
fn only(signed: &ExactEvmPayload) -> Result<JsonObject, Refusal> {
    let object = serde_json::to_value(signed).ok().and_then(|value| match value {
        Value::Object(map) => Some(JsonObject::from(map)),
        _ => None,
    });
    object.ok_or(Refusal::Invalid(Fault::Payload))
}

fn is_for(accepted: &PaymentRequirements, offer: &PaymentRequirements) -> bool {
    accepted.scheme == offer.scheme
        && accepted.network == offer.network
        && accepted.amount == offer.amount
        && is_same(&accepted.asset, &offer.asset)
        && is_same(&accepted.pay_to, &offer.pay_to)
        && accepted.max_timeout_seconds == offer.max_timeout_seconds
        && offer.extra.iter().all(|(key, value)| accepted.extra.get(key) == Some(value))
}

/// Whether these are the same text, or the same address.
fn is_same(one: &str, other: &str) -> bool {
    let address = |text| EvmAddress::any_case(text).ok();
    one == other || (address(one).is_some() && address(one) == address(other))
}

fn has_nonce(payload: &JsonObject) -> bool {
    let given = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    let payload = payload.to_map();
    let authorization = payload.get("authorization").and_then(|inner| inner.get("nonce"));
    authorization.is_some_and(given) || payload.get("nonce").is_some_and(given)
}

fn find_fault(
    signed: &ExactEvmPayload,
    offer: &PaymentRequirements,
    now: Timestamp,
) -> Option<Fault> {
    let ExactEvmPayload { signature, authorization } = signed;
    let now = Amount::from(u64::try_from(now.as_unix_micros() / 1_000_000).unwrap_or(0));
    let faults = [
        (hex_bytes(&authorization.nonce) != Some(32), Fault::Nonce),
        (hex_bytes(signature).is_none_or(|bytes| bytes < 65), Fault::Signature),
        (EvmAddress::any_case(&offer.pay_to).as_ref() != Ok(&authorization.to), Fault::Recipient),
        (authorization.value != offer.amount, Fault::Value),
        (authorization.valid_after > now, Fault::TooEarly),
        (authorization.valid_before <= now, Fault::Expired),
    ];
    faults.into_iter().find(|(is_so, _)| *is_so).map(|(_, fault)| fault)
}

/// How many bytes these hexadecimal digits are, after `0x`.
fn hex_bytes(text: &str) -> Option<usize> {
    let digits = text.strip_prefix("0x")?;
    let is_hex = digits.len() % 2 == 0 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then_some(digits.len() / 2)
}
