//! Where the workspace is, and what cargo knows about it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, Package};

/// The repository that this command was built from.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    /// What every cargo command finds in its environment, beside our own.
    vars: Vec<(String, String)>,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self { root: xtask.parent().unwrap_or(xtask).to_owned(), vars: Vec::new() }
    }

    /// The same, with more variables for what cargo runs.
    pub(crate) fn with_vars(self, vars: Vec<(String, String)>) -> Self {
        Self { vars, ..self }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The metadata of the workspace with every feature on.
    pub(crate) fn metadata(&self) -> anyhow::Result<Metadata> {
        self.metadata_of(Path::new("Cargo.toml"))
    }

    /// The metadata of a manifest, given from the root of the repository.
    pub(crate) fn metadata_of(&self, manifest: &Path) -> anyhow::Result<Metadata> {
        MetadataCommand::new()
            .manifest_path(self.root.join(manifest))
            .features(CargoOpt::AllFeatures)
            .exec()
            .with_context(|| format!("reading the metadata of {}", manifest.display()))
    }

    /// A cargo command in the root of the repository.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&self.root).envs(self.vars.iter().cloned());
        command
    }

    /// Runs cargo and fails if it does.
    pub(crate) fn run_cargo(&self, arguments: &[&str]) -> anyhow::Result<()> {
        run(&mut self.cargo(arguments))
    }
}

/// Runs a command to its end; its output goes where ours does.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("running {}", shown(command)))?;
    ensure!(status.success(), "{} failed: {status}", shown(command));
    Ok(())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The packages under `crates/`: those that are published.
pub(crate) fn crates(metadata: &Metadata) -> Vec<&Package> {
    let folder = metadata.workspace_root.join("crates");
    let mut found = metadata.workspace_packages();
    found.retain(|package| package.manifest_path.starts_with(&folder));
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
