//! What the tests share: an offer, a payment for it, and a time at which it is good.

use bindu_protocol::{Json, JsonObject, Timestamp};
use bindu_x402::{
    Checked, Networks, PaymentOption, PaymentPayload, PaymentRequirements, check, offers,
};
use serde_json::{Value, json};

pub(crate) const PAYEE: &str = "0xa11ce0000000000000000000000000000000a11c";
pub(crate) const PAYER: &str = "0x000000000000000000000000000000000000beef";

/// A way to pay for a cent.
pub(crate) fn option(network: &str) -> PaymentOption {
    PaymentOption {
        amount: "0.01".to_owned(),
        token: None,
        network: network.to_owned(),
        pay_to: Some(PAYEE.to_owned()),
    }
}

/// The offer of the recorded agent: a cent on Base Sepolia.
pub(crate) fn offer() -> PaymentRequirements {
    offers(&[option("base-sepolia")], &Networks::default()).unwrap().remove(0)
}

/// A nonce that begins so.
pub(crate) fn nonce(prefix: &str) -> String {
    format!("{prefix:1<66}")
}

/// What is signed for an offer, with a nonce that begins so.
pub(crate) fn signed(offer: &PaymentRequirements, prefix: &str) -> Value {
    json!({
        "signature": format!("0x{}", "00".repeat(65)),
        "authorization": {
            "from": PAYER, "to": offer.pay_to, "value": offer.amount,
            "validAfter": "0", "validBefore": "9999999999", "nonce": nonce(prefix),
        },
    })
}

/// A payment for an offer.
pub(crate) fn payment(offer: &PaymentRequirements, prefix: &str) -> PaymentPayload {
    PaymentPayload {
        x402_version: 2,
        payload: object(signed(offer, prefix)),
        accepted: offer.clone(),
        resource: None,
        extensions: None,
    }
}

/// One that was looked at.
pub(crate) fn checked(prefix: &str) -> Checked {
    check(&payment(&offer(), prefix), &[offer()], at(1_000_000)).unwrap()
}

pub(crate) fn object(value: Value) -> JsonObject {
    JsonObject::try_from(Json::from(value)).unwrap()
}

/// So many seconds after 1970 began.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(seconds * 1_000_000)
}
