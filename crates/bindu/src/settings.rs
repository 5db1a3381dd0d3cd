//! What the operator of an agent can set, and the only code that reads the environment.
//!
//! [`Settings::load`] reads the environment of the process over a `.env` file;
//! [`Settings::from_vars`] reads what it is given, for tests. Nothing here is global: two
//! agents in one process can have two `Settings`. [`variables`] lists everything that can
//! be set, and [`describe`] makes a document of it.
//!
//! ```
//! use bindu::settings::Settings;
//!
//! let settings = Settings::from_vars([("WORKER__DRAIN_SECONDS", "5m")])?;
//! assert_eq!(settings.worker.drain.as_secs(), 300);
//! assert_eq!(settings.limits.max_connections, 10_000);
//! # Ok::<(), bindu::config::ConfigError>(())
//! ```

mod auth;
mod backends;
mod describe;
mod engine;
mod environment;
mod grpc;
mod identity;
mod logging;
mod names;
mod negotiation;
mod network;
mod payment;
mod secret;
mod section;
mod telemetry;
#[cfg(test)]
mod tests;
pub(crate) mod value;

use std::path::Path;

pub use auth::{AuthSettings, HydraSettings, MtlsMode, MtlsSettings, PeerIdentity};
pub use backends::{
    SchedulerBackend, SchedulerSettings, SqliteSynchronous, StorageBackend, StorageSettings,
    WebhookSettings,
};
pub use describe::describe;
pub use engine::{A2aSettings, AgentSettings, OnCrash, Retry, RetrySettings, WorkerSettings};
pub use grpc::{Eviction, GrpcSettings};
pub use identity::{DidSettings, ProjectSettings};
pub use logging::{LogFormat, LogLevel, LogRetention, LogRotation, LoggingSettings};
pub use negotiation::{NegotiationRules, NegotiationSettings};
pub use network::{DeploymentSettings, LimitSettings, NetworkSettings};
pub use payment::X402Settings;
pub use secret::Secret;
pub use section::Variable;
pub use telemetry::{SwitchSettings, TelemetrySettings};
pub use value::Permissions;

pub(crate) use names::closest;

use environment::Environment;
use section::Reader;

use crate::config::{ConfigError, Problem};

/// Everything that can be set from outside, a section a field.
///
/// Its `Debug` shows no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// What the operator calls this installation.
    pub project: ProjectSettings,
    /// Where to listen and what to advertise.
    pub deployment: DeploymentSettings,
    /// Where to listen if nothing else says so.
    pub network: NetworkSettings,
    /// Keys and DIDs.
    pub did: DidSettings,
    /// Who may call.
    pub auth: AuthSettings,
    /// Hydra, which knows about tokens.
    pub hydra: HydraSettings,
    /// TLS and its certificates.
    pub mtls: MtlsSettings,
    /// How the protocol is spoken.
    pub a2a: A2aSettings,
    /// What a handler is given.
    pub agent: AgentSettings,
    /// Where tasks are kept.
    pub storage: StorageSettings,
    /// How work is handed out.
    pub scheduler: SchedulerSettings,
    /// How tasks are run.
    pub worker: WorkerSettings,
    /// How often things are tried.
    pub retry: RetrySettings,
    /// Webhooks.
    pub webhook: WebhookSettings,
    /// What a caller may ask.
    pub limits: LimitSettings,
    /// Logs.
    pub logging: LoggingSettings,
    /// Traces.
    pub telemetry: TelemetrySettings,
    /// The gRPC server for SDKs.
    pub grpc: GrpcSettings,
    /// How the agent bids for tasks.
    pub negotiation: NegotiationSettings,
    /// How callers pay.
    pub x402: X402Settings,
    /// Switches of what this build does not have.
    pub switches: SwitchSettings,
    warnings: Vec<String>,
    environment: Environment,
}

