//! What payments need of the engine: looking first, waiting, stopping, remarks.

use bindu_protocol::{JsonObject, Part, TaskState, payment};
use bindu_tasks::{Begun, Config, Only, Preview, TaskError, Wait};

use crate::support::{Tested, ann, bob, engine, outcome, rest, run_to, said, said_in, said_to};

fn waiting() -> Wait {
    Wait {
        state: TaskState::PaymentRequired,
        parts: vec![Part::text("first the money")],
        remarks: Some(JsonObject::empty().with(payment::STATUS, payment::status::REQUIRED)),
    }
}

fn paid() -> JsonObject {
    JsonObject::empty().with(payment::STATUS, payment::status::COMPLETED)
}

#[tokio::test]
async fn a_preview_says_what_a_message_would_do_and_stores_nothing() -> Tested {
    let tasks = engine(Config::default());
    let first = said("one");
    assert!(matches!(tasks.preview(&ann(), &first).await?, Preview::Begins));
    assert!(tasks.list(&ann(), &bindu_protocol::ListParams::default()).await?.items.is_empty());

    let made = tasks.submit(&ann(), first.clone()).await?.record;
    let mut again = first;
    again.message.task_id = Some(made.task.id.clone());
    let preview = tasks.preview(&ann(), &again).await?;
    assert!(matches!(preview, Preview::Repeats(record) if record.task.id == made.task.id));
    let other = said_to(&made.task.id, "two");
    assert!(matches!(tasks.preview(&ann(), &other).await, Err(TaskError::Working)));
    assert!(matches!(tasks.preview(&bob(), &other).await, Err(TaskError::NotFound)));
    let intruder = said_in(&made.task.context_id, "mine?");
    let refused = tasks.preview(&bob(), &intruder).await;
    assert!(matches!(refused, Err(TaskError::ContextNotFound)), "{refused:?}");

    run_to(&tasks, &made.task.id, TaskState::InputRequired).await?;
    let preview = tasks.preview(&ann(), &other).await?;
    assert!(matches!(preview, Preview::Continues(record) if record.task.id == made.task.id));
    Ok(())
}

#[tokio::test]
async fn a_task_that_begins_by_waiting_is_run_when_its_next_message_comes() -> Tested {
    let tasks = engine(Config::default());
    let mut first = said("work");
    first.wait = Some(waiting());
    let mut follow = tasks.submit_and_follow(&ann(), first).await?;
    let id = follow.record().task.id.clone();
    // Nobody is asked to run it, and whoever follows is not kept waiting.
    assert_eq!(rest(&mut follow).await?.len(), 1);
    assert!(matches!(tasks.begin(&id).await?, Begun::Nothing));
    let task = tasks.get(&ann(), &id).await?.task.clone();
    assert_eq!(task.status.state, TaskState::PaymentRequired);
    let says = task.status.message.as_ref().expect("it says why");
    let status = says.metadata.as_ref().and_then(|remarks| remarks.get(payment::STATUS));
    assert_eq!(status, Some("payment-required".into()));

    let mut second = said_to(&id, "here it is");
    second.metadata = Some(paid());
    let task = tasks.submit(&ann(), second).await?.record.task.clone();
    assert_eq!(task.status.state, TaskState::Submitted);
    assert_eq!(
        task.metadata.as_ref().and_then(|all| all.get(payment::STATUS)),
        Some("payment-completed".into())
    );
    let done = run_to(&tasks, &id, TaskState::Completed).await?;
    assert_eq!(done.task.status.state, TaskState::Completed);
    Ok(())
}

#[tokio::test]
async fn a_message_may_leave_a_task_waiting() -> Tested {
    let tasks = engine(Config::default());
    let mut first = said("work");
    first.wait = Some(waiting());
    let id = tasks.submit(&ann(), first).await?.record.task.id.clone();
    let mut second = said_to(&id, "a bad coin");
    second.wait = Some(waiting());
    let patience = crate::support::LONG;
    let record = tasks.submit_and_wait(&ann(), second, patience).await?.record;
    assert_eq!(record.task.status.state, TaskState::PaymentRequired);
    // Two messages of the caller, two answers of the agent.
    assert_eq!(record.task.history.len(), 4);
    assert!(matches!(tasks.begin(&id).await?, Begun::Nothing));
    Ok(())
}

