//! The example does what its first lines say.

use bindu_client::Outgoing;
use bindu_protocol::{Task, TaskState};
use example_harness::Example;

/// What the agent answered, in words.
fn result(task: &Task) -> Option<&str> {
    task.artifacts.first()?.parts.first()?.as_text()
}

#[tokio::test]
async fn it_asks_back_and_remembers_the_colour() -> anyhow::Result<()> {
    let painter = Example::start(env!("CARGO_BIN_EXE_example-conversation")).await?;

    let asked = painter.ask("paint the door").await?;
    assert_eq!(asked.status.state, TaskState::InputRequired);
    let question = asked.status.message.as_ref().map(|message| message.text());
    assert_eq!(question.as_deref(), Some("Which colour: blue, green, orange, red, white, yellow?"));

    let answer = Outgoing::text("green").task(asked.id.clone());
    let done = painter.ask(answer).await?;
    assert_eq!(done.id, asked.id);
    assert_eq!(done.status.state, TaskState::Completed);
    assert_eq!(result(&done), Some("I painted the door green."));

    let order = "paint the fence in the same colour";
    let next = painter.ask(Outgoing::text(order).context(asked.context_id.clone())).await?;
    assert_ne!(next.id, asked.id);
    assert_eq!(result(&next), Some("I painted the fence green."));

    let elsewhere = painter.ask(order).await?;
    assert_eq!(elsewhere.status.state, TaskState::InputRequired, "another context, no memory");
    painter.stop()
}

#[tokio::test]
async fn it_declines_what_it_cannot_do() -> anyhow::Result<()> {
    let painter = Example::start(env!("CARGO_BIN_EXE_example-conversation")).await?;
    let task = painter.ask("sing a song").await?;
    assert_eq!(task.status.state, TaskState::Rejected);
    painter.stop()
}
