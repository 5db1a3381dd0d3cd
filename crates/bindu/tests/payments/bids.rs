//! A bid is free, and the work that is won by it is not.

use http::StatusCode;
use serde_json::{Value, json};

use super::shop::{Shop, V0_2, nonce, payload, payment};
use crate::caller::{Result, message};

fn saying(word: &str, task: Option<&Value>) -> Value {
    let mut params = message("pdf");
    params["message"]["metadata"] = json!({ "bindu.negotiation": word });
    if let Some(task) = task {
        params["message"]["taskId"] = task["id"].clone();
    }
    params
}

#[tokio::test]
async fn a_bid_that_is_won_is_paid_for() -> Result {
    let shop = Shop::open().await?;
    let asked = shop.call("message/send", &saying("bid", None), &[]).await?;
    let bid = &asked.body["result"];
    assert_eq!(bid["metadata"]["bindu.state"], "negotiation-bid-submitted", "{}", asked.body);
    let won = saying("won", Some(bid));
    let refused = shop.call("message/send", &won, &[]).await?;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(shop.task(&bid["id"]).await?, *bid, "it still waits");
    assert_eq!(shop.worked(), 0);
    let header = payment(&nonce("1"));
    let done = shop.call("message/send", &won, &[("X-PAYMENT", &header)]).await?;
    assert_eq!(done.body["result"]["status"]["state"], "completed", "{}", done.body);
    assert_eq!(shop.worked(), 1);
    shop.until_payment("delivered").await?;
    shop.assert_balanced().await
}

#[tokio::test]
async fn a_bid_that_is_won_is_paid_for_inside_its_task_as_well() -> Result {
    let shop = Shop::open().await?;
    let extension = [("X-A2A-Extensions", V0_2)];
    let asked = shop.call("message/send", &saying("bid", None), &extension).await?;
    let bid = &asked.body["result"];
    assert_eq!(bid["metadata"]["bindu.state"], "negotiation-bid-submitted", "{}", asked.body);
    let asked = shop.call("message/send", &saying("won", Some(bid)), &extension).await?;
    let task = &asked.body["result"];
    assert_eq!(task["metadata"]["bindu.state"], "payment-required", "{}", asked.body);
    assert_eq!(shop.worked(), 0);
    let mut paying = message("pdf");
    paying["message"]["taskId"] = bid["id"].clone();
    paying["message"]["metadata"] = json!({
        "x402.payment.status": "payment-submitted", "x402.payment.payload": payload(&nonce("1")),
    });
    let done = shop.call("message/send", &paying, &extension).await?;
    assert_eq!(done.body["result"]["status"]["state"], "completed", "{}", done.body);
    shop.until_payment("delivered").await?;
    shop.assert_balanced().await
}

#[tokio::test]
async fn the_words_of_bids_do_not_save_the_price() -> Result {
    let shop = Shop::open().await?;
    let asked = shop.call("message/send", &saying("bid", None), &[]).await?;
    let lost = shop.call("message/send", &saying("lost", Some(&asked.body["result"])), &[]).await?;
    assert_eq!(lost.body["result"]["metadata"]["bindu.state"], "negotiation-bid-lost");
    let extension = [("X-A2A-Extensions", V0_2)];
    let asked = shop.call("message/send", &message("hello"), &extension).await?;
    let task = &asked.body["result"];
    assert_eq!(task["metadata"]["bindu.state"], "payment-required", "{}", asked.body);
    for word in ["bid", "won", "lost"] {
        let refused = shop.call("message/send", &saying(word, Some(task)), &[]).await?;
        assert_eq!(refused.body["error"]["code"], -32602, "{}", refused.body);
    }
    assert_eq!(shop.worked(), 0);
    assert!(shop.payments().await?.is_empty());
    Ok(())
}
