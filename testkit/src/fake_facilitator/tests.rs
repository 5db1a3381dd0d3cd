use std::time::Duration;

use bindu_http::HttpError;
use bindu_http::client::Client;
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{Behaviour, FakeFacilitator, Fault};

const PAYER: &str = "0x000000000000000000000000000000000000beef";

async fn ask(method: &str, url: &str, body: &Value) -> Result<(u16, Value), HttpError> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder().method(method).uri(url).body(Bytes::from(text)).unwrap();
    let answer = Client::default().send(request).await?;
    Ok((answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default()))
}

/// A request to verify or to settle a payment whose nonce begins so.
fn payment(prefix: &str) -> Value {
    json!({
        "x402Version": 2,
        "paymentPayload": { "x402Version": 2, "payload": { "signature": "0x", "authorization": {
            "from": PAYER, "to": "0xa11c", "value": "10000",
            "validAfter": "0", "validBefore": "9999999999", "nonce": format!("{prefix:0<66}"),
        } } },
        "paymentRequirements": { "scheme": "exact", "network": "eip155:84532", "asset": "0xA5" },
    })
}

async fn settle(facilitator: &FakeFacilitator, prefix: &str) -> Result<(u16, Value), HttpError> {
    ask("POST", &format!("{}/settle", facilitator.url()), &payment(prefix)).await
}

async fn verify(facilitator: &FakeFacilitator, prefix: &str) -> Value {
    ask("POST", &format!("{}/verify", facilitator.url()), &payment(prefix)).await.unwrap().1
}

/// What became of it: what was answered, and how often the money moved.
async fn outcome(facilitator: &FakeFacilitator, prefix: &str) -> (String, usize) {
    let said = match settle(facilitator, prefix).await {
        Ok((200, answer)) if answer["success"] == true => "yes".to_owned(),
        Ok((200, answer)) => answer["errorReason"].as_str().unwrap().to_owned(),
        Ok((status, _)) => status.to_string(),
        Err(HttpError::Io(_)) => "closed".to_owned(),
        Err(error) => panic!("{error}"),
    };
    let moved = facilitator.chain().iter().filter(|m| m.nonce.starts_with(prefix)).count();
    (said, moved)
}

#[tokio::test]
async fn it_answers_as_the_recorded_conversations_have_it() {
    let facilitator = FakeFacilitator::start().await.unwrap();
    let supported = ask("GET", &format!("{}/supported", facilitator.url()), &Value::Null).await;
    let (status, supported) = supported.unwrap();
    assert_eq!((status, supported["kinds"].as_array().map(Vec::len)), (200, Some(2)));
    assert_eq!(
        verify(&facilitator, "0xbad0").await,
        json!({ "isValid": false, "invalidReason": "insufficient_funds", "payer": PAYER })
    );
    assert_eq!(
        verify(&facilitator, "0xfa11").await,
        json!({ "isValid": true, "invalidReason": null, "payer": PAYER })
    );
    assert_eq!(
        settle(&facilitator, "0xfa11").await.unwrap().1,
        json!({
            "success": false, "errorReason": "transfer reverted", "payer": PAYER,
            "transaction": "", "network": "eip155:84532",
        })
    );
    assert!(facilitator.chain().is_empty());
    assert_eq!(
        settle(&facilitator, "0xc0de").await.unwrap().1,
        json!({
            "success": true, "errorReason": null, "payer": PAYER,
            "transaction": format!("0x{}", "ab".repeat(32)), "network": "eip155:84532",
        })
    );
    assert!(facilitator.has_moved(&format!("{:0<66}", "0xC0DE")));
    assert_eq!(settle(&facilitator, "0xc0de").await.unwrap().1["success"], true, "again");
    assert_eq!(facilitator.chain().len(), 1, "but it moved once");

    let log = format!("{}/__log?path=/settle&contains=0xc0de", facilitator.url());
    let (_, log) = ask("GET", &log, &Value::Null).await.unwrap();
    let seen = json!({ "method": "POST", "path": "/settle", "body": payment("0xc0de") });
    assert_eq!(log, json!({ "count": 2, "requests": [seen, seen] }));
    assert_eq!(facilitator.count("POST", "/settle"), 3);
    assert_eq!(facilitator.count_for("/verify", "0xfa11"), 1);
    let chain = format!("{}/__chain?from={PAYER}", facilitator.url());
    let (_, chain) = ask("GET", &chain, &Value::Null).await.unwrap();
    assert_eq!((&chain["count"], &chain["payments"][0]["value"]), (&json!(1), &json!("10000")));
    let nothing = format!("{}/nothing", facilitator.url());
    assert_eq!(ask("GET", &nothing, &Value::Null).await.unwrap().0, 404);
}

