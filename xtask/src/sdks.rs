//! `cargo xtask sdks`: the tests of the SDKs in other languages, against the real `bindu`.
//!
//! Each is run where its toolchain is; where it is not, that is said at the end. What a toolchain
//! installs is kept, until the file that pins it changes.

mod report;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use bindu_testkit::services::Watcher;

pub(crate) use self::report::Report;
use crate::{test::Totals, workspace, workspace::Workspace};

/// The contract. Each SDK has a copy, since its package has to stand alone.
const CONTRACT: &str = "crates/bindu-grpc/proto/agent_handler.proto";

/// What Node.js is.
pub(crate) const NODE: [&[&str]; 2] = [&["node", "--version"], &["npm", "--version"]];

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Those to test; all of them by default.
    #[arg(value_enum)]
    only: Vec<Sdk>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sdk {
    Typescript,
    Python,
    Kotlin,
}

impl Sdk {
    const ALL: [Self; 3] = [Self::Typescript, Self::Python, Self::Kotlin];

    fn name(self) -> &'static str {
        match self {
            Self::Typescript => "typescript",
            Self::Python => "python",
            Self::Kotlin => "kotlin",
        }
    }

    /// What has to be there, each asked for its version.
    fn tools(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Typescript => &NODE,
            Self::Python => {
                &[&["python3", "-c", "import sys, venv; assert sys.version_info >= (3, 10)"]]
            }
            Self::Kotlin => &[&["javac", "-version"], &["mvn", "--version"]],
        }
    }
}

/// Builds `bindu` and runs the tests of SDKs.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<Totals> {
    workspace.run_cargo(&["build", "-p", "bindu-cli"])?;
    let only = if args.only.is_empty() { &Sdk::ALL[..] } else { &args.only };
    test(workspace, only)
}

/// Runs the tests of all SDKs after cargo's own tests, for which `bindu` has been built.
pub(crate) fn run_beside(workspace: &Workspace) -> Totals {
    test(workspace, &Sdk::ALL).unwrap_or_else(|error| {
        let line = format!("SDKs: {error:#}");
        println!("{line}");
        Totals { said: vec![line], ..Totals::default() }
    })
}

fn test(workspace: &Workspace, sdks: &[Sdk]) -> anyhow::Result<Totals> {
    let target = workspace.metadata()?.target_directory.into_std_path_buf();
    let bindu = target.join("debug").join(format!("bindu{}", std::env::consts::EXE_SUFFIX));
    ensure!(bindu.is_file(), "{} is not built", bindu.display());
    let mut totals = Totals { complete: true, ..Totals::default() };
    for &sdk in sdks {
        println!("\n-- SDK {}", sdk.name());
        if let Some(missing) = missing(sdk.tools()) {
            let line = format!("NOT TESTED: {}, {missing}", sdk.name());
            println!("{line}");
            totals.said.push(line);
            continue;
        }
        let place = Place {
            folder: workspace.root().join("sdks").join(sdk.name()),
            kept: target.join("sdks").join(sdk.name()),
            bindu: bindu.clone(),
        };
        let tested = same_contract(workspace.root(), &place.folder).and_then(|()| place.test(sdk));
        let report = tested.unwrap_or_else(|error| Report {
            failures: vec![format!("{error:#}")],
            failed: 1,
            ..Report::default()
        });
        let report = report.judged();
        println!("{}: {} passed, {} failed", sdk.name(), report.passed, report.failed);
        totals.passed += report.passed;
        totals.failed += report.failed;
        let said = report.failures.iter().map(|name| format!("SDK {}: {name}", sdk.name()));
        totals.said.extend(said);
    }
    Ok(totals)
}

/// What of some tools is not there, each of them asked for its version.
pub(crate) fn missing(tools: &[&[&str]]) -> Option<String> {
    tools.iter().find_map(|tool| {
        let (program, arguments) = tool.split_first()?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Ok(status) if status.success() => None,
            Ok(_) => Some(format!("`{}` fails", tool.join(" "))),
            Err(_) => Some(format!("no {program} on the PATH")),
        }
    })
}

/// Fails unless an SDK has the contract, and all that it has are the same.
fn same_contract(root: &Path, folder: &Path) -> anyhow::Result<()> {
    let contract = fs::read(root.join(CONTRACT)).context("reading the contract")?;
    let copies = copies(folder)?;
    ensure!(!copies.is_empty(), "there is no copy of {CONTRACT}");
    for copy in copies {
        let same = fs::read(&copy)? == contract;
        ensure!(same, "{} differs from {CONTRACT}", copy.display());
    }
    Ok(())
}

