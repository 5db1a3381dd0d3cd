//! `cargo xtask web`: strangers pay our agents, with the ecosystem's own x402 client for Node.js
//! and in Chromium, and look at the pages. What they do is in `testkit/web`.
//!
//! Where Node.js is missing they do not come, and that is said at the end. A Chromium is installed
//! where that is possible, as servers are.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use bindu_testkit::services::{Machine, Watcher};
use tempfile::TempDir;

use crate::{
    sdks::{self, Report},
    test::Totals,
    workspace::Workspace,
};

/// The project in Node.js.
const PROJECT: &str = "testkit/web";

/// Where the pictures of the pages are, for readers.
const PICTURES: &str = "docs/images";

/// The agents that are paid, and the facilitator that they ask.
const AGENTS: &str = "paid-agents";

/// Names a Chromium to use instead of Debian's.
const CHROMIUM: &str = "CHROMIUM";

/// How long the agents may take to answer after their start.
const START: Duration = Duration::from_mins(1);

/// How often something is looked at that nobody tells of.
const BEAT: Duration = Duration::from_millis(20);

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Take the pictures of the pages anew that the documentation shows.
    #[arg(long)]
    screenshots: bool,
    /// Start no agents but pay running ones, whose addresses are in this JSON file:
    /// {"paid": "http://…", "hostile": "http://…", "facilitator": "http://…"}.
    #[arg(long, value_name = "MAP")]
    agents: Option<PathBuf>,
}

/// Builds the agents and has them paid.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<Totals> {
    let pictures = args.screenshots.then(|| workspace.root().join(PICTURES));
    if let Some(map) = &args.agents {
        let map = std::path::absolute(map)?;
        return visit(workspace, Chromium::Needed, |visit| visit.pay(&map, pictures.as_deref()));
    }
    let build = ["build", "-p", "bindu-testkit", "--features", "agents", "--bin", AGENTS];
    workspace.run_cargo(&build)?;
    visit(workspace, Chromium::Needed, |visit| visit.pay_our_own(pictures.as_deref()))
}

/// Has the agents paid after cargo's own tests, for which they have been built.
pub(crate) fn run_beside(workspace: &Workspace, chromium: Chromium) -> Totals {
    visit(workspace, chromium, |visit| visit.pay_our_own(None)).unwrap_or_else(|error| {
        let line = format!("web: {error:#}");
        println!("{line}");
        Totals { said: vec![line], ..Totals::default() }
    })
}

/// Whether there has to be a Chromium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chromium {
    /// It is installed if it is missing, and missed if it cannot be.
    Needed,
    /// Without one the pages are left out, and that is said.
    IfThere,
}

impl Chromium {
    /// The program that is given, or else the machine's.
    fn find(self) -> anyhow::Result<Option<PathBuf>> {
        #[expect(clippy::disallowed_methods, reason = "a tool for tests, which has no Settings")]
        let given = std::env::var_os(CHROMIUM).filter(|program| !program.is_empty());
        if let Some(program) = given {
            return Ok(Some(program.into()));
        }
        self.find_on(Machine::this())
    }

    fn find_on(self, machine: Machine) -> anyhow::Result<Option<PathBuf>> {
        match self {
            Self::Needed => Ok(Some(machine.chromium()?)),
            // Whoever is not root installs nothing.
            Self::IfThere => Ok(Machine { is_root: false, ..machine }.chromium().ok()),
        }
    }
}

/// Does it, unless there is no Node.js.
fn visit(
    workspace: &Workspace,
    chromium: Chromium,
    does: impl FnOnce(&Visit) -> anyhow::Result<Report>,
) -> anyhow::Result<Totals> {
    println!("\n-- web");
    let mut totals = Totals { complete: true, ..Totals::default() };
    if let Some(missing) = sdks::missing(&sdks::NODE) {
        let line = format!("NOT TESTED: web, {missing}");
        println!("{line}");
        totals.said.push(line);
        return Ok(totals);
    }
    let target = workspace.metadata()?.target_directory.into_std_path_buf();
    let agents = target.join("debug").join(format!("{AGENTS}{}", std::env::consts::EXE_SUFFIX));
    let visit =
        Visit { project: workspace.root().join(PROJECT), agents, chromium: chromium.find()? };
    if visit.chromium.is_none() {
        let line = "NOT TESTED: the payment pages, there is no Chromium".to_owned();
        println!("{line}");
        totals.said.push(line);
    }
    sdks::npm_ci(&visit.project)?;
    let report = does(&visit)?.judged();
    println!("web: {} passed, {} failed", report.passed, report.failed);
    totals.passed = report.passed;
    totals.failed = report.failed;
    totals.said.extend(report.failures.iter().map(|name| format!("web: {name}")));
    Ok(totals)
}

