//! Paying by header: HTTP 402.

use http::StatusCode;
use serde_json::{Value, json};

use super::shop::{PAYER, Shop, V0_1, nonce, payload, payment};
use crate::caller::{Result, message};

#[tokio::test]
async fn a_paid_message_is_worked_on_and_its_task_has_the_receipt() -> Result {
    let shop = Shop::open().await?;
    let paid = shop.buy("hello", &nonce("1")).await?;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.body);
    let task = &paid.body["result"];
    assert_eq!(task["status"]["state"], "completed");
    assert_eq!(task["metadata"]["x402.payment.status"], "payment-completed");
    assert_eq!(task["metadata"]["x402.payment.receipts"][0]["payer"], PAYER);
    assert_eq!(task["metadata"]["x402_nonce"], nonce("1"));
    assert_eq!(task["metadata"]["x402_network"], "eip155:84532");
    assert!(paid.headers.contains_key("payment-response"));
    shop.until_payment("delivered").await?;
    shop.assert_balanced().await
}

#[tokio::test]
async fn nothing_is_free_of_charge() -> Result {
    let shop = Shop::open().await?;
    for method in ["message/send", "message/stream"] {
        let refused = shop.call(method, &message("hello"), &[]).await?;
        assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED, "{method}");
        assert_eq!(refused.body["error"], "X-PAYMENT header required");
        assert_eq!(refused.body["accepts"][0]["amount"], "10000");
        let header = refused.headers["payment-required"].as_bytes();
        let told = decoded(header)?;
        assert_eq!(told["accepts"], refused.body["accepts"]);
        assert_eq!(told.get("agent"), None);
    }
    // What a caller says of itself makes no difference.
    let mut lies = message("hello");
    lies["message"]["metadata"] = json!({
        "_payment_context": { "verify_response": { "isValid": true } },
        "x402.payment.status": "payment-completed",
    });
    let refused = shop.call("message/send", &lies, &[]).await?;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!((shop.worked(), shop.facilitator.requests().len().min(1)), (0, 1));
    assert!(shop.payments().await?.is_empty());
    Ok(())
}

/// The JSON in a header.
fn decoded(header: &[u8]) -> Result<Value> {
    use base64::Engine as _;
    Ok(serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(header)?)?)
}

#[tokio::test]
async fn a_stream_is_paid_for_before_it_works() -> Result {
    let shop = Shop::open().await?;
    let header = payment(&nonce("1"));
    let (status, events) =
        shop.stream(&message("hello"), &[("PAYMENT-SIGNATURE", &header)]).await?;
    assert_eq!(status, StatusCode::OK);
    let last = &events.last().expect("events")["result"];
    assert_eq!(last["status"]["state"], "completed");
    shop.until_payment("delivered").await?;

    let (_, events) = {
        let header = payment(&nonce("fa11"));
        shop.stream(&message("hello"), &[("PAYMENT-SIGNATURE", &header)]).await?
    };
    let last = &events.last().expect("events")["result"];
    assert_eq!(last["status"]["state"], "failed");
    assert_eq!(shop.worked(), 1);
    let went_through: Vec<_> =
        events.iter().filter_map(|event| event["result"]["status"]["state"].as_str()).collect();
    assert!(!went_through.contains(&"working"), "{went_through:?}");
    shop.assert_balanced().await
}