impl Settings {
    /// The sections, for the documentation, in its order.
    const SECTIONS: &'static [(&'static str, &'static [Variable])] = &[
        ("Address", DeploymentSettings::VARIABLES),
        ("Network", NetworkSettings::VARIABLES),
        ("Project", ProjectSettings::VARIABLES),
        ("Identity", DidSettings::VARIABLES),
        ("Callers", AuthSettings::VARIABLES),
        ("Hydra", HydraSettings::VARIABLES),
        ("TLS", MtlsSettings::VARIABLES),
        ("Protocol", A2aSettings::VARIABLES),
        ("Agent", AgentSettings::VARIABLES),
        ("Storage", StorageSettings::VARIABLES),
        ("Scheduler", SchedulerSettings::VARIABLES),
        ("Worker", WorkerSettings::VARIABLES),
        ("Retries", RetrySettings::VARIABLES),
        ("Webhooks", WebhookSettings::VARIABLES),
        ("Limits", LimitSettings::VARIABLES),
        ("Logging", LoggingSettings::VARIABLES),
        ("Telemetry", TelemetrySettings::VARIABLES),
        ("gRPC", GrpcSettings::VARIABLES),
        ("Negotiation", NegotiationSettings::VARIABLES),
        ("Payments", X402Settings::VARIABLES),
        ("Not in this build", SwitchSettings::VARIABLES),
    ];

    /// Reads the environment of this process, over `.env` in the working directory.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with every variable that has a value it cannot have;
    /// [`ConfigError::Read`] or [`ConfigError::DotEnv`] if `.env` is there but unreadable.
    pub fn load() -> Result<Self, ConfigError> {
        Self::over_files(Environment::of_process(), Path::new("."), None)
    }

    /// As [`load`](Self::load), then over a second `.env` in the directory of the agent's
    /// configuration file.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_beside(config_file: &Path) -> Result<Self, ConfigError> {
        Self::over_files(Environment::of_process(), Path::new("."), config_file.parent())
    }

    fn over_files(
        mut environment: Environment,
        working_dir: &Path,
        config_dir: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        environment.push_file(&working_dir.join(".env"))?;
        if let Some(dir) = config_dir {
            environment.push_file(&dir.join(".env"))?;
        }
        Self::read(environment)
    }

    /// Reads these variables and nothing else.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with every variable that has a value it cannot have.
    pub fn from_vars<N, V>(variables: impl IntoIterator<Item = (N, V)>) -> Result<Self, ConfigError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let mut environment = Environment::default();
        environment.push(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        Self::read(environment)
    }

    fn read(environment: Environment) -> Result<Self, ConfigError> {
        let mut reader = Reader { environment: &environment, problems: Vec::new() };
        let mut settings = Self {
            project: ProjectSettings::read(&mut reader),
            deployment: DeploymentSettings::read(&mut reader),
            network: NetworkSettings::read(&mut reader),
            did: DidSettings::read(&mut reader),
            auth: AuthSettings::read(&mut reader),
            hydra: HydraSettings::read(&mut reader),
            mtls: MtlsSettings::read(&mut reader),
            a2a: A2aSettings::read(&mut reader),
            agent: AgentSettings::read(&mut reader),
            storage: StorageSettings::read(&mut reader),
            scheduler: SchedulerSettings::read(&mut reader),
            worker: WorkerSettings::read(&mut reader),
            retry: RetrySettings::read(&mut reader),
            webhook: WebhookSettings::read(&mut reader),
            limits: LimitSettings::read(&mut reader),
            logging: LoggingSettings::read(&mut reader),
            telemetry: TelemetrySettings::read(&mut reader),
            grpc: GrpcSettings::read(&mut reader),
            negotiation: NegotiationSettings::read(&mut reader),
            x402: X402Settings::read(&mut reader),
            switches: SwitchSettings::read(&mut reader),
            warnings: names::warnings(&environment, &variables().collect::<Vec<_>>()),
            environment: Environment::default(),
        };
        let mut problems = reader.problems;
        settings.check(&mut problems);
        ConfigError::unless_empty(problems)?;
        settings.environment = environment;
        Ok(settings)
    }

    /// What concerns several variables.
    fn check(&self, problems: &mut Vec<Problem>) {
        if self.worker.heartbeat > self.worker.lease / 2 {
            problems.push(Problem::new(
                "WORKER__HEARTBEAT_SECONDS",
                format!(
                    "is {:?}, must be at most half of WORKER__LEASE_SECONDS ({:?})",
                    self.worker.heartbeat, self.worker.lease
                ),
            ));
        }
        for (name, time) in [
            ("AUTH__SIGNATURE_MAX_AGE", self.auth.signature_max_age),
            ("AUTH__SIGNATURE_MAX_SKEW", self.auth.signature_max_skew),
        ] {
            if time.as_secs() > 300 {
                let message = format!("is {time:?}, must be at most 300 seconds");
                problems.push(Problem::new(name, message));
            }
        }
        if self.grpc.tls_cert.is_some() != self.grpc.tls_key.is_some() {
            let message = "and GRPC__TLS_KEY go together: set both or neither";
            problems.push(Problem::new("GRPC__TLS_CERT", message));
        }
        if self.grpc.tls_ca.is_some() && self.grpc.tls_cert.is_none() {
            let message = "is set, but there is no TLS without GRPC__TLS_CERT and GRPC__TLS_KEY";
            problems.push(Problem::new("GRPC__TLS_CA", message));
        }
        for (family, retry) in [
            ("WORKER", self.retry.worker()),
            ("STORAGE", self.retry.storage()),
            ("SCHEDULER", self.retry.scheduler()),
            ("API", self.retry.api()),
        ] {
            if retry.min_wait > retry.max_wait {
                problems.push(Problem::new(
                    format!("RETRY__{family}_MIN_WAIT"),
                    format!(
                        "is {:?}, must not be above RETRY__{family}_MAX_WAIT ({:?})",
                        retry.min_wait, retry.max_wait
                    ),
                ));
            }
        }
    }

    /// What is odd but not wrong: names that nobody reads, with what was probably meant.
    /// Whoever starts the agent logs each of them once, when the log is set up.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The value of any variable, from where the settings themselves came from. This is how
    /// `env:NAME` in a configuration is resolved.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name)
    }
}

impl Default for Settings {
    /// What holds when nothing is set.
    fn default() -> Self {
        Self::read(Environment::default()).expect("the defaults are valid, a test says so")
    }
}

/// Everything that can be set.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    Settings::SECTIONS.iter().flat_map(|(_, variables)| variables.iter())
}
