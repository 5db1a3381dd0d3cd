//! Is unkind to an agent for a while; `cargo xtask soak` runs it.
#![expect(clippy::print_stdout, reason = "a program talks to its user")]

use std::process::ExitCode;
use std::time::Duration;

use bindu_testkit::soak::{self, Options};
use clap::Parser;

#[derive(Debug, Parser)]
#[command(about = "Is unkind to an agent for a while, and checks what must hold")]
struct Args {
    /// How many seconds there is traffic.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let report = soak::run(Options { time: Duration::from_secs(args.seconds.max(6)) })?;
    println!("{report}");
    Ok(if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
