//! An agent that ends: nothing that it accepted is lost without a word.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bindu::{Handler, Reply, Turn};
use http::StatusCode;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::caller::{Caller, LONG, Result, message, start};

/// A handler that answers as often as it is let.
fn held(gate: &Arc<Semaphore>) -> impl Handler + use<> {
    let gate = Arc::clone(gate);
    move |turn: Turn| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await?.forget();
            Ok(Reply::text(format!("done {}", turn.text())))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_is_served_to_its_end() -> Result {
    let gate = Arc::new(Semaphore::new(0));
    let agent = start(held(&gate)).await?;
    let (caller, address) = (Caller::of(&agent), agent.local_addr());
    let streamed = caller.begin("streamed").await?;
    caller.until(&streamed, "working").await?;
    let waits = tokio::spawn({
        let caller = caller.clone();
        async move { caller.send("waited for").await }
    });
    let follower = tokio::spawn({
        let (caller, id) = (caller.clone(), streamed.clone());
        async move { caller.stream("tasks/resubscribe", json!({ "id": id }), None).await }
    });
    let begun = Instant::now();
    while agent.tasks().storage().count().await?.iter().map(|(_, count)| count).sum::<u64>() < 2 {
        assert!(begun.elapsed() < LONG);
        tokio::task::yield_now().await;
    }
    let second = caller.result("tasks/list", json!({})).await?;
    for task in second.as_array().ok_or("a list")? {
        caller.until(task["id"].as_str().unwrap(), "working").await?;
    }

    let stops = tokio::spawn(agent.stop(LONG));
    // It says at once that it takes no more, and goes on answering.
    while caller.get("/healthz").await?.0 != StatusCode::SERVICE_UNAVAILABLE {
        assert!(begun.elapsed() < LONG);
        tokio::task::yield_now().await;
    }
    assert_eq!(caller.get("/health").await?.0, StatusCode::OK);
    assert_eq!(caller.get("/metrics").await?.0, StatusCode::OK);
    let (status, refused) = caller.call("message/send", message("late")).await?;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!(-32603))
    );
    assert_eq!(caller.until(&streamed, "working").await?["id"], json!(streamed));

    gate.add_permits(2);
    let waited = tokio::time::timeout(LONG, waits).await???;
    assert_eq!(waited["status"]["state"], "completed");
    let heard = tokio::time::timeout(LONG, follower).await???;
    let (_, last) = heard.last().ok_or("the stream said something")?;
    assert_eq!(
        (&last["result"]["final"], &last["result"]["status"]["state"]),
        (&json!(true), &json!("completed"))
    );
    tokio::time::timeout(LONG, stops).await??;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_is_told_so() -> Result {
    let agent = start(held(&Arc::new(Semaphore::new(0)))).await?;
    let caller = Caller::of(&agent);
    let id = caller.begin("for ever").await?;
    caller.until(&id, "working").await?;
    let follower = tokio::spawn({
        let (caller, id) = (caller.clone(), id.clone());
        async move { caller.stream("tasks/resubscribe", json!({ "id": id }), None).await }
    });
    let waits = tokio::spawn({
        let caller = caller.clone();
        async move { caller.send("for ever too").await }
    });
    let begun = Instant::now();
    while caller.result("tasks/list", json!({})).await?.as_array().map(Vec::len) != Some(2) {
        assert!(begun.elapsed() < LONG);
    }
    let stops = tokio::spawn(agent.stop(Duration::from_millis(50)));
    let waited = tokio::time::timeout(LONG, waits).await???;
    assert_eq!(waited["status"]["state"], "failed");
    let why = waited["status"]["message"]["parts"][0]["text"].as_str().unwrap_or_default();
    assert!(why.contains("shut down"), "{why}");
    let heard = tokio::time::timeout(LONG, follower).await???;
    let (_, last) = heard.last().ok_or("the stream said something")?;
    assert_eq!(
        (&last["result"]["final"], &last["result"]["status"]["state"]),
        (&json!(true), &json!("failed"))
    );
    tokio::time::timeout(LONG, stops).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_agent_ends_at_once_even_with_open_connections() -> Result {
    let agent = start(async |_: Turn| Ok(Reply::text("done"))).await?;
    let caller = Caller::of(&agent);
    // Kept alive by the caller.
    caller.send("hello").await?;
    let silent = tokio::net::TcpStream::connect(agent.local_addr()).await?;
    tokio::time::timeout(LONG, agent.stop(LONG)).await?;
    drop(silent);
    Ok(())
}
