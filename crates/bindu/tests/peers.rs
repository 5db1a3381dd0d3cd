//! Agents that call others in the course of a task.

use std::time::Duration;

use bindu::client::Client;
use bindu::protocol::{Content, SendResult};
use bindu::{Peers, Reply, Turn};

use crate::caller::{LONG, Result, agent, start};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What an agent answers.
async fn ask(agent: &Client, text: &str) -> Result<String> {
    let SendResult::Task(task) = agent.send_and_wait(text, LONG).await? else {
        return Err("no task".into());
    };
    let part = task.artifacts.first().and_then(|artifact| artifact.parts.first());
    match part.map(|part| &part.content) {
        Some(Content::Text(text)) => Ok(text.clone()),
        _ => Err(format!("{:?}", task.history.last()).into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn context_and_trace_of_a_turn_go_along_with_its_calls() -> Result {
    let last = start(async |turn: Turn| {
        Ok(Reply::text(format!("{} {}", turn.context_id(), turn.trace().unwrap_or("no trace"))))
    })
    .await?;
    let peers = Peers::default();
    let (through, url) = (peers.clone(), last.url().to_owned());
    let handler = move |turn: Turn| {
        let (peers, url) = (through.clone(), url.clone());
        async move {
            let there = ask(&peers.call(&url, &turn)?, "hello").await?;
            Ok(Reply::text(format!("{} {there}", turn.context_id())))
        }
    };
    let home = tempfile::tempdir()?;
    let unused = Peers::default();
    let refused = unused.client(last.url()).err().ok_or("nobody started with these")?;
    assert!(refused.to_string().contains("Agent::peers"), "{refused}");
    let first = agent("first", handler)?.directory(home.path()).peers(&peers).spawn().await?;

    let caller = Client::connect(first.url())?.with_traceparent(TRACE)?;
    let said = ask(&caller, "hello").await?;
    let [context, there, trace] = said.split(' ').collect::<Vec<_>>()[..] else {
        return Err(said.into());
    };
    assert_eq!(context, there);
    assert_eq!(trace, TRACE);
    for running in [first, last] {
        tokio::time::timeout(LONG, running.stop(Duration::ZERO)).await?;
    }
    Ok(())
}
