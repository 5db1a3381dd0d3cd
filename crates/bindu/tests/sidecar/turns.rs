//! Turns, from a caller over HTTP to a handler in another process and back.

use std::time::Duration;

use bindu_testkit::sdk::{Act, Sdk, piece, text, until};
use serde_json::json;

use super::{Ground, state, text_of};
use crate::caller::{LONG, Result, message};

#[tokio::test]
async fn a_handler_is_told_which_task_it_works_on() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("told", &sdk).await?;
    let id = agent.caller.begin("hello").await?;
    let task = agent.settled(&id).await?;
    assert_eq!((state(&task), text_of(&task)), ("completed".into(), "echo hello".into()));
    let signed = &task["artifacts"][0]["parts"][0]["metadata"]["did.message.signature"];
    assert!(signed.is_string(), "{task}");
    let call = &sdk.calls()[0];
    assert_eq!(call.request.task_id, id);
    assert_eq!(call.header("x-bindu-task-id"), Some(id.as_str()));
    assert_eq!(call.header("x-bindu-agent-id"), Some(agent.id()));
    assert!(call.header("grpc-timeout").is_some());
    Ok(())
}

#[tokio::test]
async fn a_question_is_answered_in_the_same_task() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("asks", &sdk).await?;
    let question = bindu_grpc::proto::HandleResponse {
        state: "input-required".into(),
        prompt: "Which?".into(),
        ..Default::default()
    };
    sdk.set_all([Act::Answer(question), Act::Echo("echo")]);
    let id = agent.caller.begin("ask").await?;
    assert_eq!(text_of(&agent.settled(&id).await?), "Which?");
    let mut params = message("green");
    params["message"]["taskId"] = id.clone().into();
    agent.caller.result("message/send", params).await?;
    let task = agent.settled(&id).await?;
    assert_eq!((state(&task), text_of(&task)), ("completed".into(), "echo green".into()));
    let heard: Vec<_> = sdk.calls()[1]
        .request
        .messages
        .iter()
        .map(|it| (it.role.clone(), it.content.clone()))
        .collect();
    let said = |role: &str, content: &str| (role.to_owned(), content.to_owned());
    assert_eq!(heard, [said("user", "ask"), said("assistant", "Which?"), said("user", "green")]);
    Ok(())
}

#[tokio::test]
async fn pieces_reach_a_caller_as_they_come() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::streaming(Act::Stream(vec![piece("one "), piece("two "), text("three")])).await;
    let agent = ground.agent("streams", &sdk).await?;
    // The very first turn is streamed: it waits for the answer to what the SDK can do.
    let events = agent.caller.stream("message/stream", message("count"), None).await?;
    let pieces: Vec<_> = events
        .iter()
        .filter_map(|(_, event)| {
            let event = event.get("result").unwrap_or(event);
            event["artifact"]["parts"][0]["text"].as_str().map(str::to_owned)
        })
        .collect();
    assert_eq!(pieces.concat(), "one two three", "{events:?}");
    let calls = sdk.calls();
    assert!(calls.iter().all(|call| call.is_stream) && calls.len() == 1, "{calls:?}");
    Ok(())
}

#[tokio::test]
async fn a_cancelled_task_cancels_the_call() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::with(Act::Hang).await;
    let agent = ground.agent("hangs", &sdk).await?;
    let id = agent.caller.begin("wait").await?;
    until("the handler runs", || sdk.running() == 1).await;
    // Nothing else waits for it.
    let (status, _) = agent.caller.get("/health").await?;
    assert!(status.is_success());
    agent.caller.result("tasks/cancel", json!({ "id": id })).await?;
    until("the handler is told", || sdk.cancelled() == 1).await;
    assert_eq!(state(&agent.settled(&id).await?), "canceled");
    Ok(())
}

#[tokio::test]
async fn turns_run_side_by_side() -> Result {
    let ground = Ground::new(&[("WORKER__CONCURRENCY", "64")]).await?;
    let sdk = Sdk::with(Act::Held("done")).await;
    let agent = ground.agent("many", &sdk).await?;
    let mut ids = Vec::new();
    for number in 0..50 {
        ids.push(agent.caller.begin(&number.to_string()).await?);
    }
    until("all run at once", || sdk.running() == 50).await;
    sdk.release();
    for id in ids {
        assert_eq!(state(&agent.settled(&id).await?), "completed");
    }
    Ok(())
}

#[tokio::test]
async fn a_handler_that_is_too_slow_is_given_up() -> Result {
    let ground = Ground::new(&[("GRPC__HANDLER_TIMEOUT", "0.2")]).await?;
    let sdk = Sdk::with(Act::Hang).await;
    let agent = ground.agent("slow", &sdk).await?;
    let id = agent.caller.begin("wait").await?;
    let task = agent.settled(&id).await?;
    assert_eq!(state(&task), "failed");
    assert!(text_of(&task).contains("DEADLINE_EXCEEDED"), "{task}");
    until("the call is cancelled", || sdk.running() == 0).await;
    Ok(())
}

#[tokio::test]
async fn a_core_that_ends_lets_turns_end() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::with(Act::Held("done")).await;
    let agent = ground.agent("ends", &sdk).await?;
    let asked = tokio::spawn({
        let caller = agent.caller.clone();
        async move {
            let mut params = message("wait");
            params["configuration"] = json!({ "blocking": true });
            caller.result("message/send", params).await
        }
    });
    until("the handler runs", || sdk.running() == 1).await;
    let stopping = tokio::spawn(ground.sidecar.stop(LONG));
    tokio::time::sleep(Duration::from_millis(50)).await;
    sdk.release();
    stopping.await?;
    let task = asked.await??;
    assert_eq!((state(&task), text_of(&task)), ("completed".into(), "done".into()));
    Ok(())
}
