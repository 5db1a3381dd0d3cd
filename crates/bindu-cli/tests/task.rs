//! `bindu task`.

use serde_json::json;

use crate::agent::{Agent, chunk, status, task};
use crate::run::{Result, bindu};

#[tokio::test]
async fn a_task_is_shown_whole() -> Result {
    let agent = Agent::start(|seen, _| seen.result(&task("completed", Some("HELLO")))).await?;
    let ran = bindu(&["task", "get", &agent.url, "t-1", "--history", "2"]).await?;
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert_eq!(
        ran.stdout,
        "task      t-1\n\
         context   c-1\n\
         state     completed since 2026-01-02T03:04:05+00:00\n\
         \n[user]\nhello\n\
         \n[artifact result]\nHELLO\n"
    );
    assert_eq!(agent.seen()[0].body["params"], json!({ "id": "t-1", "historyLength": 2 }));
    Ok(())
}

#[tokio::test]
async fn a_task_that_runs_ends_with_7() -> Result {
    let agent = Agent::start(|seen, _| seen.result(&task("working", None))).await?;
    assert_eq!(bindu(&["task", "get", &agent.url, "t-1"]).await?.status, Some(7));
    Ok(())
}

#[tokio::test]
async fn canceling_is_done_when_it_is_canceled() -> Result {
    let agent = Agent::start(|seen, _| seen.result(&task("canceled", None))).await?;
    let ran = bindu(&["task", "cancel", &agent.url, "t-1"]).await?;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "task t-1 is canceled\n"));
    assert_eq!(agent.seen()[0].rpc(), "tasks/cancel");
    let agent = Agent::start(|seen, _| seen.error(-32002, "over")).await?;
    assert_eq!(bindu(&["task", "cancel", &agent.url, "t-1"]).await?.status, Some(1));
    Ok(())
}

#[tokio::test]
async fn tasks_are_listed_one_a_line() -> Result {
    let agent = Agent::start(|seen, _| seen.result(&json!([task("completed", None)]))).await?;
    let ran = bindu(&["task", "list", &agent.url]).await?;
    assert_eq!(ran.stdout, "t-1  completed       2026-01-02T03:04:05+00:00  hello\n", "{ran:?}");
    let ran = bindu(&["task", "list", &agent.url, "--context", "other"]).await?;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), ""));
    Ok(())
}

#[tokio::test]
async fn watching_goes_on_after_the_last_event() -> Result {
    let agent = Agent::start(|seen, _| match seen.rpc() {
        "tasks/resubscribe" => seen.stream(&[
            chunk("seen ", false, false),
            chunk("new", true, true),
            status("completed", true),
        ]),
        _ => seen.error(-32601, "no"),
    })
    .await?;
    let ran = bindu(&["task", "watch", &agent.url, "t-1", "--after", "1"]).await?;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "new\n"), "{ran:?}");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_cannot_be_watched_is_asked() -> Result {
    let agent = Agent::start(|seen, before| match (seen.rpc(), before) {
        ("tasks/resubscribe", _) => seen.error(-32601, "no"),
        (_, ..3) => seen.result(&task("working", None)),
        _ => seen.result(&task("completed", Some("late"))),
    })
    .await?;
    let ran = bindu(&["task", "watch", &agent.url, "t-1"]).await?;
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(0), "late\n"), "{ran:?}");
    Ok(())
}
