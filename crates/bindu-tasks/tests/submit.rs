//! Messages that come in: once, twice, too many and too late.

use std::sync::Arc;
use std::time::Duration;

use bindu_protocol::{Caller, Part, TaskState};
use bindu_tasks::{Config, TaskError};

use crate::support::{
    LONG, Tested, ann, begun, bob, engine, outcome, queued, run_to, said, said_in, said_to, within,
};

#[tokio::test]
async fn the_same_message_brings_the_same_task() -> Tested {
    let tasks = engine(Config::default());
    let message = said("hello");
    let first = tasks.submit(&ann(), message.clone()).await?;
    assert!(!first.repeated);
    // Without a task id, the caller and the message id tell.
    let second = tasks.submit(&ann(), message.clone()).await?;
    assert!(second.repeated);
    assert_eq!(second.record.task.id, first.record.task.id);
    // With one, the task and the message id do.
    let mut named = message.clone();
    named.message.task_id = Some(first.record.task.id.clone());
    assert!(tasks.submit(&ann(), named.clone()).await?.repeated);
    run_to(&tasks, &first.record.task.id, TaskState::Completed).await?;
    let late = tasks.submit(&ann(), named).await?;
    assert!(late.repeated);
    assert_eq!(late.record.task.status.state, TaskState::Completed);
    assert_eq!(late.record.task.history.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_message_id_serves_one_message() -> Tested {
    let tasks = engine(Config::default());
    let message = said("hello");
    let first = tasks.submit(&ann(), message.clone()).await?;
    let mut other = message.clone();
    other.message.parts = vec![Part::text("good-bye")];
    let refused = tasks.submit(&ann(), other.clone()).await;
    assert!(matches!(refused, Err(TaskError::Invalid(_))), "{refused:?}");
    other.message.task_id = Some(first.record.task.id.clone());
    let refused = tasks.submit(&ann(), other).await;
    assert!(matches!(refused, Err(TaskError::Invalid(_))), "{refused:?}");
    // Another caller's ids are another caller's, and nobody's are never taken for the same.
    assert!(!tasks.submit(&bob(), message.clone()).await?.repeated);
    assert!(!tasks.submit(&Caller::anonymous(), message.clone()).await?.repeated);
    assert!(!tasks.submit(&Caller::anonymous(), message).await?.repeated);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_same_messages_at_once_one_makes_the_task() -> Tested {
    let tasks = engine(Config::default());
    let message = said("hello");
    let sends: Vec<_> = (0..10)
        .map(|_| {
            let (tasks, message) = (tasks.clone(), message.clone());
            tokio::spawn(async move { tasks.submit(&ann(), message).await })
        })
        .collect();
    let mut ids = Vec::new();
    let mut made = 0;
    for send in sends {
        let submitted = send.await??;
        made += usize::from(!submitted.repeated);
        ids.push(submitted.record.task.id.clone());
    }
    ids.dedup();
    assert_eq!((made, ids.len()), (1, 1));
    assert_eq!(tasks.scheduler().depth().await?.waiting, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_answers_at_once_one_continues_the_task() -> Tested {
    let tasks = engine(Config::default());
    let id = queued(&tasks, &ann()).await?;
    run_to(&tasks, &id, TaskState::InputRequired).await?;
    let sends: Vec<_> = (0..10)
        .map(|number| {
            let (tasks, message) = (tasks.clone(), said_to(&id, &format!("answer {number}")));
            tokio::spawn(async move { tasks.submit(&ann(), message).await })
        })
        .collect();
    let mut accepted = 0;
    for send in sends {
        match send.await? {
            Ok(_) => accepted += 1,
            Err(TaskError::Working) => {}
            Err(other) => return Err(other.into()),
        }
    }
    assert_eq!(accepted, 1);
    // What was asked, what the agent said, and the one answer.
    assert_eq!(tasks.get(&ann(), &id).await?.task.history.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_message_to_a_task_at_work_changes_nothing() -> Tested {
    let tasks = engine(Config::default());
    let id = queued(&tasks, &ann()).await?;
    let before = tasks.get(&ann(), &id).await?;
    assert!(matches!(tasks.submit(&ann(), said_to(&id, "x")).await, Err(TaskError::Working)));
    assert_eq!(tasks.get(&ann(), &id).await?, before);
    let run = begun(&tasks, &id).await?;
    assert!(matches!(tasks.submit(&ann(), said_to(&id, "x")).await, Err(TaskError::Working)));
    run.finish(outcome(TaskState::Completed, "done")).await?;
    let refused = tasks.submit(&ann(), said_to(&id, "x")).await;
    assert!(matches!(refused, Err(TaskError::Over(TaskState::Completed))));
    Ok(())
}

#[tokio::test]
async fn whoever_waits_is_told_of_the_end_and_of_a_question() -> Tested {
    let tasks = engine(Config::default());
    for state in [TaskState::Completed, TaskState::InputRequired, TaskState::Failed] {
        let waits = {
            let tasks = tasks.clone();
            tokio::spawn(async move { tasks.submit_and_wait(&ann(), said("hi"), LONG).await })
        };
        let job = within(tasks.scheduler().pull()).await?;
        run_to(&tasks, &job.job.task, state).await?;
        tasks.scheduler().ack(&job).await?;
        let submitted = within(waits).await??;
        assert_eq!(submitted.record.task.status.state, state);
    }
    Ok(())
}

#[tokio::test]
async fn whoever_waits_is_told_of_a_cancel() -> Tested {
    let tasks = engine(Config::default());
    let waits = {
        let tasks = tasks.clone();
        tokio::spawn(async move { tasks.submit_and_wait(&ann(), said("hi"), LONG).await })
    };
    let job = within(tasks.scheduler().pull()).await?;
    tasks.cancel(&ann(), &job.job.task).await?;
    let submitted = within(waits).await??;
    assert_eq!(submitted.record.task.status.state, TaskState::Canceled);
    Ok(())
}

#[tokio::test]
async fn whoever_waits_too_long_sees_the_task_as_it_is() -> Tested {
    let tasks = engine(Config::default());
    let patience = Duration::from_millis(1);
    let submitted = tasks.submit_and_wait(&ann(), said("hi"), patience).await?;
    assert_eq!(submitted.record.task.status.state, TaskState::Submitted);
    Ok(())
}

#[tokio::test]
async fn a_repeat_that_waits_is_answered_too() -> Tested {
    let tasks = engine(Config::default());
    let message = said("hi");
    let id = tasks.submit(&ann(), message.clone()).await?.record.task.id.clone();
    let waits = {
        let (tasks, message) = (tasks.clone(), message.clone());
        tokio::spawn(async move { tasks.submit_and_wait(&ann(), message, LONG).await })
    };
    run_to(&tasks, &id, TaskState::Completed).await?;
    let submitted = within(waits).await??;
    assert!(submitted.repeated);
    assert_eq!(submitted.record.task.status.state, TaskState::Completed);
    // And at once when it is over already.
    let late = within(tasks.submit_and_wait(&ann(), message, LONG)).await?;
    assert_eq!(late.record.task.status.state, TaskState::Completed);
    Ok(())
}

#[tokio::test]
async fn a_history_has_a_limit() -> Tested {
    let tasks = engine(Config { history_max_bytes: 10_000, ..Config::default() });
    let id = queued(&tasks, &ann()).await?;
    run_to(&tasks, &id, TaskState::InputRequired).await?;
    let before = tasks.get(&ann(), &id).await?;
    let refused = tasks.submit(&ann(), said_to(&id, &"x".repeat(10_000))).await;
    assert!(matches!(&refused, Err(TaskError::Invalid(why)) if why.contains("10000 bytes")));
    assert_eq!(tasks.get(&ann(), &id).await?, before);
    tasks.submit(&ann(), said_to(&id, "short")).await?;
    Ok(())
}

#[tokio::test]
async fn a_closing_engine_takes_no_message_but_ends_what_it_has() -> Tested {
    let tasks = engine(Config::default());
    let (running, waiting) = (queued(&tasks, &ann()).await?, queued(&tasks, &ann()).await?);
    run_to(&tasks, &waiting, TaskState::InputRequired).await?;
    let run = begun(&tasks, &running).await?;
    tasks.close();
    for message in [said("x"), said_to(&waiting, "x")] {
        let refused = tasks.submit(&ann(), message.clone()).await;
        assert!(matches!(refused, Err(TaskError::Closing)), "{refused:?}");
        let refused = tasks.submit_and_wait(&ann(), message.clone(), LONG).await;
        assert!(matches!(refused, Err(TaskError::Closing)), "{refused:?}");
        let refused = tasks.submit_and_follow(&ann(), message).await;
        assert!(matches!(refused, Err(TaskError::Closing)), "{refused:?}");
    }
    run.finish(outcome(TaskState::Completed, "done")).await?;
    tasks.cancel(&ann(), &waiting).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_queue_refuses_and_stores_nothing() -> Tested {
    let queue =
        bindu_scheduler::MemoryScheduler::new(bindu_scheduler::MemoryConfig { capacity: 2 });
    let store = Arc::new(bindu_storage::MemoryStore::default());
    let tasks = bindu_tasks::Tasks::builder(store, Arc::new(queue)).build();
    let (first, _) = (queued(&tasks, &ann()).await?, queued(&tasks, &ann()).await?);
    let context = "full".parse()?;
    let refused = tasks.submit(&ann(), said_in(&context, "x")).await;
    assert!(matches!(refused, Err(TaskError::Busy)), "{refused:?}");
    assert_eq!(tasks.list(&ann(), &bindu_protocol::ListParams::default()).await?.items.len(), 2);
    // A place that is free again is given away again.
    let job = within(tasks.scheduler().pull()).await?;
    assert_eq!(job.job.task, first);
    tasks.submit(&ann(), said("x")).await?;
    Ok(())
}

#[tokio::test]
async fn payment_notes_of_a_caller_are_dropped() -> Tested {
    let tasks = engine(Config::default());
    let mut message = said("hi");
    let notes = serde_json::json!({ "_payment_context": { "paid": true }, "mine": 1 });
    message.message.metadata = serde_json::from_value(notes)?;
    let record = tasks.submit(&ann(), message).await?.record;
    let kept = record.task.history[0].metadata.as_ref().expect("the rest is kept").to_map();
    assert_eq!(serde_json::Value::Object(kept), serde_json::json!({ "mine": 1 }));
    Ok(())
}
