//! One server, whichever it is.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::hydra::Hydra;
use super::postgres::Postgres;
use super::redis::{Keep, Redis};
use super::step_ca::StepCa;
use super::watcher::{Watcher, apart};
use super::{
    DATABASE_URL, HYDRA_ADMIN_URL, HYDRA_PUBLIC_URL, MTLS_CA_ROOT_FILE, MTLS_CA_URL, Machine,
    REDIS_URL, ServicesError,
};

/// How long a server may take to come up or to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often something is looked at that nobody tells of.
const BEAT: Duration = Duration::from_millis(20);

/// How much of a log is shown.
const TAIL: usize = 2_000;

/// How many free ports are tried: another process may take one between our look and our start.
const PORTS: usize = 3;

const LOG: &str = "server.log";

/// What a shell does, if it is there, before a directory is removed for good.
pub(super) const END: &str = "end";

/// A private server on the loopback address. Dropped, it is ended and its data removed.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    process: Option<Process>,
    url: String,
    ports: Ports,
    directory: TempDir,
    is_left: bool,
}

#[derive(Debug)]
enum Kind {
    Postgres(Postgres),
    Redis(Redis),
    Hydra(Hydra),
    StepCa(StepCa),
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ports {
    pub(super) main: u16,
    /// For one that has two doors.
    pub(super) second: u16,
}

/// A server that runs. Not dropped before the watcher is, so that the watcher knows its process.
#[derive(Debug)]
struct Process {
    watcher: Watcher,
    child: Child,
}

impl Server {
    /// Makes an empty Postgres and starts it: `fsync` and `synchronous_commit` are on, 200
    /// connections are allowed, and the user of [`url`](Self::url) may do everything.
    ///
    /// # Errors
    ///
    /// It is not installed and may not be, or does not start.
    pub fn postgres(machine: &Machine) -> Result<Self, ServicesError> {
        let directory = directory()?;
        let postgres = Postgres::make(machine, directory.path())?;
        Self::first_start(Kind::Postgres(postgres), directory)
    }

    /// Makes an empty Redis and starts it.
    ///
    /// # Errors
    ///
    /// As [`postgres`](Self::postgres).
    pub fn redis(machine: &Machine, keep: Keep) -> Result<Self, ServicesError> {
        let directory = directory()?;
        let redis = Redis::make(machine, directory.path(), keep)?;
        Self::first_start(Kind::Redis(redis), directory)
    }

    /// Makes an empty Hydra, with a database of its own in a Postgres, and starts it. The database
    /// goes with it. Access tokens live for an hour; both of its doors are plain HTTP.
    ///
    /// # Errors
    ///
    /// It has to be built and there is no Go, the Postgres does not let it make a database, or it
    /// does not start.
    ///
    /// ```no_run
    /// use bindu_testkit::services::{Machine, Server};
    ///
    /// let machine = Machine::this();
    /// let postgres = Server::postgres(&machine)?;
    /// let hydra = Server::hydra(&machine, postgres.url())?;
    /// // It trusts whatever that Hydra signs for the audience `step-ca`.
    /// let step_ca = Server::step_ca(&machine, &hydra.public_url().unwrap_or_default())?;
    /// println!("{:?} {:?}", hydra.vars(), step_ca.vars());
    /// # Ok::<(), bindu_testkit::services::ServicesError>(())
    /// ```
    pub fn hydra(machine: &Machine, database_url: &str) -> Result<Self, ServicesError> {
        let directory = directory()?;
        let hydra = Hydra::make(machine, directory.path(), database_url);
        match hydra {
            Ok(hydra) => Self::first_start(Kind::Hydra(hydra), directory),
            Err(error) => {
                at_the_end(directory.path());
                Err(error)
            }
        }
    }

