//! Every reason for which a payment is not taken.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bindu_protocol::Json;
use bindu_x402::{Fault, Mismatch, PaymentPayload, Refusal, check, code, header};
use serde_json::{Value, json};

use crate::support::{PAYEE, PAYER, at, nonce, object, offer, payment, signed};

/// A time in the life of the payments here.
const NOW: i64 = 1_000_000;

fn decode(value: &Value) -> Result<PaymentPayload, Refusal> {
    header::decode(header::encode(value).as_bytes())
}

/// What the check says once the signed part was changed.
fn changed(pointer: &str, value: Value) -> Result<(), Refusal> {
    let mut inner = signed(&offer(), "0x01");
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    inner.pointer_mut(parent).unwrap()[member] = value;
    let payload = PaymentPayload { payload: object(inner), ..payment(&offer(), "0x01") };
    check(&payload, &[offer()], at(NOW)).map(drop)
}

#[test]
fn every_refusal_says_what_the_table_says() {
    let detail = Refusal::rejected(None);
    for (refusal, text, code) in [
        (Refusal::Missing, "X-PAYMENT header required", code::INVALID_SIGNATURE),
        (Refusal::MalformedBody, "Malformed JSON-RPC body", code::SETTLEMENT_FAILED),
        (
            Refusal::Version1,
            "x402 v1 payment payloads are no longer accepted; please re-sign with v2",
            code::INVALID_SIGNATURE,
        ),
        (
            Refusal::NoMatch(Mismatch::Network),
            "No matching payment requirements found",
            code::NETWORK_MISMATCH,
        ),
        (
            Refusal::NoMatch(Mismatch::Terms),
            "No matching payment requirements found",
            code::INVALID_AMOUNT,
        ),
        (Refusal::MissingNonce, "Payment payload missing nonce", code::INVALID_SIGNATURE),
        (
            Refusal::Unavailable,
            "Payment validation temporarily unavailable",
            code::SETTLEMENT_FAILED,
        ),
        (Refusal::Replay, "Payment nonce already used (replay)", code::DUPLICATE_NONCE),
        (Refusal::NotVerified, "Payment verification failed", code::SETTLEMENT_FAILED),
        (detail, "Invalid payment: unknown reason", code::SETTLEMENT_FAILED),
        (
            Refusal::rejected(Some("insufficient_funds")),
            "Invalid payment: insufficient_funds",
            code::INSUFFICIENT_FUNDS,
        ),
        (
            Refusal::rejected(Some("invalid_exact_evm_payload_signature")),
            "Invalid payment: invalid_exact_evm_payload_signature",
            code::INVALID_SIGNATURE,
        ),
        (
            Refusal::rejected(Some("nonce already used")),
            "Invalid payment: nonce already used",
            code::DUPLICATE_NONCE,
        ),
        (
            Refusal::rejected(Some("invalid_network")),
            "Invalid payment: invalid_network",
            code::NETWORK_MISMATCH,
        ),
    ] {
        assert_eq!((refusal.to_string().as_str(), refusal.code()), (text, code));
    }
    assert!(Refusal::NotVerified.is_passing() && !Refusal::Replay.is_passing());
}

#[test]
fn what_a_facilitator_says_is_repeated_on_one_line_and_shortened() {
    let long = format!("no\r\nSet-Cookie: {}", "x".repeat(1000));
    let text = Refusal::rejected(Some(&long)).to_string();
    assert!(text.starts_with("Invalid payment: noSet-Cookie: xxx"), "{text}");
    assert_eq!(text.chars().count(), "Invalid payment: ".len() + 200);
    assert_eq!(Refusal::rejected(Some(" ")), Refusal::rejected(None));
}

