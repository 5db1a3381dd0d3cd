//! A few seconds of every fuzz target.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

use super::succeeds;
use crate::workspace::Workspace;

/// How long each target runs, and how long one input may take.
const LIMITS: [&str; 2] = ["-max_total_time=20", "-timeout=10"];

/// Runs the targets where cargo-fuzz and a nightly compiler are installed.
///
/// The inputs in `fixtures/fuzz` are what it starts from; what it finds beyond them goes to
/// `fuzz/corpus`, which git ignores. An input that ends a run is in `fuzz/artifacts`: it belongs
/// into `fixtures/fuzz`, with the mending.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    if !succeeds(&mut workspace.cargo(&["+nightly", "fuzz", "--version"])) {
        println!("fuzz: left out, cargo-fuzz or the nightly compiler is not installed");
        return Ok(());
    }
    let metadata = workspace.metadata_of(Path::new("fuzz/Cargo.toml"))?;
    let targets = metadata.workspace_packages().into_iter().flat_map(|package| &package.targets);
    let names: Vec<_> =
        targets.filter(|target| target.is_bin()).map(|target| target.name.clone()).collect();
    ensure!(!names.is_empty(), "there are no fuzz targets");
    workspace.run_cargo(&["+nightly", "fuzz", "build"])?;
    for name in names {
        println!("-- {name}");
        let corpus = workspace.root().join("fuzz/corpus").join(&name);
        fs::create_dir_all(&corpus).with_context(|| format!("creating {}", corpus.display()))?;
        let seeds = workspace.root().join("fixtures/fuzz").join(&name);
        let folders = [corpus.to_string_lossy(), seeds.to_string_lossy()];
        let [corpus, seeds] = folders.each_ref().map(|folder| &**folder);
        let [time, timeout] = LIMITS;
        let run = ["+nightly", "fuzz", "run", &name, corpus, seeds, "--", time, timeout];
        workspace.run_cargo(&run)?;
    }
    Ok(())
}
