//! Paying inside the task: the A2A x402 extension.

use bindu_protocol::TaskState;
use http::StatusCode;
use serde_json::{Value, json};

use super::shop::{Answer, Shop, V0_1, V0_2, is, nonce, payload};
use crate::caller::{Result, message};

/// Sends a message with the extension.
async fn say(shop: &Shop, params: &Value) -> Result<Answer> {
    shop.call("message/send", params, &[("X-A2A-Extensions", V0_2)]).await
}

/// A message that pays for a task.
fn paying(task: &Value, payload: &Value) -> Value {
    let mut params = message("here");
    params["message"]["taskId"] = task["id"].clone();
    params["message"]["metadata"] = json!({
        "x402.payment.status": "payment-submitted", "x402.payment.payload": payload, "mine": 1,
    });
    params
}

#[tokio::test]
async fn a_task_asks_is_paid_and_is_done() -> Result {
    for uri in [V0_1, V0_2] {
        let shop = Shop::open().await?;
        let asked =
            shop.call("message/send", &message("hello"), &[("A2A-Extensions", uri)]).await?;
        assert_eq!(asked.status, StatusCode::OK);
        let task = &asked.body["result"];
        assert_eq!(task["status"]["state"], "input-required", "{task}");
        assert_eq!(task["metadata"]["bindu.state"], "payment-required");
        let says = &task["status"]["message"]["metadata"];
        assert_eq!(says["x402.payment.status"], "payment-required");
        let required = &says["x402.payment.required"];
        assert_eq!(required["x402Version"], 2);
        assert_eq!(required["accepts"][0]["amount"], "10000");
        assert_eq!(shop.worked(), 0);

        let done = say(&shop, &paying(task, &payload(&nonce("1")))).await?;
        let task = &done.body["result"];
        assert_eq!(task["status"]["state"], "completed", "{}", done.body);
        assert_eq!(task["metadata"]["x402.payment.status"], "payment-completed");
        let receipts = &task["metadata"]["x402.payment.receipts"];
        assert_eq!(receipts.as_array().map(Vec::len), Some(1));
        assert_eq!(&task["artifacts"][0]["metadata"]["x402.payment.receipts"], receipts);
        let last = task["history"].as_array().and_then(|all| all.last()).expect("a history");
        assert_eq!(last["metadata"]["x402.payment.status"], "payment-completed");
        assert!(done.headers.contains_key("payment-response"));
        // What was signed reaches neither the handler nor the history.
        assert!(!task.to_string().contains("x402.payment.payload"), "{task}");
        shop.until_payment("delivered").await?;
        shop.assert_balanced().await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_streams_is_asked_as_well() -> Result {
    let shop = Shop::open().await?;
    let (status, events) = shop.stream(&message("hello"), &[("X-A2A-Extensions", V0_2)]).await?;
    assert_eq!(status, StatusCode::OK);
    let task = &events.last().expect("events")["result"];
    let task =
        if task["kind"] == "task" { task.clone() } else { shop.task(&task["taskId"]).await? };
    assert_eq!(task["status"]["state"], "input-required");
    let paid = paying(&task, &payload(&nonce("1")));
    let (_, events) = shop.stream(&paid, &[("X-A2A-Extensions", V0_2)]).await?;
    assert_eq!(events.last().expect("events")["result"]["status"]["state"], "completed");
    shop.until_payment("delivered").await?;
    Ok(())
}

#[tokio::test]
async fn a_bad_payment_may_be_mended_twice() -> Result {
    let shop = Shop::open().await?;
    let asked = say(&shop, &message("hello")).await?;
    let id = asked.body["result"]["id"].clone();
    let mut cheap = payload(&nonce("1"));
    cheap["accepted"]["amount"] = json!("1");
    for (payload, code, state) in [
        (payload(&nonce("bad0")), "INSUFFICIENT_FUNDS", "input-required"),
        (cheap, "INVALID_AMOUNT", "input-required"),
        (json!("nonsense"), "INVALID_SIGNATURE", "failed"),
    ] {
        let tried = say(&shop, &paying(&json!({ "id": id }), &payload)).await?;
        let task = &tried.body["result"];
        assert_eq!(task["status"]["state"], state, "{}", tried.body);
        let says = &task["status"]["message"]["metadata"];
        assert_eq!(says["x402.payment.status"], "payment-failed");
        assert_eq!(says["x402.payment.error"], code);
        assert_eq!(says["x402.payment.required"].is_object(), state != "failed");
    }
    let task = shop.task(&id).await?;
    let receipts = task["metadata"]["x402.payment.receipts"].as_array().expect("receipts").clone();
    assert_eq!(receipts.len(), 3);
    assert!(receipts.iter().all(|receipt| receipt["success"] == false));
    assert_eq!(shop.worked(), 0);
    Ok(())
}

#[tokio::test]
async fn a_payment_that_bounces_may_be_followed_by_a_good_one() -> Result {
    let shop = Shop::open().await?;
    let asked = say(&shop, &message("hello")).await?;
    let task = &asked.body["result"];
    let bounced = say(&shop, &paying(task, &payload(&nonce("fa11")))).await?;
    let bounced = &bounced.body["result"];
    assert_eq!(bounced["status"]["state"], "input-required", "{bounced}");
    assert_eq!(bounced["metadata"]["x402.payment.error"], "SETTLEMENT_FAILED");
    assert!(bounced["status"]["message"]["metadata"]["x402.payment.required"].is_object());
    let done = say(&shop, &paying(task, &payload(&nonce("1")))).await?;
    let done = &done.body["result"];
    assert_eq!(done["status"]["state"], "completed", "{done}");
    let successes: Vec<_> = done["metadata"]["x402.payment.receipts"]
        .as_array()
        .expect("receipts")
        .iter()
        .map(|receipt| receipt["success"].clone())
        .collect();
    assert_eq!(successes, [json!(false), json!(true)]);
    assert_eq!(shop.worked(), 1);
    Ok(())
}

#[tokio::test]
async fn whoever_will_not_pay_says_so() -> Result {
    let shop = Shop::open().await?;
    let asked = say(&shop, &message("hello")).await?;
    let task = &asked.body["result"];
    let mut declines = paying(task, &Value::Null);
    declines["message"]["metadata"] = json!({ "x402.payment.status": "payment-rejected" });
    let over = say(&shop, &declines).await?;
    assert_eq!(over.body["result"]["status"]["state"], "canceled", "{}", over.body);
    assert_eq!(over.body["result"]["metadata"]["x402.payment.status"], "payment-rejected");
    Ok(())
}

#[tokio::test]
async fn a_word_without_a_payment_changes_nothing() -> Result {
    let shop = Shop::open().await?;
    let asked = say(&shop, &message("hello")).await?;
    let task = &asked.body["result"];
    let mut idle = message("are you there?");
    idle["message"]["taskId"] = task["id"].clone();
    let same = say(&shop, &idle).await?;
    assert_eq!(same.body["result"]["history"], task["history"]);
    // Without the extension, it is the 402 of everybody.
    let refused = shop.call("message/send", &idle, &[]).await?;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    // And a payment that nobody asked for is none.
    let paid = shop.call("message/send", &paying(task, &payload(&nonce("1"))), &[]).await?;
    assert_eq!(paid.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(shop.worked(), 0);
    Ok(())
}

#[tokio::test]
async fn a_task_that_asks_may_be_paid_by_header() -> Result {
    let shop = Shop::open().await?;
    let asked = say(&shop, &message("hello")).await?;
    let mut params = message("hello");
    params["message"]["taskId"] = asked.body["result"]["id"].clone();
    let header = super::shop::payment(&nonce("1"));
    let done = shop.call("message/send", &params, &[("PAYMENT-SIGNATURE", &header)]).await?;
    assert_eq!(done.body["result"]["status"]["state"], "completed", "{}", done.body);
    shop.until_payment("delivered").await?;
    Ok(())
}

#[tokio::test]
async fn the_flow_that_is_not_offered_is_named() -> Result {
    let shop = Shop::open().await?;
    let mut params = message("x");
    params["message"]["parts"] =
        json!([{ "kind": "data", "data": { "ap2.mandates.PaymentMandate": {} } }]);
    let refused = say(&shop, &params).await?;
    assert_eq!(refused.body["error"]["code"], -32602, "{}", refused.body);
    Ok(())
}

#[tokio::test]
async fn v1_is_read_inside_a_task() -> Result {
    let shop = Shop::open().await?;
    let asked = say(&shop, &message("hello")).await?;
    let task = &asked.body["result"];
    let v2 = payload(&nonce("1"));
    let v1 = json!({
        "x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": v2["payload"],
    });
    let done = say(&shop, &paying(task, &v1)).await?;
    assert_eq!(done.body["result"]["status"]["state"], "completed", "{}", done.body);
    let header = bindu_x402::header::encode(&v1);
    let refused = shop.call("message/send", &message("x"), &[("X-PAYMENT", &header)]).await?;
    assert_eq!(
        refused.body["error"],
        "x402 v1 payment payloads are no longer accepted; please re-sign with v2"
    );
    Ok(())
}

#[tokio::test]
async fn a_paid_task_that_pauses_keeps_its_receipt() -> Result {
    let shop = Shop::open().await?;
    let asked = say(&shop, &message("ask")).await?;
    let task = &asked.body["result"];
    let mut paid = paying(task, &payload(&nonce("1")));
    paid["message"]["parts"] = json!([{ "kind": "text", "text": "ask" }]);
    let paused = say(&shop, &paid).await?;
    let paused = &paused.body["result"];
    assert_eq!(paused["status"]["state"], "input-required", "{paused}");
    assert_eq!(paused["metadata"]["x402.payment.status"], "payment-completed");
    let mut more = message("blue");
    more["message"]["taskId"] = task["id"].clone();
    let done = say(&shop, &more).await?;
    assert_eq!(done.body["result"]["status"]["state"], "completed", "{}", done.body);
    let id = &done.body["result"]["id"];
    shop.until(id, is(TaskState::Completed)).await?;
    shop.until_payment("delivered").await?;
    shop.assert_balanced().await
}

#[tokio::test]
async fn the_same_mistake_counts_each_time() -> Result {
    let shop = Shop::open().await?;
    let asked = say(&shop, &message("hello")).await?;
    let id = json!({ "id": asked.body["result"]["id"] });
    for (nonces, state) in
        [("bad0", "input-required"), ("bad0", "input-required"), ("bad0", "failed")]
    {
        let tried = say(&shop, &paying(&id, &payload(&nonce(nonces)))).await?;
        assert_eq!(tried.body["result"]["status"]["state"], state, "{}", tried.body);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_kept_for_strangers_is_little_and_not_for_long() -> Result {
    let vars = [("X402__MAX_UNPAID_TASKS", "2"), ("X402__UNPAID_LIFE", "1s")];
    let shop = Shop::open_with(&vars).await?;
    let first = say(&shop, &message("one")).await?;
    let second = say(&shop, &message("two")).await?;
    let third = say(&shop, &message("three")).await?;
    assert_eq!(second.status, StatusCode::OK);
    assert_eq!(third.status, StatusCode::PAYMENT_REQUIRED);
    let id = &first.body["result"]["id"];
    shop.until(id, is(TaskState::Canceled)).await?;
    let large = message(&"x".repeat(70_000));
    assert_eq!(say(&shop, &large).await?.status, StatusCode::PAYMENT_REQUIRED);
    Ok(())
}

#[tokio::test]
async fn offers_of_the_payers_own_making_are_none() -> Result {
    let shop = Shop::open().await?;
    // The key is written with an escape, so that it reads like another one.
    let mut own = message("hello").to_string();
    let required = json!({ "x402Version": 2, "accepts": [{
        "scheme": "exact", "network": "eip155:84532",
        "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "amount": "1",
        "payTo": super::shop::PAYER, "maxTimeoutSeconds": 60,
        "extra": { "name": "USDC", "version": "2" },
    }] });
    let metadata = format!(r#""metadata":{{"x402\u002epayment.required":{required}}},"parts""#);
    own = own.replacen(r#""parts""#, &metadata, 1);
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"message/send","params":{own}}}"#);
    let header = super::shop::payment(&nonce("fa11"));
    let bounced =
        shop.post_text(body, &[("X-PAYMENT", &header), ("X-A2A-Extensions", V0_2)]).await?;
    let task = &bounced.body["result"];
    assert_eq!(task["status"]["state"], "failed", "{}", bounced.body);
    assert!(!task.to_string().contains("payment.required"), "{task}");
    Ok(())
}
