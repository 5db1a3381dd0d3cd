//! The example does what its first lines say.

use std::ffi::OsStr;

use bindu_protocol::TaskState;
use example_harness::Example;

#[tokio::test]
async fn the_other_agent_does_the_work_in_the_same_conversation() -> anyhow::Result<()> {
    // One that has nobody to ask stands in for the other agent: its answer tells that it was asked.
    let nobody = [("PEER_URL", OsStr::new("http://127.0.0.1:1"))];
    let last = Example::start_with(env!("CARGO_BIN_EXE_example-peers"), &nobody).await?;
    let url = last.url().to_owned();
    let middle = [("PEER_URL", OsStr::new(&url))];
    let first = Example::start_with(env!("CARGO_BIN_EXE_example-peers"), &middle).await?;

    let task = first.ask("hello").await?;
    assert_eq!(task.status.state, TaskState::Completed);
    let said = task.artifacts[0].parts[0].as_text();
    assert_eq!(said, Some("they say: "), "the other agent failed, and so has no artifact");
    let there = last.client()?.contexts(&bindu_protocol::ListParams::default()).await?;
    assert_eq!(there.len(), 1);
    assert_eq!(there[0].context_id, task.context_id);
    first.stop()?;
    last.stop()
}
