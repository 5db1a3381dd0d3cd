//! What a handler keeps between turns, in the store of its tasks.

use std::error::Error;
use std::sync::Arc;

use bindu_agent::state::{State, StateError, conformance};
use bindu_agent::{HandlerError, Reply, Turn};
use bindu_protocol::{Caller, ContextId};
use bindu_scheduler::MemoryScheduler;
use bindu_storage::{MemoryConfig, MemoryStore};
use bindu_tasks::{TaskError, Tasks};
use bindu_worker::state;

use crate::support::{Bench, LONG, Tested, caller, engine, result, said, slots};

/// Says how many messages there were in the conversation, and in all.
async fn count(turn: Turn) -> Result<Reply, HandlerError> {
    let add = |seen: Option<u64>| seen.unwrap_or(0) + 1;
    let here = turn.state().update("messages", add).await?;
    let all = turn.state().of_agent().update("messages", add).await?;
    Ok(Reply::text(format!("{here} of {all}")))
}

/// Sends a message into a context, and reads the answer.
async fn ask(bench: &Bench, context: &ContextId) -> Result<String, TaskError> {
    let id = bench.send_in(context, "hello").await?;
    Ok(result(&bench.settled(&id).await?.task).to_owned())
}

/// The state of a new context.
async fn fresh(tasks: &Tasks) -> Result<(State, ContextId), TaskError> {
    let context = tasks.submit(&caller(), said("hello")).await?.record.task.context_id.clone();
    Ok((state::of(tasks.storage(), &context), context))
}

#[tokio::test(flavor = "multi_thread")]
async fn state_in_a_store_keeps_the_rules() -> Tested {
    let tasks = engine(bindu_tasks::Config::default());
    let ((one, _), (other, _)) = (fresh(&tasks).await?, fresh(&tasks).await?);
    conformance::run(&one, &other).await;
    Ok(())
}

#[tokio::test]
async fn a_handler_counts_the_messages_of_each_conversation() -> Tested {
    let bench = Bench::start(count, slots(1));
    let (one, other): (ContextId, ContextId) = ("one".parse()?, "other".parse()?);
    assert_eq!(ask(&bench, &one).await?, "1 of 1");
    assert_eq!(ask(&bench, &one).await?, "2 of 2");
    assert_eq!(ask(&bench, &other).await?, "1 of 3");
    assert_eq!(ask(&bench, &one).await?, "3 of 4");
    let seen = state::of(bench.tasks.storage(), &one);
    assert_eq!(seen.get("messages").await?, Some(3));
    Ok(())
}

#[tokio::test]
async fn the_state_of_a_conversation_is_its_owners_and_goes_with_it() -> Tested {
    let bench = Bench::start(count, slots(1));
    let context: ContextId = "talk".parse()?;
    assert_eq!(ask(&bench, &context).await?, "1 of 1");
    let mut message = said("hello");
    message.message.context_id = Some(context.clone());
    let stranger = Caller::named("did:bindu:bob:b:1");
    let refused = bench.tasks.submit(&stranger, message.clone()).await.unwrap_err();
    assert!(matches!(refused, TaskError::ContextNotFound), "{refused}");

    bench.tasks.clear_context(&caller(), &context).await?;
    let sent = bench.tasks.submit_and_wait(&stranger, message, LONG).await?;
    assert_eq!(sent.record.task.context_id, context);
    assert_eq!(result(&sent.record.task), "1 of 2");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_at_once_lose_no_change() -> Tested {
    let bench = Bench::start(count, slots(10));
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(bench.send("hello").await?);
    }
    let mut answers = Vec::new();
    for id in ids {
        answers.push(result(&bench.settled(&id).await?.task).to_owned());
    }
    let mut expected: Vec<String> = (1..=50).map(|number| format!("1 of {number}")).collect();
    answers.sort();
    expected.sort();
    assert_eq!(answers, expected);
    Ok(())
}

#[tokio::test]
async fn nothing_is_kept_for_a_conversation_that_is_not_there() -> Tested {
    let tasks = engine(bindu_tasks::Config::default());
    let gone = state::of(tasks.storage(), &"gone".parse()?);
    assert_eq!(gone.get::<u8>("k").await?, None);
    let refused = gone.set("k", &1).await.unwrap_err();
    assert!(matches!(refused, StateError::Gone), "{refused}");
    gone.of_agent().set("k", &1).await?;
    Ok(())
}

#[tokio::test]
async fn a_store_full_of_other_things_is_told_from_a_full_state() -> Tested {
    let store = MemoryStore::new(MemoryConfig { max_bytes: 20_000, ..MemoryConfig::default() });
    let tasks = Tasks::builder(Arc::new(store), Arc::new(MemoryScheduler::default())).build();
    let (state, _) = fresh(&tasks).await?;
    let refused = state.set("k", &"x".repeat(30_000)).await.unwrap_err();
    assert!(matches!(refused, StateError::Backend { .. }), "{refused}");
    let source = refused.source().expect("the store says why").to_string();
    assert_eq!(source, "the store is full: it keeps at most 20000 bytes");
    Ok(())
}
