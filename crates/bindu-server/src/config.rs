//! How a server behaves, and what it says of its agent.

use std::fmt;
use std::time::Duration;

use bindu_agent::skills::SkillSet;
use bindu_did::DidDocument;
use bindu_protocol::{AgentCard, DialectPolicy};
use http::HeaderValue;

/// How a server behaves; every member has a default.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which dialects are spoken, and how one is chosen.
    pub dialect: DialectPolicy,
    /// How long `message/send` waits for an outcome at most.
    pub blocking_timeout: Duration,
    /// The largest body of a JSON-RPC request, in bytes.
    pub max_body_bytes: usize,
    /// The largest body of any other request, in bytes.
    pub max_rest_body_bytes: usize,
    /// Origins of web pages that may call the agent with credentials, such as
    /// `https://app.example.com`. Neither `*` nor `null` is one.
    pub cors_origins: Vec<String>,
    /// After how much silence a stream gets a comment.
    pub keep_alive: Duration,
    /// How long a readiness check may take.
    pub check_timeout: Duration,
    /// How long the answer of a readiness check is good for.
    pub check_ttl: Duration,
    /// What health answers call the environment.
    pub environment: String,
    /// The version of the runtime, for health answers.
    pub version: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dialect: DialectPolicy::Auto,
            blocking_timeout: Duration::from_secs(30),
            max_body_bytes: 10 * 1024 * 1024,
            max_rest_body_bytes: 1024 * 1024,
            cors_origins: Vec::new(),
            keep_alive: Duration::from_secs(15),
            check_timeout: Duration::from_millis(700),
            check_ttl: Duration::from_secs(1),
            environment: "development".into(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// What the server says of its agent.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The card. Its `skills` are filled in from `skills`.
    pub card: AgentCard,
    /// The skills.
    pub skills: SkillSet,
    /// The document of the agent's DID; `None` for an agent without one.
    pub did: Option<DidDocument>,
}

/// How the work behind the server goes, for `/health` and `/metrics`.
pub trait Workers: fmt::Debug + Send + Sync + 'static {
    /// Whether tasks are being taken.
    fn is_alive(&self) -> bool;
    /// How many tasks run now.
    fn busy(&self) -> usize;
    /// How many tasks can run at once.
    fn capacity(&self) -> usize;
}

/// Why a server cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An origin is no origin, or one that would open the agent to every page.
    #[error("cors origin {0:?} is not allowed: name the scheme, host and port of one site")]
    Origin(String),
    /// A private skill has the id of a public one.
    #[error("the skill {0:?} is both public and private")]
    DuplicateSkill(String),
    /// The card cannot be written.
    #[error("the agent card cannot be written")]
    Card(#[source] serde_json::Error),
}

/// Reads the list of origins.
pub(crate) fn origins(config: &Config) -> Result<Vec<HeaderValue>, BuildError> {
    let refuse = |origin: &String| BuildError::Origin(origin.clone());
    config
        .cors_origins
        .iter()
        .map(|origin| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            match host {
                Some(host) if !host.is_empty() && !host.contains(['/', '*', ' ']) => {
                    HeaderValue::try_from(origin.as_str()).map_err(|_| refuse(origin))
                }
                _ => Err(refuse(origin)),
            }
        })
        .collect()
}