#[tokio::test]
async fn every_nonce_does_what_the_table_says() {
    let facilitator = FakeFacilitator::start().await.unwrap();
    facilitator.hang_for(Duration::from_millis(20));
    let said = |said: &str, moved| (said.to_owned(), moved);
    for (prefix, first, second) in [
        ("0xbad0", said("yes", 1), said("yes", 1)),
        ("0xfa11", said("transfer reverted", 0), said("transfer reverted", 0)),
        ("0xcdcd", said("500", 0), said("500", 0)),
        ("0x71e0", said("500", 1), said("yes", 1)),
        ("0x5e77", said("500", 1), said("yes", 1)),
        ("0xc105", said("closed", 1), said("yes", 1)),
        ("0xdead", said("closed", 0), said("closed", 0)),
        ("0xf1a0", said("500", 0), said("yes", 1)),
        ("0x11e0", said("yes", 0), said("yes", 0)),
        ("0x11e1", said("yes", 0), said("yes", 0)),
        ("0x11e2", said("yes", 0), said("yes", 0)),
        ("0x11e3", said("transfer reverted", 1), said("yes", 1)),
        ("0x11e4", said("yes", 1), said("yes", 1)),
        ("0xc0de99", said("yes", 1), said("nonce already used", 1)),
        ("0x5e7799", said("500", 1), said("nonce already used", 1)),
    ] {
        assert_eq!(outcome(&facilitator, prefix).await, first, "{prefix}");
        assert_eq!(outcome(&facilitator, prefix).await, second, "{prefix} again");
    }
    assert_eq!(settle(&facilitator, "0x11e1").await.unwrap().1["transaction"], "");
    assert_eq!(settle(&facilitator, "0x11e2").await.unwrap().1["network"], "eip155:1");
    assert_ne!(settle(&facilitator, "0x11e0").await.unwrap().1["payer"], PAYER);
    assert_ne!(verify(&facilitator, "0x11e4").await["payer"], PAYER);
    assert_eq!(verify(&facilitator, "0xc0de99").await["invalidReason"], "nonce already used");
}

#[tokio::test]
async fn it_can_be_told_what_a_nonce_does() {
    let facilitator = FakeFacilitator::start().await.unwrap();
    facilitator.behave("", Behaviour::SettleNo);
    facilitator.behave("0xFA1100", Behaviour::Good);
    assert_eq!(outcome(&facilitator, "0xfa1100").await.0, "yes");
    assert_eq!(outcome(&facilitator, "0x01").await.0, "transfer reverted");
    facilitator.behave("", Behaviour::Good);
    facilitator.refuse_repeats(true);
    assert_eq!(outcome(&facilitator, "0xfa1100").await.0, "nonce already used");

    let url = format!("{}/__behave", facilitator.url());
    let order = json!({ "prefix": "0x02", "behaviour": "settled-then-500" });
    assert_eq!(ask("POST", &url, &order).await.unwrap().0, 204);
    assert_eq!(outcome(&facilitator, "0x02").await, ("500".to_owned(), 1));
    let order = json!({ "prefix": "0x02", "behaviour": "dance" });
    assert_eq!(ask("POST", &url, &order).await.unwrap().0, 400);
}

#[tokio::test]
async fn the_chain_takes_nothing_that_is_void() {
    let facilitator = FakeFacilitator::start().await.unwrap();
    let url = format!("{}/settle", facilitator.url());
    for (member, value, why) in [
        ("validBefore", "1", "authorization is expired"),
        ("validAfter", "9999999990", "authorization is not yet valid"),
    ] {
        let mut late = payment("0xc0de");
        late["paymentPayload"]["payload"]["authorization"][member] = value.into();
        assert_eq!(ask("POST", &url, &late).await.unwrap().1["errorReason"], why);
    }
    assert_eq!(ask("POST", &url, &json!({})).await.unwrap().0, 400);
    assert!(facilitator.chain().is_empty());
}

#[tokio::test]
async fn it_fails_as_it_is_told() {
    let facilitator = FakeFacilitator::start().await.unwrap();
    facilitator.fail(Some(Fault::Down));
    assert_eq!(outcome(&facilitator, "0x01").await, ("closed".to_owned(), 0));
    facilitator.fail(Some(Fault::Status(StatusCode::SERVICE_UNAVAILABLE)));
    assert_eq!(outcome(&facilitator, "0x01").await, ("503".to_owned(), 0));
    facilitator.fail(Some(Fault::NotJson));
    let (status, answer) = settle(&facilitator, "0x01").await.unwrap();
    assert_eq!((status, answer), (200, Value::Null));
    facilitator.fail(Some(Fault::Slow(Duration::from_millis(10))));
    assert_eq!(outcome(&facilitator, "0x01").await, ("yes".to_owned(), 1));
    assert_eq!(facilitator.count_for("/settle", "0x01"), 4, "it kept what it was asked");
}
