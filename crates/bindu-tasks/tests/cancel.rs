//! Cancels, completions and who wins.

use bindu_protocol::{Part, TaskState};
use bindu_tasks::{Begun, Config, TaskError};

use crate::support::{Tested, ann, begun, bob, engine, outcome, queued, run_to, said, within};

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_cancels_exactly_one_wins() -> Tested {
    let tasks = engine(Config::default());
    for round in 0..20 {
        let id = queued(&tasks, &ann()).await?;
        let run = if round % 2 == 0 { Some(begun(&tasks, &id).await?) } else { None };
        let cancels = (0..10).map(|_| {
            let (tasks, id) = (tasks.clone(), id.clone());
            tokio::spawn(async move { tasks.cancel(&ann(), &id).await })
        });
        let cancels: Vec<_> = cancels.collect();
        let mut won = 0;
        for cancel in cancels {
            match cancel.await? {
                Ok(record) => {
                    assert_eq!(record.task.status.state, TaskState::Canceled);
                    won += 1;
                }
                Err(TaskError::NotCancelable(TaskState::Canceled)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        assert_eq!(won, 1);
        if let Some(run) = run {
            within(run.cancellation().cancelled()).await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_cancel_and_a_completion_one_counts_and_the_other_is_told() -> Tested {
    let tasks = engine(Config::default());
    for _ in 0..200 {
        let id = queued(&tasks, &ann()).await?;
        let run = begun(&tasks, &id).await?;
        let finish = tokio::spawn(run.finish(outcome(TaskState::Completed, "done")));
        let cancel = {
            let (tasks, id) = (tasks.clone(), id.clone());
            tokio::spawn(async move { tasks.cancel(&ann(), &id).await })
        };
        let (finished, canceled_it) = (finish.await?, cancel.await?);
        let record = tasks.get(&ann(), &id).await?;
        match (finished, canceled_it) {
            (Ok(_), Err(TaskError::NotCancelable(TaskState::Completed))) => {
                assert_eq!(record.task.status.state, TaskState::Completed);
                assert_eq!((record.task.artifacts.len(), record.task.history.len()), (1, 2));
            }
            (Err(TaskError::RunLost), Ok(_)) => {
                assert_eq!(record.task.status.state, TaskState::Canceled);
                // Nothing of the outcome is there.
                assert_eq!((record.task.artifacts.len(), record.task.history.len()), (0, 1));
            }
            other => panic!("both won or both lost: {other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_run_that_was_canceled_can_write_nothing() -> Tested {
    let tasks = engine(Config::default());
    let id = queued(&tasks, &ann()).await?;
    let mut run = begun(&tasks, &id).await?;
    run.chunks(vec![vec![Part::text("a")]]).await?;
    let canceled = tasks.cancel(&ann(), &id).await?;
    assert!(run.cancellation().is_cancelled());
    assert!(matches!(run.renew().await, Err(TaskError::RunLost)));
    let late = run.chunks(vec![vec![Part::text("b")]]).await;
    assert!(matches!(late, Err(TaskError::RunLost)), "{late:?}");
    let late = run.finish(outcome(TaskState::Completed, "done")).await;
    assert!(matches!(late, Err(TaskError::RunLost)), "{late:?}");
    assert_eq!(tasks.get(&ann(), &id).await?, canceled);
    Ok(())
}

#[tokio::test]
async fn a_task_that_was_canceled_in_the_queue_is_never_run() -> Tested {
    let tasks = engine(Config::default());
    let id = queued(&tasks, &ann()).await?;
    tasks.cancel(&ann(), &id).await?;
    assert!(matches!(tasks.begin(&id).await?, Begun::Nothing));
    Ok(())
}

#[tokio::test]
async fn of_two_workers_one_gets_the_task() -> Tested {
    let tasks = engine(Config::default());
    let id = queued(&tasks, &ann()).await?;
    let run = begun(&tasks, &id).await?;
    assert!(matches!(tasks.begin(&id).await?, Begun::Nothing));
    run.finish(outcome(TaskState::Completed, "done")).await?;
    assert!(matches!(tasks.begin(&id).await?, Begun::Nothing));
    Ok(())
}

#[tokio::test]
async fn a_task_that_is_over_stays_as_it_is() -> Tested {
    let tasks = engine(Config::default());
    for state in [TaskState::Completed, TaskState::Failed, TaskState::Rejected] {
        let id = queued(&tasks, &ann()).await?;
        let over = run_to(&tasks, &id, state).await?;
        let refused = tasks.cancel(&ann(), &id).await;
        assert!(matches!(refused, Err(TaskError::NotCancelable(found)) if found == state));
        assert_eq!(tasks.get(&ann(), &id).await?, over);
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_task_reads_as_one_that_is_not_there() -> Tested {
    let tasks = engine(Config::default());
    let id = queued(&tasks, &ann()).await?;
    let none = "no-such-task".parse()?;
    for id in [&id, &none] {
        assert!(matches!(tasks.get(&bob(), id).await, Err(TaskError::NotFound)));
        assert!(matches!(tasks.cancel(&bob(), id).await, Err(TaskError::NotFound)));
        assert!(matches!(tasks.follow(&bob(), id, None).await, Err(TaskError::NotFound)));
        let mut message = said("mine now");
        message.message.task_id = Some(id.clone());
        assert!(matches!(tasks.submit(&bob(), message).await, Err(TaskError::NotFound)));
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_run_is_taken_over_and_given_up_in_the_end() -> Tested {
    // A lease that ends at once: each run is lost as soon as it has begun.
    let tasks =
        engine(Config { lease: std::time::Duration::ZERO, max_attempts: 3, ..Config::default() });
    let id = queued(&tasks, &ann()).await?;
    let mut first = begun(&tasks, &id).await?;
    for _ in 1..3 {
        begun(&tasks, &id).await?;
    }
    let late = first.chunks(vec![vec![Part::text("late")]]).await;
    assert!(matches!(late, Err(TaskError::RunLost)), "{late:?}");
    assert!(matches!(tasks.begin(&id).await?, Begun::GivenUp(_)), "three runs are enough");
    let record = tasks.get(&ann(), &id).await?;
    assert_eq!(record.task.status.state, TaskState::Failed);
    assert!(record.task.history.last().unwrap().text().contains("worker lost"));
    Ok(())
}
