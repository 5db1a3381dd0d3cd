//! Agents that are not there, break, or answer nonsense.

use std::error::Error as _;

use bindu_client::{Client, ClientError};
use bindu_http::HttpError;
use bindu_http::client::{Client as HttpClient, Config};
use bindu_protocol::{Code, Dialect};
use serde_json::json;

use crate::canned::{Canned, Result, answer, camel_task, hasty, text};

async fn error_of(
    reply: impl Fn(&crate::canned::Seen, usize) -> http::Response<bindu_http::Body>
    + Send
    + Sync
    + 'static,
) -> Result<ClientError> {
    let agent = Canned::start(reply).await?;
    let outcome = agent.client(Dialect::V0_3)?.get(&"t".parse()?, None).await;
    outcome.map_or_else(Ok, |task| Err(format!("it must fail, not bring {task:?}").into()))
}

#[tokio::test]
async fn errors_are_told_whatever_status_they_come_with() -> Result {
    for status in [200, 400, 401, 404, 500] {
        let error = error_of(move |seen, _| seen.error(status, -32001)).await?;
        assert_eq!(error.code(), Some(Code::TASK_NOT_FOUND), "{status}");
        assert!(!error.is_retryable());
    }
    Ok(())
}

#[tokio::test]
async fn a_status_without_a_json_rpc_error_is_told_with_what_was_said() -> Result {
    let error = error_of(|_, _| text(404, "text/plain", "Not\r\nFound")).await?;
    assert_eq!(error.to_string(), "the agent answered 404 Not Found: Not Found");
    assert!(error.hint().is_some_and(|hint| hint.contains("path")));
    let error = error_of(|_, _| answer(402, &json!({ "x402Version": 2 }))).await?;
    assert!(matches!(&error, ClientError::Status { status, .. } if status.as_u16() == 402));
    Ok(())
}

#[tokio::test]
async fn a_status_that_passes_is_worth_another_attempt() -> Result {
    let error = error_of(|seen, _| seen.error(503, -32603)).await?;
    assert!(error.is_retryable(), "{error}");
    Ok(())
}

#[tokio::test]
async fn nonsense_is_named() -> Result {
    for (body, reason) in [
        ("<html>", "expected value"),
        (r#"{"jsonrpc":"2.0"}"#, "neither result nor error"),
        (r#"{"jsonrpc":"2.0","id":"other","result":{}}"#, "it answers request \"other\""),
        ("[]", "invalid"),
    ] {
        let error = error_of(move |_, _| text(200, "application/json", body)).await?;
        assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{body}: {error}");
    }
    let error = error_of(|seen, _| seen.result(&json!({ "kind": "task" }))).await?;
    assert!(error.to_string().contains("is required"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() -> Result {
    let agent = Canned::start(|seen, _| {
        let mut task = camel_task("t", "completed");
        task["metadata"] = json!({ "fill": "x".repeat(10_000) });
        seen.result(&task)
    })
    .await?;
    let http = HttpClient::new(Config { max_response_bytes: 5_000, ..Config::default() });
    let client = Client::builder(&agent.url).dialect(Dialect::V0_3).http(http).build()?;
    let error = client.get(&"t".parse()?, None).await.unwrap_err();
    assert!(matches!(error, ClientError::Http(HttpError::TooLarge { limit: 5_000 })), "{error:?}");
    assert!(!error.is_retryable());
    Ok(())
}

#[tokio::test]
async fn a_card_that_is_too_large_is_refused() -> Result {
    let agent = Canned::start(|_, _| {
        let card = json!({ "name": "a", "url": "u", "description": "x".repeat(1_100_000) });
        answer(200, &card)
    })
    .await?;
    let error = Client::connect(&agent.url)?.card().await.unwrap_err();
    assert!(error.to_string().contains("larger than 1048576 bytes"), "{error}");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_told_with_the_reason() -> Result {
    // A port that was free a moment ago.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let client = Client::builder(format!("http://{gone}")).retry(hasty()).build()?;
    let error = client.send("hello").await.unwrap_err();
    assert!(matches!(error, ClientError::Http(HttpError::Connect { .. })), "{error:?}");
    assert!(error.is_retryable());
    assert!(error.source().is_some());
    assert!(error.hint().is_some_and(|hint| hint.contains("host and port")));
    Ok(())
}
