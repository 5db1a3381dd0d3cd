//! The programs that gates start: agents, and what talks to them.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::workspace::{self, Workspace};

/// Optimised, but built in a fraction of a release's time; see `Cargo.toml`.
const PROFILE: &str = "gate";

/// All that are built. At once, since each selection of features compiles everything anew.
const SELECTION: [&str; 14] = [
    "-p",
    "bindu-testkit",
    "-p",
    "example-runlog",
    "--features",
    "bindu-testkit/agents,bindu-testkit/sim",
    "--bin",
    "wire-agents",
    "--bin",
    "crash",
    "--bin",
    "sim",
    "--bin",
    "example-runlog",
];

/// Programs that are built.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds them.
    pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<Self> {
        workspace.run_cargo(&[&["build", "--profile", PROFILE], &SELECTION[..]].concat())?;
        let target = workspace.metadata()?.target_directory.into_std_path_buf();
        Ok(Self { folder: target.join(PROFILE) })
    }

    /// Where one of them is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// Runs one of them to its end; fails if it does.
    pub(crate) fn run(
        &self,
        workspace: &Workspace,
        name: &str,
        arguments: &[&str],
    ) -> anyhow::Result<()> {
        let mut program = Command::new(self.path(name));
        program.args(arguments).current_dir(workspace.root()).stdin(Stdio::null());
        workspace::run(&mut program)
    }
}
