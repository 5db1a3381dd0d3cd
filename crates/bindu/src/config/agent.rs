//! What an agent is: the configuration as a developer writes it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bindu_agent::skills::Skill;
use bindu_protocol::{AgentExtension, AgentKind};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{ConfigError, parse};
use crate::settings::{SchedulerBackend, Secret, StorageBackend};

/// What an agent is.
///
/// From Rust: start from [`new`](Self::new) and set what differs. From JSON, in the format
/// of the Python reference's `bindufy`: [`from_json`](Self::from_json) and its kin, which
/// check every key and name all that is wrong at once.
///
/// ```
/// use bindu::config::AgentConfig;
///
/// let config = AgentConfig {
///     description: "Says what you say".into(),
///     ..AgentConfig::new("ann@example.com", "echo")
/// };
/// assert_eq!(config.deployment.url, "http://localhost:3773");
///
/// let error = AgentConfig::from_json(r#"{"name": "echo", "author": "ann@example.com"}"#)
///     .expect_err("deployment.url is missing");
/// assert!(error.to_string().contains("deployment.url"));
/// ```
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the format")]
pub struct AgentConfig {
    /// Who made the agent, usually an e-mail address. Part of its DID.
    pub author: String,
    /// The agent's name. Part of its DID.
    pub name: String,
    /// The agent's id; without one it is made from author and name.
    pub id: Option<Uuid>,
    /// What the agent does, for its card.
    pub description: String,
    /// The agent's version; default: that of this crate.
    pub version: String,
    /// Where it is reached.
    pub deployment: Deployment,
    /// Makes a new key at every start.
    pub recreate_keys: bool,
    /// The password of the private key; `env:NAME` takes it from a variable.
    pub key_password: Option<Secret>,
    /// What it can do, on its public card.
    pub skills: Vec<SkillSource>,
    /// What it can do besides, on its private card.
    pub private_skills: Vec<SkillSource>,
    /// Who may see the private card.
    pub allowed_dids: Vec<String>,
    /// What its protocol side can do.
    pub capabilities: Capabilities,
    /// Whom it trusts, as its card says; nothing stands for the default.
    pub agent_trust: Option<Map<String, Value>>,
    /// What kind of thing it is.
    pub kind: AgentKind,
    /// For its card.
    pub debug_mode: bool,
    /// For its card, 1 or 2.
    pub debug_level: u8,
    /// For its card.
    pub monitoring: bool,
    /// Whether traces are reported; nothing leaves it to `TELEMETRY_ENABLED`.
    pub telemetry: Option<bool>,
    /// How traces are reported; each field that is nothing is left to its `OLTP_` variable.
    pub oltp: OltpConfig,
    /// How many earlier tasks of a context a handler may see, 0 for none.
    pub num_history_sessions: u32,
    /// Whether the conversation opens with the system message of the settings.
    pub enable_system_message: bool,
    /// Whether a handler sees the earlier tasks of the context.
    pub enable_context_based_history: bool,
    /// Where the documentation is, for its card.
    pub documentation_url: Option<String>,
    /// Free-form remarks, for its card.
    pub extra_metadata: Map<String, Value>,
    /// What a task costs; several entries are several ways to pay. Empty: nothing.
    pub execution_cost: Vec<ExecutionCost>,
    /// Where tasks are kept; nothing leaves it to the settings.
    pub storage: Option<StorageConfig>,
    /// How work is handed out; nothing leaves it to the settings.
    pub scheduler: Option<SchedulerConfig>,
    /// Authentication of callers; nothing leaves it to the settings.
    pub auth: Option<AuthConfig>,
    /// Keys in Vault; nothing leaves it to the settings.
    pub vault: Option<VaultConfig>,
    /// Reports of errors, as configured.
    pub sentry: Option<RawSection>,
    /// How the agent bids for tasks; nothing leaves it to the settings.
    pub negotiation: Option<NegotiationConfig>,
    /// Where changes are posted for tasks without a webhook of their own; nothing leaves
    /// it to the settings.
    pub global_webhook_url: Option<String>,
    /// The bearer token that goes with it.
    pub global_webhook_token: Option<Secret>,
    /// What was odd about the JSON this was read from: keys that nobody reads, with what
    /// was probably meant. [`Resolved`](super::Resolved) hands it on to be logged.
    pub warnings: Vec<String>,
}

impl AgentConfig {
    /// An agent with the defaults, at `http://localhost:3773`.
    #[must_use]
    pub fn new(author: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            author: author.into(),
            name: name.into(),
            id: None,
            description: "A Bindu agent".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            deployment: Deployment::default(),
            recreate_keys: false,
            key_password: None,
            skills: Vec::new(),
            private_skills: Vec::new(),
            allowed_dids: Vec::new(),
            capabilities: Capabilities::default(),
            agent_trust: None,
            kind: AgentKind::default(),
            debug_mode: false,
            debug_level: 1,
            monitoring: false,
            telemetry: None,
            oltp: OltpConfig::default(),
            num_history_sessions: 10,
            enable_system_message: true,
            enable_context_based_history: false,
            documentation_url: None,
            extra_metadata: Map::new(),
            execution_cost: Vec::new(),
            storage: None,
            scheduler: None,
            auth: None,
            vault: None,
            sentry: None,
            negotiation: None,
            global_webhook_url: None,
            global_webhook_token: None,
            warnings: Vec::new(),
        }
    }

    /// Reads the JSON text of a configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Json`] if it is not JSON, else as [`from_value`](Self::from_value).
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let value = serde_json::from_str(text).map_err(|source| ConfigError::Json { source })?;
        Self::from_value(&value)
    }

    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with every key that is missing or wrong.
    pub fn from_value(value: &Value) -> Result<Self, ConfigError> {
        parse::agent(value)
    }

    /// Reads the JSON file of a configuration. Paths of skills stay as they are written;
    /// they are relative to the file's directory.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Read`] if the file cannot be read, else as
    /// [`from_json`](Self::from_json).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::from_json(&text)
    }
}

