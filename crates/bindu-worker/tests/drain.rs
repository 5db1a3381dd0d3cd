//! The end of a worker.

use std::sync::Arc;
use std::time::Duration;

use bindu_agent::{Reply, Turn};
use bindu_protocol::TaskState;
use tokio::sync::Notify;

use crate::support::{Bench, LONG, Tested, last_word, reason, result, slots, within};

/// A handler that goes on when it is told to.
fn held(go: &Arc<Notify>) -> impl bindu_agent::Handler + use<> {
    let go = Arc::clone(go);
    move |_: Turn| {
        let go = Arc::clone(&go);
        async move {
            go.notified().await;
            Ok(Reply::text("done"))
        }
    }
}

#[tokio::test]
async fn what_runs_and_what_waits_is_finished_in_time() -> Tested {
    let go = Arc::new(Notify::new());
    let bench = Bench::start(held(&go), slots(1));
    let mut ids = vec![bench.send("running").await?];
    bench.until(&ids[0], |record| record.task.status.state == TaskState::Working).await?;
    let context = "talk".parse()?;
    for _ in 0..2 {
        ids.push(bench.send("alone").await?);
        // Of a context, the queue hands out one at a time.
        ids.push(bench.send_in(&context, "together").await?);
    }
    assert!(bench.worker.is_alive());
    let drain = {
        let worker = bench.worker.clone();
        tokio::spawn(async move { worker.drain(LONG).await })
    };
    within(async {
        while bench.worker.is_alive() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for id in &ids {
        go.notify_one();
        assert_eq!(result(&bench.settled(id).await?.task), "done");
    }
    within(drain).await?;
    Ok(())
}

#[tokio::test]
async fn what_still_waits_at_the_end_is_failed() -> Tested {
    let bench = Bench::start(held(&Arc::new(Notify::new())), slots(1));
    let mut ids = Vec::new();
    let context = "talk".parse()?;
    for _ in 0..3 {
        ids.push(bench.send("alone").await?);
        ids.push(bench.send_in(&context, "together").await?);
    }
    within(bench.worker.drain(Duration::from_millis(10))).await;
    for id in ids {
        let record = bench.get(&id).await?;
        assert!(reason(&record.task).contains("shut down"), "{:?}", record.task.status);
    }
    Ok(())
}

#[tokio::test]
async fn what_does_not_end_in_time_is_stopped_and_told() -> Tested {
    let bench = Bench::start(held(&Arc::new(Notify::new())), slots(2));
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = bench.send("for ever").await?;
        bench.until(&id, |record| record.task.status.state == TaskState::Working).await?;
        ids.push(id);
    }
    within(bench.worker.drain(Duration::from_millis(10))).await;
    assert_eq!(bench.worker.busy(), 0);
    for id in ids {
        let task = Arc::clone(&bench.get(&id).await?.task);
        assert!(reason(&task).contains("shut down"), "{}", last_word(&task));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_without_patience_leaves_no_task_open() -> Tested {
    for _ in 0..50 {
        let bench = Bench::start(held(&Arc::new(Notify::new())), slots(2));
        let mut ids = Vec::new();
        for _ in 0..6 {
            ids.push(bench.send("for ever").await?);
        }
        within(bench.worker.drain(Duration::ZERO)).await;
        for id in ids {
            reason(&bench.get(&id).await?.task);
        }
    }
    Ok(())
}
