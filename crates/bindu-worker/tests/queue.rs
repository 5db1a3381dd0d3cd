//! Many tasks at once, and in which order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bindu_agent::{Reply, Turn};
use bindu_protocol::{ContextId, TaskState};

use crate::support::{Bench, Tested, caller, result, said, slots};

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_at_once_than_there_are_slots() -> Tested {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, highest) = (Arc::clone(&now), Arc::clone(&most));
    let handler = move |_: Turn| {
        let (running, highest) = (Arc::clone(&running), Arc::clone(&highest));
        async move {
            highest.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(Reply::text("done"))
        }
    };
    let bench = Bench::start(handler, slots(3));
    assert_eq!(bench.worker.capacity(), 3);
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(bench.send("x").await?);
    }
    for id in ids {
        assert_eq!(bench.settled(&id).await?.task.status.state, TaskState::Completed);
    }
    assert_eq!(now.load(Ordering::SeqCst), 0);
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_of_a_context_run_one_after_the_other() -> Tested {
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&order);
    let handler = move |turn: Turn| {
        let log = Arc::clone(&log);
        async move {
            let note = |what| log.lock().unwrap().push(format!("{what} {}", turn.text()));
            note("begin");
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            note("end");
            Ok(Reply::text("done"))
        }
    };
    let bench = Bench::start(handler, slots(8));
    let (a, b): (ContextId, ContextId) = ("a".parse()?, "b".parse()?);
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(bench.send_in(&a, &format!("a{number}")).await?);
        ids.push(bench.send_in(&b, &format!("b{number}")).await?);
    }
    for id in ids {
        bench.settled(&id).await?;
    }
    let seen = order.lock().unwrap().clone();
    for context in ["a", "b"] {
        let is_own =
            |line: &&String| line.split(' ').nth(1).is_some_and(|of| of.starts_with(context));
        let own: Vec<_> = seen.iter().filter(is_own).cloned().collect();
        let wanted: Vec<_> = (0..20)
            .flat_map(|number| ["begin", "end"].map(|what| format!("{what} {context}{number}")))
            .collect();
        assert_eq!(own, wanted);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tasks_all_end_once() -> Tested {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let handler = move |turn: Turn| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Reply::text(turn.text()))
        }
    };
    let bench = Arc::new(Bench::start(handler, slots(8)));
    let senders: Vec<_> = (0..10)
        .map(|sender| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move {
                for number in 0..100 {
                    let text = format!("{sender}/{number}");
                    assert_eq!(result(&*bench.ask(&text).await?), text);
                }
                Ok::<_, bindu_tasks::TaskError>(())
            })
        })
        .collect();
    for sender in senders {
        sender.await??;
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1000);
    let counts = bench.tasks.storage().count().await?;
    let completed = counts.iter().find(|(state, _)| *state == TaskState::Completed);
    assert_eq!(completed.map(|(_, count)| *count), Some(1000));
    Ok(())
}

#[tokio::test]
async fn a_task_that_was_canceled_while_it_waited_never_reaches_the_handler() -> Tested {
    let order: Arc<Mutex<Vec<String>>> = Arc::default();
    let (log, go) = (Arc::clone(&order), Arc::new(tokio::sync::Notify::new()));
    let hold = Arc::clone(&go);
    let handler = move |turn: Turn| {
        let (log, hold) = (Arc::clone(&log), Arc::clone(&hold));
        async move {
            log.lock().unwrap().push(turn.text().into_owned());
            if turn.text() == "first" {
                hold.notified().await;
            }
            Ok(Reply::text("done"))
        }
    };
    let bench = Bench::start(handler, slots(1));
    let first = bench.send("first").await?;
    bench.until(&first, |record| record.task.status.state == TaskState::Working).await?;
    let second = bench.send("second").await?;
    bench.tasks.cancel(&caller(), &second).await?;
    go.notify_one();
    bench.settle(said("third")).await?;
    assert_eq!(*order.lock().unwrap(), ["first", "third"]);
    Ok(())
}
