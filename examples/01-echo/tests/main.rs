//! The example does what its first lines say.

use bindu_protocol::TaskState;
use example_harness::Example;

#[tokio::test]
async fn it_says_what_it_is_told() -> anyhow::Result<()> {
    let echo = Example::start(env!("CARGO_BIN_EXE_example-echo")).await?;

    let card = echo.client()?.card().await?;
    assert_eq!(card.name, "echo");
    assert_eq!(card.url, echo.url());

    let task = echo.ask("hello").await?;
    assert_eq!(task.status.state, TaskState::Completed);
    assert_eq!(task.artifacts[0].parts[0].as_text(), Some("hello"));

    let remarks = task.artifacts[0].parts[0].metadata.as_ref();
    assert!(remarks.is_some_and(|map| map.get("did.message.signature").is_some()), "signed");
    echo.stop()
}
