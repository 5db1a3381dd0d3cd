//! A server that goes, forgets, and comes back.

use std::collections::HashSet;
use std::error::Error as _;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bindu_protocol::TaskId;
use bindu_redis::{RedisConfig, RedisError, RedisScheduler};
use bindu_scheduler::{Scheduler, SchedulerError};
use bindu_testkit::services::{Keep, Machine, Server};
use tokio::sync::Mutex;

use crate::support::job;

fn server() -> Server {
    Server::redis(&Machine::this(), Keep::Nothing).expect("a Redis of the test's own")
}

async fn connect(server: &Server) -> RedisScheduler {
    let config = RedisConfig {
        retry_for: Duration::from_millis(500),
        ..RedisConfig::new(server.url(), "agent")
    };
    RedisScheduler::connect(config).await.expect("a Redis that answers")
}

/// Two processes work while `harm` is done; whatever is not done by then is pushed again, as
/// whoever looks for tasks that nobody works on does.
async fn heals(server: &mut Server, harm: impl FnOnce(&mut Server)) {
    const JOBS: usize = 300;
    let queues = [connect(server).await, connect(server).await];
    let done: Mutex<HashSet<TaskId>> = Mutex::default();
    let jobs: Vec<_> =
        (0..JOBS).map(|number| job("alice", &format!("c{}", number % 7), number)).collect();
    let work = async |queue: &RedisScheduler| {
        loop {
            match queue.pull().await {
                Ok(delivered) => {
                    done.lock().await.insert(delivered.job.task.clone());
                    // May fail while the server is away; then the job comes again.
                    let _ = queue.ack(&delivered).await;
                }
                Err(SchedulerError::Closed) => break,
                Err(SchedulerError::Backend { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    let produce = async {
        for job in &jobs[..JOBS / 2] {
            queues[0].push(job.clone()).await.expect("an open queue takes jobs");
        }
        tokio::task::block_in_place(|| harm(server));
        loop {
            let done = done.lock().await.clone();
            let missing: Vec<_> = jobs.iter().filter(|job| !done.contains(&job.task)).collect();
            if missing.is_empty() {
                break;
            }
            for job in missing {
                let _ = queues[1].push(job.clone()).await;
            }
        }
        futures_util::join!(queues[0].close(), queues[1].close());
    };
    futures_util::join!(work(&queues[0]), work(&queues[0]), work(&queues[1]), produce);
    assert_eq!(done.into_inner().len(), JOBS);
    assert!(queues.iter().all(Scheduler::is_up));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_heals() {
    heals(&mut server(), |server| server.flush().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_heals() {
    heals(&mut server(), |server| server.restart().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_away_calls_fail_in_time_and_then_all_goes_on() {
    let mut server = server();
    let queue = connect(&server).await;
    server.stop().unwrap();
    let began = Instant::now();
    let pushed = queue.push(job("alice", "c", 0)).await;
    assert!(matches!(pushed, Err(SchedulerError::Backend { .. })), "{pushed:?}");
    assert!(!queue.is_up());
    assert!(queue.ping().await.is_err());
    assert!(queue.depth().await.is_err());
    let pulled = queue.pull().await;
    assert!(matches!(pulled, Err(SchedulerError::Backend { .. })), "{pulled:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "took {:?}", began.elapsed());

    server.start().unwrap();
    while queue.push(job("alice", "c", 0)).await.is_err() {}
    let delivered = loop {
        if let Ok(delivered) = queue.pull().await {
            break delivered;
        }
    };
    queue.ack(&delivered).await.unwrap();
    queue.ping().await.unwrap();
    assert!(queue.is_up());
}

#[tokio::test]
async fn nothing_tells_the_password() {
    let mut told = String::new();
    for url in [
        "redis://someone:hunter2@127.0.0.1:1/0",
        "redis://:hunter2@127.0.0.1:1/hunter2/x",
        "rediss:hunter2",
        "http://:hunter2@127.0.0.1",
        "hunter2",
    ] {
        let config = RedisConfig::new(url, "agent");
        let _ = write!(told, "{config:?}");
        let error = RedisScheduler::connect(config).await.unwrap_err();
        let _ = write!(told, "{error:?} {error} {:?}", error.source());
    }
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn what_cannot_be_used_is_refused() {
    let refused = async |config: RedisConfig| RedisScheduler::connect(config).await.unwrap_err();
    let config = RedisConfig::new("redis://127.0.0.1:1", "agent");
    for config in [
        RedisConfig { agent: "a}b".into(), ..config.clone() },
        RedisConfig { agent: String::new(), ..config.clone() },
        RedisConfig { instance: Some("a b".into()), ..config.clone() },
        RedisConfig { owner_window: 0, ..config.clone() },
        RedisConfig { visibility: Duration::ZERO, ..config.clone() },
    ] {
        let error = refused(config).await;
        assert!(matches!(error, RedisError::Setting { .. }), "{error:?}");
    }
    let error = refused(RedisConfig { url: "postgres://127.0.0.1".into(), ..config.clone() }).await;
    assert!(matches!(error, RedisError::Address(_)), "{error:?}");
    if !cfg!(feature = "tls") {
        let error = refused(RedisConfig { url: "rediss://127.0.0.1:1".into(), ..config }).await;
        assert!(error.to_string().contains("feature `tls`"), "{error}");
    }
}
