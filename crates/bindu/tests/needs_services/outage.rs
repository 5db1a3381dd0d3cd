//! A server that an agent depends on goes away, and comes back.

use std::time::{Duration, Instant};

use bindu::{Reply, Turn};
use bindu_testkit::services::{Keep, Machine, Server};
use http::StatusCode;
use serde_json::{Value, json};

use super::{given, identity, replica};
use crate::caller::{Caller, LONG, Result, message};

/// Waits until `/healthz` says `status`; its report.
async fn ready(caller: &Caller, status: StatusCode) -> Result<Value> {
    let begun = Instant::now();
    loop {
        let (found, body) = caller.get("/healthz").await?;
        if found == status {
            return Ok(serde_json::from_slice(&body)?);
        }
        assert!(begun.elapsed() < LONG, "still {found}: {}", String::from_utf8_lossy(&body));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What must hold while `part` is away and after it came back.
async fn check(server: &mut Server, part: &str, settings: &[(&str, &str)]) -> Result {
    let who = identity("dependent")?;
    let agent =
        replica(&who, settings, async |turn: Turn| Ok(Reply::text(turn.text().into_owned())))
            .await?;
    let caller = Caller::of(&agent);
    ready(&caller, StatusCode::OK).await?;
    assert_eq!(caller.send("before").await?["status"]["state"], "completed");

    tokio::task::block_in_place(|| server.stop())?;
    let report = ready(&caller, StatusCode::SERVICE_UNAVAILABLE).await?;
    let others = ["storage", "scheduler", "worker"].into_iter().filter(|other| *other != part);
    assert_eq!(report["checks"][part]["ok"], json!(false), "{report}");
    for other in others {
        assert_eq!(report["checks"][other]["ok"], json!(true), "{report}");
    }
    assert_eq!(caller.get("/health").await?.0, StatusCode::OK);
    // Refused, and nothing of it stored: the same message is new afterwards.
    let mut sent = message("meanwhile");
    sent["message"]["taskId"] = json!(uuid::Uuid::new_v4());
    let (status, refused) = caller.call("message/send", sent.clone()).await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{refused}");
    assert_eq!(refused["error"]["code"], json!(-32603));
    assert!(!refused.to_string().contains("127.0.0.1"), "no address: {refused}");

    tokio::task::block_in_place(|| server.start())?;
    ready(&caller, StatusCode::OK).await?;
    let task = caller.result("message/send", sent.clone()).await?;
    let id = task["id"].as_str().ok_or("a task has an id")?.to_owned();
    caller.until(&id, "completed").await?;
    let all = caller.result("tasks/list", json!({ "length": 100 })).await?;
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    tokio::time::timeout(LONG, agent.stop(Duration::ZERO)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_and_comes_back() -> Result {
    let mut server = tokio::task::block_in_place(|| Server::postgres(&Machine::this()))?;
    let url = server.url().to_owned();
    let settings = [("STORAGE_TYPE", "postgres"), ("DATABASE_URL", url.as_str())];
    check(&mut server, "storage", &settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_goes_and_comes_back() -> Result {
    let mut server =
        tokio::task::block_in_place(|| Server::redis(&Machine::this(), Keep::Nothing))?;
    let (database, url) = (given("DATABASE_URL"), server.url().to_owned());
    let settings = [
        ("STORAGE_TYPE", "postgres"),
        ("DATABASE_URL", database.as_str()),
        ("SCHEDULER_TYPE", "redis"),
        ("REDIS_URL", url.as_str()),
    ];
    check(&mut server, "scheduler", &settings).await
}
