//! Real servers for tests: private Postgres, Redis, Hydra and step-ca that nobody else uses.
//!
//! Each listens on a free port of the loopback address, keeps its data in a throw-away directory
//! (a Hydra in a database of its own), and is ended when it is dropped or when this process ends,
//! however it ends. Postgres and Redis ask for a password of their own. A test can [stop](Server::stop), [kill](Server::kill) and
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
//! Most tests need only *a* server: they read the variables that `cargo xtask test` sets
//! ([`DATABASE_URL`], [`REDIS_URL`], [`HYDRA_ADMIN_URL`], …), and fail without. [`Services`] is
//! what stands behind that command.
//!
//! Postgres and Redis come from Debian's packages, and so does the Chromium that tests of pages
//! need ([`Machine::chromium`]). Hydra and step-ca are built by Go from their
//! published modules, whose checksums are beside this crate; what is built is kept in a cache of
//! the user's (`$XDG_CACHE_HOME/bindu`), so it takes minutes only once.

mod given;
mod go;
mod hydra;
mod machine;
mod postgres;
mod redis;
mod server;
mod step_ca;
mod watcher;

use std::path::PathBuf;

pub use self::given::Given;
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

/// Where administrators reach a Hydra.
pub const HYDRA_ADMIN_URL: &str = "HYDRA__ADMIN_URL";

/// Where everybody reaches it; its issuer too.
pub const HYDRA_PUBLIC_URL: &str = "HYDRA__PUBLIC_URL";

/// Where a step-ca is that trusts that Hydra.
pub const MTLS_CA_URL: &str = "MTLS__CA_URL";

/// The file with the root certificate of that step-ca.
pub const MTLS_CA_ROOT_FILE: &str = "MTLS__CA_ROOT_FILE";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServicesError {
    /// A server, or another program, is not there and may not be installed.
    #[error(
        "{server} is not installed, and only root on Debian may install it from here: \
         install it (`apt-get install {packages}`), or set {instead}"
    )]
    Missing {
        /// What is not there.
        server: &'static str,
        /// The Debian packages that have it.
        packages: &'static str,
        /// What can be set instead, and to what.
        instead: &'static str,
    },
    /// The packages could not be installed.
    #[error("installing {packages} failed, and nobody set {instead}: {log}")]
    Install {
        /// The Debian packages.
        packages: &'static str,
        /// What can be set instead, and to what.
        instead: &'static str,
        /// The end of what was said.
        log: String,
    },
    /// A server has to be built, and there is no Go.
    #[error(
        "{server} is built from its published Go module, and there is no Go here: \
         install Go 1.25 or later, or set {variables} to a running one"
    )]
    NoGo {
        /// What is not there.
        server: &'static str,
        /// What points at a running one.
        variables: &'static str,
    },
    /// A server could not be built.
    #[error(
        "building {server} failed, and {variables} name no running one (a Go module proxy has to \
         be in reach the first time): {log}"
    )]
    Build {
        /// Which one.
        server: &'static str,
        /// What points at a running one.
        variables: &'static str,
        /// The end of what was said.
        log: String,
    },
    /// A server is given by one of two variables only.
    #[error("{set} is set, and {missing} is not: both, or neither")]
    HalfGiven {
        /// What is there.
        set: &'static str,
        /// What is not.
        missing: &'static str,
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

/// A Postgres, a Redis, a Hydra and a step-ca: given ones, or else our own. Dropped, our own are
/// ended.
#[derive(Debug)]
pub struct Services {
    given: Given,
    // Whoever stands on another one goes before it.
    step_ca: Option<Server>,
    hydra: Option<Server>,
    redis: Option<Server>,
    postgres: Option<Server>,
}

impl Services {
    /// Starts what is not given; installs or builds it first if it must and may. Our own Hydra
    /// keeps what it knows in the Postgres, ours or given, and our own step-ca trusts the Hydra,
    /// ours or given.
    ///
    /// # Errors
    ///
    /// A server is missing and may not be installed or cannot be built, does not start, or is
    /// given by half.
    pub fn start(machine: &Machine, given: Given) -> Result<Self, ServicesError> {
        given.check()?;
        let [postgres, redis, hydra, step_ca] = [None, None, None, None];
        let mut services = Self { given, step_ca, hydra, redis, postgres };
        if services.given.database_url.is_none() {
            services.postgres = Some(Server::postgres(machine)?);
        }
        if services.given.redis_url.is_none() {
            services.redis = Some(Server::redis(machine, Keep::Everything)?);
        }
        if services.given.hydra_admin_url.is_none() {
            services.hydra = Some(Server::hydra(machine, services.database_url())?);
        }
        if services.given.ca_url.is_none() {
            let ours = services.hydra.as_ref().and_then(Server::public_url);
            let issuer = ours.or_else(|| services.given.hydra_public_url.clone());
            let step_ca = Server::step_ca(machine, &issuer.unwrap_or_default())?;
            services.step_ca = Some(step_ca);
        }
        Ok(services)
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

    /// The environment that points at all of them.
    #[must_use]
    pub fn vars(&self) -> Vec<(String, String)> {
        let ours = [&self.postgres, &self.redis, &self.hydra, &self.step_ca];
        let ours = ours.into_iter().flatten().flat_map(Server::vars);
        let vars = ours.chain(self.given.vars()).map(|(name, value)| (name.to_owned(), value));
        let mut vars: Vec<_> = vars.collect();
        vars.sort();
        vars
    }

    /// Our own Postgres, unless one was given.
    pub fn postgres(&mut self) -> Option<&mut Server> {
        self.postgres.as_mut()
    }

    /// Our own Redis, unless one was given.
    pub fn redis(&mut self) -> Option<&mut Server> {
        self.redis.as_mut()
    }

    /// Our own Hydra, unless one was given.
    pub fn hydra(&mut self) -> Option<&mut Server> {
        self.hydra.as_mut()
    }

    /// Our own step-ca, unless one was given.
    pub fn step_ca(&mut self) -> Option<&mut Server> {
        self.step_ca.as_mut()
    }

    /// Lets our own go on after this process; gives what [`Left::stop`] needs, in the order in
    /// which to stop them.
    #[must_use]
    pub fn leave(self) -> Vec<Left> {
        let ours = [self.step_ca, self.hydra, self.redis, self.postgres];
        ours.into_iter().flatten().map(Server::leave).collect()
    }
}

fn address<'a>(own: Option<&'a Server>, given: Option<&'a String>) -> &'a str {
    own.map(Server::url).or(given.map(String::as_str)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
