//! One run: what becomes of each kind of answer, of panics, time-outs and cancels.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bindu_agent::{Reply, Turn, blocking};
use bindu_protocol::{Part, Role, TaskState};
use bindu_worker::Config;
use tokio::sync::Notify;

use crate::support::{
    Bench, LONG, Tested, caller, engine, identity, last_word, reason, result, said, slots, within,
};

#[tokio::test]
async fn an_answer_is_the_artifact_and_in_the_history() -> Tested {
    let shout = async |turn: Turn| Ok(Reply::text(turn.text().to_uppercase()));
    let bench = Bench::start(shout, slots(1));
    let task = bench.ask("hello").await?;
    assert_eq!(task.status.state, TaskState::Completed);
    assert_eq!((result(&task), last_word(&task).as_str()), ("HELLO", "HELLO"));
    assert!(task.status.message.is_none());
    Ok(())
}

#[tokio::test]
async fn a_question_waits_for_its_answer() -> Tested {
    let paint = async |turn: Turn| {
        Ok(match turn.text().strip_prefix("colour: ") {
            Some(colour) => Reply::text(format!("painted {colour}, {}", turn.messages().len())),
            None => Reply::input_required("Which colour?"),
        })
    };
    let bench = Bench::start(paint, slots(1));
    let asked = bench.ask("paint it").await?;
    assert_eq!(asked.status.state, TaskState::InputRequired);
    assert_eq!(asked.status.message.as_ref().unwrap().text(), "Which colour?");
    assert!(asked.artifacts.is_empty());
    let mut answer = said("colour: red");
    answer.message.task_id = Some(asked.id.clone());
    let done = bench.settle(answer).await?;
    assert_eq!(result(&done), "painted red, 3");
    Ok(())
}

#[tokio::test]
async fn refusals_and_errors_are_told() -> Tested {
    let handler = async |turn: Turn| match &*turn.text() {
        "reject" => Ok(Reply::rejected("not my trade")),
        "fail" => Ok(Reply::failed("no luck")),
        _ => Err("boom".into()),
    };
    let bench = Bench::start(handler, slots(1));
    let rejected = bench.ask("reject").await?;
    assert_eq!(rejected.status.state, TaskState::Rejected);
    assert_eq!(last_word(&rejected), "not my trade");
    assert_eq!(reason(&*bench.ask("fail").await?), "no luck");
    assert_eq!(reason(&*bench.ask("error").await?), "Task execution failed: boom");

    let silent = Config { redact_errors: true, ..slots(1) };
    let bench = Bench::start(handler, silent);
    assert!(!reason(&*bench.ask("error").await?).contains("boom"));
    Ok(())
}

#[tokio::test]
async fn a_panic_fails_its_own_task_only() -> Tested {
    let handler = async |turn: Turn| {
        assert!(turn.text() != "panic", "secret of the house");
        Ok(Reply::text("fine"))
    };
    let bench = Bench::start(handler, slots(1));
    for _ in 0..3 {
        let task = bench.ask("panic").await?;
        assert_eq!(reason(&task), "Task execution failed: the handler panicked");
        assert_eq!(result(&*bench.ask("hello").await?), "fine");
    }
    assert!(bench.worker.is_alive());
    Ok(())
}

