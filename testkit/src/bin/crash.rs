//! Kills agents and servers, and checks that no task suffers; `cargo xtask crash` runs it.
#![expect(clippy::print_stdout, reason = "a program talks to its user")]

use std::path::PathBuf;
use std::process::ExitCode;

use bindu_testkit::crash::{self, Backends, Fault, Options};
use clap::Parser;

#[derive(Debug, Parser)]
#[command(about = "Kills agents and servers, and checks that no task suffers")]
struct Args {
    /// The agent to kill: `example-runlog`.
    #[arg(long)]
    program: PathBuf,
    /// What it keeps its tasks in.
    #[arg(long, value_enum, default_value_t = Backends::Redis)]
    backends: Backends,
    /// How many rounds.
    #[arg(long, default_value_t = 12)]
    rounds: usize,
    /// How many tasks a round has.
    #[arg(long, default_value_t = 300)]
    tasks: usize,
    /// Where chance begins.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this fault, by its name in the report.
    #[arg(long)]
    only: Option<Fault>,
    /// Agents that are paid, instead: a round has so many payments as it has tasks.
    #[arg(long, conflicts_with = "only")]
    money: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let Args { program, backends, rounds, tasks, seed, only, money } = Args::parse();
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let options = Options { program, backends, rounds, tasks, seed, only };
    let progress = |line: &str| println!("{line}");
    let failed = if money {
        let told = crash::money::run(&options, progress)?;
        println!("\n{told}");
        told.failed()
    } else {
        let report = crash::run(&options, progress)?;
        println!("\n{report}");
        report.failed()
    };
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
