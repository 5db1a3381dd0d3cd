//! How fast jobs go through a queue: 32 workers push a job, pull one and end it, again and again.
//! Either through [`RedisScheduler`], or as bare commands: XADD, XREADGROUP and XACK, on 32
//! connections or all on one.
//!
//! ```sh
//! cargo run --release -p bindu-redis --example redis-queue -- redis://localhost queue 5
//! cargo run --release -p bindu-redis --example redis-queue -- redis://localhost connections 5
//! cargo run --release -p bindu-redis --example redis-queue -- redis://localhost pipeline 5
//! ```
//!
//! It prints one line of JSON: how many jobs, in how many seconds, and how many microseconds each
//! round of a worker took.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::env;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bindu_protocol::{ContextId, Owner, TaskId};
use bindu_redis::{RedisConfig, RedisScheduler};
use bindu_scheduler::{Job, Scheduler};
use fred::clients::Client;
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::Builder;
use fred::types::config::{Config, TcpConfig};
use serde_json::json;
use tokio::task::JoinSet;

const WORKERS: usize = 32;

/// Rounds of each worker before anything counts.
const WARM_UP: usize = 20;

/// Who reads in the bare loop, and how.
const GROUP: &str = "workers";

type Failure = Box<dyn Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

#[tokio::main]
async fn main() -> Result<()> {
    let [url, how, seconds] = env::args().skip(1).collect::<Vec<_>>().try_into().map_err(
        |_| "it takes the address of a Redis, `queue`, `connections` or `pipeline`, and seconds",
    )?;
    let time = Duration::try_from_secs_f64(seconds.parse()?)?;
    // Of this run alone.
    let name = format!("bench-{}", TaskId::random());
    match how.as_str() {
        "queue" => {
            let queue = Arc::new(RedisScheduler::connect(RedisConfig::new(url, name)).await?);
            measure(time, |_| {
                let queue = Arc::clone(&queue);
                move || through(Arc::clone(&queue))
            })
            .await?;
            queue.close().await;
        }
        "connections" | "pipeline" => {
            let first = connect(&url).await?;
            let () = first.xgroup_create(name.as_str(), GROUP, "0", true).await?;
            let mut clients = vec![first];
            while how == "connections" && clients.len() < WORKERS {
                clients.push(connect(&url).await?);
            }
            let name: Arc<str> = name.into();
            measure(time, |worker| {
                let client = clients[worker % clients.len()].clone();
                let (name, consumer) = (Arc::clone(&name), Arc::<str>::from(worker.to_string()));
                move || bare(client.clone(), Arc::clone(&name), Arc::clone(&consumer))
            })
            .await?;
        }
        _ => return Err("it measures `queue`, `connections` or `pipeline`".into()),
    }
    Ok(())
}

async fn connect(url: &str) -> Result<Client> {
    let mut builder = Builder::from_config(Config::from_url_centralized(url)?);
    builder.with_connection_config(|connection| {
        connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
    });
    let client = builder.build()?;
    client.init().await?;
    Ok(client)
}

/// A job through our queue.
async fn through(queue: Arc<RedisScheduler>) -> Result<()> {
    queue
        .push(Job {
            task: TaskId::random(),
            context: ContextId::random(),
            owner: Owner::nobody(),
            version: 1,
            trace: None,
        })
        .await?;
    let delivered = queue.pull().await?;
    Ok(queue.ack(&delivered).await?)
}

/// A job as bare commands, with the same ids in it.
async fn bare(client: Client, stream: Arc<str>, consumer: Arc<str>) -> Result<()> {
    let job =
        [("task", TaskId::random().to_string()), ("context", ContextId::random().to_string())];
    let () = client.xadd(&*stream, false, None::<()>, "*", job.to_vec()).await?;
    // At least one entry that nobody read is there: each worker adds before it reads.
    let read = client
        .xreadgroup_map::<String, String, String, String, _, _, _, _>(
            GROUP,
            &*consumer,
            Some(1),
            None,
            false,
            &*stream,
            ">",
        )
        .await?;
    let entry = read.into_values().flatten().next().ok_or("no entry was there")?;
    let acknowledged: u64 = client.xack(&*stream, GROUP, entry.0).await?;
    if acknowledged == 1 { Ok(()) } else { Err("an entry was acknowledged twice".into()) }
}

/// Runs the rounds of all workers for some time, and prints what came out.
async fn measure<F, Fut>(time: Duration, mut worker: impl FnMut(usize) -> F) -> Result<()>
where
    F: FnMut() -> Fut + Send + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let mut warm = JoinSet::new();
    for place in 0..WORKERS {
        let mut round = worker(place);
        warm.spawn(async move {
            for _ in 0..WARM_UP {
                round().await?;
            }
            Ok::<_, Failure>(round)
        });
    }
    let rounds = warm.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let begun = Instant::now();
    let mut working = JoinSet::new();
    for mut round in rounds {
        working.spawn(async move {
            let mut micros = Vec::new();
            while begun.elapsed() < time {
                let start = Instant::now();
                round().await?;
                micros.push(u64::try_from(start.elapsed().as_micros())?);
            }
            Ok::<_, Failure>(micros)
        });
    }
    let mut micros = Vec::new();
    for worked in working.join_all().await {
        micros.extend(worked?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{}", json!({ "done": micros.len(), "seconds": seconds, "micros": micros }));
    Ok(())
}
