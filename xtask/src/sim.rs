//! `cargo xtask sim`: several replicas on one thread, under simulated time and faults.

use crate::{programs::Programs, workspace::Workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seeds are run, after those that found something once.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Runs this one alone, and prints its history.
    #[arg(long)]
    seed: Option<u64>,
    /// How many threads are used.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

/// A short form, for every change.
impl Default for Args {
    fn default() -> Self {
        Self { seeds: 2_000, first: 1, seed: None, jobs: 1 }
    }
}

/// Builds and runs the program, which says what did not hold.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let (seeds, first) = (args.seeds.to_string(), args.first.to_string());
    let (jobs, seed) = (args.jobs.to_string(), args.seed.map(|seed| seed.to_string()));
    let mut arguments = vec!["--seeds", &seeds, "--first", &first, "--jobs", &jobs];
    if let Some(seed) = &seed {
        arguments.extend(["--seed", seed]);
    }
    Programs::build(workspace)?.run(workspace, "sim", &arguments)
}