#[tokio::test]
async fn a_panic_in_a_blocking_handler_fails_its_own_task_only() -> Tested {
    let handler = blocking(|turn: Turn| {
        assert!(turn.text() != "panic");
        Ok(Reply::text("fine"))
    });
    let bench = Bench::start(handler, slots(1));
    assert_eq!(reason(&*bench.ask("panic").await?), "Task execution failed: the handler panicked");
    assert_eq!(result(&*bench.ask("hello").await?), "fine");
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_blocking_handler_leaves_the_io_thread_alone() -> Tested {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let handler = blocking(move |turn: Turn| {
        if turn.text() == "block" {
            gone.lock().unwrap().recv_timeout(LONG)?;
        }
        Ok(Reply::text("done"))
    });
    let bench = Bench::start(handler, slots(4));
    let blocked = bench.send("block").await?;
    bench.until(&blocked, |record| record.task.status.state == TaskState::Working).await?;
    // The one thread there is goes on answering and running others.
    assert_eq!(result(&*bench.ask("other").await?), "done");
    assert_eq!(bench.get(&blocked).await?.task.status.state, TaskState::Working);
    go.send(())?;
    assert_eq!(result(&bench.settled(&blocked).await?.task), "done");
    Ok(())
}

/// Tells when it is dropped.
struct Alarm(Arc<Notify>);

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_drops_an_async_handler() -> Tested {
    let dropped = Arc::new(Notify::new());
    let alarm = Arc::clone(&dropped);
    let handler = move |_: Turn| {
        let alarm = Alarm(Arc::clone(&alarm));
        async move {
            let _alarm = alarm;
            std::future::pending().await
        }
    };
    let bench = Bench::start(handler, slots(1));
    let id = bench.send("wait").await?;
    bench.until(&id, |record| record.task.status.state == TaskState::Working).await?;
    let begun = Instant::now();
    let canceled = bench.tasks.cancel(&caller(), &id).await?;
    assert_eq!(canceled.task.status.state, TaskState::Canceled);
    within(dropped.notified()).await;
    // A tenth of a second on a quiet machine; this one may be busy.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // The slot is free again, and nothing came after the cancel.
    within(async {
        while bench.worker.busy() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(bench.get(&id).await?, canceled);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_canceled_blocking_handler_returns_is_thrown_away() -> Tested {
    let (tell, told) = mpsc::channel();
    let handler = blocking(move |turn: Turn| {
        tell.send("begun")?;
        let begun = Instant::now();
        while !turn.is_cancelled() && begun.elapsed() < LONG {
            std::thread::yield_now();
        }
        tell.send(if turn.is_cancelled() { "signalled" } else { "left alone" })?;
        Ok(Reply::text("too late"))
    });
    let bench = Bench::start(handler, slots(1));
    let id = bench.send("work").await?;
    let told =
        tokio::task::spawn_blocking(move || told.recv_timeout(LONG).map(|word| (word, told)));
    let (word, told) = told.await??;
    assert_eq!(word, "begun");
    let canceled = bench.tasks.cancel(&caller(), &id).await?;
    let word = tokio::task::spawn_blocking(move || told.recv_timeout(LONG)).await??;
    assert_eq!(word, "signalled");
    // The slot is free before the thread is; nothing comes of what it returns.
    within(async {
        while bench.worker.busy() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(bench.get(&id).await?, canceled);
    Ok(())
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_stopped() -> Tested {
    let config = Config { task_timeout: Some(Duration::from_millis(20)), ..slots(1) };
    let handler = async |turn: Turn| match &*turn.text() {
        "wait" => std::future::pending().await,
        _ => Ok(Reply::text("in time")),
    };
    let bench = Bench::start(handler, config);
    let task = bench.ask("wait").await?;
    assert_eq!(reason(&task), "Task execution failed: the handler took longer than it may");
    assert_eq!(result(&*bench.ask("hello").await?), "in time");
    Ok(())
}

#[tokio::test]
async fn a_text_without_end_marks_is_stored_and_signed_alike() -> Tested {
    let bench = Bench::start(async |_: Turn| Ok(Reply::text("a\0b")), slots(1));
    let done = bench.ask("x").await?;
    // Not every store has a place for U+0000.
    assert_eq!(result(&done), "a\u{fffd}b");
    Ok(())
}

#[tokio::test]
async fn a_long_handler_keeps_its_lease() -> Tested {
    let go = Arc::new(Notify::new());
    let hold = Arc::clone(&go);
    let handler = move |_: Turn| {
        let hold = Arc::clone(&hold);
        async move {
            hold.notified().await;
            Ok(Reply::text("done"))
        }
    };
    let lease = Duration::from_secs(2);
    let tasks = engine(bindu_tasks::Config { lease, ..bindu_tasks::Config::default() });
    let beats = Config { heartbeat: Duration::from_millis(5), ..slots(1) };
    let bench = Bench::over(tasks, handler, beats);
    let id = bench.send("x").await?;
    let first = bench.until(&id, |record| record.lease.is_some()).await?.lease;
    bench
        .until(&id, |record| record.lease.map(|lease| lease.until) > first.map(|lease| lease.until))
        .await?;
    // Nobody else gets it meanwhile.
    assert!(matches!(bench.tasks.begin(&id).await?, bindu_tasks::Begun::Nothing));
    go.notify_one();
    let done = bench.settled(&id).await?;
    assert_eq!((result(&done.task), done.attempts, done.lease), ("done", 1, None));
    Ok(())
}

#[tokio::test]
async fn a_handler_sees_instructions_first_and_its_own_message_last() -> Tested {
    let handler = async |turn: Turn| {
        let line = |message: &Arc<bindu_protocol::Message>| {
            format!("{}:{}", message.role.as_str(), message.text())
        };
        Ok(Reply::text(turn.messages().iter().map(line).collect::<Vec<_>>().join("|")))
    };
    let says = bindu_protocol::Message::new(Role::System, vec![Part::text("be kind")]);
    let config = Config { instructions: Some(Arc::new(says)), ..slots(1) };
    let bench = Bench::start(handler, config);
    assert_eq!(result(&*bench.ask("hello").await?), "system:be kind|user:hello");
    Ok(())
}

#[tokio::test]
async fn every_part_of_an_artifact_is_signed() -> Tested {
    let handler = async |_: Turn| {
        let parts = vec![Part::text("text"), Part::data(serde_json::json!({ "n": 1 }))];
        Ok(Reply::parts(parts).with_artifact("more", vec![Part::text("")]))
    };
    let identity = identity()?;
    let key = identity.key().public_key();
    let bench = Bench::signing(handler, identity);
    let task = bench.ask("x").await?;
    let mut texts = 0;
    for part in task.artifacts.iter().flat_map(|artifact| &artifact.parts) {
        let notes = part.metadata.as_ref().expect("each part is signed").to_map();
        let signature = notes["did.message.signature"].as_str().unwrap().parse()?;
        if let Some(text) = part.as_text() {
            key.verify_text(text, &signature)?;
            texts += 1;
        }
    }
    assert_eq!((task.artifacts.len(), texts), (2, 2));
    // What was said is not signed.
    assert!(task.history.last().unwrap().parts.iter().all(|part| part.metadata.is_none()));
    Ok(())
}
