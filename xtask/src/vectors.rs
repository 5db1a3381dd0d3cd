//! `cargo xtask vectors`: runs recorded test vectors against the crates.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use crate::{folder_or, workspace::Workspace};

/// Where the imported vectors lie.
const VECTORS: &str = "fixtures/vectors";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// A folder of vector files to run instead of the imported ones.
    dir: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let (mut passed, mut failed) = (0, 0);
    for file in files(&folder_or(workspace, args.dir.as_ref(), VECTORS))? {
        let shown = file.display();
        let text = fs::read_to_string(&file).with_context(|| format!("reading {shown}"))?;
        let cases = serde_json::from_str(&text).with_context(|| format!("{shown} is no JSON"))?;
        let report = bindu_did::vectors::run(&cases);
        for failure in &report.failed {
            println!("FAIL {shown}: {failure}");
        }
        passed += report.passed;
        failed += report.failed.len();
    }
    println!("{passed} passed, {failed} failed");
    ensure!(failed == 0, "{failed} vector(s) failed");
    ensure!(passed > 0, "there are no vectors");
    Ok(())
}

/// The JSON files of `folder`, by name.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let reading = || format!("reading {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        files.push(entry.with_context(reading)?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{Args, Workspace, fs, run};

    fn run_in(text: &str) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("one.json"), text)?;
        fs::write(folder.path().join("notes.txt"), "words")?;
        run(&Workspace::new(), &Args { dir: Some(folder.path().to_owned()) })
    }

    #[test]
    fn a_vector_that_does_not_hold_fails_the_run() {
        let case = |did: &str| {
            format!(
                r#"{{"cases":[{{"kind":"did_key_fallback","did":"{did}",
                "public_key_hex":"3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"}}]}}"#
            )
        };
        let error = run_in(&case("did:key:zWrong")).unwrap_err().to_string();
        assert_eq!(error, "1 vector(s) failed");
    }

    #[test]
    fn no_vectors_and_no_folder_are_errors() {
        assert!(run_in(r#"{"cases":[]}"#).is_err());
        let empty = tempfile::tempdir().unwrap();
        let error = run(&Workspace::new(), &Args { dir: Some(empty.path().to_owned()) });
        assert_eq!(error.unwrap_err().to_string(), "there are no vectors");
        let missing = Args { dir: Some("/nowhere/at/all".into()) };
        assert!(run(&Workspace::new(), &missing).is_err());
    }
}