/// The copies of the contract in a folder, without what is built or installed there.
fn copies(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let name = Path::new(CONTRACT).file_name();
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder);
        for entry in entries.with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let ours =
                |name: &std::ffi::OsStr| !["node_modules", "target"].iter().any(|n| name == *n);
            if path.is_dir() && path.file_name().is_some_and(ours) {
                folders.push(path);
            } else if path.file_name() == name {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Where an SDK is tested.
struct Place {
    /// Its sources.
    folder: PathBuf,
    /// Where it may keep things.
    kept: PathBuf,
    /// The core.
    bindu: PathBuf,
}

impl Place {
    fn test(&self, sdk: Sdk) -> anyhow::Result<Report> {
        match sdk {
            Sdk::Typescript => self.typescript(),
            Sdk::Python => self.python(),
            Sdk::Kotlin => self.kotlin(),
        }
    }

    fn typescript(&self) -> anyhow::Result<Report> {
        npm_ci(&self.folder)?;
        for script in ["build", "check"] {
            workspace::run(self.command("npm").args(["run", "--silent", script]))?;
        }
        report(self.command("npm").args(["test", "--silent"]), Report::read_tap)
    }

    fn python(&self) -> anyhow::Result<Report> {
        let venv = self.kept.join("venv");
        let python = venv.join(if cfg!(windows) { "Scripts/python" } else { "bin/python" });
        let requirements = self.folder.join("requirements-test.txt");
        installed(&requirements, &venv, || {
            workspace::run(self.command("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
            let pip = ["-m", "pip", "install", "--quiet", "--requirement"];
            workspace::run(self.command(&python).args(pip).arg(&requirements))
        })?;
        let pytest = ["-B", "-m", "pytest", "--verbose", "-p", "no:cacheprovider"];
        report(self.command(&python).args(pytest), Report::read_pytest)
    }

    fn kotlin(&self) -> anyhow::Result<Report> {
        let reports = self.folder.join("target/surefire-reports");
        if reports.is_dir() {
            fs::remove_dir_all(&reports).context("removing the reports of an earlier run")?;
        }
        let maven = ["--quiet", "--batch-mode", "test"];
        let mut report = report(self.command("mvn").args(maven), |_, _| ())?;
        if let Ok(files) = fs::read_dir(&reports) {
            for file in files {
                let file = file?.path();
                if file.extension().is_some_and(|extension| extension == "xml") {
                    report.read_surefire(&fs::read_to_string(file)?);
                }
            }
        }
        Ok(report)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("BINDU_BIN", &self.bindu).stdin(Stdio::null());
        command
    }
}

/// Runs tests, shows what they say and has it read. They must have run, and all be well.
pub(crate) fn report(
    command: &mut Command,
    read: impl Fn(&mut Report, &str),
) -> anyhow::Result<Report> {
    let doing = "running the tests";
    let (mut child, _watcher) = Watcher::spawn(command.stdout(Stdio::piped())).context(doing)?;
    let mut report = Report::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.context(doing)?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            read(&mut report, &line);
        }
    }
    report.ended_well = child.wait().context(doing)?.success();
    Ok(report)
}

/// Installs the packages of Node.js that a folder pins, unless that was done before.
pub(crate) fn npm_ci(folder: &Path) -> anyhow::Result<()> {
    installed(&folder.join("package-lock.json"), &folder.join("node_modules"), || {
        // What the packages bring along runs in no script of theirs.
        let ci = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"];
        let mut npm = Command::new("npm");
        workspace::run(npm.args(ci).current_dir(folder).stdin(Stdio::null()))
    })
}

/// Installs what a file pins, unless that was done before.
fn installed(
    pins: &Path,
    folder: &Path,
    install: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let stamp = folder.join(".installed");
    let wanted = fs::read(pins).with_context(|| format!("reading {}", pins.display()))?;
    if fs::read(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pinned_is_installed_once() {
        let folder = tempfile::tempdir().unwrap();
        let pins = folder.path().join("pins");
        let mut times = 0;
        for text in ["a", "a", "b"] {
            fs::write(&pins, text).unwrap();
            installed(&pins, folder.path(), || {
                times += 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(times, 2);
        fs::write(&pins, "c").unwrap();
        let failing = || installed(&pins, folder.path(), || anyhow::bail!("no network"));
        assert!(failing().is_err());
        assert!(failing().is_err(), "what failed is not there");
    }

    #[test]
    fn a_copy_of_the_contract_must_be_one() {
        let root = tempfile::tempdir().unwrap();
        let sdk = root.path().join("sdks/some");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(CONTRACT, "new");
        write("sdks/some/node_modules/x/agent_handler.proto", "old");
        let error = same_contract(root.path(), &sdk).unwrap_err();
        assert!(error.to_string().starts_with("there is no copy"), "{error}");
        write("sdks/some/deep/in/agent_handler.proto", "new");
        same_contract(root.path(), &sdk).unwrap();
        write("sdks/some/agent_handler.proto", "old");
        let error = same_contract(root.path(), &sdk).unwrap_err();
        assert!(error.to_string().contains("differs from"), "{error}");
    }
}
