//! How a private Redis is made and spoken to.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use uuid::Uuid;

use super::{Machine, ServicesError};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a Redis keeps when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Every write, in an append-only file.
    #[default]
    Everything,
    /// Nothing: it comes back empty.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Redis {
    program: PathBuf,
    directory: PathBuf,
    password: String,
}

impl Redis {
    pub(super) fn make(
        machine: &Machine,
        directory: &Path,
        keep: Keep,
    ) -> Result<Self, ServicesError> {
        let program = machine.redis()?;
        // Any program of this machine may connect; only whoever knows the URL may do something.
        let password = Uuid::new_v4().simple().to_string();
        let append_only = match keep {
            Keep::Everything => "yes",
            Keep::Nothing => "no",
        };
        let config = format!(
            "bind 127.0.0.1\nrequirepass {password}\nappendonly {append_only}\nsave \"\"\n"
        );
        let file = directory.join("redis.conf");
        fs::write(&file, config).map_err(ServicesError::io("writing redis.conf"))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&file, private).map_err(ServicesError::io("writing redis.conf"))?;
        }
        Ok(Self { program, directory: directory.to_owned(), password })
    }

    pub(super) fn command(&self, port: u16) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("redis.conf").args(["--port", &port.to_string()]);
        command.current_dir(&self.directory);
        command
    }

    pub(super) fn url(&self, port: u16) -> String {
        format!("redis://:{}@127.0.0.1:{port}", self.password)
    }

    /// Whether it has read its data and takes commands by now.
    pub(super) fn answers(&self, port: u16) -> bool {
        self.call(port, "PING", "+PONG").is_ok()
    }

    /// Throws away all it holds.
    pub(super) fn flush(&self, port: u16) -> io::Result<()> {
        self.call(port, "FLUSHALL", "+OK")
    }

    /// Sends one command on a connection of its own; the answer has to be the one line expected.
    fn call(&self, port: u16, command: &str, expected: &str) -> io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "AUTH {}\r\n{command}\r\nQUIT\r\n", self.password)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.lines().nth(1) == Some(expected) {
            return Ok(());
        }
        Err(io::Error::other(answer))
    }
}
