//! Facilitators that are late, that are gone, and that lie.

use bindu_protocol::TaskState;
use bindu_testkit::fake_facilitator::Fault;
use http::StatusCode;
use serde_json::{Value, json};

use super::shop::{Shop, is, nonce, payment};
use crate::caller::{Result, message};

/// Buys without waiting; the task's id.
async fn begin(shop: &Shop, text: &str, nonce: &str) -> Result<Value> {
    let header = payment(nonce);
    let mut params = message(text);
    params["configuration"] = json!({ "blocking": false });
    let mut begun = shop.call("message/send", &params, &[("X-PAYMENT", &header)]).await?;
    assert_eq!(begun.status, StatusCode::OK, "{}", begun.body);
    Ok(begun.body["result"]["id"].take())
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_the_work_is_done_once() -> Result {
    // Late, an error after the deed, a closed connection; one that never did it; and one that said
    // no although it had.
    for begin_with in ["71e0", "5e77", "c105", "f1a0", "11e3"] {
        let shop = Shop::open().await?;
        shop.facilitator.hang_for(std::time::Duration::from_secs(2));
        let id = begin(&shop, "hello", &nonce(begin_with)).await?;
        let task = shop.until(&id, is(TaskState::Completed)).await?;
        assert_eq!(task["metadata"]["x402.payment.status"], "payment-completed", "{begin_with}");
        assert_eq!((shop.worked(), shop.facilitator.chain().len()), (1, 1), "{begin_with}");
        shop.until_payment("delivered").await?;
        shop.assert_balanced().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_no_is_a_no_and_nothing_is_worked() -> Result {
    let shop = Shop::open().await?;
    let id = begin(&shop, "hello", &nonce("fa11")).await?;
    let task = shop.until(&id, is(TaskState::Failed)).await?;
    assert_eq!(task["metadata"]["x402.payment.status"], "payment-failed");
    assert_eq!(task["metadata"]["x402.payment.error"], "transfer reverted");
    assert_eq!(task["metadata"]["x402_nonce"], nonce("fa11"));
    assert_eq!(shop.worked(), 0);
    shop.until_payment("failed").await?;
    shop.assert_balanced().await
}

#[tokio::test]
async fn work_does_not_wait_for_ever_and_money_that_comes_late_is_owed_back() -> Result {
    let shop = Shop::open_with(&[("X402__WORK_PATIENCE", "1s")]).await?;
    // Whatever is asked, nobody answers as one does.
    let id = {
        let id = begin(&shop, "hello", &nonce("cdcd")).await?;
        shop.facilitator.hang_for(std::time::Duration::from_millis(1));
        id
    };
    let task = shop.until(&id, is(TaskState::Failed)).await?;
    assert_eq!(task["metadata"]["x402.payment.status"], "payment-failed");
    assert_eq!(task["metadata"]["x402.payment.error"], "settlement outcome unknown");
    // It turns out paid.
    shop.facilitator.behave("0xcdcd", bindu_testkit::fake_facilitator::Behaviour::Good);
    shop.until_payment("orphaned").await?;
    let task = shop
        .until(&id, |task| task["metadata"]["x402.payment.status"] == "payment-orphaned")
        .await?;
    assert_eq!(task["metadata"]["x402.payment.receipts"].as_array().map(Vec::len), Some(1));
    assert_eq!(shop.worked(), 0);
    shop.assert_balanced().await
}

#[tokio::test]
async fn a_facilitator_that_is_away_when_the_work_begins_is_waited_for() -> Result {
    let shop = Shop::open().await?;
    // It verifies, and then it is gone.
    let (first, second) = (begin(&shop, "wait", &nonce("1")).await?, nonce("2"));
    shop.until(&first, is(TaskState::Working)).await?;
    shop.facilitator.behave("0x2", bindu_testkit::fake_facilitator::Behaviour::Closed);
    let id = begin(&shop, "hello", &second).await?;
    while shop.facilitator.count_for("/settle", &second) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    shop.facilitator.behave("0x2", bindu_testkit::fake_facilitator::Behaviour::Good);
    shop.until(&id, is(TaskState::Completed)).await?;
    assert_eq!(shop.facilitator.chain().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_lie_is_no_receipt() -> Result {
    for begin_with in ["11e0", "11e1", "11e2"] {
        let shop = Shop::open_with(&[("X402__WORK_PATIENCE", "1s")]).await?;
        let id = begin(&shop, "hello", &nonce(begin_with)).await?;
        let task = shop.until(&id, is(TaskState::Failed)).await?;
        assert_eq!(task["metadata"]["x402.payment.error"], "settlement outcome unknown");
        assert_eq!(shop.worked(), 0, "{begin_with}");
        // What nobody knows stays on the books for a person to decide.
        shop.until_payment("unknown").await?;
    }
    let shop = Shop::open().await?;
    let refused = shop.buy("hello", &nonce("11e4")).await?;
    assert_eq!(refused.body["error"], "Payment verification failed");
    Ok(())
}

#[tokio::test]
async fn an_agent_starts_without_its_facilitator() -> Result {
    let shop = Shop::open().await?;
    shop.facilitator.fail(Some(Fault::Status(StatusCode::BAD_GATEWAY)));
    let refused = shop.buy("hello", &nonce("1")).await?;
    assert_eq!(refused.status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(refused.body["error"], "Payment verification failed");
    let (status, _) = crate::caller::Caller::of(&shop.agent).get("/health").await?;
    assert_eq!(status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_task_whose_payment_was_given_back_is_not_worked_on_for_nothing() -> Result {
    use bindu_protocol::{Caller, JsonObject, Message, Part, Role, payment};
    let shop = Shop::open().await?;
    // As if the process had slept between the payment and the task.
    let mut late = bindu_tasks::Submission::new(Message::new(Role::User, vec![Part::text("hi")]));
    let told = JsonObject::empty().with(payment::STATUS, payment::status::VERIFIED);
    late.metadata = Some(told);
    let tasks = shop.agent.tasks();
    let id = tasks.submit(&Caller::anonymous(), late).await?.record.task.id.clone();
    let task = shop.until(&json!(id.to_string()), is(TaskState::Failed)).await?;
    assert_eq!(task["metadata"]["x402.payment.status"], "payment-failed");
    assert_eq!(shop.worked(), 0);
    Ok(())
}
