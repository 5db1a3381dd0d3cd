//! Agents in processes of their own: what they take of a machine that runs nothing else of ours.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bindu::{Agent, Settings};

use super::{agents, connection};

/// How long a process may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a child process needs to know.
#[derive(Clone, Debug)]
pub struct Child {
    /// Where its keys lie.
    pub directory: PathBuf,
    /// The port it listens on.
    pub port: u16,
}

/// Is an echo agent until the process ends: what a child process does.
///
/// # Errors
///
/// It could not start.
pub fn child(child: &Child) -> anyhow::Result<()> {
    let config = agents::config("child", &format!("http://127.0.0.1:{}", child.port));
    let settings = Settings::from_vars([("LOGGING__DEFAULT_LEVEL", "WARNING")])?;
    bindu::logging::init(&settings.logging);
    let agent = Agent::builder(config, agents::echo()).settings(settings);
    Ok(agent.directory(&child.directory).serve()?)
}

/// An agent that runs in a process of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Process {
    process: std::process::Child,
    address: SocketAddr,
}

impl Process {
    /// Starts one with its keys in `directory`; also says how long it took from the start of the
    /// process to its first answer.
    pub(super) fn start(directory: &Path) -> anyhow::Result<(Self, Duration)> {
        let program = std::env::current_exe().context("finding this program")?;
        // Free now, and nobody else asks for ports here.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(program);
        command.arg("child").arg(directory).arg(address.port().to_string());
        command.env_clear().current_dir(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let begun = Instant::now();
        let process = command.spawn().context("starting a child process")?;
        let mut started = Self { process, address };
        loop {
            if let Ok(true) = is_healthy(address) {
                return Ok((started, begun.elapsed()));
            }
            if let Some(status) = started.process.try_wait()? {
                anyhow::bail!("the child process ended: {status}");
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "the child process does not answer");
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn resident_bytes(&self) -> u64 {
        super::resident_bytes(self.process.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after this.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether `/health` is answered with 200.
fn is_healthy(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&connection::get("/health"))?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"HTTP/1.1 200")
}
