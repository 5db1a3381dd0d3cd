//! The crates of a stranger in `fixtures/consumer`: each uses one of ours, and gets no other.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use cargo_metadata::Metadata;

use crate::workspace::Workspace;

/// Runs each of them and its tests, and looks what it brings along.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let manifests = manifests(workspace)?;
    ensure!(!manifests.is_empty(), "there are no crates in fixtures/consumer");
    for manifest in manifests {
        let shown = manifest.display();
        println!("-- {shown}");
        for command in ["run", "test"] {
            let manifest = manifest.to_string_lossy();
            let selection = ["--quiet", "--manifest-path", &manifest];
            let folder = ["--target-dir", "target/consumer"];
            workspace.run_cargo(&[&[command], &selection[..], &folder[..]].concat())?;
        }
        let metadata = workspace.metadata_of(&manifest)?;
        compare(&ours(&metadata, workspace.root()), &uses(&metadata)?)
            .with_context(|| format!("the lock file beside {shown}"))?;
    }
    Ok(())
}

/// The manifests one folder below `fixtures/consumer`, from the root of the repository.
fn manifests(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let folder = Path::new("fixtures/consumer");
    let mut manifests = Vec::new();
    for entry in workspace.root().join(folder).read_dir().context("reading fixtures/consumer")? {
        let name = entry.context("reading fixtures/consumer")?.file_name();
        manifests.push(folder.join(name).join("Cargo.toml"));
    }
    manifests.retain(|manifest| workspace.root().join(manifest).is_file());
    manifests.sort();
    Ok(manifests)
}

/// The crates of this repository among all that a stranger's crate depends on.
fn ours(metadata: &Metadata, root: &Path) -> Vec<String> {
    let own = metadata.workspace_root.as_std_path();
    let mut names: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| {
            let manifest = package.manifest_path.as_std_path();
            manifest.starts_with(root) && !manifest.starts_with(own)
        })
        .map(|package| package.name.to_string())
        .collect();
    names.sort();
    names
}

/// What its manifest says it uses of this repository, below `[package.metadata.consumer]`.
fn uses(metadata: &Metadata) -> anyhow::Result<Vec<String>> {
    let package = metadata.root_package().context("a consumer is one package")?;
    let uses = &package.metadata["consumer"]["uses"];
    let mut names: Vec<String> =
        serde_json::from_value(uses.clone()).context("package.metadata.consumer.uses")?;
    names.sort();
    Ok(names)
}

fn compare(found: &[String], expected: &[String]) -> anyhow::Result<()> {
    ensure!(found == expected, "holds {found:?} of this repository, not {expected:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Workspace, compare, manifests, ours, uses};

    #[test]
    fn a_crate_that_comes_along_is_noticed() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = names(&["bindu-did"]);
        assert!(compare(&names(&["bindu-did"]), &expected).is_ok());
        let error = compare(&names(&["bindu-did", "bindu-http"]), &expected).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"holds ["bindu-did", "bindu-http"] of this repository, not ["bindu-did"]"#
        );
    }

    #[test]
    fn crates_of_the_repository_are_told_from_those_of_the_registry() {
        let workspace = Workspace::new();
        let all = manifests(&workspace).unwrap();
        assert_eq!(all.len(), 3);
        for manifest in all {
            let metadata = workspace.metadata_of(&manifest).unwrap();
            let ours = ours(&metadata, workspace.root());
            assert!(!ours.is_empty() && ours.len() < metadata.packages.len());
            compare(&ours, &uses(&metadata).unwrap()).unwrap();
        }
    }
}
