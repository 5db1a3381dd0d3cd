//! Measures an agent beside what the machine could do; `cargo xtask bench` runs it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bindu_testkit::bench::{self, AuthOptions, Child, GrpcOptions, Options, StorageOptions};
use clap::{Parser, Subcommand};
use serde::Serialize;

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
    /// A handler that echoes, for an agent elsewhere.
    #[command(hide = true)]
    Sdk,
    /// Measures agents that ask who calls, beside a bare server that verifies and signs.
    Auth(Auth),
    /// Measures an agent whose handler is another process, beside a bare server that calls it.
    Grpc(Grpc),
    /// Measures storage and queues beside what their servers do by themselves.
    Storage(Storage),
}

#[derive(Debug, clap::Args)]
struct Auth {
    /// How many seconds each rate is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only this part.
    #[arg(long, value_parser = bench::AUTH_PARTS)]
    only: Option<String>,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Grpc {
    /// How many seconds each side of a comparison is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only this part.
    #[arg(long, value_parser = bench::GRPC_PARTS)]
    only: Option<String>,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Storage {
    /// How many seconds each side of a comparison is measured.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Only this part.
    #[arg(long, value_parser = bench::STORAGE_PARTS)]
    only: Option<String>,
    /// How many tasks the full store has.
    #[arg(long, default_value_t = 1_000_000)]
    tasks: usize,
    /// Writes JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.part {
        Some(Part::Child { directory, port }) => return bench::child(&Child { directory, port }),
        Some(Part::Sdk) => return bench::serve_echo(),
        Some(Part::Auth(auth)) => return measure_auth(auth),
        Some(Part::Grpc(grpc)) => return measure_grpc(grpc),
        Some(Part::Storage(storage)) => return measure_storage(storage),
        None => {}
    }
    let options = Options { time: Duration::from_secs(args.seconds.max(1)), only: args.only };
    let report = bench::run(&options, |name| eprintln!("measuring {name} ..."))?;
    print(&report, args.json)
}

fn print(report: &(impl Serialize + Display), json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        println!("{report}");
    }
    Ok(())
}

fn measure_auth(args: Auth) -> anyhow::Result<()> {
    let options = AuthOptions { time: Duration::from_secs(args.seconds.max(1)), only: args.only };
    let report = bench::run_auth(&options, |name| eprintln!("measuring {name} ..."))?;
    print(&report, args.json)
}

fn measure_grpc(args: Grpc) -> anyhow::Result<()> {
    let options = GrpcOptions { time: Duration::from_secs(args.seconds.max(1)), only: args.only };
    let report = bench::run_grpc(&options, |name| eprintln!("measuring {name} ..."))?;
    print(&report, args.json)
}

fn measure_storage(args: Storage) -> anyhow::Result<()> {
    let here = std::env::current_exe()?;
    let programs = here.parent().context("a program is in a folder")?.join("examples");
    let options = StorageOptions {
        // Each has four turns, and a turn is whole seconds.
        time: Duration::from_secs(args.seconds.next_multiple_of(4).max(4)),
        only: args.only,
        many: args.tasks.max(StorageOptions::FEW),
        programs,
    };
    let report = bench::run_storage(&options, |name| eprintln!("measuring {name} ..."))?;
    print(&report, args.json)
}
