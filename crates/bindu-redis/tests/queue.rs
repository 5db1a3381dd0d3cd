//! Several processes, dead ones, and entries that nobody can read.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bindu_redis::{RedisConfig, RedisScheduler};
use bindu_scheduler::{Delivered, Scheduler, SchedulerError};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::sync::Mutex;

use crate::support::{Raw, config, connect, field, job, push_all};

/// With a short patience for silent workers.
fn impatient() -> RedisConfig {
    RedisConfig { visibility: Duration::from_millis(300), ..config() }
}

#[tokio::test]
async fn the_job_of_a_dead_process_comes_to_another() {
    let config = impatient();
    let dead = connect(&config).await;
    let alive = connect(&config).await;
    push_all(&dead, (0..2).map(|number| job("alice", "c", number))).await;
    let lost = dead.pull().await.unwrap();
    assert_eq!((&lost.job, lost.attempt), (&job("alice", "c", 0), 1));
    drop(dead);

    let found = alive.pull().await.unwrap();
    assert_eq!((&found.job, found.attempt), (&job("alice", "c", 0), 2));
    alive.ack(&found).await.unwrap();
    let next = alive.pull().await.unwrap();
    assert_eq!((&next.job, next.attempt), (&job("alice", "c", 1), 1));
}

#[tokio::test]
async fn a_worker_that_says_so_keeps_its_job() {
    let config = impatient();
    let (dead, busy, idle) =
        (connect(&config).await, connect(&config).await, connect(&config).await);
    busy.push(job("alice", "kept", 0)).await.unwrap();
    let kept = busy.pull().await.unwrap();
    dead.push(job("alice", "lost", 0)).await.unwrap();
    dead.pull().await.unwrap();
    drop(dead);
    // What was pulled first would be missed first.
    let came = tokio::select! {
        came = idle.pull() => came.unwrap(),
        never = async {
            loop {
                busy.keep(&kept).await.unwrap();
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        } => never,
    };
    assert_eq!(came.job, job("alice", "lost", 0));
    busy.ack(&kept).await.unwrap();
    idle.ack(&came).await.unwrap();
    assert_eq!(idle.depth().await.unwrap().running, 0);
}

#[tokio::test]
async fn who_lost_a_job_can_end_it_no_more() {
    let config = impatient();
    let (silent, other) = (connect(&config).await, connect(&config).await);
    silent.push(job("alice", "c", 0)).await.unwrap();
    let lost = silent.pull().await.unwrap();
    let found = other.pull().await.unwrap();
    assert_eq!((&found.job, found.attempt), (&lost.job, 2));
    silent.ack(&lost).await.unwrap();
    silent.release(&lost).await.unwrap();
    silent.bury(&lost, "not mine").await.unwrap();
    let depth = other.depth().await.unwrap();
    assert_eq!((depth.running, depth.waiting), (1, 0));
    other.ack(&found).await.unwrap();
    let depth = other.depth().await.unwrap();
    assert_eq!((depth.running, depth.waiting), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_work_and_keep_the_order() {
    const CONTEXTS: usize = 40;
    const JOBS: usize = 2_000;
    let config = config();
    let queues = [connect(&config).await, connect(&config).await];
    let done: Mutex<Vec<(usize, Delivered)>> = Mutex::default();
    let work = async |which: usize, queue: &RedisScheduler| {
        loop {
            match queue.pull().await {
                Ok(delivered) => {
                    let mut done = done.lock().await;
                    done.push((which, delivered.clone()));
                    let last = done.len() == JOBS;
                    drop(done);
                    queue.ack(&delivered).await.unwrap();
                    if last {
                        join_all(queues.iter().map(Scheduler::close)).await;
                    }
                }
                Err(SchedulerError::Closed) => break,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    let workers = join_all((0..16).map(|number| work(number % 2, &queues[number % 2])));
    let producers = join_all((0..2).map(async |which: usize| {
        // Each context has one producer, or there would be no order.
        for number in 0..JOBS {
            let context = number % CONTEXTS;
            if context % 2 == which {
                let name = format!("c{context}");
                queues[which].push(job("alice", &name, number / CONTEXTS)).await.unwrap();
            }
        }
    }));
    futures_util::join!(workers, producers);

    let done = done.into_inner();
    assert_eq!(done.len(), JOBS);
    let mut next: HashMap<String, usize> = HashMap::new();
    for (_, delivered) in &done {
        let context = delivered.job.context.to_string();
        let number = next.entry(context.clone()).or_default();
        assert_eq!(delivered.job, job("alice", &context, *number));
        *number += 1;
    }
    let shares: HashSet<_> = done.iter().map(|(which, _)| which).collect();
    assert_eq!(shares.len(), 2, "one of the two did all the work");
}

#[tokio::test]
async fn a_context_is_worked_on_in_one_process_at_a_time() {
    let config = config();
    let (here, there) = (connect(&config).await, connect(&config).await);
    push_all(&here, (0..2).map(|number| job("alice", "c", number))).await;
    let first = here.pull().await.unwrap();
    // The other process waits for the context's next, and gets what is pushed meanwhile.
    there.push(job("alice", "d", 0)).await.unwrap();
    let other = there.pull().await.unwrap();
    assert_eq!(other.job, job("alice", "d", 0));
    let (next, ()) = futures_util::join!(async { there.pull().await.unwrap() }, async {
        here.ack(&first).await.unwrap();
    });
    assert_eq!(next.job, job("alice", "c", 1));
}

#[tokio::test]
async fn agents_on_one_server_never_meet() {
    let (mine, yours) = (connect(&config()).await, connect(&config()).await);
    push_all(&mine, (0..50).map(|number| job("alice", &format!("m{number}"), number))).await;
    push_all(&yours, (0..50).map(|number| job("alice", &format!("y{number}"), number))).await;
    for (queue, prefix) in [(&mine, "m"), (&yours, "y")] {
        for _ in 0..50 {
            let delivered = queue.pull().await.unwrap();
            assert!(delivered.job.context.to_string().starts_with(prefix), "{delivered:?}");
            queue.ack(&delivered).await.unwrap();
        }
        let depth = queue.depth().await.unwrap();
        assert_eq!((depth.waiting, depth.running), (0, 0));
    }
}

#[tokio::test]
async fn what_nobody_can_read_becomes_a_dead_letter_and_work_goes_on() {
    let config = config();
    let queue = connect(&config).await;
    let raw = Raw::connect(&config).await;
    let stream = raw.key("q");
    let poison = [
        ("job", "nonsense"),
        ("job", "[1, 2]"),
        ("job", "\"run\""),
        ("job", r#"{"operation": "explode", "params": {"task_id": "t"}}"#),
        ("job", r#"{"operation": "run", "params": {"context_id": "c"}}"#),
        ("other", "field"),
    ];
    for (name, value) in poison {
        let _: String = raw.run("XADD", &[&stream, "*", name, value]).await;
    }
    queue.push(job("alice", "c", 0)).await.unwrap();
    let delivered = queue.pull().await.unwrap();
    assert_eq!(delivered.job, job("alice", "c", 0));
    queue.ack(&delivered).await.unwrap();
    let letters = raw.dead_letters().await;
    assert_eq!(letters.len(), poison.len());
    for (letter, (name, value)) in letters.iter().zip(poison) {
        assert_eq!(field(letter, name), value);
        assert!(!field(letter, "reason").is_empty());
    }
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.running), (0, 0));
}

#[tokio::test]
async fn a_buried_job_is_kept_with_the_reason() {
    let config = config();
    let queue = connect(&config).await;
    push_all(&queue, (0..2).map(|number| job("alice", "c", number))).await;
    let delivered = queue.pull().await.unwrap();
    queue.bury(&delivered, "worker lost").await.unwrap();
    let next = queue.pull().await.unwrap();
    assert_eq!(next.job, job("alice", "c", 1));
    let letters = Raw::connect(&config).await.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(field(&letters[0], "reason"), "worker lost");
    assert!(field(&letters[0], "job").contains(r#""task_id": "c-0""#), "{letters:?}");
}

#[tokio::test]
async fn closing_gives_back_what_no_worker_had() {
    let config = config();
    let (leaving, staying) = (connect(&config).await, connect(&config).await);
    push_all(&leaving, (0..10).map(|number| job("alice", &format!("c{number}"), 0))).await;
    let running = leaving.pull().await.unwrap();
    leaving.close().await;
    let mut contexts = HashSet::from([running.job.context.clone()]);
    for _ in 0..9 {
        let delivered = staying.pull().await.unwrap();
        assert_eq!(delivered.attempt, 1, "nobody had it: {delivered:?}");
        contexts.insert(delivered.job.context.clone());
        staying.ack(&delivered).await.unwrap();
    }
    assert_eq!(contexts.len(), 10);
    leaving.ack(&running).await.unwrap();
    assert_eq!(staying.depth().await.unwrap().running, 0);
}

#[tokio::test]
async fn what_busy_workers_leave_lying_comes_to_idle_ones() {
    let config = config();
    let (busy, idle) = (connect(&config).await, connect(&config).await);
    push_all(&busy, (0..10).map(|number| job("alice", &format!("c{number}"), 0))).await;
    let running = busy.pull().await.unwrap();
    let mut contexts = HashSet::from([running.job.context]);
    for _ in 0..9 {
        let delivered = idle.pull().await.unwrap();
        assert_eq!(delivered.attempt, 1);
        contexts.insert(delivered.job.context);
    }
    assert_eq!(contexts.len(), 10);
}

#[tokio::test]
async fn an_owner_with_much_work_does_not_fill_the_stream() {
    let config = RedisConfig { owner_window: 2, prefetch: 0, ..config() };
    let queue = connect(&config).await;
    push_all(&queue, (0..20).map(|number| job("alice", &format!("a{number}"), 0))).await;
    queue.push(job("bob", "b", 0)).await.unwrap();
    assert_eq!(queue.depth().await.unwrap().waiting, 21);
    let mut came = Vec::new();
    for _ in 0..21 {
        let delivered = queue.pull().await.unwrap();
        queue.ack(&delivered).await.unwrap();
        came.push(delivered.job.context.to_string());
    }
    assert_eq!(came.iter().position(|context| context == "b"), Some(2), "{came:?}");
    let alices: Vec<_> = came.iter().filter(|context| *context != "b").cloned().collect();
    assert_eq!(alices, (0..20).map(|number| format!("a{number}")).collect::<Vec<_>>());
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.running), (0, 0));
}

#[tokio::test]
async fn a_stream_that_was_deleted_by_hand_holds_nothing_up() {
    let config = config();
    let queue = connect(&config).await;
    push_all(&queue, (0..3).map(|number| job("alice", "c", number))).await;
    let raw = Raw::connect(&config).await;
    let _: i64 = raw.run("DEL", &[&raw.key("q")]).await;
    // Whoever looks for tasks that nobody works on pushes them again.
    push_all(&queue, (0..3).map(|number| job("alice", "c", number))).await;
    let mut tasks = HashSet::new();
    for _ in 0..3 {
        let delivered = queue.pull().await.unwrap();
        queue.ack(&delivered).await.unwrap();
        tasks.insert(delivered.job.task);
    }
    assert_eq!(tasks.len(), 3);
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.running), (0, 0));
}

#[tokio::test]
async fn nudges_reach_the_others() {
    let config = config();
    let (here, there) = (connect(&config).await, connect(&config).await);
    let (mut nudged_here, mut of_there) = (here.nudges(), there.nudges());
    let tasks = [job("alice", "größe 7 ", 0).task, job("alice", "c", 1).task];
    here.nudge(&tasks[0]).await;
    assert_eq!(of_there.next().await.as_ref(), Some(&tasks[0]));
    // Not its own: the first that is heard here is the other's.
    there.nudge(&tasks[1]).await;
    assert_eq!(nudged_here.next().await.as_ref(), Some(&tasks[1]));
}

#[tokio::test]
async fn a_full_queue_says_so() {
    let config = RedisConfig { capacity: 2, ..config() };
    let queue = connect(&config).await;
    queue.push(job("alice", "c", 0)).await.unwrap();
    assert!(!queue.is_full());
    queue.push(job("alice", "c", 1)).await.unwrap();
    assert!(queue.is_full());
    queue.push(job("alice", "c", 2)).await.unwrap();
}
