//! `cargo xtask bench storage`: how fast an agent stores and queues, beside what the database or the
//! queue does by itself.

use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seconds each side of a comparison is measured, in four turns.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Only this part: postgres, sqlite, redis or growth.
    #[arg(long)]
    only: Option<String>,
    /// How many tasks the full store has, beside one of 1000.
    #[arg(long, default_value_t = 1_000_000)]
    tasks: usize,
    /// Writes JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Builds the program and the bare loops in one go, so that all share their dependencies, and runs
/// it. As [`bench`](super), it fails only if something could not be measured.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let numbers = [args.seconds.to_string(), args.tasks.to_string()];
    let mut command = vec!["build", "--release"];
    command.extend(["--package", "bindu-testkit", "--features", "bindu-testkit/agents"]);
    command.extend(["--bin", "bench"]);
    command.extend(["--package", "bindu-sqlite", "--example", "sqlite-limit"]);
    command.extend(["--package", "bindu-redis", "--example", "redis-queue"]);
    workspace.run_cargo(&command)?;
    let folder = workspace.metadata()?.target_directory.join("release");
    let mut bench = std::process::Command::new(folder.join("bench"));
    bench.arg("storage").args(["--seconds", &numbers[0], "--tasks", &numbers[1]]);
    if let Some(only) = &args.only {
        bench.args(["--only", only]);
    }
    if args.json {
        bench.arg("--json");
    }
    crate::workspace::run(&mut bench)
}
