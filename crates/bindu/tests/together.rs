//! Two agents of one process.

use bindu::{Reply, Turn};
use serde_json::json;

use crate::caller::{Caller, LONG, Result, agent, message};

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_share_nothing() -> Result {
    let (left, right) = (
        agent("left", async |turn: Turn| Ok(Reply::text(format!("left {}", turn.text()))))?,
        agent("right", async |turn: Turn| Ok(Reply::text(format!("right {}", turn.text()))))?,
    );
    let (left, right) = (left.spawn().await?, right.spawn().await?);
    assert_ne!(left.identity().did(), right.identity().did());
    let (a, b) = (Caller::of(&left), Caller::of(&right));

    let mut said = message("hello");
    said["message"]["contextId"] = json!("shared");
    let (from_a, from_b) =
        (a.result("message/send", said.clone()).await?, b.result("message/send", said).await?);
    assert_eq!(from_a["artifacts"][0]["parts"][0]["text"], "left hello");
    assert_eq!(from_b["artifacts"][0]["parts"][0]["text"], "right hello");
    assert_ne!(from_a["id"], from_b["id"], "the same message id made a task of its own");

    let (_, foreign) = b.call("tasks/get", json!({ "id": from_a["id"] })).await?;
    assert_eq!(foreign["error"]["code"], -32001);
    for caller in [&a, &b] {
        let tasks = caller.result("tasks/list", json!({})).await?;
        assert_eq!(tasks.as_array().map(Vec::len), Some(1));
    }

    // Each counts for itself.
    for _ in 0..3 {
        a.send("again").await?;
    }
    let completed = async |caller: &Caller| -> Result<String> {
        let (_, shown) = caller.get("/metrics").await?;
        let shown = String::from_utf8(shown.to_vec())?;
        let line = shown.lines().find(|line| line.starts_with("agent_tasks_completed_total{"));
        Ok(line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned())
    };
    assert_eq!((completed(&a).await?, completed(&b).await?), ("4".to_owned(), "1".to_owned()));

    // And ends for itself.
    left.stop(LONG).await;
    assert_eq!(b.send("still there").await?["status"]["state"], "completed");
    right.stop(LONG).await;
    Ok(())
}
