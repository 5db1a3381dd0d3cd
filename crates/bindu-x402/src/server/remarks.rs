//! What a task says of its payments: members of its metadata.

use bindu_protocol::{JsonObject, payment};
use bindu_storage::Payment;
use serde_json::{Map, Value, json};

use crate::{PaymentPayload, PaymentRequirements, code};

/// That a task is paid for, by the last of these payments. `before` is what the task says already.
#[must_use]
pub fn completed(before: Option<&JsonObject>, payments: &[Payment]) -> JsonObject {
    let mut members = of(before, payments);
    members.insert(payment::STATUS.into(), payment::status::COMPLETED.into());
    members.into()
}

/// That the last of these payments failed, or that nobody knows what became of it. In a task that
/// was begun without paying, the reason is a code of the extension; in others it is the
/// facilitator's own word.
#[must_use]
pub fn failed(before: Option<&JsonObject>, payments: &[Payment], in_task: bool) -> JsonObject {
    let mut members = of(before, payments);
    let reason = payments.last().and_then(|payment| payment.error.as_deref());
    let reason = reason.unwrap_or("the payment was given back before the work could begin");
    let reason = if in_task { code::of(reason) } else { reason };
    members.insert(payment::STATUS.into(), payment::status::FAILED.into());
    members.insert(payment::ERROR.into(), reason.into());
    members.into()
}

/// The status and the receipts alone, for what comes out of the work.
#[must_use]
pub fn marks(remarks: &JsonObject) -> JsonObject {
    let mut marks = remarks.to_map();
    marks.retain(|key, _| [payment::STATUS, payment::RECEIPTS].contains(&key.as_str()));
    marks.into()
}

/// Adds a receipt to those that a task has.
#[must_use]
pub fn receipts(before: Option<&JsonObject>, receipt: Option<Value>) -> Value {
    let had = before.and_then(|before| before.get(payment::RECEIPTS));
    let mut receipts = match had {
        Some(Value::Array(receipts)) => receipts,
        _ => Vec::new(),
    };
    // Money moves once; the same mistake may be made again.
    let is_known = |receipt: &Value| receipt["success"] == true && receipts.contains(receipt);
    let new = receipt.filter(|receipt| !is_known(receipt));
    receipts.extend(new);
    Value::Array(receipts)
}

/// What a refund needs, and the receipts.
fn of(before: Option<&JsonObject>, payments: &[Payment]) -> Map<String, Value> {
    let mut members = Map::new();
    let Some(last) = payments.last() else { return members };
    let receipt = last.receipt.as_ref().map(bindu_protocol::Json::to_value);
    members.insert(payment::RECEIPTS.into(), receipts(before, receipt));
    if let Ok(offer) = last.requirements.parse::<PaymentRequirements>() {
        members.insert(payment::NETWORK.into(), offer.network.into());
    }
    let signed = last.payload.parse::<PaymentPayload>().ok().and_then(|it| it.exact_evm().ok());
    if let Some(signed) = signed {
        members.insert(payment::NONCE.into(), signed.authorization.nonce.clone().into());
        members.insert(payment::AUTHORIZATION.into(), json!(signed.authorization));
    }
    members
}
