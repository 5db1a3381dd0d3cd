//! Why an agent does not start.

use std::error::Error;
use std::fmt;

use bindu_agent::skills::SkillError;
use bindu_did::key_dir::KeyDirError;
use bindu_server::BuildError;
use bindu_tasks::TaskError;

use crate::config::ConfigError;

/// Why an agent does not start.
///
/// Its `Debug` is what a person reads if `main` returns it: the message, and what lies behind it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration or the settings make no sense; the message lists what to change.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key directory cannot be used.
    #[error("opening the agent's identity")]
    Identity(#[from] KeyDirError),
    /// A skill cannot be read.
    #[error("loading the skills")]
    Skills(#[from] SkillError),
    /// The address cannot be listened on.
    #[error("listening on {host}:{port}; choose another with BINDU_HOST and BINDU_PORT")]
    Bind {
        /// The host that was asked for.
        host: String,
        /// The port that was asked for.
        port: u16,
        /// The system's word.
        source: std::io::Error,
    },
    /// The address for SDKs cannot be listened on.
    #[error("listening for SDKs on {host}:{port}; choose another with --grpc-port or GRPC__PORT")]
    BindGrpc {
        /// The host that was asked for.
        host: String,
        /// The port that was asked for.
        port: u16,
        /// The system's word.
        source: std::io::Error,
    },
    /// The database, the file or the queue that was configured cannot be used.
    #[error("opening {what}")]
    Backend {
        /// Which: "the database", "the Redis server".
        what: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store cannot be read.
    #[error("reading the store")]
    Storage(#[source] TaskError),
    /// The server refuses its configuration.
    #[error("building the server")]
    Server(#[from] BuildError),
    /// The file that `BINDU_DEPLOY_CAPTURE` names cannot be written.
    #[error("writing the file that BINDU_DEPLOY_CAPTURE names")]
    Capture(#[source] std::io::Error),
    /// The async runtime cannot be made.
    #[error("making the async runtime")]
    Runtime(#[source] std::io::Error),
}

impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
