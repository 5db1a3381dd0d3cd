//! The example does what its first lines say.

use std::ffi::OsStr;

use bindu_http::client::Client;
use bindu_testkit::fake_facilitator::FakeFacilitator;
use bindu_x402::{PaymentPayload, PaymentRequired, header};
use bytes::Bytes;
use example_harness::Example;
use http::{Request, StatusCode};
use serde_json::{Value, json};

/// Asks for a line, and pays for it if there is something to pay with.
async fn ask(url: &str, payment: Option<&str>) -> anyhow::Result<(StatusCode, Value)> {
    let message = json!({ "role": "user", "messageId": "m-1",
        "parts": [{ "kind": "text", "text": "the sea" }] });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send",
        "params": { "message": message } });
    let mut request = Request::post(format!("{url}/"));
    if let Some(payment) = payment {
        request = request.header(header::PAYMENT_SIGNATURE, payment);
    }
    let answer = Client::default().send(request.body(Bytes::from(body.to_string()))?).await?;
    Ok((answer.status(), serde_json::from_slice(answer.body())?))
}

/// A payment of the first offer; the stand-in for a facilitator does not look at signatures.
fn pay(required: &PaymentRequired) -> anyhow::Result<String> {
    let offer = &required.accepts[0];
    let payload = json!({
        "x402Version": 2,
        "payload": {
            "signature": format!("0x{}", "00".repeat(65)),
            "authorization": {
                "from": "0x000000000000000000000000000000000000beef", "to": offer.pay_to,
                "value": offer.amount, "validAfter": "0", "validBefore": "9999999999",
                "nonce": format!("0x{}", "01".repeat(32)),
            },
        },
        "accepted": offer,
    });
    Ok(serde_json::from_value::<PaymentPayload>(payload)?.token())
}

#[tokio::test]
async fn it_writes_when_it_is_paid() -> anyhow::Result<()> {
    let facilitator = FakeFacilitator::start().await?;
    let vars = [
        ("X402__FACILITATOR_URL", OsStr::new(facilitator.url())),
        ("STORAGE_TYPE", OsStr::new("sqlite")),
        ("DATABASE_URL", OsStr::new("sqlite:paid.db")),
    ];
    let poet = Example::start_with(env!("CARGO_BIN_EXE_example-paid"), &vars).await?;

    let (status, refused) = ask(poet.url(), None).await?;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
    let required: PaymentRequired = serde_json::from_value(refused)?;
    assert_eq!(required.accepts[0].amount.to_string(), "10000");

    let payment = pay(&required)?;
    let (status, written) = ask(poet.url(), Some(&payment)).await?;
    assert_eq!(status, StatusCode::OK);
    let task = &written["result"];
    assert_eq!(task["status"]["state"], "completed", "{task}");
    let line = "O the sea, so much of you, and I have but one line.";
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], line);
    assert_eq!(task["metadata"]["x402.payment.status"], "payment-completed");
    assert_eq!(facilitator.chain().len(), 1);

    let session = Request::post(format!("{}/api/start-payment-session", poet.url()));
    let session = Client::default().send(session.body(Bytes::new())?).await?;
    let session: Value = serde_json::from_slice(session.body())?;
    assert!(session["browser_url"].as_str().is_some_and(|url| url.starts_with("http")));
    poet.stop()
}
