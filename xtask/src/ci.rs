//! `cargo xtask ci`: every gate, in order, with the minutes of each.
//!
//! A gate that fails does not stop the others; what failed is listed at the end.

mod consumer;
mod fuzz;

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bindu_testkit::services::Services;

use crate::{
    codegen, crash, fixtures, layers, services, sim, test, tidy, vectors, wire, workspace,
    workspace::Workspace,
};

pub(crate) fn run(workspace: Workspace) -> anyhow::Result<()> {
    let mut gates = Gates::default();
    // They live as long as this value: through every gate. Without them the tests that need them
    // fail, each with a reason.
    let mut services = None;
    gates.run("services", || {
        services = Some(services::start()?);
        Ok(())
    });
    let vars = services.as_ref().map(Services::vars).unwrap_or_default();
    let workspace = &workspace.with_vars(vars);
    gates.run("fmt", || workspace.run_cargo(&["fmt", "--all", "--check"]));
    gates.run("clippy", || clippy(workspace, &["--workspace", "--all-targets", "--all-features"]));
    gates.run("clippy, each feature", || each_feature(workspace));
    gates.run("doc", || {
        let mut doc = workspace.cargo(&["doc", "--workspace", "--all-features", "--no-deps"]);
        workspace::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    });
    let mut totals = test::Totals::default();
    gates.run("test", || {
        totals = test::run_beside(workspace)?;
        totals.check()
    });
    gates.run("layers", || layers::run(workspace));
    gates.run("tidy", || tidy::run(workspace));
    gates.run("fixtures", || fixtures::check(workspace));
    gates.run("codegen", || codegen::check(workspace));
    gates.run("deny", || deny(workspace));
    gates.run("each crate alone", || alone(workspace));
    gates.run("consumer", || consumer::run(workspace));
    gates.run("vectors", || vectors::run(workspace, &vectors::Args::default()));
    gates.run("wire", || wire::run(workspace, &wire::Args::default()));
    gates.run("crash", || crash::run(workspace, &crash::Args::short()));
    gates.run("sim", || sim::run(workspace, &sim::Args::default()));
    gates.run("fuzz", || fuzz::run(workspace));
    totals.show_failures();
    let result = gates.finish();
    // The last line is the count of tests, for whoever reads only that.
    println!("{} passed, {} failed", totals.passed, totals.failed);
    result
}

/// The gates that have run.
#[derive(Debug, Default)]
struct Gates {
    done: Vec<(String, Duration, Option<String>)>,
}

impl Gates {
    fn run(&mut self, name: &str, gate: impl FnOnce() -> anyhow::Result<()>) {
        println!("\n== {name}");
        let start = Instant::now();
        let problem = gate().err().map(|error| format!("{error:#}"));
        if let Some(problem) = &problem {
            println!("{name}: {problem}");
        }
        self.done.push((name.to_owned(), start.elapsed(), problem));
    }

    /// Prints the table and fails if a gate did.
    fn finish(&self) -> anyhow::Result<()> {
        println!("\n{}", self.table());
        let failed: Vec<_> = self
            .done
            .iter()
            .filter_map(|(name, _, problem)| Some(format!("{name}: {}", problem.as_ref()?)))
            .collect();
        for problem in &failed {
            println!("failed: {problem}");
        }
        anyhow::ensure!(failed.is_empty(), "{} of {} gates failed", failed.len(), self.done.len());
        Ok(())
    }

    fn table(&self) -> String {
        let mut lines = Vec::new();
        let mut all = Duration::ZERO;
        for (name, time, problem) in &self.done {
            let mark = if problem.is_some() { "FAILED" } else { "ok" };
            lines.push(format!("{name:<24}{:>7.1} min  {mark}", minutes(*time)));
            all += *time;
        }
        lines.push(format!("{:<24}{:>7.1} min", "all", minutes(all)));
        lines.join("\n")
    }
}

fn minutes(time: Duration) -> f64 {
    time.as_secs_f64() / 60.0
}

fn clippy(workspace: &Workspace, selection: &[&str]) -> anyhow::Result<()> {
    let mut arguments = vec!["clippy"];
    arguments.extend(selection);
    arguments.extend(["--", "-D", "warnings"]);
    workspace.run_cargo(&arguments)
}

/// The facade without any feature, and with each of them alone.
fn each_feature(workspace: &Workspace) -> anyhow::Result<()> {
    let none = ["-p", "bindu", "--no-default-features"];
    clippy(workspace, &none)?;
    let metadata = workspace.metadata()?;
    let facade = workspace::crates(&metadata).into_iter().find(|one| one.name.as_str() == "bindu");
    for feature in facade.context("there is no facade crate bindu")?.features.keys() {
        println!("-- {feature}");
        let [p, bindu, no_default] = none;
        clippy(workspace, &[p, bindu, no_default, "--features", feature])?;
    }
    Ok(())
}

/// Licences, banned packages and sources. Installs cargo-deny where it is missing.
fn deny(workspace: &Workspace) -> anyhow::Result<()> {
    if !succeeds(&mut workspace.cargo(&["deny", "--version"])) {
        workspace.run_cargo(&["install", "cargo-deny", "--locked"])?;
    }
    workspace.run_cargo(&["deny", "--all-features", "check", "licenses", "bans", "sources"])
}

/// Each crate by itself, so that none lives on the features another turns on.
fn alone(workspace: &Workspace) -> anyhow::Result<()> {
    let metadata = workspace.metadata()?;
    for package in workspace::crates(&metadata) {
        println!("-- {}", package.name);
        workspace.run_cargo(&["check", "--quiet", "-p", &package.name])?;
    }
    Ok(())
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::{Duration, Gates};

    #[test]
    fn every_gate_runs_and_the_failures_are_counted() {
        let mut gates = Gates::default();
        gates.run("first", || anyhow::bail!("not today"));
        gates.run("second", || Ok(()));
        assert_eq!(gates.finish().unwrap_err().to_string(), "1 of 2 gates failed");
    }

    #[test]
    fn the_table_shows_minutes() {
        let gates = Gates {
            done: vec![
                ("fmt".to_owned(), Duration::from_secs(6), None),
                ("test".to_owned(), Duration::from_secs(90), Some("no".to_owned())),
            ],
        };
        assert_eq!(
            gates.table(),
            "fmt                         0.1 min  ok\n\
             test                        1.5 min  FAILED\n\
             all                         1.6 min"
        );
    }
}
