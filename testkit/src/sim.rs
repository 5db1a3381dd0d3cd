//! Several replicas of an agent on one thread, under simulated time, and everything that can go
//! wrong with what they stand on.
//!
//! A seed decides all: how many replicas there are, what their callers ask, which calls on the
//! store, the queue and the webhook receivers fail before or after they took effect, are slow or
//! never answer, and when a replica is killed, drained and started again. Time is tokio's paused
//! clock, so a minute takes a millisecond, and the same seed brings the same history.
//!
//! After every step the simulation compares what was stored, shown and told with a model of its own;
//! at the end the faults cease, time runs on, and everything accepted has to come
//! to an end.
//!
//! ```
//! let report = bindu_testkit::sim::run(1, false);
//! assert_eq!(report.problems, Vec::<String>::new());
//! ```

mod chaos;
mod check;
mod client;
mod courier;
mod fault;
mod handler;
mod ledger;
mod life;
mod many;
mod plan;
mod queue;
mod replica;
mod store;
mod stream;
mod world;

pub use many::{NAMED, Named, Totals, many};

use std::sync::Arc;
use std::time::Duration;

use self::plan::Plan;
use self::world::World;

/// How long everything may take to come to an end once nothing fails any more.
const SETTLING: Duration = Duration::from_mins(10);

/// What came of one seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What did not hold; empty if all did.
    pub problems: Vec<String>,
    /// A sum over all that happened and when: two runs of a seed have the same.
    pub digest: u64,
    /// How many steps there were: calls on the store, the queue and receivers, and what callers and
    /// handlers did.
    pub steps: u64,
    /// How many tasks there were.
    pub tasks: usize,
    /// Who did what, and when, a line each; empty unless it was asked for.
    pub history: Vec<String>,
}

/// Runs one seed; with `traced`, writes its history down.
///
/// # Panics
///
/// If there is no memory for a runtime.
#[must_use]
pub fn run(seed: u64, traced: bool) -> Report {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing but memory");
    let world = runtime.block_on(async {
        let world = World::new(seed, Plan::of(seed), traced);
        live(&world).await;
        world
    });
    let report = world.report(seed);
    // The dead are still waiting for answers; they go with the runtime.
    drop(runtime);
    report
}

/// The time of trouble, then the time in which all must come to an end.
async fn live(world: &Arc<World>) {
    chaos::start(world);
    let mut talking = client::start(world);
    tokio::time::sleep(world.plan.trouble).await;
    chaos::cease(world);
    let settled = async {
        while let Some(talk) = talking.join_next().await {
            if let Err(error) = talk {
                world.problem(|| format!("a client broke off: {error}"));
            }
        }
        world.settle().await;
    };
    if tokio::time::timeout(SETTLING, settled).await.is_err() {
        world.problem(|| "not everything came to an end".to_owned());
        world.name_unfinished();
    }
    world.check_at_the_end();
}

#[cfg(test)]
mod tests {
    use super::{NAMED, run};

    #[test]
    fn a_seed_has_one_history() {
        for seed in [1, 7, 42] {
            let (first, second) = (run(seed, true), run(seed, true));
            assert_eq!(first.history, second.history, "seed {seed}");
            assert_eq!(first.digest, run(seed, false).digest, "seed {seed}");
        }
    }

    #[test]
    fn what_was_found_once_holds() {
        for named in NAMED {
            let report = run(named.seed, false);
            assert_eq!(report.problems, Vec::<String>::new(), "{}: {}", named.name, named.found);
        }
    }
}
