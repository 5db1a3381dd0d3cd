//! `cargo xtask soak`: unkind traffic for a while, and what must hold through it and after.

use crate::{bench, workspace::Workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seconds there is traffic; the checks after it take some more.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    bench::run_testkit(workspace, "soak", &["--seconds", &args.seconds.to_string()])
}
