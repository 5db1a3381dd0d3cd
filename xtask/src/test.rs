//! `cargo xtask test`: every test of the workspace.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use bindu_testkit::services::Watcher;

use crate::{
    sdks, services,
    web::{self, Chromium},
    workspace::Workspace,
};

/// What every test has in its path that needs a server: a module of this name.
const NEEDS_SERVICES: &str = "needs_services";

/// What is tested.
const EVERYTHING: [&str; 4] = ["test", "--workspace", "--all-features", "--no-fail-fast"];

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Leave out what needs servers, and say at the end what that was.
    #[arg(long, value_enum)]
    without: Option<Without>,
}

/// What can be left out.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Without {
    /// Tests that need a Postgres, a Redis, a Hydra or a step-ca.
    Services,
}

/// How many lines of what failed tests said are kept, to be shown again at the end.
const MAX_SAID: usize = 400;

/// How many tests ran, over all test binaries and documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Whether cargo itself was content: everything compiled and ran.
    pub(crate) complete: bool,
    /// What the failed tests said, and their names: whoever reads the end of a long run alone
    /// learns which they were.
    pub(crate) said: Vec<String>,
}

impl Totals {
    /// Prints the count as the last line; fails if a test did or could not run.
    pub(crate) fn into_result(self) -> anyhow::Result<()> {
        self.show_failures();
        println!("{} passed, {} failed", self.passed, self.failed);
        self.check()
    }

    pub(crate) fn show_failures(&self) {
        for line in &self.said {
            println!("{line}");
        }
    }

    /// Adds one line of cargo's output.
    fn read(&mut self, line: &str, in_failures: &mut bool) {
        if let Some((passed, failed)) = counts(line) {
            self.passed += passed;
            self.failed += failed;
            *in_failures = false;
        }
        *in_failures |= line == "failures:";
        if *in_failures && self.said.len() < MAX_SAID {
            self.said.push(line.to_owned());
        }
    }

    fn add(&mut self, others: Self) {
        self.passed += others.passed;
        self.failed += others.failed;
        self.complete &= others.complete;
        self.said.extend(others.said);
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.failed == 0, "{} test(s) failed", self.failed);
        ensure!(self.complete, "cargo test failed");
        Ok(())
    }
}

/// Runs the tests beside the servers they need, unless those tests are left out.
pub(crate) fn run(workspace: Workspace, args: &Args) -> anyhow::Result<Totals> {
    if args.without.is_some() {
        let mut totals =
            count(workspace.cargo(&EVERYTHING).args(["--", "--skip", NEEDS_SERVICES]))?;
        totals.add(sdks::run_beside(&workspace));
        totals.add(web::run_beside(&workspace, Chromium::IfThere));
        println!("\nleft out, because they need a Postgres, a Redis, a Hydra or a step-ca:");
        let mut list = workspace.cargo(&EVERYTHING);
        list.args(["--quiet", "--lib", "--bins", "--tests", "--", "--list", NEEDS_SERVICES]);
        let names = list.output().context("listing what was left out")?;
        let names = String::from_utf8_lossy(&names.stdout);
        for name in names.lines().filter_map(|line| line.strip_suffix(": test")) {
            println!("  {name}");
        }
        return Ok(totals);
    }
    // They live as long as this value, and end before we do.
    let services = services::start()?;
    run_beside(&workspace.with_vars(services.vars()))
}

/// Runs the tests; the servers they need are in the workspace's variables.
pub(crate) fn run_beside(workspace: &Workspace) -> anyhow::Result<Totals> {
    let mut totals = count(&mut workspace.cargo(&EVERYTHING))?;
    totals.add(sdks::run_beside(workspace));
    totals.add(web::run_beside(workspace, Chromium::Needed));
    Ok(totals)
}

/// Runs cargo, shows its output and counts.
fn count(cargo: &mut Command) -> anyhow::Result<Totals> {
    let (mut child, _watcher) =
        Watcher::spawn(cargo.stdout(Stdio::piped())).context("running cargo test")?;
    let mut totals = Totals::default();
    let mut in_failures = false;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context("reading the output of cargo test")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            totals.read(&line, &mut in_failures);
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
        let good = Totals { passed: 2, complete: true, ..Totals::default() };
        assert!(good.check().is_ok());
        assert!(Totals { failed: 1, ..good.clone() }.check().is_err());
        assert!(Totals { complete: false, ..good }.check().is_err());
    }

    #[test]
    fn what_failed_tests_said_is_kept_for_the_end() {
        let output = [
            "test a ... ok",
            "failures:",
            "---- b stdout ----",
            "no colour",
            "failures:",
            "    b",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored",
            "test c ... ok",
        ];
        let (mut totals, mut in_failures) = (Totals::default(), false);
        for line in output {
            totals.read(line, &mut in_failures);
        }
        assert_eq!(totals.said, output[1..6]);
        assert_eq!((totals.passed, totals.failed), (1, 1));
    }
}