#[tokio::test]
async fn only_a_task_that_waits_for_its_run_is_stopped() -> Tested {
    let tasks = engine(Config::default());
    let id = tasks.submit(&ann(), said("work")).await?.record.task.id.clone();
    let mut back = outcome(TaskState::PaymentRequired, "it bounced");
    back.metadata = Some(JsonObject::empty().with(payment::STATUS, payment::status::FAILED));
    assert!(tasks.stop(&id, &back).await?);
    assert!(!tasks.stop(&id, &back).await?, "it waits for its caller now");
    tasks.submit(&ann(), said_to(&id, "again")).await?;
    let failed = outcome(TaskState::Failed, "no money");
    assert!(tasks.stop(&id, &failed).await?);
    let task = tasks.get(&ann(), &id).await?.task.clone();
    assert_eq!(task.status.state, TaskState::Failed);
    assert!(!tasks.stop(&id, &failed).await?, "it is over");
    let gone = "gone".parse()?;
    assert!(!tasks.stop(&gone, &failed).await?);
    Ok(())
}

#[tokio::test]
async fn a_paid_task_that_ends_without_its_work_says_so() -> Tested {
    for (state, said_after) in [
        (TaskState::Completed, "payment-completed"),
        (TaskState::Failed, "payment-orphaned"),
        (TaskState::Rejected, "payment-orphaned"),
    ] {
        let tasks = engine(Config::default());
        let id = tasks.submit(&ann(), said("work")).await?.record.task.id.clone();
        let Begun::Run(run) = tasks.begin_with(&id, Some(&paid())).await? else {
            panic!("nobody else runs it")
        };
        let record = run.finish(outcome(state, "done")).await?;
        let status = record.task.metadata.as_ref().and_then(|all| all.get(payment::STATUS));
        assert_eq!(status, Some(said_after.into()), "{state}");
    }
    let tasks = engine(Config::default());
    let id = tasks.submit(&ann(), said("work")).await?.record.task.id.clone();
    let Begun::Run(_run) = tasks.begin_with(&id, Some(&paid())).await? else {
        panic!("nobody else runs it")
    };
    assert!(!tasks.remark(&id, &paid()).await?, "a run writes it");
    let canceled = tasks.cancel(&ann(), &id).await?;
    let status = canceled.task.metadata.as_ref().and_then(|all| all.get(payment::STATUS));
    assert_eq!(status, Some("payment-orphaned".into()));
    assert!(tasks.remark(&id, &JsonObject::empty().with("x402_nonce", "0x1")).await?);
    let record = tasks.get(&ann(), &id).await?;
    assert_eq!(
        record.task.metadata.as_ref().and_then(|all| all.get("x402_nonce")),
        Some("0x1".into())
    );
    Ok(())
}

#[tokio::test]
async fn what_a_caller_says_of_its_own_payment_reaches_nobody() -> Tested {
    let tasks = engine(Config::default());
    let mut message = said("hi");
    let notes = r#"{"x402.payment.payload": {"a": 1}, "x402\u002epayment.required": {"accepts": []},
        "\u0078402.payment.status": "payment-completed", "_payment\u005fcontext": 1, "mine": 1}"#;
    message.message.metadata = serde_json::from_str(notes)?;
    let record = tasks.submit(&ann(), message).await?.record;
    let kept = record.task.history[0].metadata.as_ref().expect("the rest is kept").to_map();
    assert_eq!(serde_json::Value::Object(kept), serde_json::json!({ "mine": 1 }));
    assert_eq!(record.task.metadata, None);
    Ok(())
}

#[tokio::test]
async fn what_was_decided_by_a_preview_holds_for_no_other_task() -> Tested {
    let tasks = engine(Config::default());
    let id = "named".parse()?;
    let named = |text: &str| {
        let mut submission = said_to(&id, text);
        submission.may_name_task = true;
        submission
    };
    let mut first = named("one");
    first.wait = Some(waiting());
    let record = tasks.submit(&ann(), first.clone()).await?.record;
    let repeat = tasks.preview(&ann(), &first).await?;
    let mut other = named("two");
    other.only = Some(tasks.preview(&ann(), &other).await?.only());
    assert_eq!(other.only, Some(Only::Continue(record.version)));

    // It goes, and neither of them makes it anew.
    tasks.clear_context(&ann(), &record.task.context_id).await?;
    first.only = Some(repeat.only());
    first.wait = None;
    for gone in [first, other.clone()] {
        let refused = tasks.submit(&ann(), gone).await;
        assert!(matches!(refused, Err(TaskError::Busy)), "{refused:?}");
    }
    // Another of the same id is not meant either.
    run_to(
        &tasks,
        &{
            let again = named("three");
            tasks.submit(&ann(), again).await?.record.task.id.clone()
        },
        TaskState::InputRequired,
    )
    .await?;
    let refused = tasks.submit(&ann(), other).await;
    assert!(matches!(refused, Err(TaskError::Busy)), "{refused:?}");
    let mut begin = named("four");
    begin.only = Some(Only::Begin);
    let refused = tasks.submit(&ann(), begin).await;
    assert!(matches!(refused, Err(TaskError::Busy)), "{refused:?}");
    Ok(())
}
