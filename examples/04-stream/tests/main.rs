//! The example does what its first lines say.

use bindu_protocol::{StreamEvent, TaskState};
use example_harness::Example;
use futures_util::StreamExt;

const TEXT: &str = "the quick brown fox";

#[tokio::test]
async fn each_word_is_an_event() -> anyhow::Result<()> {
    let speaker = Example::start(env!("CARGO_BIN_EXE_example-stream")).await?;
    let mut events = speaker.client()?.stream(TEXT).await?;

    let mut words = Vec::new();
    let mut whole = None;
    let mut last = None;
    while let Some(event) = events.next().await {
        match event? {
            StreamEvent::Artifact(piece) if piece.last_chunk => whole = Some(piece),
            StreamEvent::Artifact(piece) => {
                assert_eq!(piece.append, !words.is_empty(), "only the first begins an artifact");
                words.extend(
                    piece.artifact.parts.iter().filter_map(|it| it.as_text()).map(str::to_owned),
                );
            }
            StreamEvent::Status(update) => last = Some(update.status.state),
            _ => {}
        }
    }
    assert_eq!(words, ["the ", "quick ", "brown ", "fox"]);
    assert!(whole.is_some(), "the artifact is closed");
    assert_eq!(last, Some(TaskState::Completed));
    speaker.stop()
}

#[tokio::test]
async fn the_whole_is_one_artifact() -> anyhow::Result<()> {
    let speaker = Example::start(env!("CARGO_BIN_EXE_example-stream")).await?;
    let task = speaker.ask(TEXT).await?;
    assert_eq!(task.status.state, TaskState::Completed);
    assert_eq!(task.artifacts.len(), 1);
    assert_eq!(task.artifacts[0].parts[0].as_text(), Some(TEXT));
    speaker.stop()
}
