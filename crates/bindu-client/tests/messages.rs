//! Messages and tasks, in both dialects.

use std::sync::Arc;
use std::time::Duration;

use bindu_client::{Client, ClientError, Outgoing};
use bindu_http::client::Replay;
use bindu_protocol::{
    CARD_PATH, Code, Dialect, ListParams, PushConfig, REFERENCE_CARD_PATH, SendResult, TaskState,
};
use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::canned::{Canned, Result, Seen, answer, camel_task, hasty, snake_task};

fn is_uuid(value: &Value) -> bool {
    value.as_str().is_some_and(|text| Uuid::try_parse(text).is_ok())
}

#[tokio::test]
async fn plain_a2a_gets_camel_case_and_no_ids_of_ours() -> Result {
    let agent = Canned::start(|seen, _| seen.result(&camel_task("task-7", "completed"))).await?;
    let task = agent.client(Dialect::V0_3)?.send_task("hello").await?;
    assert_eq!(task.id.to_string(), "task-7");
    assert_eq!(task.status.state, TaskState::Completed);

    let seen = &agent.seen()[0];
    assert_eq!((seen.rpc(), seen.path.as_str()), ("message/send", "/"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    let message = &seen.params()["message"];
    assert!(is_uuid(&message["messageId"]));
    let mut rest = message.clone();
    rest["messageId"] = Value::Null;
    assert_eq!(
        rest,
        json!({ "messageId": null, "kind": "message", "role": "user",
                "parts": [{ "kind": "text", "text": "hello" }] })
    );
    Ok(())
}

#[tokio::test]
async fn the_reference_gets_snake_case_and_every_id() -> Result {
    let agent = Canned::start(|seen, _| {
        let id = seen.params()["message"]["task_id"].as_str().unwrap_or_default();
        seen.result(&snake_task(id, "submitted"))
    })
    .await?;
    let task = agent.client(Dialect::Reference)?.send_task("hello").await?;

    let seen = &agent.seen()[0];
    assert!(is_uuid(&seen.body["id"]));
    let message = &seen.params()["message"];
    for id in ["message_id", "task_id", "context_id"] {
        assert!(is_uuid(&message[id]), "{id} in {message}");
    }
    assert_eq!(message["kind"], "message");
    assert_eq!(message["task_id"], json!(task.id));
    assert_eq!(seen.params()["configuration"], json!({ "accepted_output_modes": [] }));
    Ok(())
}

#[tokio::test]
async fn the_reference_is_told_the_context_of_a_task_that_is_continued() -> Result {
    let agent = Canned::start(|seen, _| seen.result(&snake_task("t", "input-required"))).await?;
    let client = agent.client(Dialect::Reference)?;
    client.send(Outgoing::text("green").task("t".parse()?)).await?;
    let seen = agent.seen();
    assert_eq!(seen[0].rpc(), "tasks/get");
    assert_eq!(*seen[0].params(), json!({ "task_id": "t", "history_length": 1 }));
    let message = &seen[1].params()["message"];
    assert_eq!((&message["task_id"], &message["context_id"]), (&json!("t"), &json!("c-1")));
    Ok(())
}

#[tokio::test]
async fn the_card_chooses_the_dialect_and_is_read_once() -> Result {
    let agent = Canned::start(|seen, _| match seen.path.as_str() {
        REFERENCE_CARD_PATH => answer(
            200,
            &json!({ "name": "old", "url": "http://localhost:3773", "protocolVersion": "1.0.0",
                     "kind": "agent", "debugMode": false }),
        ),
        "/" => seen.result(&snake_task("t", "completed")),
        _ => answer(404, &json!("Not Found")),
    })
    .await?;
    let client = Client::connect(&agent.url)?;
    assert_eq!(client.dialect().await?, Dialect::Reference);
    client.get(&"t".parse()?, None).await?;
    assert_eq!(client.card().await?.name, "old");
    let paths: Vec<_> = agent.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, [CARD_PATH, REFERENCE_CARD_PATH, "/"]);
    Ok(())
}

#[tokio::test]
async fn an_agent_without_a_card_is_spoken_to_in_a2a() -> Result {
    let agent = Canned::start(|seen, _| match seen.method {
        Method::POST => seen.result(&camel_task("t", "completed")),
        _ => answer(404, &json!({})),
    })
    .await?;
    let client = Client::connect(&agent.url)?;
    client.get(&"t".parse()?, Some(2)).await?;
    let seen = agent.seen();
    let last = seen.last().ok_or("nothing came")?;
    assert_eq!(*last.params(), json!({ "id": "t", "historyLength": 2 }));
    assert!(matches!(client.card().await, Err(ClientError::Status { .. })));
    Ok(())
}

#[tokio::test]
async fn the_path_that_the_card_names_is_called() -> Result {
    let agent = Canned::start(|seen, _| match seen.path.as_str() {
        CARD_PATH => {
            let host = seen.header("host").unwrap_or_default();
            answer(200, &json!({ "name": "a", "url": format!("http://{host}/a2a/v1") }))
        }
        "/a2a/v1" => seen.result(&camel_task("t", "completed")),
        _ => answer(404, &json!({})),
    })
    .await?;
    Client::connect(&agent.url)?.get(&"t".parse()?, None).await?;
    // Given the very path, the card is found at the host.
    let below = Client::connect(&format!("{}/a2a/v1", agent.url))?;
    assert_eq!(below.card().await?.name, "a");
    Ok(())
}

#[tokio::test]
async fn a_message_is_sent_again_as_the_same_message() -> Result {
    let agent = Canned::start(|seen, before| match before {
        0 => answer(503, &json!({})),
        1 => answer(502, &json!({})),
        _ => seen.result(&camel_task("t", "completed")),
    })
    .await?;
    agent.client(Dialect::V0_3)?.send("hello").await?;
    let seen = agent.seen();
    assert_eq!(seen.len(), 3);
    for pair in seen.windows(2) {
        assert_eq!(pair[0].params(), pair[1].params());
        assert_ne!(pair[0].body["id"], pair[1].body["id"]);
    }
    Ok(())
}

#[tokio::test]
async fn what_must_not_happen_twice_is_sent_once() -> Result {
    let agent = Canned::start(|_, _| answer(503, &json!({}))).await?;
    let client = agent.client(Dialect::V0_3)?;
    let failed = client.cancel(&"t".parse()?).await;
    assert!(matches!(failed, Err(ClientError::Status { .. })));
    assert_eq!(agent.seen().len(), 1);

    let careful = Client::builder(&agent.url).dialect(Dialect::V0_3).retry(hasty());
    let careful = careful.send_replay(Replay::Unsafe).build()?;
    assert!(careful.send("hello").await.is_err());
    assert!(careful.stream("hello").await.is_err());
    assert_eq!(agent.seen().len(), 3);
    Ok(())
}

#[tokio::test]
async fn waiting_ends_when_the_task_is_settled() -> Result {
    let agent = Canned::start(|seen, before| {
        seen.result(&camel_task("t", if before < 2 { "working" } else { "input-required" }))
    })
    .await?;
    let client = agent.client(Dialect::V0_3)?;
    let sent = client.send_and_wait("hello", Duration::from_secs(20)).await?;
    let SendResult::Task(task) = sent else { return Err("not a task".into()) };
    assert_eq!(task.status.state, TaskState::InputRequired);
    let seen = agent.seen();
    assert_eq!(seen[0].params()["configuration"], json!({ "blocking": true }));
    assert_eq!(seen.iter().skip(1).map(Seen::rpc).collect::<Vec<_>>(), ["tasks/get"; 2]);
    Ok(())
}

#[tokio::test]
async fn waiting_has_an_end_and_shows_the_task() -> Result {
    let agent = Canned::start(|seen, _| seen.result(&camel_task("t", "working"))).await?;
    let client = agent.client(Dialect::V0_3)?;
    let patience = Duration::from_millis(100);
    let sent = client.send_and_wait("hello", patience).await;
    assert!(matches!(sent, Err(ClientError::NotFinished { .. })), "{sent:?}");
    let waited = client.wait(&"t".parse()?, patience).await;
    let Err(ClientError::NotFinished { task_id, task, .. }) = waited else {
        return Err("it must not be finished".into());
    };
    assert_eq!(task_id, Some("t".parse()?));
    // How often it was seen is a matter of speed.
    assert!(task.is_none_or(|task| task.status.state == TaskState::Working));
    Ok(())
}

#[tokio::test]
async fn every_other_method_names_what_it_wants() -> Result {
    let agent = Canned::start(|seen, _| match seen.rpc() {
        "tasks/cancel" => seen.result(&snake_task("t", "canceled")),
        "tasks/list" => seen.result(&json!([snake_task("t", "canceled")])),
        "contexts/list" => {
            seen.result(&json!([{ "context_id": "c", "task_count": 1, "task_ids": ["t"] }]))
        }
        "tasks/pushNotificationConfig/delete" => seen.result(&Value::Null),
        "tasks/pushNotificationConfig/list"
        | "tasks/pushNotificationConfig/get"
        | "tasks/pushNotificationConfig/set" => seen.result(
            &json!({ "id": "t", "push_notification_config": { "id": "p", "url": "http://h" } }),
        ),
        _ => seen.result(&json!({ "message": "done" })),
    })
    .await?;
    let client = agent.client(Dialect::Reference)?;
    let (task, context, config) = ("t".parse()?, "c".parse()?, "p".parse()?);
    assert_eq!(client.cancel(&task).await?.status.state, TaskState::Canceled);
    assert_eq!(client.list(&ListParams::default()).await?.len(), 1);
    assert_eq!(client.contexts(&ListParams::default()).await?[0].task_ids, ["t".parse()?]);
    client.clear_context(&context).await?;
    client.feedback(&task, "good", Some(5)).await?;
    assert!(matches!(client.feedback(&task, "good", Some(6)).await, Err(ClientError::Input(_))));
    let hook = PushConfig { id: None, url: "http://h".into(), token: None, authentication: None };
    client.push_set(&task, hook).await?;
    assert_eq!(client.push_get(&task, None).await?.config.url, "http://h");
    assert_eq!(client.push_list(&task).await?.len(), 1);
    client.push_delete(&task, &config).await?;

    let sent: Vec<_> = agent
        .seen()
        .into_iter()
        .map(|seen| (seen.rpc().to_owned(), seen.params().clone()))
        .collect();
    let made = &sent[5].1["push_notification_config"]["id"];
    assert!(is_uuid(made));
    let expected = [
        ("tasks/cancel", json!({ "task_id": "t" })),
        ("tasks/list", json!({})),
        ("contexts/list", json!({})),
        ("contexts/clear", json!({ "context_id": "c" })),
        ("tasks/feedback", json!({ "task_id": "t", "feedback": "good", "rating": 5 })),
        (
            "tasks/pushNotificationConfig/set",
            json!({ "id": "t", "push_notification_config": { "id": made, "url": "http://h" } }),
        ),
        ("tasks/pushNotificationConfig/get", json!({ "task_id": "t" })),
        ("tasks/pushNotificationConfig/list", json!({ "id": "t" })),
        (
            "tasks/pushNotificationConfig/delete",
            json!({ "id": "t", "push_notification_config_id": "p" }),
        ),
    ];
    assert_eq!(sent, expected.map(|(method, params)| (method.to_owned(), params)));
    Ok(())
}

#[tokio::test]
async fn pages_beside_json_rpc_are_read_as_they_are() -> Result {
    let agent = Canned::start(|seen, _| match seen.path.as_str() {
        "/agent/skills" => answer(200, &json!({ "skills": [], "total": 0 })),
        "/agent/skills/a%20b" => answer(200, &json!({ "id": "a b" })),
        "/did/resolve" => answer(200, &json!({ "id": seen.body["did"] })),
        _ => answer(404, &json!({ "error": "unknown" })),
    })
    .await?;
    let client = agent.client(Dialect::V0_3)?;
    assert_eq!(client.skills().await?["total"], 0);
    assert_eq!(client.skill("a b").await?["id"], "a b");
    assert_eq!(client.resolve_did("did:bindu:x").await?["id"], "did:bindu:x");
    assert!(matches!(client.skill("none").await, Err(ClientError::Status { .. })));
    Ok(())
}

#[tokio::test]
async fn headers_of_the_caller_go_with_every_request() -> Result {
    let agent = Canned::start(|seen, _| seen.result(&camel_task("t", "completed"))).await?;
    let client = Client::builder(&agent.url)
        .dialect(Dialect::V0_3)
        .header(http::header::AUTHORIZATION, http::HeaderValue::from_static("Bearer x"))
        .build()?;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.with_traceparent(trace)?.get(&"t".parse()?, None).await?;
    client.get(&"t".parse()?, None).await?;
    let seen = agent.seen();
    assert_eq!(seen[0].header("traceparent"), Some(trace));
    assert_eq!(seen[1].header("traceparent"), None);
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer x")));
    Ok(())
}

#[tokio::test]
async fn an_agent_may_answer_without_a_task() -> Result {
    let message = json!({ "kind": "message", "messageId": "m", "role": "agent",
                          "parts": [{ "kind": "text", "text": "hi" }] });
    let agent = Canned::start(move |seen, _| seen.result(&message)).await?;
    let client = agent.client(Dialect::V0_3)?;
    let SendResult::Message(said) = client.send("hello").await? else {
        return Err("not a message".into());
    };
    assert_eq!(Arc::unwrap_or_clone(said).text(), "hi");
    assert!(matches!(client.send_task("hello").await, Err(ClientError::Protocol { .. })));
    Ok(())
}

#[tokio::test]
async fn a_task_that_is_not_there_is_told_by_its_code() -> Result {
    let agent = Canned::start(|seen, _| seen.error(200, -32001)).await?;
    let error = agent.client(Dialect::V0_3)?.get(&"t".parse()?, None).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::TASK_NOT_FOUND));
    assert!(error.hint().is_some_and(|hint| hint.contains("id")));
    Ok(())
}