/// What it takes to visit agents.
struct Visit {
    project: PathBuf,
    /// The program that is our own agents.
    agents: PathBuf,
    /// Without it there are no pages.
    chromium: Option<PathBuf>,
}

impl Visit {
    fn pay_our_own(&self, pictures: Option<&Path>) -> anyhow::Result<Report> {
        let agents = Agents::start(&self.agents)?;
        let report = self.pay(&agents.map, pictures)?;
        if report.failed > 0 {
            println!("the agents said:\n{}", agents.log());
        }
        Ok(report)
    }

    fn pay(&self, map: &Path, pictures: Option<&Path>) -> anyhow::Result<Report> {
        let mut npm = Command::new("npm");
        npm.args(["run", "--silent"]);
        match &self.chromium {
            Some(chromium) => npm.arg("test").env(CHROMIUM, chromium),
            None => npm.arg("test:payer"),
        };
        npm.current_dir(&self.project)
            .env("BINDU_AGENTS", map)
            .env_remove("BINDU_SCREENSHOTS")
            .stdin(Stdio::null());
        if let Some(pictures) = pictures {
            npm.env("BINDU_SCREENSHOTS", pictures);
        }
        sdks::report(&mut npm, Report::read_tap)
    }
}

/// Our own agents. Dropped, they are ended.
struct Agents {
    child: Child,
    _watcher: Watcher,
    map: PathBuf,
    /// Theirs alone, so that no `.env` of the developer's reaches them.
    folder: TempDir,
}

impl Agents {
    /// Starts them, and waits until they answer.
    fn start(program: &Path) -> anyhow::Result<Self> {
        ensure!(program.is_file(), "{} is not built", program.display());
        let folder = tempfile::tempdir().context("making a folder")?;
        let map = folder.path().join("agents.json");
        let log = File::create(folder.path().join("log")).context("making a log")?;
        let mut command = Command::new(program);
        command.arg("--map").arg(&map).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().context("sharing a log")?).stderr(log);
        let started = Watcher::spawn(&mut command);
        let (child, watcher) =
            started.with_context(|| format!("starting {}", program.display()))?;
        let mut agents = Self { child, _watcher: watcher, map, folder };
        let deadline = Instant::now() + START;
        while !agents.map.exists() {
            if let Some(status) = agents.child.try_wait().context("looking after the agents")? {
                bail!("the agents ended: {status}\n{}", agents.log());
            }
            ensure!(Instant::now() < deadline, "no answer in {START:?}\n{}", agents.log());
            thread::sleep(BEAT);
        }
        Ok(agents)
    }

    /// What they have logged.
    fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log"));
        log.map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into())
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        // Both fail for a child that has ended, and that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use bindu_testkit::services::Machine;

    use super::{Agents, Chromium};

    #[test]
    fn without_a_chromium_the_pages_are_left_out_where_that_is_allowed() {
        let root = tempfile::tempdir().unwrap();
        let bare =
            Machine { path: root.path().as_os_str().to_owned(), is_root: false, ..Machine::this() };
        assert_eq!(Chromium::IfThere.find_on(bare.clone()).unwrap(), None);
        let missed = Chromium::Needed.find_on(bare.clone()).unwrap_err().to_string();
        assert!(missed.starts_with("Chromium is not installed"), "{missed}");
        let program = root.path().join("chromium");
        std::fs::write(&program, "").unwrap();
        for chromium in [Chromium::IfThere, Chromium::Needed] {
            assert_eq!(chromium.find_on(bare.clone()).unwrap(), Some(program.clone()));
        }
    }

    #[test]
    fn agents_that_are_not_there_are_missed() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("paid-agents");
        let error = Agents::start(&missing).err().unwrap();
        assert!(error.to_string().ends_with("paid-agents is not built"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn agents_that_end_at_once_say_why() {
        use std::{fs, os::unix::fs::PermissionsExt as _};

        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("paid-agents");
        fs::write(&program, "#!/bin/sh\necho no facilitator >&2; exit 3\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let error = Agents::start(&program).err().unwrap().to_string();
        assert!(error.contains("exit status: 3\nno facilitator"), "{error}");
    }
}
