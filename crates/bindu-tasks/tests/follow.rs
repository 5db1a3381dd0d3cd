//! Followers: each event once, in order, from wherever they begin.

use bindu_protocol::{Part, StreamEvent, TaskId, TaskState};
use bindu_storage::{Event, EventBody};
use bindu_tasks::{Config, Followed, TaskError, Tasks, to_stream_event};

use crate::support::{
    Tested, ann, begun, engine, outcome, queued, rest, run_to, said, said_in, said_to, within,
};

async fn log(
    tasks: &Tasks,
    id: &TaskId,
) -> Result<Vec<Event>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(tasks.storage().events(id, 0, usize::MAX).await?)
}

/// A finished task with a log of some length.
async fn streamed(tasks: &Tasks, pieces: usize) -> Result<TaskId, TaskError> {
    let id = queued(tasks, &ann()).await?;
    let mut run = begun(tasks, &id).await?;
    for piece in 0..pieces {
        run.chunks(vec![vec![Part::text(format!("{piece} "))]]).await?;
    }
    run.finish(outcome(TaskState::Completed, "all")).await?;
    Ok(id)
}

#[tokio::test]
async fn from_each_position_a_follower_sees_the_rest_of_the_log() -> Tested {
    let tasks = engine(Config::default());
    // More than is read from the log at once.
    let id = streamed(&tasks, 600).await?;
    let log = log(&tasks, &id).await?;
    let numbers: Vec<_> = log.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=log.len() as u64).collect::<Vec<_>>());
    for after in [0, 1, 2, 255, 256, 257, 511, 512, 513, log.len() - 1, log.len()] {
        let mut follow = tasks.follow(&ann(), &id, Some(after as u64)).await?;
        assert_eq!(rest(&mut follow).await?, log[after..], "after {after}");
    }
    // A number that was never given away is the end.
    let mut follow = tasks.follow(&ann(), &id, Some(u64::MAX)).await?;
    assert_eq!(rest(&mut follow).await?, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_that_join_at_any_time_see_the_same_events_in_the_same_order() -> Tested {
    let tasks = engine(Config::default());
    let id = queued(&tasks, &ann()).await?;
    let mut followers = Vec::new();
    let follow = |tasks: &Tasks, id: &TaskId| {
        let (tasks, id) = (tasks.clone(), id.clone());
        tokio::spawn(async move {
            let mut follow = tasks.follow(&ann(), &id, Some(0)).await?;
            rest(&mut follow).await
        })
    };
    let mut run = begun(&tasks, &id).await?;
    for number in 0..400 {
        if number % 20 == 0 {
            followers.push(follow(&tasks, &id));
            tokio::task::yield_now().await;
        }
        run.chunks(vec![vec![Part::text(number.to_string())]]).await?;
    }
    run.finish(outcome(TaskState::Completed, "all")).await?;
    followers.push(follow(&tasks, &id));
    let log = log(&tasks, &id).await?;
    assert_eq!(log.len(), 1 + 1 + 400 + 3);
    for follower in followers {
        assert_eq!(within(follower).await??, log);
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_follower_is_told_and_goes_on_where_it_was() -> Tested {
    let tasks = engine(Config { stream_backlog: 4, ..Config::default() });
    let id = queued(&tasks, &ann()).await?;
    let mut run = begun(&tasks, &id).await?;
    let mut follow = tasks.follow(&ann(), &id, Some(0)).await?;
    let mut seen = Vec::new();
    // Caught up, and listening.
    let Some(Followed::Events(events)) = within(follow.next()).await? else {
        panic!("the log has events")
    };
    seen.extend(events);
    assert_eq!(seen.len(), 2);
    for number in 0..100 {
        run.chunks(vec![vec![Part::text(number.to_string())]]).await?;
    }
    let fell = within(follow.next()).await?;
    assert!(matches!(fell, Some(Followed::FellBehind)), "{fell:?}");
    assert!(within(follow.next()).await?.is_none(), "it is over for this follower");
    assert_eq!(follow.position(), 2);
    run.finish(outcome(TaskState::Completed, "all")).await?;

    let mut again = tasks.follow(&ann(), &id, Some(follow.position())).await?;
    seen.extend(rest(&mut again).await?);
    assert_eq!(seen, log(&tasks, &id).await?);
    Ok(())
}

#[tokio::test]
async fn a_stream_of_a_message_begins_with_that_message() -> Tested {
    let tasks = engine(Config::default());
    let mut first = tasks.submit_and_follow(&ann(), said("hello")).await?;
    let id = first.record().task.id.clone();
    run_to(&tasks, &id, TaskState::InputRequired).await?;
    let asked = rest(&mut first).await?;
    assert!(matches!(&asked[0].body, EventBody::Snapshot(task) if task.id == id));
    let states = |events: &[Event]| -> Vec<TaskState> {
        let state = |event: &Event| match &event.body {
            EventBody::Status(status) => Some(status.state),
            _ => None,
        };
        events.iter().filter_map(state).collect()
    };
    assert_eq!(states(&asked), [TaskState::Working, TaskState::InputRequired]);

    let mut second = tasks.submit_and_follow(&ann(), said_to(&id, "blue")).await?;
    run_to(&tasks, &id, TaskState::Completed).await?;
    let answered = rest(&mut second).await?;
    assert_eq!(answered[0].seq, asked.last().unwrap().seq + 1);
    assert!(matches!(&answered[0].body, EventBody::Message(message) if message.text() == "blue"));
    assert_eq!(states(&answered), [TaskState::Submitted, TaskState::Working, TaskState::Completed]);
    Ok(())
}

#[tokio::test]
async fn whoever_joins_while_pieces_come_gets_them_from_the_first() -> Tested {
    let tasks = engine(Config::default());
    let id = queued(&tasks, &ann()).await?;
    let mut run = begun(&tasks, &id).await?;
    for piece in ["a", "b", "c"] {
        run.chunks(vec![vec![Part::text(piece)]]).await?;
    }
    let mut follow = tasks.follow(&ann(), &id, None).await?;
    run.chunks(vec![vec![Part::text("d")]]).await?;
    run.finish(outcome(TaskState::Completed, "abcd")).await?;
    let mut pieces = String::new();
    let mut artifacts = Vec::new();
    for event in rest(&mut follow).await? {
        if let Some(StreamEvent::Artifact(update)) =
            to_stream_event(&follow.record().task, &event.body, false)
        {
            pieces.extend(update.artifact.parts.iter().filter_map(Part::as_text));
            artifacts.push((update.artifact.id.clone(), update.append, update.last_chunk));
        }
    }
    assert_eq!(pieces, "abcd");
    let flags: Vec<_> = artifacts.iter().map(|(_, append, last)| (*append, *last)).collect();
    assert_eq!(flags, [(false, false), (true, false), (true, false), (true, false), (true, true)]);
    let record = tasks.get(&ann(), &id).await?;
    assert!(artifacts.iter().all(|(id, _, _)| *id == record.task.artifacts[0].id));
    Ok(())
}

#[tokio::test]
async fn a_task_that_goes_away_ends_its_streams() -> Tested {
    let tasks = engine(Config::default());
    let context = "talk".parse()?;
    let id = tasks.submit(&ann(), said_in(&context, "hi")).await?.record.task.id.clone();
    run_to(&tasks, &id, TaskState::InputRequired).await?;
    let mut follow = tasks.follow(&ann(), &id, None).await?;
    tasks.clear_context(&ann(), &context).await?;
    assert_eq!(rest(&mut follow).await?, []);
    Ok(())
}