    /// Makes a step-ca with a root of its own, and starts it. Its one provisioner takes tokens of
    /// `issuer` for the audience `step-ca`, and gives certificates for 10 seconds to 24 hours.
    ///
    /// The issuer has to answer while this one starts: step-ca asks it for its keys only then, and
    /// a token that is older than the start is refused.
    ///
    /// # Errors
    ///
    /// It has to be built and there is no Go, or it does not start.
    pub fn step_ca(machine: &Machine, issuer: &str) -> Result<Self, ServicesError> {
        let directory = directory()?;
        let step_ca = StepCa::make(machine, directory.path(), issuer)?;
        Self::first_start(Kind::StepCa(step_ca), directory)
    }

    fn first_start(kind: Kind, directory: TempDir) -> Result<Self, ServicesError> {
        let (url, ports) = (String::new(), Ports::default());
        let mut server = Self { kind, process: None, url, ports, directory, is_left: false };
        let mut tries = 0;
        loop {
            let ports = free_ports().map_err(ServicesError::io("looking for a free port"))?;
            server.ports = ports;
            server.url = match &server.kind {
                Kind::Postgres(postgres) => postgres.url(ports.main),
                Kind::Redis(redis) => redis.url(ports.main),
                Kind::Hydra(_) => Hydra::admin_url(ports),
                Kind::StepCa(_) => StepCa::url(ports),
            };
            tries += 1;
            match server.start() {
                Err(ServicesError::Start { log, .. })
                    if tries < PORTS && log.to_lowercase().contains("address already in use") => {}
                started => return started.map(|()| server),
            }
        }
    }

