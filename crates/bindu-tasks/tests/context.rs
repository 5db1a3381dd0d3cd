//! Contexts: what a handler sees of them, and how they end.

use bindu_protocol::{ContextId, ListParams, TaskId, TaskState};
use bindu_tasks::{Config, TaskError, Tasks};

use crate::support::{
    Tested, ann, begun, bob, engine, outcome, run_to, said, said_in, said_to, texts,
};

/// A finished task of ann's in a context.
async fn earlier(tasks: &Tasks, context: &ContextId, text: &str) -> Result<TaskId, TaskError> {
    let id = tasks.submit(&ann(), said_in(context, text)).await?.record.task.id.clone();
    begun(tasks, &id).await?.finish(outcome(TaskState::Completed, &format!("re {text}"))).await?;
    Ok(id)
}

fn remembering(max_earlier_tasks: usize) -> Tasks {
    engine(Config { context_history: true, max_earlier_tasks, ..Config::default() })
}

#[tokio::test]
async fn a_handler_sees_the_newest_earlier_tasks_oldest_first() -> Tested {
    let tasks = remembering(2);
    let context: ContextId = "talk".parse()?;
    for text in ["one", "two", "three"] {
        earlier(&tasks, &context, text).await?;
    }
    let record = tasks.submit(&ann(), said_in(&context, "four")).await?.record;
    let seen = tasks.conversation(&record).await?;
    assert_eq!(texts(&seen.earlier), ["two", "re two", "three", "re three"]);
    assert!(seen.references.is_empty());
    Ok(())
}

#[tokio::test]
async fn without_memory_a_handler_sees_its_own_task_only() -> Tested {
    for tasks in [engine(Config::default()), remembering(0)] {
        let context: ContextId = "talk".parse()?;
        earlier(&tasks, &context, "one").await?;
        let record = tasks.submit(&ann(), said_in(&context, "two")).await?.record;
        assert!(tasks.conversation(&record).await?.earlier.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn references_come_in_their_order_once_and_only_if_they_are_the_callers() -> Tested {
    let tasks = remembering(10);
    let context: ContextId = "talk".parse()?;
    let (one, two) =
        (earlier(&tasks, &context, "one").await?, earlier(&tasks, &context, "two").await?);
    let foreign = tasks.submit(&bob(), said("secret")).await?.record.task.id.clone();
    let mut message = said("three");
    message.message.reference_task_ids =
        vec![two.clone(), foreign, "no-such-task".parse()?, two.clone()];
    let id = tasks.submit(&ann(), message).await?.record.task.id.clone();
    run_to(&tasks, &id, TaskState::InputRequired).await?;
    // Those of later messages count too; the task itself does not.
    let mut message = said_to(&id, "four");
    message.message.reference_task_ids = vec![one.clone(), id.clone()];
    let record = tasks.submit(&ann(), message).await?.record;
    let seen = tasks.conversation(&record).await?;
    let ids: Vec<_> = seen.references.iter().map(|task| task.id.clone()).collect();
    assert_eq!(ids, [two, one]);
    assert_eq!(texts(&seen.earlier), ["two", "re two", "one", "re one"]);
    assert_eq!(seen.references[0].artifacts.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_context_belongs_to_whoever_began_it() -> Tested {
    let tasks = engine(Config::default());
    let context: ContextId = "talk".parse()?;
    earlier(&tasks, &context, "one").await?;
    let refused = tasks.submit(&bob(), said_in(&context, "mine now")).await;
    assert!(matches!(refused, Err(TaskError::ContextNotFound)), "{refused:?}");
    let refused = tasks.clear_context(&bob(), &context).await;
    assert!(matches!(refused, Err(TaskError::ContextNotFound)), "{refused:?}");
    assert!(tasks.list(&bob(), &ListParams::default()).await?.items.is_empty());
    assert!(tasks.contexts(&bob(), &ListParams::default()).await?.items.is_empty());
    assert_eq!(tasks.contexts(&ann(), &ListParams::default()).await?.items.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_context_with_work_in_it_is_not_cleared() -> Tested {
    let tasks = engine(Config::default());
    let context: ContextId = "talk".parse()?;
    let done = earlier(&tasks, &context, "one").await?;
    let id = tasks.submit(&ann(), said_in(&context, "two")).await?.record.task.id.clone();
    let refused = tasks.clear_context(&ann(), &context).await;
    assert!(matches!(refused, Err(TaskError::ContextBusy)), "{refused:?}");
    let run = begun(&tasks, &id).await?;
    let refused = tasks.clear_context(&ann(), &context).await;
    assert!(matches!(refused, Err(TaskError::ContextBusy)), "{refused:?}");
    tasks.get(&ann(), &done).await?;
    run.finish(outcome(TaskState::Completed, "done")).await?;

    tasks.clear_context(&ann(), &context).await?;
    for id in [&done, &id] {
        assert!(matches!(tasks.get(&ann(), id).await, Err(TaskError::NotFound)));
    }
    let again = tasks.clear_context(&ann(), &context).await;
    assert!(matches!(again, Err(TaskError::ContextNotFound)), "{again:?}");
    // The id is free, for anybody.
    tasks.submit(&bob(), said_in(&context, "mine now")).await?;
    Ok(())
}
