//! The workspace's own commands: `cargo xtask <command>`.
#![expect(clippy::print_stdout, reason = "a command line tool talks on its standard output")]

mod bench;
mod ci;
mod codegen;
mod crash;
mod fixtures;
mod layers;
mod programs;
mod sdks;
mod services;
mod sim;
mod soak;
mod test;
mod tidy;
mod vectors;
mod web;
mod wire;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The workspace's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every gate and print how long each took.
    Ci,
    /// Run all tests, documentation and SDKs included, with servers of their own: Postgres, Redis,
    /// Hydra and step-ca.
    Test(test::Args),
    /// Run the tests of the SDKs in other languages, for those whose toolchain is here.
    Sdks(sdks::Args),
    /// Pay agents as strangers do: with the ecosystem's x402 client, and in a browser.
    Web(web::Args),
    /// Start and stop a Postgres, a Redis, a Hydra and a step-ca for tests by hand.
    Services(services::Args),
    /// Check that crates depend on lower layers only, and heavy packages have one owner.
    Layers,
    /// Check that every crate is documented and no file is too long or unfinished.
    Tidy,
    /// Write the generated fixtures, or compare them.
    Fixtures(fixtures::Args),
    /// Write the code of the gRPC contract, or compare it.
    Codegen(codegen::Args),
    /// Run the recorded test vectors.
    Vectors(vectors::Args),
    /// Replay the recorded conversations with the fixture agents, or start those.
    Wire(wire::Args),
    /// Measure an agent beside what the machine could do.
    Bench(bench::Args),
    /// Be unkind to an agent for a while, and check what must hold.
    Soak(soak::Args),
    /// Kill agents, databases and queues under load, and check that no task suffers.
    Crash(crash::Args),
    /// Simulate several replicas under faults, on paused time, and check what must hold.
    Sim(sim::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(Workspace::new(), &cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(workspace: Workspace, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Ci => ci::run(workspace),
        Command::Test(args) => test::run(workspace, args)?.into_result(),
        Command::Sdks(args) => sdks::run(&workspace, args)?.into_result(),
        Command::Web(args) => web::run(&workspace, args)?.into_result(),
        Command::Services(args) => services::run(&workspace, args),
        Command::Layers => layers::run(&workspace),
        Command::Tidy => tidy::run(&workspace),
        Command::Fixtures(args) => fixtures::run(&workspace, args),
        Command::Codegen(args) => codegen::run(&workspace, args),
        Command::Vectors(args) => vectors::run(&workspace, args),
        Command::Wire(args) => wire::run(&workspace, args),
        Command::Bench(args) => bench::run(&workspace, args),
        Command::Sim(args) => sim::run(&workspace, args),
        Command::Crash(args) => crash::run(&workspace, args),
        Command::Soak(args) => soak::run(&workspace, args),
    }
}

/// Prints what is wrong and fails, or says that nothing is.
fn verdict(what: &str, problems: &[String]) -> anyhow::Result<()> {
    for problem in problems {
        println!("{what}: {problem}");
    }
    anyhow::ensure!(problems.is_empty(), "{what}: {} problem(s)", problems.len());
    println!("{what}: ok");
    Ok(())
}

/// The folder given, or this one of the repository.
fn folder_or(workspace: &Workspace, given: Option<&PathBuf>, default: &str) -> PathBuf {
    given.cloned().unwrap_or_else(|| workspace.root().join(default))
}
