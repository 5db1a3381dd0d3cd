//! Kills what can be killed, and checks from the clients' side that no task is lost, run twice at
//! once, or given two answers.
//!
//! Two processes of one agent (`examples/runlog`) share one Postgres and one Redis, or one process
//! has one file. Clients send hundreds of tasks a round, repeat each message until it is accepted,
//! look at the tasks, cancel some, follow some, and have some posted to a webhook. Meanwhile
//! something is killed, restarted or emptied. Then every task of the round is checked: see
//! `crash/check.rs` for the rules. The agent is not told to fail anywhere: where it stands when it is
//! killed is read from its log of runs and from its answers, and the report says how often each
//! place was hit.

mod check;
mod client;
mod fault;
mod history;
pub mod money;
mod receiver;
mod replica;
mod report;
mod round;
mod runlog;
mod site;
mod sse;

use std::path::PathBuf;

use anyhow::Context as _;

pub use self::fault::{Fault, Point};
pub use self::report::Report;
use self::site::Site;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The agent: `example-runlog`, built with the backends that are asked for.
    pub program: PathBuf,
    /// What it keeps its tasks in.
    pub backends: Backends,
    /// How many rounds; each has one kind of fault, and within a few rounds all have had a turn.
    pub rounds: usize,
    /// How many tasks a round has.
    pub tasks: usize,
    /// Where chance begins. The processes themselves are not bound by it.
    pub seed: u64,
    /// Only this fault, every round.
    pub only: Option<Fault>,
}

/// What the agent keeps its tasks in, and how many processes share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Backends {
    /// Nothing survives: one process that is not killed. It is there to try this program.
    Memory,
    /// One process and one file.
    Sqlite,
    /// Two processes, one Postgres for everything.
    Postgres,
    /// Two processes, one Postgres, and the queue in one Redis.
    Redis,
}

impl Backends {
    fn replicas(self) -> usize {
        match self {
            Self::Memory | Self::Sqlite => 1,
            Self::Postgres | Self::Redis => 2,
        }
    }

    fn has_postgres(self) -> bool {
        matches!(self, Self::Postgres | Self::Redis)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }

    /// The settings that choose them.
    fn types(self) -> [&'static str; 2] {
        match self {
            Self::Memory => ["memory", "memory"],
            Self::Sqlite => ["sqlite", "memory"],
            Self::Postgres => ["postgres", "postgres"],
            Self::Redis => ["postgres", "redis"],
        }
    }
}

/// Does it, and tells `progress` of each round.
///
/// Makes a runtime of its own: not to be called from async code.
///
/// # Errors
///
/// Something could not be run at all. What does not hold is in the report.
pub fn run(options: &Options, progress: impl FnMut(&str)) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("starting a runtime")?.block_on(crash(options, progress))
}

/// With this many tasks that are wrong, there is no need for more.
const ENOUGH: usize = 20;

async fn crash(options: &Options, mut progress: impl FnMut(&str)) -> anyhow::Result<Report> {
    let mut chance = fastrand::Rng::with_seed(options.seed);
    let mut site = Site::start(options).await?;
    let mut report = Report::default();
    let mut turns: Vec<Fault> = Vec::new();
    for number in 0..options.rounds {
        if turns.is_empty() {
            turns = options.only.map_or_else(|| Fault::of(options.backends), |only| vec![only]);
            chance.shuffle(&mut turns);
        }
        let fault = turns.pop().unwrap_or(Fault::Nothing);
        let seed = chance.u64(..);
        let line = round::run(&mut site, &mut report, number, fault, options.tasks, seed).await;
        progress(&line.with_context(|| format!("round {number}, {fault}"))?);
        if report.failed() >= ENOUGH {
            break;
        }
    }
    round::look_again(&site, &mut report).await;
    if report.failed() > 0 {
        report.evidence = Some(site.keep());
    }
    Ok(report)
}
