//! Agent processes: started, killed, and started again.

use std::fs::OpenOptions;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::client;
use super::history::now;
use crate::services::Watcher;

/// How long an agent may take to come up, or to go when it is asked to.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often something is looked at that nobody tells of.
const BEAT: Duration = Duration::from_millis(5);

/// What every replica is started with.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) program: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) vars: Vec<(String, String)>,
}

/// One of several processes of one agent; always at the same address.
#[derive(Debug)]
pub(super) struct Replica {
    number: usize,
    setup: Setup,
    address: SocketAddr,
    process: Option<(Child, Watcher)>,
}

impl Replica {
    /// Finds a port for it; nothing is started yet.
    pub(super) fn new(number: usize, setup: Setup) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { number, setup, address, process: None })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|(child, _)| child.id())
    }

    fn log(&self) -> PathBuf {
        self.setup.folder.join(format!("replica-{}.log", self.number))
    }

    /// Starts it, again and again until it answers: a supervisor does not give up either while the
    /// database is away.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.process.is_none() {
                self.process = Some(self.spawn()?);
            }
            if client::is_up(self.address).await {
                return Ok(());
            }
            let ended = match &mut self.process {
                Some((child, _)) => child.try_wait().context("looking after an agent")?,
                None => None,
            };
            if ended.is_some() {
                self.process = None;
            }
            ensure!(Instant::now() < deadline, "an agent does not start: {}", tail(&self.log()));
            tokio::time::sleep(BEAT).await;
        }
    }

    fn spawn(&self) -> anyhow::Result<(Child, Watcher)> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.setup.program);
        command
            .env_clear()
            .envs(self.setup.vars.iter().cloned())
            .env("BINDU_HOST", "127.0.0.1")
            .env("BINDU_PORT", self.address.port().to_string())
            .current_dir(&self.setup.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let started = Watcher::spawn(&mut command);
        started.with_context(|| format!("starting {}", self.setup.program.display()))
    }

    /// `kill -9`. Says who died, and when at the latest it still ran.
    pub(super) fn kill(&mut self) -> anyhow::Result<Option<Death>> {
        let Some((mut child, _watcher)) = self.process.take() else { return Ok(None) };
        // Before, not after: a run that another process begins in between is no mistake.
        let death = Death { pid: child.id(), at: now() };
        child.kill().context("killing an agent")?;
        child.wait().context("waiting for a killed agent")?;
        Ok(Some(death))
    }

    /// SIGTERM; waits until it has drained and gone, and says what was not as it should be.
    pub(super) async fn terminate(&mut self) -> anyhow::Result<(Option<Death>, Option<String>)> {
        let Some((mut child, watcher)) = self.process.take() else { return Ok((None, None)) };
        let pid = child.id();
        crate::services::send(pid, "TERM").context("asking an agent to end")?;
        let deadline = Instant::now() + PATIENCE;
        let status: ExitStatus = loop {
            if let Some(status) = child.try_wait().context("waiting for an agent")? {
                break status;
            }
            if Instant::now() > deadline {
                self.process = Some((child, watcher));
                let problem = format!("an agent did not end within {PATIENCE:?} of SIGTERM");
                return Ok((self.kill()?, Some(problem)));
            }
            tokio::time::sleep(BEAT).await;
        };
        let problem = (!status.success())
            .then(|| format!("an agent ended by SIGTERM with {status}: {}", tail(&self.log())));
        Ok((Some(Death { pid, at: now() }), problem))
    }
}

/// When a process died.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    pub(super) pid: u32,
    pub(super) at: f64,
}

impl Drop for Replica {
    fn drop(&mut self) {
        // The run is over; nobody looks any more.
        let _ = self.kill();
    }
}

/// The end of a log.
fn tail(log: &Path) -> String {
    crate::services::tail(&std::fs::read(log).unwrap_or_default())
}
