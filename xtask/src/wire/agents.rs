//! The fixture agents as a process of their own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use bindu_testkit::services::{HYDRA_ADMIN_URL, HYDRA_PUBLIC_URL};
use tempfile::TempDir;

use super::{Backends, Dialect, REFERENCE, WEBHOOK_PORT};
use crate::{programs::Programs, workspace::Workspace};

/// How long the agents may take to answer after their start.
const START: Duration = Duration::from_mins(1);

/// How long they may take to end.
const END: Duration = Duration::from_secs(30);

/// Where the agents log, in their folder.
const LOG: &str = "agents.log";

/// What is among the addresses and is no agent.
const SIDECARS: [&str; 2] = ["facilitator", "hydra"];

/// How often something is looked at that nobody tells of.
const BEAT: Duration = Duration::from_millis(20);

/// What describes the agents.
#[derive(Debug)]
pub(super) struct Fixtures {
    folder: PathBuf,
    _copy: Option<TempDir>,
}

impl Fixtures {
    /// As they were recorded.
    pub(super) fn recorded(workspace: &Workspace) -> Self {
        Self { folder: workspace.root().join(REFERENCE).join("fixtures"), _copy: None }
    }

    /// The same, but for the port of the agent that has a webhook of its own.
    pub(super) fn posting_to(workspace: &Workspace, port: u16) -> anyhow::Result<Self> {
        let recorded = Self::recorded(workspace);
        if port == WEBHOOK_PORT {
            return Ok(recorded);
        }
        let copy = tempfile::tempdir().context("making a folder")?;
        let folder = copy.path().to_owned();
        copy_all(&recorded.folder, &folder)
            .with_context(|| format!("copying {}", recorded.folder.display()))?;
        let file = folder.join("agents.json");
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let (from, to) = (format!("127.0.0.1:{WEBHOOK_PORT}/"), format!("127.0.0.1:{port}/"));
        ensure!(text.contains(&from), "no agent posts to {from}");
        fs::write(&file, text.replace(&from, &to))
            .with_context(|| format!("writing {}", file.display()))?;
        Ok(Self { folder, _copy: Some(copy) })
    }
}

/// Copies what a folder holds into another one.
fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    for entry in from.read_dir()? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Running agents. Dropped, they are ended.
#[derive(Debug)]
pub(super) struct Agents {
    child: Child,
    addresses: BTreeMap<String, String>,
    /// Theirs alone, so that no `.env` of the developer's reaches them.
    folder: TempDir,
}

impl Agents {
    /// Starts the agents, and waits until every one of them answers.
    pub(super) fn start(
        program: &Path,
        fixtures: &Fixtures,
        dialect: Dialect,
        backends: &Backends,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let map = folder.path().join("agents.json");
        let log = File::create(folder.path().join(LOG)).context("making a log")?;
        let child = Command::new(program)
            .arg("--fixtures")
            .arg(&fixtures.folder)
            .arg("--map")
            .arg(&map)
            .arg("--leashed")
            .env("DID__SUFFIX", "agent-id")
            .env("A2A__DIALECT", dialect.as_str())
            .env("LOGGING__DEFAULT_LEVEL", "WARNING")
            // A Hydra that the developer works with does not know the recorded tokens.
            .env_remove(HYDRA_ADMIN_URL)
            .env_remove(HYDRA_PUBLIC_URL)
            .envs(backends.variables())
            .current_dir(folder.path())
            .stdout(log.try_clone().context("sharing a log")?)
            .stderr(log)
            // Closed when we end, in whatever way; then the agents end too.
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut agents = Self { child, addresses: BTreeMap::new(), folder };
        let deadline = Instant::now() + START;
        while !map.exists() {
            agents.check(deadline)?;
        }
        let text =
            fs::read_to_string(&map).with_context(|| format!("reading {}", map.display()))?;
        let addresses: BTreeMap<String, String> =
            serde_json::from_str(&text).context("reading the addresses of the agents")?;
        for sidecar in SIDECARS {
            ensure!(addresses.contains_key(sidecar), "{sidecar} was not started");
        }
        ensure!(addresses.len() > SIDECARS.len(), "no agent was started");
        let agents_only = addresses.iter().filter(|(name, _)| !SIDECARS.contains(&name.as_str()));
        for (_, address) in agents_only {
            while !is_healthy(address) {
                agents.check(deadline)?;
            }
        }
        agents.addresses = addresses;
        Ok(agents)
    }

