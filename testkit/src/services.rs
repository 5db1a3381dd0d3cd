//! Real servers for tests: private Postgres and Redis that nobody else uses.
//!
//! Each listens on a free port of the loopback address, asks for a password of its own, keeps its
//! data in a throw-away directory, and is ended when it is dropped or when this process ends,
//! however it ends. A test can [stop](Server::stop), [kill](Server::kill) and
//! [start](Server::start) one again at the same address; what it had stored is still there.
//!
//! ```no_run
//! use bindu_testkit::services::{Machine, Server};
//!
//! let mut postgres = Server::postgres(&Machine::this())?;
//! let url = postgres.url();
//! postgres.stop()?; // Whoever uses it sees it go…
//! postgres.start()?; // …and come back where it was.
//! # Ok::<(), bindu_testkit::services::ServicesError>(())
//! ```
//!
//! Most tests need only *a* server: they read `DATABASE_URL` or `REDIS_URL`, which
//! `cargo xtask test` sets, and fail without it. [`Services`] is what stands behind that command.

mod machine;
mod postgres;
mod redis;
mod server;
mod watcher;

use std::path::PathBuf;

pub use self::machine::Machine;
pub use self::redis::Keep;
pub use self::server::{Left, Server};
#[cfg(feature = "agents")]
pub(crate) use self::server::{send, tail};
pub use self::watcher::Watcher;

/// Where a Postgres is.
pub const DATABASE_URL: &str = "DATABASE_URL";

/// Where a Redis is.
pub const REDIS_URL: &str = "REDIS_URL";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServicesError {
    /// A server is not there and may not be installed.
    #[error(
        "{server} is not installed, and only root on Debian may install it from here: \
         install it (`apt-get install {package}`), or set {variable} to the address of a running one"
    )]
    Missing {
        /// What is not there.
        server: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// What points at a running one.
        variable: &'static str,
    },
    /// The packages could not be installed.
    #[error("installing {package} failed, and {variable} names no running one: {log}")]
    Install {
        /// The Debian package.
        package: &'static str,
        /// What points at a running one.
        variable: &'static str,
        /// The end of what was said.
        log: String,
    },
    /// A server did not come up.
    #[error("{server} did not start; it said:\n{log}")]
    Start {
        /// Which one.
        server: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A process is not the server it should be.
    #[error("process {pid} is not the {server} of {}", directory.display())]
    Stranger {
        /// Which server.
        server: String,
        /// The process.
        pid: u32,
        /// Where that server would keep its data.
        directory: PathBuf,
    },
    /// The machine failed.
    #[error("could not do it: {doing}")]
    Io {
        /// What was under way: "making a directory".
        doing: &'static str,
        /// The system's own error.
        source: std::io::Error,
    },
}

impl ServicesError {
    fn io(doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

/// The servers that were there before us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The Postgres to use instead of one of our own.
    pub database_url: Option<String>,
    /// The Redis to use instead of one of our own.
    pub redis_url: Option<String>,
}

impl Given {
    /// What the environment names; an empty variable names nothing.
    #[must_use]
    pub fn from_env() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a tool for tests, which has no Settings")]
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self { database_url: read(DATABASE_URL), redis_url: read(REDIS_URL) }
    }
}

/// A Postgres and a Redis: given ones, or else our own. Dropped, our own are ended.
#[derive(Debug)]
pub struct Services {
    given: Given,
    postgres: Option<Server>,
    redis: Option<Server>,
}

impl Services {
    /// Starts what is not given; installs it first if it must and may.
    ///
    /// # Errors
    ///
    /// A server is missing and may not be installed, or does not start.
    pub fn start(machine: &Machine, given: Given) -> Result<Self, ServicesError> {
        let postgres = match given.database_url {
            Some(_) => None,
            None => Some(Server::postgres(machine)?),
        };
        let redis = match given.redis_url {
            Some(_) => None,
            None => Some(Server::redis(machine, Keep::Everything)?),
        };
        Ok(Self { given, postgres, redis })
    }

    /// The address of the Postgres.
    #[must_use]
    pub fn database_url(&self) -> &str {
        address(self.postgres.as_ref(), self.given.database_url.as_ref())
    }

    /// The address of the Redis.
    #[must_use]
    pub fn redis_url(&self) -> &str {
        address(self.redis.as_ref(), self.given.redis_url.as_ref())
    }

    /// The environment that points at both.
    #[must_use]
    pub fn vars(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![pair(DATABASE_URL, self.database_url()), pair(REDIS_URL, self.redis_url())]
    }

    /// Our own Postgres, unless one was given.
    pub fn postgres(&mut self) -> Option<&mut Server> {
        self.postgres.as_mut()
    }

    /// Our own Redis, unless one was given.
    pub fn redis(&mut self) -> Option<&mut Server> {
        self.redis.as_mut()
    }

    /// Lets our own go on after this process; gives what [`Left::stop`] needs, by name of the
    /// variable.
    #[must_use]
    pub fn leave(self) -> Vec<(&'static str, Left)> {
        let postgres = self.postgres.map(|server| (DATABASE_URL, server.leave()));
        let redis = self.redis.map(|server| (REDIS_URL, server.leave()));
        postgres.into_iter().chain(redis).collect()
    }
}

fn address<'a>(own: Option<&'a Server>, given: Option<&'a String>) -> &'a str {
    own.map(Server::url).or(given.map(String::as_str)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
