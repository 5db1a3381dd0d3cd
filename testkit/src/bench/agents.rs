//! The agents that are measured, and the runtimes they run on.

use std::future::Future;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use bindu::{Agent, AgentConfig, Chunk, Handler, Reply, Running, Settings, Turn};
use bindu_did::key_dir::Identity;
use bindu_did::{Did, SigningKey, agent_id};
use bindu_storage::Storage;
use futures_util::{StreamExt as _, stream};
use tokio::runtime::{Builder, Runtime};

const AUTHOR: &str = "bench@example.com";
const NAME: &str = "bench";

/// How much CPU the burning handler takes for each task.
pub(super) const BURN: Duration = Duration::from_micros(200);

/// A runtime of so many worker threads.
pub(super) fn runtime(name: &str, threads: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()
}

/// Runs something on `runtime`, and waits for it without giving it this thread.
pub(super) fn on<T: Send + 'static>(
    runtime: &Runtime,
    work: impl Future<Output = T> + Send + 'static,
) -> anyhow::Result<T> {
    runtime.block_on(runtime.spawn(work)).context("a task of the benchmark panicked")
}

/// What an agent calls itself, and that it streams.
pub(super) fn config(name: &str, url: &str) -> AgentConfig {
    let mut config = AgentConfig::new(AUTHOR, name);
    url.clone_into(&mut config.deployment.url);
    config.capabilities.streaming = true;
    config
}

/// Starts an agent on the present runtime, with default settings but for `variables`.
pub(super) async fn start(
    handler: impl Handler,
    variables: &[(&str, &str)],
) -> anyhow::Result<(SocketAddr, Running)> {
    start_with(handler, variables, None).await
}

/// The same, on a store that is there already.
pub(super) async fn start_with(
    handler: impl Handler,
    variables: &[(&str, &str)],
    store: Option<Arc<dyn Storage>>,
) -> anyhow::Result<(SocketAddr, Running)> {
    start_as(identity()?, handler, variables, store).await
}

/// A new identity for an agent.
pub(super) fn identity() -> anyhow::Result<Arc<Identity>> {
    let key = SigningKey::generate()?;
    let did = Did::for_agent(AUTHOR, NAME, key.public_key().id())?;
    Ok(Arc::new(Identity::new(key, &did, agent_id(AUTHOR, NAME), SystemTime::now())))
}

/// The same, with an identity that others know already.
pub(super) async fn start_as(
    identity: Arc<Identity>,
    handler: impl Handler,
    variables: &[(&str, &str)],
    store: Option<Arc<dyn Storage>>,
) -> anyhow::Result<(SocketAddr, Running)> {
    let config = config(NAME, "http://127.0.0.1:0");
    let settings = Settings::from_vars(variables.iter().copied())?;
    let mut agent = Agent::builder(config, handler).settings(settings).identity(identity);
    if let Some(store) = store {
        agent = agent.storage(store);
    }
    let running = agent.spawn().await?;
    Ok((running.local_addr(), running))
}

pub(super) fn echo() -> impl Handler {
    async |turn: Turn| Ok(Reply::text(turn.text()))
}

/// Answers with so many chunks as the message says. They are all there at once, or each comes
/// only after its task was put off.
pub(super) fn chunks(one_by_one: bool) -> impl Handler {
    move |turn: Turn| async move {
        let chunks: usize = turn.text().parse()?;
        let chunks = stream::iter(0..chunks).map(|_| Ok(Chunk::from("word ")));
        if one_by_one {
            return Ok(Reply::stream(chunks.then(async |chunk| {
                tokio::task::yield_now().await;
                chunk
            })));
        }
        Ok(Reply::stream(chunks))
    }
}

/// Echoes after `rounds` of work.
pub(super) fn burning(rounds: u64) -> impl Handler {
    move |turn: Turn| async move {
        burn(rounds);
        Ok(Reply::text(turn.text()))
    }
}

fn burn(rounds: u64) {
    let mut state = 1_u64;
    for round in 0..rounds {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round));
    }
    black_box(state);
}

/// How many rounds take [`BURN`] when nothing else runs: the fastest of some tries counts.
pub(super) fn rounds_of_burn() -> u64 {
    const ROUNDS: u64 = 100_000;
    let fastest = (0..50).map(|_| {
        let begun = Instant::now();
        burn(ROUNDS);
        begun.elapsed()
    });
    let fastest = fastest.min().unwrap_or(BURN).as_nanos().max(1);
    u64::try_from(u128::from(ROUNDS) * BURN.as_nanos() / fastest).unwrap_or(u64::MAX)
}
