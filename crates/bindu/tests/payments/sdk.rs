//! An agent whose handler is in another process, and whose work is paid for.

use bindu_testkit::fake_facilitator::FakeFacilitator;
use bindu_testkit::sdk::{Sdk, free_port};
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::shop::{PAY_TO, nonce, payment};
use crate::caller::{LONG, Result, message};
use crate::sidecar::{Ground, config};

#[tokio::test]
async fn an_sdk_is_called_for_what_was_paid_and_for_nothing_else() -> Result {
    let facilitator = FakeFacilitator::start().await?;
    let ground = Ground::new(&[("X402__FACILITATOR_URL", facilitator.url())]).await?;
    let sdk = Sdk::start().await;
    let mut paid = config("paid", free_port());
    paid["execution_cost"] =
        json!({ "amount": "0.01", "network": "base-sepolia", "pay_to_address": PAY_TO });
    let agent = ground.register(paid, &sdk).await?;

    let (status, refused) = agent.caller.call("message/send", message("hello")).await?;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED, "{refused}");
    assert!(sdk.calls().is_empty());

    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send", "params": message("hello") });
    let request = Request::post(format!("{}/", agent.answer.agent_url))
        .header("X-PAYMENT", payment(&nonce("1")))
        .body(Bytes::from(body.to_string()))?;
    let timeouts = bindu_http::client::Config { timeout: LONG, ..Default::default() };
    let answer = bindu_http::client::Client::new(timeouts).send(request).await?;
    let answer: Value = serde_json::from_slice(answer.body())?;
    assert_eq!(answer["result"]["status"]["state"], "completed", "{answer}");
    assert_eq!(answer["result"]["metadata"]["x402.payment.status"], "payment-completed");
    assert_eq!((sdk.calls().len(), facilitator.chain().len()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_price_that_makes_no_sense_is_told_to_the_sdk() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let mut paid = config("paid", free_port());
    paid["execution_cost"] =
        json!({ "amount": "0.01", "network": "nowhere", "pay_to_address": PAY_TO });
    let Err(refused) = ground.register(paid, &sdk).await else { panic!("it was registered") };
    assert!(refused.to_string().contains("nowhere"), "{refused}");
    Ok(())
}
