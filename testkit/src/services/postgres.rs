//! How a private Postgres is made and spoken to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use uuid::Uuid;

use super::server::tail;
use super::{Machine, ServicesError};

/// Who runs it where we are root: Postgres refuses to be run by root. The user of the package.
const USER: &str = "postgres";

#[derive(Debug)]
pub(super) struct Postgres {
    programs: PathBuf,
    data: PathBuf,
    password: String,
    is_root: bool,
}

impl Postgres {
    /// Makes an empty database cluster under `directory`.
    pub(super) fn make(machine: &Machine, directory: &Path) -> Result<Self, ServicesError> {
        let programs = machine.postgres()?;
        let data = directory.join("data");
        fs::create_dir(&data).map_err(ServicesError::io("making a directory"))?;
        // Any program of this machine may connect; only whoever knows the URL may do something.
        let password = Uuid::new_v4().simple().to_string();
        let secret = directory.join("password");
        fs::write(&secret, &password).map_err(ServicesError::io("writing a password"))?;
        let postgres = Self { programs, data, password, is_root: machine.is_root };
        if machine.is_root {
            let mut give = Command::new("chown");
            give.arg(format!("{USER}:")).arg(&postgres.data).arg(&secret);
            made(&mut give)?;
        }
        let mut initdb = postgres.program("initdb");
        initdb.arg("--pgdata").arg(&postgres.data).arg("--pwfile").arg(&secret).args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        made(&mut initdb)?;
        fs::remove_file(&secret).map_err(ServicesError::io("removing a file"))?;
        Ok(postgres)
    }

    /// One of its programs, as the user that may run it.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if self.is_root {
            // It becomes the program, so the process we know is the server itself.
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={USER}"), &format!("--regid={USER}")]);
            command.args(["--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.data);
        command
    }

    pub(super) fn command(&self, port: u16) -> Command {
        let mut command = self.program("postgres");
        command.arg("-D").arg(&self.data);
        for setting in [
            "listen_addresses=127.0.0.1",
            &format!("port={port}"),
            &format!("unix_socket_directories={}", self.data.display()),
            "max_connections=200",
            // As Postgres itself has them; said here because what we measure hangs on them.
            "fsync=on",
            "synchronous_commit=on",
        ] {
            command.args(["-c", setting]);
        }
        command
    }

    pub(super) fn url(&self, port: u16) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{port}/postgres", self.password)
    }

    /// Whether it takes connections by now.
    pub(super) fn answers(&self, port: u16) -> bool {
        let mut ask = Command::new(self.programs.join("pg_isready"));
        ask.args(["--host=127.0.0.1", "--quiet", &format!("--port={port}")]);
        ask.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        ask.status().is_ok_and(|status| status.success())
    }
}

/// Runs a command of the making to its end.
fn made(command: &mut Command) -> Result<(), ServicesError> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(ServicesError::io("making a database"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(ServicesError::Start { server: "Postgres", log: tail(&output.stderr) })
}