impl<'de> Deserialize<'de> for AgentConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Where an agent is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// The URL of the agent, http or https. Unless the environment says otherwise it is
    /// what the card advertises and, if it names this machine, where the agent listens.
    pub url: String,
    /// Kept for compatibility; nothing reads it.
    pub expose: bool,
    /// The protocol version of the agent's manifest.
    pub protocol_version: String,
    /// Web origins that may call the agent from a browser. Empty: none.
    pub cors_origins: Vec<String>,
}

impl Default for Deployment {
    fn default() -> Self {
        Self {
            url: "http://localhost:3773".to_owned(),
            expose: false,
            protocol_version: "1.0.0".to_owned(),
            cors_origins: Vec::new(),
        }
    }
}

/// A skill, before it is loaded.
#[derive(Clone, Debug, PartialEq)]
pub enum SkillSource {
    /// A directory with `skill.yaml` or `SKILL.md`.
    Path(PathBuf),
    /// The skill itself.
    Inline(Map<String, Value>),
    /// A skill that has been read already.
    Read(Box<Skill>),
}

/// What an agent's protocol side can do, as its card says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Capabilities {
    /// Whether it posts to webhooks.
    pub push_notifications: bool,
    /// Whether it answers `message/stream`.
    pub streaming: bool,
    /// Whether it negotiates.
    pub negotiation: bool,
    /// Extensions it knows, besides those that the runtime adds.
    pub extensions: Vec<AgentExtension>,
}

/// One way to pay for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionCost {
    /// The price for people, such as `0.01` or `$0.01`; not in units of a chain.
    pub amount: String,
    /// The currency, such as `USDC`; nothing leaves it to the amount, or else to the chain.
    pub token: Option<String>,
    /// The chain: a name such as `base`, or a CAIP-2 id; nothing leaves it to
    /// `X402__DEFAULT_NETWORK`.
    pub network: Option<String>,
    /// Who is paid; an entry without one pays the first entry's.
    pub pay_to_address: Option<String>,
}

/// Where tasks are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// The backend.
    pub backend: StorageBackend,
    /// The database; nothing leaves it to the settings.
    pub url: Option<Secret>,
}

/// How work is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// The backend.
    pub backend: SchedulerBackend,
    /// The server; nothing leaves it to the settings.
    pub url: Option<Secret>,
}

/// Authentication of callers. A field that is nothing is left to the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// Whether callers must authenticate.
    pub enabled: bool,
    /// Who vouches for them: `hydra`.
    pub provider: Option<String>,
    /// Hydra's administrative address.
    pub admin_url: Option<String>,
    /// Hydra's public address.
    pub public_url: Option<String>,
    /// How long a call to it may take.
    pub timeout: Option<Duration>,
    /// Whether its certificate is checked.
    pub verify_ssl: Option<bool>,
    /// Attempts at a call to it.
    pub max_retries: Option<u32>,
    /// How long an answer of it holds.
    pub cache_ttl: Option<Duration>,
    /// How many answers are kept.
    pub max_cache_size: Option<usize>,
    /// Whether the agent registers itself.
    pub auto_register_agents: Option<bool>,
    /// What the client names of agents begin with.
    pub agent_client_prefix: Option<String>,
}

/// Keys in Vault. A field that is nothing is left to the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaultConfig {
    /// Whether keys are kept there.
    pub enabled: bool,
    /// Its address.
    pub url: Option<String>,
    /// The token for it.
    pub token: Option<Secret>,
}

/// How an agent bids for tasks. A field that is nothing is left to the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NegotiationConfig {
    /// The key of the service that is asked what texts mean.
    pub embedding_api_key: Option<Secret>,
}

/// How traces are reported. A field that is nothing is left to the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OltpConfig {
    /// The collector; `env:NAME` takes it from a variable.
    pub endpoint: Option<String>,
    /// The name that the agent reports under.
    pub service_name: Option<String>,
    /// Headers to send along.
    pub headers: Option<std::collections::BTreeMap<String, Secret>>,
    /// Whether reporting is itself logged.
    pub verbose_logging: Option<bool>,
    /// The version to report.
    pub service_version: Option<String>,
    /// The environment to report.
    pub deployment_environment: Option<String>,
    /// Spans that may wait to be sent.
    pub batch_max_queue_size: Option<usize>,
    /// Milliseconds between two sendings.
    pub batch_schedule_delay_millis: Option<u64>,
    /// Spans sent at once.
    pub batch_max_export_batch_size: Option<usize>,
    /// Milliseconds that one sending may take.
    pub batch_export_timeout_millis: Option<u64>,
}

/// A part of the configuration that is kept as it is written. Its `Debug` shows the keys
/// only, for the values may be secrets.
#[derive(Clone, PartialEq)]
pub struct RawSection(pub Map<String, Value>);

impl fmt::Debug for RawSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl std::str::FromStr for AgentConfig {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::from_json(text)
    }
}
