//! Tasks that begin as bids.

use bindu_protocol::{BIDDING_KEY, JsonObject, Part, TaskId, TaskState};
use bindu_tasks::{Begun, Config, Submission, TaskError, Tasks, Wait};

use crate::support::{LONG, Tested, ann, bob, engine, rest, run_to, said, said_to};

/// What begins with a bid, or without one.
fn bid(state: TaskState) -> Submission {
    let mut submission = said("work");
    submission.message.metadata = Some(JsonObject::empty().with(BIDDING_KEY, "bid"));
    submission.wait = Some(Wait { state, parts: vec![Part::text("I can")], remarks: None });
    submission
}

fn word(id: &TaskId, word: &str) -> Submission {
    let mut submission = said_to(id, "well");
    submission.message.metadata = Some(JsonObject::empty().with(BIDDING_KEY, word));
    submission
}

async fn begun(tasks: &Tasks) -> Result<TaskId, TaskError> {
    let submission = bid(TaskState::NegotiationBidSubmitted);
    let record = tasks.submit_and_wait(&ann(), submission, LONG).await?.record;
    assert_eq!(record.task.status.state, TaskState::NegotiationBidSubmitted);
    assert!(matches!(tasks.begin(&record.task.id).await?, Begun::Nothing));
    Ok(record.task.id.clone())
}

#[tokio::test]
async fn a_bid_that_is_won_becomes_work() -> Tested {
    let tasks = engine(Config::default());
    let id = begun(&tasks).await?;
    let won = word(&id, "won");
    let record = tasks.submit(&ann(), won.clone()).await?.record;
    assert_eq!(record.task.status.state, TaskState::Submitted);
    assert!(tasks.submit(&ann(), won).await?.repeated);
    let done = run_to(&tasks, &id, TaskState::Completed).await?;
    assert_eq!(done.task.status.state, TaskState::Completed);
    Ok(())
}

#[tokio::test]
async fn a_bid_that_is_lost_is_over() -> Tested {
    let tasks = engine(Config::default());
    let id = begun(&tasks).await?;
    let mut follow = tasks.submit_and_follow(&ann(), word(&id, "lost")).await?;
    rest(&mut follow).await?;
    let record = tasks.get(&ann(), &id).await?;
    assert_eq!(record.task.status.state, TaskState::NegotiationBidLost);
    let over = tasks.submit(&ann(), word(&id, "won")).await;
    assert!(matches!(over, Err(TaskError::Over(TaskState::NegotiationBidLost))), "{over:?}");
    Ok(())
}

#[tokio::test]
async fn no_bid_is_a_task_that_is_over_as_it_begins() -> Tested {
    let tasks = engine(Config::default());
    let mut follow = tasks.submit_and_follow(&ann(), bid(TaskState::NegotiationBidLost)).await?;
    let id = follow.record().task.id.clone();
    assert_eq!(rest(&mut follow).await?.len(), 2);
    let record = tasks.get(&ann(), &id).await?;
    assert_eq!(record.task.status.state, TaskState::NegotiationBidLost);
    let says = record.task.status.message.as_ref().expect("it says why").text();
    assert_eq!(says, "I can");
    assert!(matches!(tasks.begin(&id).await?, Begun::Nothing));
    Ok(())
}

#[tokio::test]
async fn a_bid_is_decided_by_its_caller_and_by_nothing_else() -> Tested {
    let tasks = engine(Config::default());
    let id = begun(&tasks).await?;
    for decision in ["won", "lost"] {
        let refused = tasks.submit(&bob(), word(&id, decision)).await;
        assert!(matches!(refused, Err(TaskError::NotFound)), "{refused:?}");
    }
    for odd in [said_to(&id, "hello?"), word(&id, "bid"), word(&id, "maybe")] {
        let refused = tasks.submit(&ann(), odd.clone()).await;
        assert!(
            matches!(&refused, Err(TaskError::Invalid(why)) if why.contains("won")),
            "{refused:?}"
        );
        let foreseen = tasks.preview(&ann(), &odd).await;
        assert!(matches!(foreseen, Err(TaskError::Invalid(_))), "{foreseen:?}");
    }
    let mut early = said("work");
    early.message.metadata = Some(JsonObject::empty().with(BIDDING_KEY, "won"));
    let refused = tasks.submit(&ann(), early).await;
    assert!(matches!(refused, Err(TaskError::Invalid(_))), "{refused:?}");
    let canceled = tasks.cancel(&ann(), &id).await?;
    assert_eq!(canceled.task.status.state, TaskState::Canceled);
    Ok(())
}

#[tokio::test]
async fn a_task_that_asks_for_something_else_is_no_bid() -> Tested {
    let tasks = engine(Config::default());
    let id = tasks.submit(&ann(), said("work")).await?.record.task.id.clone();
    run_to(&tasks, &id, TaskState::InputRequired).await?;
    for odd in ["bid", "won", "lost"] {
        let refused = tasks.submit(&ann(), word(&id, odd)).await;
        assert!(matches!(refused, Err(TaskError::Invalid(_))), "{odd}: {refused:?}");
    }
    Ok(())
}
