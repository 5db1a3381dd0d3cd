//! `cargo xtask tidy`: what a reader should never have to notice.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use regex::Regex;

use crate::{verdict, workspace, workspace::Workspace};

/// The longest a Rust file may be.
const MAX_LINES: usize = 700;

/// Marks of unfinished work. They are written so that this line is none.
const UNFINISHED: &str = r"\bTOD[O]\b|\btodo[!]|\bunimplemented[!]|#\[ignor[e]";

const MAP: &str = "docs/architecture.md";

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let metadata = workspace.metadata()?;
    let map = fs::read_to_string(workspace.root().join(MAP)).unwrap_or_default();
    let mut problems = Vec::new();
    for package in workspace::crates(&metadata) {
        let name = package.name.as_str();
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
        for file in ["README.md", "CHANGELOG.md"] {
            if !folder.join(file).is_file() {
                problems.push(format!("{name} has no {file}"));
            }
        }
        if !map.contains(&format!("`{name}`")) {
            problems.push(format!("{MAP} has no paragraph about `{name}`"));
        }
    }
    let unfinished = Regex::new(UNFINISHED)?;
    for file in rust_files(workspace.root())? {
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let shown = file.strip_prefix(workspace.root()).unwrap_or(&file).display().to_string();
        problems.extend(in_file(&shown, &text, &unfinished));
    }
    verdict("tidy", &problems)
}

fn in_file(file: &str, text: &str, unfinished: &Regex) -> Vec<String> {
    let mut problems = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{file} has {lines} lines, more than {MAX_LINES}"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(found) = unfinished.find(line) {
            problems.push(format!("{file}:{number} says {}", found.as_str()));
        }
    }
    problems
}

/// The Rust files of the repository, without what is built or hidden.
fn rust_files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type()?.is_dir() {
                if name != "target" && !name.as_encoded_bytes().starts_with(b".") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{MAX_LINES, Regex, UNFINISHED, in_file, rust_files};

    #[test]
    fn unfinished_work_is_found_by_line() {
        let unfinished = Regex::new(UNFINISHED).unwrap();
        let text = ["fn a() {", "// TO DO later: TO", "}"]
            .join("\n")
            .replace("TO DO", &["TO", "DO"].concat());
        assert_eq!(in_file("a.rs", &text, &unfinished), [["a.rs:2 says TO", "DO"].concat()]);
        for mark in [["to", "do!()"], ["unimple", "mented!()"], ["#[ig", "nore]"]] {
            assert_eq!(in_file("a.rs", &mark.concat(), &unfinished).len(), 1);
        }
        assert!(in_file("a.rs", "let todos = ignore(); // mastodon", &unfinished).is_empty());
    }

    #[test]
    fn a_file_may_have_seven_hundred_lines() {
        let unfinished = Regex::new(UNFINISHED).unwrap();
        assert!(in_file("a.rs", &"\n".repeat(MAX_LINES), &unfinished).is_empty());
        let long = in_file("a.rs", &"\n".repeat(MAX_LINES + 1), &unfinished);
        assert_eq!(long, ["a.rs has 701 lines, more than 700"]);
    }

    #[test]
    fn built_and_hidden_folders_are_passed_over() {
        let root = tempfile::tempdir().unwrap();
        for file in ["b/x.rs", "a.rs", "target/y.rs", ".git/z.rs", "a.txt"] {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let found = rust_files(root.path()).unwrap();
        assert_eq!(found, [root.path().join("a.rs"), root.path().join("b/x.rs")]);
    }
}