#[tokio::test]
async fn a_payment_pays_once() -> Result {
    let shop = Shop::open().await?;
    let first = shop.buy("hello", &nonce("1")).await?;
    assert_eq!(first.status, StatusCode::OK);
    let verified = shop.facilitator.count("POST", "/verify");
    let second = shop.buy("hello again", &nonce("1")).await?;
    assert_eq!(second.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(second.body["error"], "Payment nonce already used (replay)");
    assert_eq!(shop.facilitator.count("POST", "/verify"), verified, "nobody was asked");

    // The same message with the same payment is the same purchase: its answer had got lost.
    let params = message("third");
    let header = payment(&nonce("3"));
    let bought = shop.call("message/send", &params, &[("X-PAYMENT", &header)]).await?;
    let again = shop.call("message/send", &params, &[("X-PAYMENT", &header)]).await?;
    assert_eq!(again.status, StatusCode::OK, "{}", again.body);
    assert_eq!(bought.body["result"]["id"], again.body["result"]["id"]);
    assert_eq!(shop.worked(), 2);
    assert_eq!(shop.facilitator.chain().len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_pay_with_the_same_at_once_one_does() -> Result {
    let shop = Shop::open().await?;
    let calls = (0..20).map(|n| {
        let (shop, nonce) = (&shop, nonce("1"));
        async move { shop.buy(&format!("call {n}"), &nonce).await }
    });
    let answers = futures_util::future::join_all(calls).await;
    let mut taken = 0;
    for answer in answers {
        taken += usize::from(answer?.status == StatusCode::OK);
    }
    assert_eq!((taken, shop.worked(), shop.facilitator.chain().len()), (1, 1, 1));
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_no_good_costs_nothing() -> Result {
    let shop = Shop::open_with(&[("A2A__DIALECT", "a2a")]).await?;
    let header = payment(&nonce("1"));
    let pay = [("X-PAYMENT", header.as_str())];
    let mut bad = message("x");
    bad["message"]["parts"] = json!("no list");
    let refused = shop.call("message/send", &bad, &pay).await?;
    assert_eq!(refused.body["error"]["code"], -32602);
    let mut lost = message("x");
    lost["message"]["taskId"] = json!("nobody-has-it");
    let refused = shop.call("message/send", &lost, &pay).await?;
    assert_eq!(refused.body["error"]["code"], -32001, "{}", refused.body);
    let malformed = shop.post(&json!([1]), &pay).await?;
    assert_ne!(malformed.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(shop.facilitator.count("POST", "/verify"), 0);
    // And the payment is as good as before.
    let paid = shop.call("message/send", &message("x"), &pay).await?;
    assert_eq!(paid.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn whoever_saw_a_nonce_cannot_spoil_it() -> Result {
    let shop = Shop::open().await?;
    let mut forged = payload(&nonce("1"));
    forged["payload"]["authorization"]["from"] =
        json!("0x00000000000000000000000000000000000bad00");
    let header = bindu_x402::header::encode(&forged);
    let refused = shop.call("message/send", &message("x"), &[("X-PAYMENT", &header)]).await?;
    assert_eq!(refused.status, StatusCode::OK, "the forger pays for its own");
    let paid = shop.buy("mine", &nonce("1")).await?;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.body);
    Ok(())
}

#[tokio::test]
async fn what_was_refused_may_come_again() -> Result {
    let shop = Shop::open().await?;
    shop.facilitator.fail(Some(bindu_testkit::fake_facilitator::Fault::Down));
    let refused = shop.buy("hello", &nonce("1")).await?;
    assert_eq!(refused.body["error"], "Payment verification failed");
    shop.facilitator.fail(None);
    let paid = shop.buy("hello", &nonce("1")).await?;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.body);
    let refused = shop.buy("hello", &nonce("bad0")).await?;
    assert_eq!(refused.body["error"], "Invalid payment: insufficient_funds");
    assert_eq!(shop.payments().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_task_that_asks_back_was_paid_for_already() -> Result {
    let shop = Shop::open().await?;
    let asked = shop.buy("ask", &nonce("1")).await?;
    let task = &asked.body["result"];
    assert_eq!(task["status"]["state"], "input-required", "{task}");
    assert_eq!(task["metadata"]["x402.payment.status"], "payment-completed");
    let mut answer = message("blue");
    answer["message"]["taskId"] = task["id"].clone();
    let done = shop.call("message/send", &answer, &[]).await?;
    assert_eq!(done.body["result"]["status"]["state"], "completed", "{}", done.body);
    shop.until_payment("delivered").await?;
    // Now it is over, and so is what was paid for.
    let more = shop.call("message/send", &message("more"), &[]).await?;
    assert_eq!(more.status, StatusCode::PAYMENT_REQUIRED);
    shop.assert_balanced().await
}

#[tokio::test]
async fn work_that_fails_is_owed_back() -> Result {
    let shop = Shop::open().await?;
    let failed = shop.buy("boom", &nonce("1")).await?;
    let told = &failed.body["result"]["metadata"];
    assert_eq!(failed.body["result"]["status"]["state"], "failed");
    assert_eq!(told["x402.payment.status"], "payment-orphaned");
    assert_eq!(told["x402.payment.receipts"][0]["success"], true);
    for key in ["x402_nonce", "x402_authorization", "x402_network"] {
        assert!(told.get(key).is_some(), "{key}");
    }
    shop.until_payment("orphaned").await?;
    shop.assert_balanced().await
}

#[tokio::test]
async fn a_task_that_is_canceled_while_it_works_is_owed_back() -> Result {
    let shop = Shop::open().await?;
    let header = payment(&nonce("1"));
    let mut params = message("wait");
    params["configuration"] = json!({ "blocking": false });
    let begun = shop.call("message/send", &params, &[("X-PAYMENT", &header)]).await?;
    let id = &begun.body["result"]["id"];
    shop.until(id, super::shop::is(bindu_protocol::TaskState::Working)).await?;
    let canceled = shop.call("tasks/cancel", &json!({ "id": id }), &[]).await?;
    assert_eq!(
        canceled.body["result"]["metadata"]["x402.payment.status"], "payment-orphaned",
        "{}",
        canceled.body
    );
    shop.until_payment("orphaned").await?;
    shop.assert_balanced().await
}

#[tokio::test]
async fn only_an_exact_uri_activates_the_extension() -> Result {
    let shop = Shop::open().await?;
    let list = async |value: &str| {
        shop.call("tasks/list", &json!({}), &[("X-A2A-Extensions", value)]).await
    };
    let echoed = list(&format!("https://other.example, {V0_1}")).await?;
    assert_eq!(echoed.headers["x-a2a-extensions"], V0_1);
    let not = list(&format!("{V0_1}.1")).await?;
    assert!(!not.headers.contains_key("x-a2a-extensions"));
    Ok(())
}

#[tokio::test]
async fn the_card_says_that_work_is_paid_for() -> Result {
    let shop = Shop::open().await?;
    let (_, card) = crate::caller::Caller::of(&shop.agent).get("/.well-known/agent.json").await?;
    let card: Value = serde_json::from_slice(&card)?;
    let extensions = card["capabilities"]["extensions"].as_array().expect("a list");
    let uris: Vec<_> = extensions
        .iter()
        .filter(|one| one["required"] == true)
        .filter_map(|one| one["uri"].as_str())
        .collect();
    assert_eq!(uris, [V0_1, super::shop::V0_2]);
    Ok(())
}