    /// Its name: `Postgres`, `Redis`, `Hydra` or `step-ca`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Postgres(_) => "Postgres",
            Kind::Redis(_) => "Redis",
            Kind::Hydra(_) => "Hydra",
            Kind::StepCa(_) => "step-ca",
        }
    }

    /// Its address, with user and password; the same through every stop and start. Of a Hydra it
    /// is the administrators' one.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of a Hydra for everybody, which is its issuer too.
    #[must_use]
    pub fn public_url(&self) -> Option<String> {
        matches!(self.kind, Kind::Hydra(_)).then(|| Hydra::public_url(self.ports))
    }

    /// The file with the root certificate of a step-ca.
    #[must_use]
    pub fn root_file(&self) -> Option<PathBuf> {
        matches!(self.kind, Kind::StepCa(_)).then(|| StepCa::root_file(self.directory()))
    }

    /// The environment that points at it.
    #[must_use]
    pub fn vars(&self) -> Vec<(&'static str, String)> {
        let url = self.url.clone();
        match &self.kind {
            Kind::Postgres(_) => vec![(DATABASE_URL, url)],
            Kind::Redis(_) => vec![(REDIS_URL, url)],
            Kind::Hydra(_) => {
                vec![(HYDRA_ADMIN_URL, url), (HYDRA_PUBLIC_URL, Hydra::public_url(self.ports))]
            }
            Kind::StepCa(_) => {
                let root = StepCa::root_file(self.directory()).display().to_string();
                vec![(MTLS_CA_URL, url), (MTLS_CA_ROOT_FILE, root)]
            }
        }
    }

    /// The port it listens on, on 127.0.0.1; of a Hydra the administrators' one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.main
    }

    /// Where its data is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process that it is, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// Starts it where it was, and waits until it answers. Does nothing if it runs.
    ///
    /// # Errors
    ///
    /// It does not come up; with what it logged.
    pub fn start(&mut self) -> Result<(), ServicesError> {
        let deadline = Instant::now() + PATIENCE;
        while self.process.is_none() {
            let mut process = self.spawn()?;
            while !self.answers() {
                let ended = process.child.try_wait();
                if ended.map_err(ServicesError::io("looking after a server"))?.is_some() {
                    let log = self.log();
                    // After a kill its children may still hold what it needs, for a moment.
                    if log.contains("still in use") && Instant::now() < deadline {
                        thread::sleep(BEAT);
                        break;
                    }
                    return Err(ServicesError::Start { server: self.name(), log });
                }
                if Instant::now() > deadline {
                    // It may end in between; either way it is gone after this.
                    let _ = process.child.kill();
                    let _ = process.child.wait();
                    return Err(ServicesError::Start { server: self.name(), log: self.log() });
                }
                thread::sleep(BEAT);
            }
            if matches!(process.child.try_wait(), Ok(None)) {
                self.process = Some(process);
            }
        }
        Ok(())
    }

    fn spawn(&self) -> Result<Process, ServicesError> {
        // Each start has a log of its own, or an old trouble would look like a new one.
        let log = File::create(self.directory.path().join(LOG));
        let log = log.map_err(ServicesError::io("writing a log"))?;
        let errors = log.try_clone().map_err(ServicesError::io("writing a log"))?;
        let (mut command, last_signal) = match &self.kind {
            Kind::Postgres(postgres) => (postgres.command(self.ports.main), "QUIT"),
            Kind::Redis(redis) => (redis.command(self.ports.main), "KILL"),
            Kind::Hydra(hydra) => (hydra.command(self.ports), "KILL"),
            Kind::StepCa(step_ca) => (step_ca.command(self.ports)?, "KILL"),
        };
        apart(&mut command);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let doing = "starting a server";
        let child = command.spawn().map_err(ServicesError::io(doing))?;
        let started = Watcher::over(child, last_signal, self.directory.path());
        let (child, watcher) = started.map_err(ServicesError::io(doing))?;
        Ok(Process { watcher, child })
    }

    fn answers(&self) -> bool {
        match &self.kind {
            Kind::Postgres(postgres) => postgres.answers(self.ports.main),
            Kind::Redis(redis) => redis.answers(self.ports.main),
            Kind::Hydra(_) => Hydra::answers(self.ports),
            Kind::StepCa(_) => StepCa::answers(self.ports),
        }
    }

    fn log(&self) -> String {
        tail(&fs::read(self.directory.path().join(LOG)).unwrap_or_default())
    }

    /// Ends it in good order: what it was told is on the disk. Does nothing if it does not run.
    ///
    /// # Errors
    ///
    /// It cannot be signalled, or does not end; then it is killed.
    pub fn stop(&mut self) -> Result<(), ServicesError> {
        let signal = match self.kind {
            // Not TERM, which waits for every client to go.
            Kind::Postgres(_) => "INT",
            Kind::Redis(_) | Kind::Hydra(_) | Kind::StepCa(_) => "TERM",
        };
        self.end(signal)
    }

    /// `kill -9`: it has no time for anything. Does nothing if it does not run.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub fn kill(&mut self) -> Result<(), ServicesError> {
        self.end("KILL")
    }

    /// Stops it and starts it again.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop) and [`start`](Self::start).
    pub fn restart(&mut self) -> Result<(), ServicesError> {
        self.stop()?;
        self.start()
    }

    /// Throws away all that a Redis holds, as `FLUSHALL` does.
    ///
    /// # Errors
    ///
    /// It does not do it, or is no Redis.
    pub fn flush(&self) -> Result<(), ServicesError> {
        let done = match &self.kind {
            Kind::Redis(redis) => redis.flush(self.ports.main),
            _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
        };
        done.map_err(ServicesError::io("flushing"))
    }

    /// Lets it go on without us.
    #[must_use]
    pub fn leave(mut self) -> Left {
        let pid = self.pid().unwrap_or_default();
        let vars = self.vars();
        // Its watcher is called off with it.
        drop(self.process.take());
        let name = self.name().to_owned();
        let url = std::mem::take(&mut self.url);
        // The directory stays, too.
        self.directory.disable_cleanup(true);
        self.is_left = true;
        let directory = self.directory.path().to_owned();
        Left { server: name, pid, url, directory, vars }
    }

    fn end(&mut self, signal: &str) -> Result<(), ServicesError> {
        let Some(Process { watcher, mut child }) = self.process.take() else { return Ok(()) };
        let doing = "ending a server";
        send(child.id(), signal).map_err(ServicesError::io(doing))?;
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().map_err(ServicesError::io(doing))?.is_none() {
            if Instant::now() > deadline {
                child.kill().and_then(|()| child.wait()).map_err(ServicesError::io(doing))?;
                let source = io::ErrorKind::TimedOut.into();
                return Err(ServicesError::Io { doing, source });
            }
            thread::sleep(BEAT);
        }
        drop(watcher);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        // Nobody is left to hear of it; the directory goes with the field.
        let _ = self.stop();
        at_the_end(self.directory.path());
    }
}

