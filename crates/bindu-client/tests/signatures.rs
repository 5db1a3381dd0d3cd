//! Answers, and whether they are what the agent signed.

use std::time::SystemTime;

use bindu_client::{Client, ClientBuilder, ClientError};
use bindu_did::{Did, DidDocument, PartPayload, SIGNATURE_METADATA_KEY, SigningKey};
use bindu_protocol::{CARD_PATH, Dialect, ListParams};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use crate::canned::{Canned, End, Result, Seen, answer, camel_task, events, hasty};

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn did() -> Did {
    Did::for_agent("ann", "echo", key().public_key().id()).expect("a DID")
}

/// Answers what it is told to, as an agent with a DID.
async fn agent(
    reply: impl Fn(&Seen) -> http::Response<bindu_http::Body> + Send + Sync + 'static,
) -> Result<Canned> {
    let document = DidDocument::new(&did(), &key().public_key(), SystemTime::UNIX_EPOCH);
    Canned::start(move |seen, _| match seen.path.as_str() {
        CARD_PATH => answer(200, &json!({ "name": "a", "url": "u", "id": did() })),
        "/did/resolve" => answer(200, &json!(document)),
        _ => reply(seen),
    })
    .await
}

fn builder(agent: &Canned) -> ClientBuilder {
    Client::builder(&agent.url).dialect(Dialect::V0_3).retry(hasty())
}

fn signed(mut part: Value, payload: &PartPayload<'_>) -> Value {
    part["metadata"] = json!({ SIGNATURE_METADATA_KEY: key().sign_part(payload).to_base58() });
    part
}

/// A task with a part of each kind, each signed.
fn task() -> Value {
    let data = json!({ "b": 1.5, "a": [null] });
    let mut task = camel_task("t", "completed");
    task["artifacts"] = json!([{ "artifactId": "a", "parts": [
        signed(json!({ "kind": "text", "text": "42" }), &PartPayload::Text("42")),
        signed(json!({ "kind": "data", "data": data }), &PartPayload::Data(&data)),
        signed(json!({ "kind": "file", "file": { "bytes": "AAE=", "mimeType": "x/y" } }),
               &PartPayload::FileBytes(&[0, 1])),
        signed(json!({ "kind": "file", "file": { "uri": "https://e/f" } }),
               &PartPayload::FileUri("https://e/f")),
        json!({ "kind": "text", "text": "not signed" }),
    ]}]);
    task
}

#[tokio::test]
async fn good_signatures_pass_and_any_change_is_noticed() -> Result {
    let good = agent(|seen| seen.result(&task())).await?;
    let client = builder(&good).verify_artifacts(true).build()?;
    client.send("hello").await?;

    for pointer in ["0/text", "1/data/b", "2/file/bytes", "3/file/uri"] {
        let agent = agent(move |seen| {
            let mut task = task();
            let at = task.pointer_mut(&format!("/artifacts/0/parts/{pointer}"));
            *at.expect("a member") = json!("AAAA");
            match seen.rpc() {
                "tasks/list" => seen.result(&json!([task])),
                _ => seen.result(&task),
            }
        })
        .await?;
        let client = builder(&agent).verify_artifacts(true).build()?;
        let id = "t".parse()?;
        for outcome in [
            client.send("hello").await.err(),
            client.get(&id, None).await.err(),
            client.cancel(&id).await.err(),
            client.list(&ListParams::default()).await.err(),
        ] {
            let error = outcome.ok_or("the change was not noticed")?;
            assert!(matches!(error, ClientError::Forged { .. }), "{pointer}: {error:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn signatures_are_checked_as_soon_as_the_key_is_known_unless_not_wanted() -> Result {
    let agent = agent(|seen| {
        let mut task = task();
        task["artifacts"][0]["parts"][0]["text"] = json!("43");
        seen.result(&task)
    })
    .await?;
    let client = builder(&agent).build()?;
    client.send("the key is not known yet").await?;
    client.peer().await?;
    assert!(matches!(client.send("hello").await, Err(ClientError::Forged { .. })));

    let careless = builder(&agent).verify_artifacts(false).build()?;
    careless.peer().await?;
    careless.send("hello").await?;
    Ok(())
}

fn streamed(seen: &Seen, over: &str) -> http::Response<bindu_http::Body> {
    let piece = |parts: Value, append: bool, last: bool, metadata: Value| {
        let mut artifact = json!({ "artifactId": "a", "parts": parts });
        if !metadata.is_null() {
            artifact["metadata"] = metadata;
        }
        json!({ "kind": "artifact-update", "taskId": "t", "contextId": "c-1", "append": append,
                "lastChunk": last, "artifact": artifact })
    };
    let text = |text: &str| json!([{ "kind": "text", "text": text }]);
    let signature = json!({ SIGNATURE_METADATA_KEY: key().sign_text(over).to_base58() });
    let all = [
        camel_task("t", "working"),
        piece(text("the "), false, false, Value::Null),
        piece(text("quick fox"), true, false, Value::Null),
        piece(json!([]), true, true, signature),
        json!({ "kind": "status-update", "taskId": "t", "contextId": "c-1", "final": true,
                "status": { "state": "completed" } }),
    ];
    let all: Vec<_> = (1..).zip(all).map(|(id, event)| (Some(id), seen.wrap(&event))).collect();
    events(&all, End::Clean)
}

#[tokio::test]
async fn a_streamed_artifact_is_checked_at_its_end() -> Result {
    let good = agent(|seen| streamed(seen, "the quick fox")).await?;
    let client = builder(&good).verify_artifacts(true).build()?;
    let all: Vec<_> = client.stream("go").await?.try_collect().await?;
    assert_eq!(all.len(), 5);

    let bad = agent(|seen| streamed(seen, "the slow fox")).await?;
    let client = builder(&bad).verify_artifacts(true).build()?;
    let all: Vec<_> = client.stream("go").await?.collect().await;
    assert_eq!(all.len(), 4, "the stream ends with the error");
    assert!(matches!(all[3], Err(ClientError::Forged { .. })));
    Ok(())
}
