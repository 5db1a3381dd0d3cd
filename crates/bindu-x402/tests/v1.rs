//! Payments of version 1, inside tasks.

use bindu_protocol::Json;
use bindu_x402::v1::{self, PaymentRequirementsV1};
use bindu_x402::{Fault, Mismatch, Networks, Refusal, Resource};
use serde_json::{Value, json};

use crate::support::{offer, option, payment, signed};

fn decode(value: Value) -> Result<(), Refusal> {
    v1::decode(&Json::from(value), &[offer()], &Networks::default()).map(drop)
}

fn old(network: &str, inner: &Value) -> Value {
    json!({ "x402Version": 1, "scheme": "exact", "network": network, "payload": inner })
}

#[test]
fn it_is_for_the_offer_that_it_pays() {
    assert_eq!(decode(old("base-sepolia", &signed(&offer(), "0x01"))), Ok(()));
    // By id, as some write it.
    assert_eq!(decode(old("eip155:84532", &signed(&offer(), "0x01"))), Ok(()));
    // Version 2 is read too.
    let new = serde_json::to_value(payment(&offer(), "0x01")).unwrap();
    assert_eq!(decode(new), Ok(()));
}

#[test]
fn what_was_not_offered_is_refused() {
    let network = Err(Refusal::NoMatch(Mismatch::Network));
    assert_eq!(decode(old("base", &signed(&offer(), "0x01"))), network);
    assert_eq!(decode(old("nowhere", &signed(&offer(), "0x01"))), network);
    let mut other = old("base-sepolia", &signed(&offer(), "0x01"));
    other["scheme"] = "upto".into();
    assert_eq!(decode(other), network);
    let mut less = signed(&offer(), "0x01");
    less["authorization"]["value"] = "1".into();
    assert_eq!(decode(old("base-sepolia", &less)), Err(Refusal::NoMatch(Mismatch::Terms)));
    let payload = Err(Refusal::Invalid(Fault::Payload));
    assert_eq!(decode(old("base-sepolia", &json!({}))), payload);
    assert!(decode(json!({ "x402Version": 1 })).is_err());
    assert!(decode(json!([1])).is_err());
}

#[test]
fn an_offer_is_written_with_what_it_is_for() {
    let resource = Resource {
        url: "https://agent.example/".to_owned(),
        description: Some("work".to_owned()),
        ..Resource::default()
    };
    let networks = Networks::default();
    let old = PaymentRequirementsV1::of(&offer(), Some(&resource), &networks).unwrap();
    insta::assert_json_snapshot!(old, @r#"
    {
      "scheme": "exact",
      "network": "base-sepolia",
      "maxAmountRequired": "10000",
      "resource": "https://agent.example/",
      "description": "work",
      "mimeType": "",
      "payTo": "0xa11ce0000000000000000000000000000000a11c",
      "maxTimeoutSeconds": 60,
      "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
      "extra": {
        "name": "USDC",
        "version": "2"
      }
    }
    "#);
    let nameless = bindu_x402::offers(&[option("eip155:51")], &networks).unwrap().remove(0);
    assert_eq!(PaymentRequirementsV1::of(&nameless, None, &networks), None);
}
