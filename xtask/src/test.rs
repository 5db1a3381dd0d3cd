//! `cargo xtask test`: every test of the workspace.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use anyhow::{Context as _, ensure};

use crate::workspace::Workspace;

/// How many tests ran, over all test binaries and documentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Whether cargo itself was content: everything compiled and ran.
    pub(crate) complete: bool,
}

impl Totals {
    /// Prints the count as the last line; fails if a test did or could not run.
    pub(crate) fn into_result(self) -> anyhow::Result<()> {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.check()
    }

    pub(crate) fn check(self) -> anyhow::Result<()> {
        ensure!(self.failed == 0, "{} test(s) failed", self.failed);
        ensure!(self.complete, "cargo test failed");
        Ok(())
    }
}

/// Runs the tests, shows their output and counts.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<Totals> {
    let arguments = ["test", "--workspace", "--all-features", "--no-fail-fast"];
    let mut child =
        workspace.cargo(&arguments).stdout(Stdio::piped()).spawn().context("running cargo test")?;
    let mut totals = Totals::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("reading the output of cargo test")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            if let Some((passed, failed)) = counts(&line) {
                totals.passed += passed;
                totals.failed += failed;
            }
        }
    }
    totals.complete = child.wait().context("waiting for cargo test")?.success();
    Ok(totals)
}

/// Reads `test result: ok. 3 passed; 0 failed; …`.
fn counts(line: &str) -> Option<(usize, usize)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = counts.split("; ");
    let passed = counts.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = counts.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

#[cfg(test)]
mod tests {
    use super::{Totals, counts};

    #[test]
    fn the_summary_of_a_test_binary_is_read() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(line), Some((12, 3)));
        assert_eq!(counts("test result: ok. 7 passed; 0 failed; 0 ignored"), Some((7, 0)));
        assert_eq!(counts("test a::b ... ok"), None);
        assert_eq!(counts("running 3 tests"), None);
    }

    #[test]
    fn a_failed_test_or_an_incomplete_run_is_an_error() {
        let good = Totals { passed: 2, failed: 0, complete: true };
        assert!(good.check().is_ok());
        assert!(Totals { failed: 1, ..good }.check().is_err());
        assert!(Totals { complete: false, ..good }.check().is_err());
    }
}
