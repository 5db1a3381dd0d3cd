//! `cargo xtask bench`: how fast an agent is, beside what the machine could do.

mod auth;
mod grpc;
mod storage;

use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// How many seconds each throughput is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only this case: send, get, card, stream, latency, burn, memory, idle or start.
    #[arg(long)]
    only: Option<String>,
    /// Writes JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Measure agents that ask who calls, beside a bare server that verifies and signs.
    Auth(auth::Args),
    /// Measure an agent whose handler is another process, beside a bare server that calls it.
    Grpc(grpc::Args),
    /// Measure storage and queues, beside what their servers do by themselves.
    Storage(storage::Args),
}

/// Builds and runs the program; it measures and judges nothing, so it fails only if something could
/// not be measured.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    match &args.part {
        Some(Part::Auth(args)) => return auth::run(workspace, args),
        Some(Part::Grpc(args)) => return grpc::run(workspace, args),
        Some(Part::Storage(args)) => return storage::run(workspace, args),
        None => {}
    }
    let seconds = args.seconds.to_string();
    let mut arguments = vec!["--seconds", seconds.as_str()];
    if let Some(only) = &args.only {
        arguments.extend(["--only", only.as_str()]);
    }
    if args.json {
        arguments.push("--json");
    }
    run_testkit(workspace, "bench", &arguments)
}

/// Runs a program of the testkit as users would build it.
pub(crate) fn run_testkit(
    workspace: &Workspace,
    program: &str,
    arguments: &[&str],
) -> anyhow::Result<()> {
    let cargo = ["run", "--release", "--package", "bindu-testkit"];
    let chosen = ["--features", "agents", "--bin", program, "--"];
    workspace.run_cargo(&[&cargo[..], &chosen[..], arguments].concat())
}