#[test]
fn headers_that_cannot_be_read_are_refused_before_anything_else() {
    for nothing in ["", "  ", "\t"] {
        assert_eq!(header::decode(nothing.as_bytes()), Err(Refusal::Missing));
    }
    let told = |value: &[u8]| header::decode(value).unwrap_err().to_string();
    assert_eq!(told(b"%%%"), "Invalid X-PAYMENT header: it is not base64");
    assert_eq!(told(b"\xff\xfe"), "Invalid X-PAYMENT header: it is not base64");
    assert_eq!(told(b"/w=="), "Invalid X-PAYMENT header: it is not UTF-8");
    assert_eq!(told(b"aGVsbG8="), "Invalid X-PAYMENT header: it is not a JSON object");
    let long = "A".repeat(header::MAX_BYTES + 1);
    assert_eq!(told(long.as_bytes()), "Invalid X-PAYMENT header: it is longer than 16384 bytes");
    let of = |value: Value| decode(&value).unwrap_err().to_string();
    assert_eq!(of(json!([1])), "Invalid X-PAYMENT header: it is not a JSON object");
    assert_eq!(of(json!([2, {}, {}])), "Invalid X-PAYMENT header: it is not a JSON object");
    for value in [
        json!({}),
        json!({ "x402Version": 2 }),
        json!({ "x402Version": "2" }),
        json!({ "x402Version": "<script>" }),
        json!({ "x402Version": 2, "payload": [], "accepted": offer() }),
        json!({ "x402Version": 2, "payload": {}, "accepted": {} }),
    ] {
        let told = of(value.clone());
        assert!(told.starts_with("Invalid X-PAYMENT header: "), "{value}: {told}");
    }
    assert_eq!(
        of(json!({ "x402Version": 3 })),
        "Invalid X-PAYMENT header: x402Version 3 is not known"
    );
    assert_eq!(
        decode(&json!({ "x402Version": 1, "scheme": "exact", "network": "base", "payload": {} })),
        Err(Refusal::Version1)
    );
    // Two of one name: nobody knows which one somebody else would read.
    let twice = r#"{"x402Version":2,"x402Version":2,"payload":{},"accepted":{}}"#;
    assert!(header::decode_or_json(twice.as_bytes()).is_err());
}

#[test]
fn both_casings_and_unknown_members_are_read() {
    let accepted = json!({
        "scheme": "exact", "network": "eip155:84532", "asset": offer().asset, "amount": "10000",
        "pay_to": PAYEE, "max_timeout_seconds": 60, "extra": { "name": "USDC", "version": "2" },
        "more": 1,
    });
    let snake = json!({
        "x402_version": 2, "payload": signed(&offer(), "0x01"), "accepted": accepted,
        "resource": { "url": "https://a.example", "mime_type": "text/plain", "more": 1 },
        "extensions": { "kept": 1 }, "more": 1,
    });
    let payload = decode(&snake).unwrap();
    assert_eq!(payload.accepted, offer());
    assert_eq!(payload.resource.as_ref().unwrap().mime_type.as_deref(), Some("text/plain"));
    assert_eq!(payload.extensions.as_ref().unwrap().get("kept"), Some(1.into()));
    assert!(check(&payload, &[offer()], at(NOW)).is_ok());
    // Pasted or from inside a task, the same is plain JSON.
    let text = snake.to_string();
    assert_eq!(header::decode_or_json(text.as_bytes()).unwrap(), payload);
    assert_eq!(header::from_json(&Json::from(snake)).unwrap(), payload);
}

