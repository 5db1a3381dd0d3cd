//! Several processes of one agent, and several agents on the same servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bindu::{Handler, Reply, Running, Turn};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{given, identity, replica};
use crate::caller::{Caller, LONG, Result, message};

/// The ways to share work over one database.
const QUEUES: [&str; 3] = ["memory", "postgres", "redis"];

/// Counts the handlers at work, and those that were stopped in the middle.
#[derive(Debug, Default)]
struct Work {
    gate: Option<Semaphore>,
    busy: AtomicUsize,
    stopped: AtomicUsize,
}

struct Guard(Arc<Work>, bool);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
        if !self.1 {
            self.0.stopped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn gated() -> Arc<Work> {
    Arc::new(Work { gate: Some(Semaphore::new(0)), ..Work::default() })
}

/// Answers with `name`, as often as it is let.
fn answers(name: &'static str, work: &Arc<Work>) -> impl Handler + use<> {
    let work = Arc::clone(work);
    move |turn: Turn| {
        let work = Arc::clone(&work);
        async move {
            work.busy.fetch_add(1, Ordering::SeqCst);
            let mut guard = Guard(Arc::clone(&work), false);
            if let Some(gate) = &work.gate {
                gate.acquire().await?.forget();
            }
            guard.1 = true;
            Ok(Reply::text(format!("{name}: {}", turn.text())))
        }
    }
}

fn settings<'a>(queue: &'a str, database: &'a str, redis: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("STORAGE_TYPE", "postgres"),
        ("DATABASE_URL", database),
        ("SCHEDULER_TYPE", queue),
        ("REDIS_URL", redis),
    ]
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn stop(agents: impl IntoIterator<Item = Running>) -> Result {
    for agent in agents {
        tokio::time::timeout(LONG, agent.stop(Duration::ZERO)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_follows_and_cancels_any_task() -> Result {
    let (database, redis) = (given("DATABASE_URL"), given("REDIS_URL"));
    for queue in QUEUES {
        let who = identity("replicated")?;
        let works = [gated(), gated()];
        let settings = settings(queue, &database, &redis);
        let one = replica(&who, &settings, answers("one", &works[0])).await?;
        let two = replica(&who, &settings, answers("two", &works[1])).await?;
        let callers = [Caller::of(&one), Caller::of(&two)];

        let id = callers[0].begin("hello").await?;
        callers[1].until(&id, "working").await?;
        until("a handler runs", || works.iter().any(|work| work.busy.load(Ordering::SeqCst) == 1))
            .await;
        let runs = usize::from(works[1].busy.load(Ordering::SeqCst) == 1);
        // Whoever does not run it follows it, and ends it.
        let other = callers[1 - runs].clone();
        let follower = tokio::spawn({
            let (caller, id) = (other.clone(), id.clone());
            async move { caller.stream("tasks/resubscribe", json!({ "id": id }), None).await }
        });
        let canceled = other.result("tasks/cancel", json!({ "id": id })).await?;
        assert_eq!(canceled["status"]["state"], "canceled", "{queue}");
        until("the handler is stopped", || works[runs].stopped.load(Ordering::SeqCst) == 1).await;
        let heard = tokio::time::timeout(LONG, follower).await???;
        let (_, last) = heard.last().ok_or("the stream said something")?;
        assert_eq!(last["result"]["status"]["state"], "canceled", "{queue}: {last}");
        callers[runs].until(&id, "canceled").await?;
        stop([one, two]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_on_one_replica_shows_what_another_does() -> Result {
    let (database, redis) = (given("DATABASE_URL"), given("REDIS_URL"));
    for queue in QUEUES {
        let who = identity("followed")?;
        let works = [gated(), gated()];
        let settings = settings(queue, &database, &redis);
        let one = replica(&who, &settings, answers("done", &works[0])).await?;
        let two = replica(&who, &settings, answers("done", &works[1])).await?;
        let callers = [Caller::of(&one), Caller::of(&two)];
        let id = callers[0].begin("hello").await?;
        callers[0].until(&id, "working").await?;
        let follow = |caller: &Caller, after: Option<&'static str>| {
            let (caller, id) = (caller.clone(), id.clone());
            tokio::spawn(async move {
                caller.stream("tasks/resubscribe", json!({ "id": id }), after).await
            })
        };
        let followers = [follow(&callers[0], Some("1")), follow(&callers[1], Some("1"))];
        for work in &works {
            work.gate.as_ref().ok_or("a gate")?.add_permits(1);
        }
        let mut heard = Vec::new();
        for follower in followers {
            heard.push(tokio::time::timeout(LONG, follower).await???);
        }
        assert_eq!(heard[0], heard[1], "{queue}: both show the same events under the same ids");
        let (_, last) = heard[0].last().ok_or("the stream said something")?;
        assert_eq!(last["result"]["status"]["state"], "completed", "{queue}: {last}");
        stop([one, two]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_gives_its_work_to_another() -> Result {
    let (database, redis) = (given("DATABASE_URL"), given("REDIS_URL"));
    for queue in QUEUES {
        let who = identity("handed")?;
        let held = gated();
        let settings = settings(queue, &database, &redis);
        let one = replica(&who, &settings, answers("one", &held)).await?;
        let id = Caller::of(&one).begin("hello").await?;
        until("a handler runs", || held.busy.load(Ordering::SeqCst) == 1).await;
        let two = replica(&who, &settings, answers("two", &Arc::default())).await?;
        stop([one]).await?;
        assert_eq!(held.stopped.load(Ordering::SeqCst), 1, "the run was stopped, not finished");
        let task = Caller::of(&two).until(&id, "completed").await?;
        let text = &task["artifacts"][0]["parts"][0]["text"];
        assert_eq!(text, "two: hello", "{queue}");
        stop([two]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_on_the_same_servers_never_meet() -> Result {
    const TASKS: usize = 100;
    let (database, redis) = (given("DATABASE_URL"), given("REDIS_URL"));
    for queue in ["postgres", "redis"] {
        let settings = settings(queue, &database, &redis);
        // The same author and name: only the keys, and so the DIDs, differ.
        let ann = replica(&identity("shared")?, &settings, answers("ann", &Arc::default())).await?;
        let bob = replica(&identity("shared")?, &settings, answers("bob", &Arc::default())).await?;
        let send = async |agent: &Running, name: &str| -> Result {
            let caller = Caller::of(agent);
            let sends = (0..TASKS).map(|number| {
                let (caller, text) = (caller.clone(), format!("{number}"));
                tokio::spawn(async move { caller.result("message/send", message(&text)).await })
            });
            for (number, send) in sends.collect::<Vec<_>>().into_iter().enumerate() {
                let task = send.await??;
                let text = task["artifacts"][0]["parts"][0]["text"].as_str().unwrap_or_default();
                assert_eq!(text, format!("{name}: {number}"), "{queue}");
            }
            let all = caller.result("tasks/list", json!({ "length": 1000 })).await?;
            assert_eq!(all.as_array().map(Vec::len), Some(TASKS), "{queue}: {name} has its own");
            Ok(())
        };
        let (anns, bobs) = tokio::join!(send(&ann, "ann"), send(&bob, "bob"));
        anns?;
        bobs?;
        for agent in [&ann, &bob] {
            let depth = agent.tasks().scheduler().depth().await?;
            assert_eq!((depth.waiting, depth.running), (0, 0), "{queue}: nothing is left over");
        }
        stop([ann, bob]).await?;
    }
    Ok(())
}
