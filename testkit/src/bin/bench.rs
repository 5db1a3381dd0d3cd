//! Measures an agent beside what the machine could do; `cargo xtask bench` runs it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::path::PathBuf;
use std::time::Duration;

use bindu_testkit::bench::{self, Child, Options};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Measures an agent beside what the machine could do")]
struct Args {
    /// How many seconds each throughput is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only this case.
    #[arg(long, value_parser = bench::CASES)]
    only: Option<String>,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// An echo agent that is measured from outside.
    #[command(hide = true)]
    Child { directory: PathBuf, port: u16 },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Part::Child { directory, port }) = args.part {
        return bench::child(&Child { directory, port });
    }
    let options = Options { time: Duration::from_secs(args.seconds.max(1)), only: args.only };
    let report = bench::run(&options, |name| eprintln!("measuring {name} ..."))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}