#[test]
fn a_token_is_a_payment_header_with_nulls() {
    let payload = payment(&offer(), "0x01");
    let token = payload.token();
    assert_eq!(header::decode(token.as_bytes()).unwrap(), payload);
    let text = STANDARD.decode(token).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with(r#","resource":null,"extensions":null}"#), "{text}");
}

#[test]
fn the_offer_has_to_be_one_of_ours_in_every_member() {
    let refusal = |change: fn(&mut PaymentPayload)| {
        let mut payload = payment(&offer(), "0x01");
        change(&mut payload);
        check(&payload, &[offer()], at(NOW)).map(drop)
    };
    let no_match = Err(Refusal::NoMatch(Mismatch::Terms));
    assert_eq!(refusal(|p| p.accepted.scheme = "upto".into()), no_match);
    assert_eq!(refusal(|p| p.accepted.amount = 1.into()), no_match);
    assert_eq!(refusal(|p| p.accepted.asset = PAYEE.into()), no_match);
    assert_eq!(refusal(|p| p.accepted.pay_to = PAYER.into()), no_match);
    assert_eq!(refusal(|p| p.accepted.max_timeout_seconds = 61), no_match);
    assert_eq!(refusal(|p| p.accepted.extra["version"] = "1".into()), no_match);
    assert_eq!(refusal(|p| drop(p.accepted.extra.remove("name"))), no_match);
    let network = Err(Refusal::NoMatch(Mismatch::Network));
    assert_eq!(refusal(|p| p.accepted.network = "eip155:1".into()), network);
    assert_eq!(refusal(|p| p.accepted.network = "base-sepolia".into()), network);
    // What makes no difference to anybody makes none here.
    assert_eq!(refusal(|p| p.accepted.asset.make_ascii_lowercase()), Ok(()));
    assert_eq!(refusal(|p| p.accepted.pay_to = PAYEE.replace("a11c", "A11C")), Ok(()));
    assert_eq!(refusal(|p| drop(p.accepted.extra.insert("more".into(), 1.into()))), Ok(()));
}

#[test]
fn what_was_signed_is_looked_at_before_anybody_is_asked() {
    let invalid = |fault| Err(Refusal::Invalid(fault));
    for missing in [Value::Null, json!("")] {
        assert_eq!(changed("/authorization/nonce", missing), Err(Refusal::MissingNonce));
    }
    assert_eq!(changed("/authorization/nonce", json!("0x01")), invalid(Fault::Nonce));
    assert_eq!(changed("/authorization/nonce", json!("z".repeat(66))), invalid(Fault::Nonce));
    assert_eq!(changed("/authorization/nonce", json!(7)), invalid(Fault::Payload));
    assert_eq!(changed("/authorization/to", json!(PAYER)), invalid(Fault::Recipient));
    assert_eq!(changed("/authorization/value", json!("9999")), invalid(Fault::Value));
    assert_eq!(changed("/authorization/value", json!("10001")), invalid(Fault::Value));
    assert_eq!(changed("/authorization/value", json!("-1")), invalid(Fault::Payload));
    assert_eq!(changed("/authorization/from", json!("0xbeef")), invalid(Fault::Payload));
    let too_early = invalid(Fault::TooEarly);
    assert_eq!(changed("/authorization/validAfter", json!("1000001")), too_early);
    assert_eq!(changed("/authorization/validAfter", json!("1000000")), Ok(()));
    let expired = invalid(Fault::Expired);
    assert_eq!(changed("/authorization/validBefore", json!("1000000")), expired);
    assert_eq!(changed("/authorization/validBefore", json!("1000001")), Ok(()));
    let signature = |bytes| json!(format!("0x{}", "ab".repeat(bytes)));
    assert_eq!(changed("/signature", signature(64)), invalid(Fault::Signature));
    assert_eq!(changed("/signature", json!("0x")), invalid(Fault::Signature));
    assert_eq!(
        changed("/signature", json!(format!("0x{}", "g".repeat(130)))),
        invalid(Fault::Signature)
    );
    assert_eq!(changed("/signature", signature(66)), Ok(()), "of a contract wallet");
    // Numbers are read as the strings that they should have been.
    assert_eq!(changed("/authorization/value", json!(10_000)), Ok(()));
    let only_nonce = PaymentPayload {
        payload: object(json!({ "nonce": nonce("0x01") })),
        ..payment(&offer(), "0x01")
    };
    assert_eq!(check(&only_nonce, &[offer()], at(NOW)).map(drop), invalid(Fault::Payload));
    let empty = PaymentPayload { payload: object(json!({})), ..payment(&offer(), "0x01") };
    assert_eq!(check(&empty, &[offer()], at(NOW)).map(drop), Err(Refusal::MissingNonce));
}

#[test]
fn what_was_checked_names_the_payment_and_hides_nothing() {
    let mut inner = signed(&offer(), "0xC0DE");
    inner["authorization"]["hidden"] = "x".into();
    inner["hidden"] = "y".into();
    let payload = PaymentPayload { payload: object(inner), ..payment(&offer(), "0xC0DE") };
    let checked = check(&payload, &[offer()], at(NOW)).unwrap();
    assert_eq!(
        checked.key().as_str(),
        format!(
            "eip155:84532/0x036cbd53842c5426634e7929541ec2318f3dcf7e/{PAYER}/{}",
            nonce("0xc0de")
        )
    );
    assert_eq!(checked.expires(), at(9_999_999_999));
    assert_eq!(checked.payload().payload.to_map(), object(signed(&offer(), "0xC0DE")).to_map());
    assert_eq!(checked.requirements(), &offer());
    // Beyond what a clock can say, it is the end of time.
    let forever = (0..78).fold(String::new(), |text, _| text + "1");
    let mut inner = signed(&offer(), "0x01");
    inner["authorization"]["validBefore"] = forever.into();
    let payload = PaymentPayload { payload: object(inner), ..payload };
    let expires = check(&payload, &[offer()], at(NOW)).unwrap().expires();
    assert_eq!(expires.to_string(), "9999-12-31T23:59:59.999999+00:00");
}

#[test]
fn a_member_that_is_there_twice_is_no_payment() {
    let text = serde_json::to_string(&payment(&offer(), "0x01")).unwrap();
    let twice = text.replacen("\"authorization\":{", "\"authorization\":{\"value\":\"1\",", 1);
    let payload = header::decode_or_json(twice.as_bytes()).unwrap();
    let refusal = check(&payload, &[offer()], at(NOW)).unwrap_err();
    assert_eq!(refusal, Refusal::Invalid(Fault::Payload));
}