    /// Waits a moment; fails if the agents have ended or took too long.
    fn check(&mut self, deadline: Instant) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait().context("looking after the agents")? {
            bail!("the agents ended: {status}\n{}", self.log());
        }
        ensure!(Instant::now() < deadline, "no answer in {START:?}\n{}", self.log());
        thread::sleep(BEAT);
        Ok(())
    }

    /// Where each agent answers.
    pub(super) fn addresses(&self) -> &BTreeMap<String, String> {
        &self.addresses
    }

    /// Whether the agents are still there.
    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What the agents have logged.
    fn log(&self) -> String {
        let file = self.folder.path().join(LOG);
        fs::read(file).map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into())
    }

    /// Ends the agents; fails if they do not end in good order. Writes what they logged.
    pub(super) fn stop(mut self, out: &mut dyn Write) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().context("waiting for the agents")? {
                ensure!(status.success(), "the agents ended badly: {status}\n{}", self.log());
                return write!(out, "{}", self.log()).context("writing what the agents logged");
            }
            thread::sleep(BEAT);
        }
        bail!("the agents did not end in {END:?}\n{}", self.log())
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        // Both fail for a child that has ended, and that is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether an agent says that it serves.
fn is_healthy(address: &str) -> bool {
    let host = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// `cargo xtask wire --serve`: runs the agents until a signal.
pub(super) fn serve(
    workspace: &Workspace,
    dialect: Dialect,
    backends: &Backends,
    map: &Path,
) -> anyhow::Result<()> {
    let program = Programs::build(workspace)?.path("wire-agents");
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    runtime.block_on(async {
        // Heard from before the start on, so that none is missed.
        let mut signals = Signals::listen()?;
        let fixtures = Fixtures::recorded(workspace);
        let mut agents = Agents::start(&program, &fixtures, dialect, backends)?;
        write_whole(map, &serde_json::to_string_pretty(agents.addresses())?)?;
        for (name, address) in agents.addresses() {
            println!("{name:<16}{address}");
        }
        let count = agents.addresses().len() - SIDECARS.len();
        println!("{count} agents answer; {} says where", map.display());
        let mut beat = tokio::time::interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                () = signals.next() => return agents.stop(&mut io::stdout()),
                _ = beat.tick() => ensure!(!agents.has_ended(), "the agents ended"),
            }
        }
    })
}

/// Writes a file so that nobody ever sees half of it.
fn write_whole(file: &Path, text: &str) -> anyhow::Result<()> {
    let part = file.with_extension("part");
    fs::write(&part, text).with_context(|| format!("writing {}", part.display()))?;
    fs::rename(&part, file).with_context(|| format!("writing {}", file.display()))
}

/// What tells this process to end.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What tells this process to end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Fixtures, WEBHOOK_PORT};
    use crate::workspace::Workspace;

    #[test]
    fn only_the_port_of_webhooks_is_changed_in_a_copy() {
        let workspace = Workspace::new();
        let recorded = Fixtures::recorded(&workspace);
        let copy = Fixtures::posting_to(&workspace, 9798).unwrap();
        assert_ne!(copy.folder, recorded.folder);
        let read =
            |fixtures: &Fixtures, file| fs::read_to_string(fixtures.folder.join(file)).unwrap();
        let agents = read(&copy, "agents.json");
        assert_eq!(agents.replace(":9798/", ":9797/"), read(&recorded, "agents.json"));
        assert!(agents.contains("http://127.0.0.1:9798/global-hook"));
        let skill = "skills/unit-conversion/SKILL.md";
        assert_eq!(read(&copy, skill), read(&recorded, skill));
        let same = Fixtures::posting_to(&workspace, WEBHOOK_PORT).unwrap();
        assert_eq!(same.folder, recorded.folder);
    }
}
