//! `cargo xtask bench grpc`: what it costs that a handler is another process, beside a handler in
//! process and a bare server that calls it.

use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seconds each side of a comparison is measured.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only this part: latency or throughput.
    #[arg(long)]
    only: Option<String>,
    /// Writes JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Builds and runs the program. As [`bench`](super), it fails only if something could not be
/// measured.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let seconds = args.seconds.to_string();
    let mut arguments = vec!["grpc", "--seconds", seconds.as_str()];
    if let Some(only) = &args.only {
        arguments.extend(["--only", only.as_str()]);
    }
    if args.json {
        arguments.push("--json");
    }
    super::run_testkit(workspace, "bench", &arguments)
}
