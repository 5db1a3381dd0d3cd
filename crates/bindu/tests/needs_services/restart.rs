//! One process after another on the same store.

use std::sync::Arc;
use std::time::Duration;

use bindu::{Reply, Turn};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{given, identity, replica};
use crate::caller::{Caller, LONG, Result};

/// Durable stores that one process uses at a time, with the queue in memory.
fn stores(folder: &std::path::Path) -> [Vec<(&'static str, String)>; 2] {
    let file = format!("sqlite:{}", folder.join("tasks.db").display());
    [
        vec![("STORAGE_TYPE", "sqlite".into()), ("DATABASE_URL", file)],
        vec![("STORAGE_TYPE", "postgres".into()), ("DATABASE_URL", given("DATABASE_URL"))],
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_done_by_the_next_process() -> Result {
    let folder = tempfile::tempdir()?;
    for store in stores(folder.path()) {
        let who = identity("survivor")?;
        let mut settings: Vec<_> = store.iter().map(|(name, at)| (*name, at.as_str())).collect();
        settings.push(("WORKER__CONCURRENCY", "1"));
        let gate = Arc::new(Semaphore::new(0));
        let written = Arc::new(Semaphore::new(0));
        let (held, wrote) = (Arc::clone(&gate), Arc::clone(&written));
        let first = replica(&who, &settings, move |turn: Turn| {
            let (gate, written) = (Arc::clone(&held), Arc::clone(&wrote));
            async move {
                turn.state().update("seen", |seen: Option<u32>| seen.unwrap_or(0) + 1).await?;
                written.add_permits(1);
                gate.acquire().await?.forget();
                Ok(Reply::text("first"))
            }
        })
        .await?;
        let caller = Caller::of(&first);
        let mut ids = Vec::new();
        for number in 0..3 {
            ids.push(caller.begin(&format!("{number}")).await?);
        }
        caller.until(&ids[0], "working").await?;
        // A task is working before its handler has come as far as that.
        tokio::time::timeout(LONG, written.acquire()).await??.forget();
        tokio::time::timeout(LONG, first.stop(Duration::ZERO)).await?;

        let second = replica(&who, &settings, async |turn: Turn| {
            let seen: Option<u32> = turn.state().get("seen").await?;
            Ok(Reply::text(format!("second {}", seen.unwrap_or(0))))
        })
        .await?;
        let caller = Caller::of(&second);
        let mut answers = Vec::new();
        for id in &ids {
            let task = caller.until(id, "completed").await?;
            let text = task["artifacts"][0]["parts"][0]["text"].as_str().unwrap_or_default();
            answers.push(text.to_owned());
            // The log goes on where it was, and so does a stream.
            let heard = caller.stream("tasks/resubscribe", json!({ "id": id }), Some("1")).await?;
            let numbers: Vec<u64> =
                heard.iter().filter_map(|(id, _)| id.as_deref()?.parse().ok()).collect();
            assert!(numbers.is_sorted(), "{numbers:?}");
        }
        // What the first run wrote into its state stays; the others were never begun.
        assert_eq!(answers, ["second 1", "second 0", "second 0"]);
        tokio::time::timeout(LONG, second.stop(Duration::ZERO)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_was_away_is_told_by_the_next_process() -> Result {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let folder = tempfile::tempdir()?;
    for store in stores(folder.path()) {
        let who = identity("teller")?;
        let settings: Vec<_> = store.iter().map(|(name, at)| (*name, at.as_str())).collect();
        // Taken, and not yet listened on: whoever calls is refused.
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind("127.0.0.1:0".parse()?)?;
        let url = format!("http://{}/hook", socket.local_addr()?);
        let spawn = || async {
            let config = bindu::config::Capabilities {
                push_notifications: true,
                ..bindu::config::Capabilities::default()
            };
            let config =
                bindu::AgentConfig { capabilities: config, ..crate::caller::config("teller") };
            let agent = bindu::Agent::builder(config, async |_: Turn| Ok(Reply::text("done")))
                .settings(bindu::Settings::from_vars(settings.clone())?)
                .identity(Arc::clone(&who));
            Ok::<_, crate::caller::Error>(agent.spawn().await?)
        };
        let first = spawn().await?;
        let mut params = crate::caller::message("hello");
        params["configuration"] = json!({ "pushNotificationConfig": { "url": url } });
        let task = Caller::of(&first).result("message/send", params).await?;
        assert_eq!(task["status"]["state"], "completed");
        tokio::time::timeout(LONG, first.stop(Duration::ZERO)).await?;

        let listener = socket.listen(16)?;
        let second = spawn().await?;
        let mut states = Vec::new();
        while states.last().map(String::as_str) != Some("completed") {
            let (mut stream, _) = tokio::time::timeout(LONG, listener.accept()).await??;
            let mut heard = Vec::new();
            let body = loop {
                let mut part = [0; 4096];
                let read = tokio::time::timeout(LONG, stream.read(&mut part)).await??;
                assert!(read > 0, "a whole request");
                heard.extend_from_slice(&part[..read]);
                let text = String::from_utf8_lossy(&heard);
                if let Some((_, body)) = text.split_once("\r\n\r\n")
                    && let Ok(body) = serde_json::from_str::<serde_json::Value>(body)
                {
                    break body;
                }
            };
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await?;
            states.push(body["status"]["state"].as_str().unwrap_or_default().to_owned());
        }
        assert_eq!(states, ["working", "completed"]);
        tokio::time::timeout(LONG, second.stop(Duration::ZERO)).await?;
    }
    Ok(())
}
