//! `cargo xtask fixtures`: files that tests compare with.
//!
//! Some are generated from the code and must follow it; some were recorded
//! elsewhere and are imported as they are.

mod import;
mod keys;
mod protocol;
mod settings;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{verdict, workspace::Workspace};

/// Writes fixtures from the code; the same code gives the same bytes.
type Generator = fn(&Workspace) -> anyhow::Result<Vec<Generated>>;

/// All that is generated. A new kind of fixture adds its function here.
const GENERATORS: &[Generator] = &[protocol::generate, keys::generate, settings::generate];

/// A file as the code wants it.
#[derive(Debug)]
pub(crate) struct Generated {
    /// From the root of the repository: `fixtures/…`.
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl Generated {
    fn new(path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into() }
    }
}

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Only compare, and fail if a file is stale.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Copy recorded transcripts and vectors from a folder that holds `wire` and `vectors`.
    Import {
        /// The folder.
        dir: PathBuf,
    },
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Some(Action::Import { dir }) => import::run(workspace.root(), dir),
        None if args.check => check(workspace),
        None => {
            let generated = generate(workspace)?;
            write(workspace.root(), &generated)?;
            println!("fixtures: {} written", generated.len());
            Ok(())
        }
    }
}

/// Fails with the list of files that are not as the code wants them.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    verdict("fixtures", &stale(workspace.root(), &generate(workspace)?))
}

fn generate(workspace: &Workspace) -> anyhow::Result<Vec<Generated>> {
    let mut all = Vec::new();
    for generator in GENERATORS {
        all.extend(generator(workspace)?);
    }
    Ok(all)
}

fn write(root: &Path, generated: &[Generated]) -> anyhow::Result<()> {
    for Generated { path, bytes } in generated {
        write_file(&root.join(path), bytes)?;
    }
    Ok(())
}

fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

fn stale(root: &Path, generated: &[Generated]) -> Vec<String> {
    let mut problems = Vec::new();
    for Generated { path, bytes } in generated {
        let shown = path.display();
        match fs::read(root.join(path)) {
            Ok(found) if found == *bytes => {}
            Ok(_) => problems.push(format!("{shown} is stale: run cargo xtask fixtures")),
            Err(error) => problems.push(format!("{shown} cannot be read: {error}")),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{Generated, fs, stale, write};

    #[test]
    fn what_was_written_is_fresh_until_either_side_changes() {
        let root = tempfile::tempdir().unwrap();
        let mut generated =
            [Generated { path: "fixtures/a/b.json".into(), bytes: b"{}\n".to_vec() }];
        assert!(stale(root.path(), &generated)[0].starts_with("fixtures/a/b.json cannot be read"));
        write(root.path(), &generated).unwrap();
        assert!(stale(root.path(), &generated).is_empty());
        generated[0].bytes = b"[]\n".to_vec();
        assert_eq!(
            stale(root.path(), &generated),
            ["fixtures/a/b.json is stale: run cargo xtask fixtures"]
        );
        fs::remove_file(root.path().join("fixtures/a/b.json")).unwrap();
        assert_eq!(stale(root.path(), &generated).len(), 1);
    }
}
