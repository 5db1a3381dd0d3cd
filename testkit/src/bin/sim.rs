//! Simulates several replicas under faults; `cargo xtask sim` runs it.
#![expect(clippy::print_stdout, reason = "a program talks to its user")]

use std::process::ExitCode;
use std::time::Instant;

use bindu_testkit::sim::{self, NAMED};
use clap::Parser;

#[derive(Debug, Parser)]
#[command(about = "Simulates several replicas of an agent under faults, on paused time")]
struct Args {
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
    /// After how many seeds that failed no more are run.
    #[arg(long, default_value_t = 5)]
    enough: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(seed) = args.seed {
        return replay(seed);
    }
    let begun = Instant::now();
    let mut failed = Vec::new();
    for named in NAMED {
        let report = sim::run(named.seed, false);
        if !report.problems.is_empty() {
            println!("{}: {}", named.name, named.found);
            failed.push(report.seed);
        }
    }
    let totals = sim::many(args.first, args.seeds, args.jobs, args.enough, |done| {
        println!("{done} seeds, {:.0} s", begun.elapsed().as_secs_f64());
    });
    for report in &totals.failed {
        failed.push(report.seed);
        for problem in &report.problems {
            println!("seed {}: {problem}", report.seed);
        }
    }
    let (seeds, tasks, steps) = (totals.seeds, totals.tasks, totals.steps);
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds, {tasks} tasks, {steps} steps in {seconds:.1} s; {} failed",
        failed.len()
    );
    let Some(first) = failed.first() else { return ExitCode::SUCCESS };
    replay(*first)
}

/// Runs a seed again, and prints what happens.
fn replay(seed: u64) -> ExitCode {
    let report = sim::run(seed, true);
    for line in &report.history {
        println!("{line}");
    }
    let (tasks, steps) = (report.tasks, report.steps);
    println!("seed {seed}: {tasks} tasks, {steps} steps, digest {:016x}", report.digest);
    for problem in &report.problems {
        println!("seed {seed}: {problem}");
    }
    if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