/// A server that was left running, as one writes it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its name, as [`Server::name`] has it.
    pub server: String,
    /// Its process.
    pub pid: u32,
    /// Its address.
    pub url: String,
    /// Where its data is.
    pub directory: PathBuf,
    /// The environment that points at it.
    pub vars: Vec<(&'static str, String)>,
}

impl Left {
    /// Whether it still runs.
    ///
    /// The process has to be at home in the directory of the server: its number alone may be
    /// another's by now.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let home = fs::read_link(format!("/proc/{}/cwd", self.pid));
        home.is_ok_and(|home| home.starts_with(&self.directory))
    }

    /// Ends it, if it still runs, and removes its directory.
    ///
    /// # Errors
    ///
    /// Its process is something else by now, which is left alone, or it does not end.
    pub fn stop(&self) -> Result<(), ServicesError> {
        if self.is_running() {
            let signal = if self.server == "Postgres" { "INT" } else { "TERM" };
            send(self.pid, signal).map_err(ServicesError::io("ending a server"))?;
            let deadline = Instant::now() + PATIENCE;
            while self.is_running() {
                if Instant::now() > deadline {
                    let source = io::ErrorKind::TimedOut.into();
                    return Err(ServicesError::Io { doing: "ending a server", source });
                }
                thread::sleep(BEAT);
            }
        } else if !Path::new("/proc/self").exists() {
            // There is no telling whose process it is.
            let (server, directory) = (self.server.clone(), self.directory.clone());
            return Err(ServicesError::Stranger { server, pid: self.pid, directory });
        }
        at_the_end(&self.directory);
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ServicesError::Io { doing: "removing a directory", source: error })
            }
            _ => Ok(()),
        }
    }
}

/// A throw-away directory that another user may look into.
fn directory() -> Result<TempDir, ServicesError> {
    let directory = tempfile::Builder::new().prefix("bindu-").tempdir();
    let directory = directory.map_err(ServicesError::io("making a directory"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(directory.path(), open)
            .map_err(ServicesError::io("making a directory"))?;
    }
    Ok(directory)
}

/// Two, so that no server gets the same one twice.
fn free_ports() -> io::Result<Ports> {
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (main, second) = (free()?, free()?);
    Ok(Ports { main: main.local_addr()?.port(), second: second.local_addr()?.port() })
}

/// Does what is to be done elsewhere before the directory goes.
fn at_the_end(directory: &Path) {
    if directory.join(END).is_file() {
        // If it fails, what it would remove is gone already, or out of reach.
        let _ = Command::new("sh").arg(END).current_dir(directory).output();
    }
}

/// Signals a process. A shell always has `kill`; to do it from Rust takes unsafe code or a package.
pub(crate) fn send(pid: u32, signal: &str) -> io::Result<()> {
    let kill = Command::new("sh").args(["-c", &format!("kill -s {signal} {pid}")]).output()?;
    if kill.status.success() {
        return Ok(());
    }
    Err(io::Error::other(tail(&kill.stderr)))
}

/// The end of a log.
pub(crate) fn tail(log: &[u8]) -> String {
    String::from_utf8_lossy(&log[log.len().saturating_sub(TAIL)..]).trim().to_owned()
}
