//! `cargo xtask bench auth`: how fast an agent is that asks who calls, beside a bare server that
//! verifies a signature and makes one.

use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seconds each rate is measured, in turns of a second.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only this part: clear, tls or handshakes.
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
    let mut arguments = vec!["auth", "--seconds", seconds.as_str()];
    if let Some(only) = &args.only {
        arguments.extend(["--only", only.as_str()]);
    }
    if args.json {
        arguments.push("--json");
    }
    super::run_testkit(workspace, "bench", &arguments)
}
