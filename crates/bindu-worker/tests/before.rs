//! What is asked before a run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bindu_agent::{HandlerError, Reply, Turn};
use bindu_protocol::{JsonObject, Part, TaskId, TaskState, payment};
use bindu_storage::{BoxError, BoxFuture, Record};
use bindu_tasks::Outcome;
use bindu_worker::{BeforeRun, Config, Ready};

use crate::support::{Bench, LONG, Tested};

/// Answers as it is told, and notes who was asked about.
#[derive(Debug)]
struct Hook {
    answer: fn(usize) -> Result<Ready, BoxError>,
    asked: AtomicUsize,
    ended: Mutex<Vec<TaskId>>,
}

impl Hook {
    fn new(answer: fn(usize) -> Result<Ready, BoxError>) -> Arc<Self> {
        Arc::new(Self { answer, asked: AtomicUsize::new(0), ended: Mutex::default() })
    }
}

impl BeforeRun for Hook {
    fn before<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Ready, BoxError>> {
        assert_eq!(record.task.status.state, TaskState::Submitted);
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { (self.answer)(number) })
    }

    fn after<'a>(&'a self, task: &'a TaskId, _: Option<&'a Record>) -> BoxFuture<'a, ()> {
        self.ended.lock().expect("nobody panics with it").push(task.clone());
        Box::pin(async {})
    }
}

fn bench(hook: &Arc<Hook>) -> Bench {
    let echo = async |turn: Turn| match &*turn.text() {
        "boom" => Err(HandlerError::from("boom")),
        text => Ok(Reply::text(text)),
    };
    let before_run = Some(Arc::clone(hook) as Arc<dyn BeforeRun>);
    Bench::start(echo, Config { before_run, ..Config::default() })
}

fn receipts() -> JsonObject {
    let paid = JsonObject::empty().with(payment::STATUS, payment::status::COMPLETED);
    paid.with(payment::RECEIPTS, serde_json::json!([{"success": true}]))
}

#[tokio::test]
async fn what_a_hook_writes_is_on_the_task_and_on_what_comes_out() -> Tested {
    let go = |_| Ok(Ready::Run { metadata: Some(receipts()), marks: Some(receipts()) });
    let hook = Hook::new(go);
    let bench = bench(&hook);
    let task = bench.ask("hello").await?;
    assert_eq!(task.metadata, Some(receipts()));
    assert_eq!(task.artifacts[0].metadata, Some(receipts()));
    assert_eq!(task.history[1].metadata, Some(receipts()));

    let task = bench.ask("boom").await?;
    assert_eq!(task.status.state, TaskState::Failed);
    let orphaned = receipts().with(payment::STATUS, payment::status::ORPHANED);
    assert_eq!(task.metadata.as_ref().map(JsonObject::to_map), Some(orphaned.to_map()));
    let says = task.status.message.as_ref().expect("a failure says why");
    assert_eq!(says.metadata.as_ref().map(JsonObject::to_map), Some(orphaned.to_map()));
    bench.worker.drain(LONG).await;
    assert_eq!(hook.ended.lock().expect("nobody panics with it").len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_task_that_is_stopped_is_never_worked_on() -> Tested {
    let stop = |_| {
        let outcome = Outcome {
            state: TaskState::Failed,
            message: Some(vec![Part::text("no money")]),
            remarks: None,
            artifacts: Vec::new(),
            metadata: None,
        };
        Ok(Ready::Stop(Box::new(outcome)))
    };
    let bench = bench(&Hook::new(stop));
    let task = bench.ask("hello").await?;
    assert_eq!(task.status.state, TaskState::Failed);
    assert_eq!(task.history.last().expect("the word of the agent").text(), "no money");
    let log = bench.tasks.storage().events(&task.id, 0, 10).await?;
    assert!(!format!("{log:?}").contains("Working"), "{log:?}");
    Ok(())
}

#[tokio::test]
async fn a_hook_that_cannot_say_is_asked_again() -> Tested {
    let second = |number| match number {
        0 => Err("not now".into()),
        _ => Ok(Ready::Run { metadata: None, marks: None }),
    };
    let hook = Hook::new(second);
    let task = bench(&hook).ask("hello").await?;
    assert_eq!(task.status.state, TaskState::Completed);
    assert_eq!(hook.asked.load(Ordering::SeqCst), 2);
    Ok(())
}

#[tokio::test]
async fn a_task_for_later_stays_until_it_is_queued_again() -> Tested {
    let second = |number| match number {
        0 => Ok(Ready::Later),
        _ => Ok(Ready::Run { metadata: None, marks: None }),
    };
    let hook = Hook::new(second);
    let bench = bench(&hook);
    let id = bench.send("hello").await?;
    let begun = std::time::Instant::now();
    while hook.asked.load(Ordering::SeqCst) == 0 {
        assert!(begun.elapsed() < LONG);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.get(&id).await?.task.status.state, TaskState::Submitted);
    bench.tasks.requeue(&id).await?;
    assert_eq!(bench.settled(&id).await?.task.status.state, TaskState::Completed);
    Ok(())
}

/// Never answers.
#[derive(Debug)]
struct Stuck;

impl BeforeRun for Stuck {
    fn before<'a>(&'a self, _: &'a Record) -> BoxFuture<'a, Result<Ready, BoxError>> {
        Box::pin(std::future::pending())
    }

    fn after<'a>(&'a self, _: &'a TaskId, _: Option<&'a Record>) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

#[tokio::test]
async fn a_hook_that_never_answers_does_not_keep_the_worker_from_ending() -> Tested {
    let config = Config { before_run: Some(Arc::new(Stuck)), ..Config::default() };
    let bench = Bench::start(async |_: Turn| Ok(Reply::text("")), config);
    bench.send("hello").await?;
    crate::support::within(bench.worker.drain(Duration::from_millis(20))).await;
    Ok(())
}
