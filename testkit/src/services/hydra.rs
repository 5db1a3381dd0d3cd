//! How a private Hydra is made and spoken to.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use url::Url;
use uuid::Uuid;

use super::go::Program;
use super::server::{END, Ports, tail};
use super::{Machine, ServicesError};

/// The module that it is built in.
const HYDRA: Program = Program {
    server: "Hydra",
    name: "hydra",
    version: "2.3.0",
    files: &[
        ("go.mod", include_str!("../../services/hydra/go.mod")),
        ("go.sum", include_str!("../../services/hydra/go.sum")),
        ("main.go", include_str!("../../services/hydra/main.go")),
    ],
    package: ".",
    variables: "HYDRA__ADMIN_URL and HYDRA__PUBLIC_URL",
};

/// How long an answer may take: the first one to ask for its keys waits until they are made.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Hydra {
    program: PathBuf,
    directory: PathBuf,
    dsn: String,
    secret: String,
}

impl Hydra {
    /// Makes a database of its own in a Postgres, with Hydra's tables.
    pub(super) fn make(
        machine: &Machine,
        directory: &Path,
        postgres: &str,
    ) -> Result<Self, ServicesError> {
        let doing = "reading the address of a Postgres";
        let mut dsn = Url::parse(postgres)
            .map_err(|error| ServicesError::Io { doing, source: io::Error::other(error) })?;
        let program = HYDRA.get(machine)?;
        let database = format!("hydra_{}", Uuid::new_v4().simple());
        dsn.set_path(&database);
        let hydra = Self {
            program,
            directory: directory.to_owned(),
            dsn: dsn.into(),
            secret: Uuid::new_v4().simple().to_string(),
        };
        made(hydra.program(&["create-database", &database]).env("SERVER", postgres))?;
        // Whoever removes the directory runs this first.
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let program = hydra.program.display().to_string();
        let end = format!(
            "SERVER={} exec {} drop-database {database}\n",
            quoted(postgres),
            quoted(&program)
        );
        private(&directory.join(END), &end)?;
        made(hydra.program(&["migrate", "sql", "up", "-e", "--yes"]).env("DSN", &hydra.dsn))?;
        Ok(hydra)
    }

    /// The program, without anything that the environment may say to it.
    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.directory).env_clear();
        command.env("HOME", &self.directory);
        command
    }

    pub(super) fn command(&self, ports: Ports) -> Command {
        let issuer = Self::public_url(ports);
        let mut command = self.program(&["serve", "all", "--dev"]);
        command
            .env("DSN", &self.dsn)
            .env("SERVE_ADMIN_HOST", "127.0.0.1")
            .env("SERVE_ADMIN_PORT", ports.main.to_string())
            .env("SERVE_PUBLIC_HOST", "127.0.0.1")
            .env("SERVE_PUBLIC_PORT", ports.second.to_string())
            .env("URLS_SELF_ISSUER", &issuer)
            .env("URLS_LOGIN", format!("{issuer}/login"))
            .env("URLS_CONSENT", format!("{issuer}/consent"))
            .env("SECRETS_SYSTEM", &self.secret)
            .env("TTL_ACCESS_TOKEN", "1h")
            // A secret is hashed as seldom as it may be: these guard nothing.
            .env("OAUTH2_HASHERS_ALGORITHM", "pbkdf2")
            .env("OAUTH2_HASHERS_PBKDF2_ITERATIONS", "1")
            .env("LOG_LEVEL", "warn")
            .env("SQA_OPT_OUT", "true");
        command
    }

    pub(super) fn admin_url(ports: Ports) -> String {
        format!("http://127.0.0.1:{}", ports.main)
    }

    /// Without a slash at the end: it is the issuer too, which is compared byte for byte.
    pub(super) fn public_url(ports: Ports) -> String {
        format!("http://127.0.0.1:{}", ports.second)
    }

    /// Whether both doors are open and the keys are made.
    pub(super) fn answers(ports: Ports) -> bool {
        is_ok(ports.main, "/health/ready")
            && is_ok(ports.second, "/health/ready")
            && is_ok(ports.second, "/.well-known/jwks.json")
    }
}

/// Whether a server answers a GET with 200.
fn is_ok(port: u16, path: &str) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Writes a file that nobody else may read.
pub(super) fn private(file: &Path, text: &str) -> Result<(), ServicesError> {
    let write = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(file)?.write_all(text.as_bytes())
    };
    write().map_err(ServicesError::io("writing a file"))
}

/// Runs a command of the making to its end.
fn made(command: &mut Command) -> Result<(), ServicesError> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(ServicesError::io("making the tables of Hydra"))?;
    if output.status.success() {
        return Ok(());
    }
    let log = tail(&[output.stdout, output.stderr].concat());
    Err(ServicesError::Start { server: "Hydra", log })
}
