//! Configuration and settings together.

use std::{collections::BTreeMap, net::IpAddr};

use bindu_protocol::{TrustLevel, method};
use url::Url;

use super::{
    AgentConfig, ConfigError, EmbeddingService, Listen, Problem,
    address::{check_url, is_of_this_machine, resolve, with_port, with_tls},
    embeddings::embeddings,
};
use crate::settings::{
    HydraSettings, MtlsMode, SchedulerBackend, Secret, Settings, StorageBackend, TelemetrySettings,
};

/// What holds for one agent, once its configuration and the settings are put together.
///
/// The configuration wins over the settings, except for the address: there
/// `BINDU_DEPLOYMENT_URL`, `BINDU_HOST` and `BINDU_PORT` win.
///
/// ```
/// use bindu::{config::{AgentConfig, Resolved}, settings::Settings};
///
/// let settings = Settings::from_vars([
///     ("BINDU_HOST", "0.0.0.0"),
///     ("BINDU_DEPLOYMENT_URL", "https://echo.example.com"),
/// ])?;
/// let resolved = Resolved::new(&AgentConfig::new("ann@example.com", "echo"), &settings)?;
/// assert_eq!(resolved.listen.host, "0.0.0.0");
/// assert_eq!(resolved.public_url, "https://echo.example.com");
/// # Ok::<(), bindu::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Resolved {
    /// Where the agent listens.
    pub listen: Listen,
    /// What its card advertises, as it was written.
    pub public_url: String,
    /// Where tasks are kept.
    pub storage: StorageBackend,
    /// The database, unless tasks are kept in memory.
    pub database_url: Option<Secret>,
    /// How work is handed out.
    pub scheduler: SchedulerBackend,
    /// The Redis server, if work is handed out through one.
    pub redis_url: Option<Secret>,
    /// Whether callers must authenticate.
    pub auth: bool,
    /// Hydra, which knows about tokens, and with which the agent registers.
    pub hydra: HydraSettings,
    /// The trust that a method needs, by method.
    pub operations: BTreeMap<String, TrustLevel>,
    /// Where changes are posted for tasks without a webhook of their own.
    pub webhook: Option<GlobalWebhook>,
    /// Who is asked what texts mean, for negotiation; nothing if nobody is.
    pub embeddings: Option<EmbeddingService>,
    /// Whether and how traces are reported.
    pub telemetry: TelemetrySettings,
    /// The password of the private key.
    pub key_password: Option<Secret>,
    /// What is odd, of the configuration and of the settings. Whoever starts the agent logs
    /// each of them once.
    pub warnings: Vec<String>,
}

/// Where changes are posted for tasks without a webhook of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalWebhook {
    /// The address, http or https.
    pub url: Url,
    /// The bearer token that goes with it.
    pub token: Option<Secret>,
}

impl Resolved {
    /// Puts configuration and settings together.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with everything that cannot be, among it what this build
    /// does not have: an agent that its operator believes to be locked, or durable, or
    /// paid, must not start without.
    pub fn new(config: &AgentConfig, settings: &Settings) -> Result<Self, ConfigError> {
        Self::with(config, settings, is_of_this_machine)
    }

    fn with(
        config: &AgentConfig,
        settings: &Settings,
        is_ours: impl Fn(IpAddr) -> bool,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        for (key, text) in [("'author'", &config.author), ("'name'", &config.name)] {
            if text.trim().is_empty() {
                problems.push(Problem::new(key, "must not be blank"));
            }
        }
        if !matches!(config.debug_level, 1 | 2) {
            let message = format!("must be 1 or 2, not {}", config.debug_level);
            problems.push(Problem::new("'debug_level'", message));
        }
        let address = resolve(&config.deployment.url, settings, is_ours);
        let mut warnings = [settings.warnings(), &config.warnings].concat();
        let (storage, database_url) = storage(config, settings, &mut problems);
        let (scheduler, redis_url) = scheduler(config, settings, storage, &mut problems);
        if storage == StorageBackend::Memory && names_a_file(settings) {
            let warning = "DATABASE_URL names a file, but tasks are kept in memory: \
                           STORAGE_TYPE is not sqlite";
            warnings.push(warning.to_owned());
        }
        let (auth, hydra) = auth(config, settings, &mut problems);
        tls(auth, settings, &mut problems, &mut warnings);
        let operations = operations(config, &mut problems);
        absent(config, settings, &mut problems, &mut warnings);
        warnings.extend(crate::private::warnings(config, auth));
        let webhook = webhook(config, settings, &mut problems);
        let embeddings = embeddings(config, settings, &mut problems, &mut warnings);
        let telemetry = telemetry(config, settings, &mut problems, &mut warnings);
        let key_password = match &config.key_password {
            Some(password) => indirect("'key_password'", password.reveal(), settings)
                .map_err(|problem| problems.push(problem))
                .ok()
                .map(Secret::from),
            None => None,
        };
        let (listen, public_url) = match address {
            Ok((listen, url)) if settings.mtls.is_on() => {
                let secure = with_tls(&url);
                if secure.is_some() && settings.deployment.public_url.is_some() {
                    warnings.push(format!("TLS is on, so the card says https, not {url}"));
                }
                (listen, secure.unwrap_or(url))
            }
            Ok(address) => address,
            Err(problem) => {
                problems.insert(0, problem);
                return Err(ConfigError::Invalid(problems));
            }
        };
        ConfigError::unless_empty(problems)?;
        Ok(Self {
            listen,
            public_url,
            storage,
            database_url,
            scheduler,
            redis_url,
            auth,
            hydra,
            operations,
            webhook,
            embeddings,
            telemetry,
            key_password,
            warnings,
        })
    }

    /// What the card advertises once the agent listens on `port`: the same, unless the
    /// configuration asked for any free port.
    #[must_use]
    pub fn public_url_at(&self, port: u16) -> String {
        with_port(&self.public_url, port)
    }
}

fn storage(
    config: &AgentConfig,
    settings: &Settings,
    problems: &mut Vec<Problem>,
) -> (StorageBackend, Option<Secret>) {
    let (key, backend, own) = match &config.storage {
        Some(storage) => ("'storage.type'", storage.backend, storage.url.as_ref()),
        None => ("STORAGE_TYPE", settings.storage.backend, None),
    };
    let (in_this_build, form) = match backend {
        StorageBackend::Memory => return (backend, None),
        StorageBackend::Sqlite => (cfg!(feature = "sqlite"), "sqlite:path/of/the/file"),
        StorageBackend::Postgres => {
            (cfg!(feature = "postgres"), "postgresql://user:password@host/name")
        }
    };
    if !in_this_build {
        problems.push(not_in_this_build(key, backend.as_str()));
    }
    let url = own.or(settings.storage.url.as_ref()).cloned();
    if url.is_none() {
        let message = format!("must be set, for example to {form}: {key} is {}", backend.as_str());
        problems.push(Problem::new("DATABASE_URL", message));
    }
    (backend, url)
}

fn names_a_file(settings: &Settings) -> bool {
    settings.storage.url.as_ref().is_some_and(|url| url.reveal().starts_with("sqlite:"))
}

fn scheduler(
    config: &AgentConfig,
    settings: &Settings,
    storage: StorageBackend,
    problems: &mut Vec<Problem>,
) -> (SchedulerBackend, Option<Secret>) {
    let (key, backend, own) = match &config.scheduler {
        Some(scheduler) => ("'scheduler.type'", scheduler.backend, scheduler.url.as_ref()),
        None => ("SCHEDULER_TYPE", settings.scheduler.backend, None),
    };
    match backend {
        SchedulerBackend::Memory => (backend, None),
        SchedulerBackend::Postgres => {
            if storage != StorageBackend::Postgres {
                let message = "is postgres, so STORAGE_TYPE must be postgres too: \
                               the queue is part of the database of the tasks";
                problems.push(Problem::new(key, message));
            }
            (backend, None)
        }
        SchedulerBackend::Redis => {
            if !cfg!(feature = "redis") {
                problems.push(not_in_this_build(key, backend.as_str()));
            }
            let url = own.or(settings.scheduler.redis_url.as_ref()).cloned();
            if url.is_none() {
                let message =
                    format!("must be set, for example to redis://host:6379: {key} is redis");
                problems.push(Problem::new("REDIS_URL", message));
            }
            (backend, url)
        }
    }
}

/// Whether callers must authenticate, and where Hydra is: the configuration over the settings.
fn auth(
    config: &AgentConfig,
    settings: &Settings,
    problems: &mut Vec<Problem>,
) -> (bool, HydraSettings) {
    let mut hydra = settings.hydra.clone();
    let own = config.auth.as_ref();
    let (enabled, key) = match own {
        Some(auth) => (auth.enabled, "'auth.enabled'"),
        None => (settings.auth.enabled, "AUTH__ENABLED"),
    };
    if let Some(own) = own {
        let text = |own: &Option<String>, set: &mut String| {
            if let Some(own) = own {
                set.clone_from(own);
            }
        };
        text(&own.admin_url, &mut hydra.admin_url);
        text(&own.public_url, &mut hydra.public_url);
        hydra.timeout = own.timeout.unwrap_or(hydra.timeout);
        hydra.verify_ssl = own.verify_ssl.unwrap_or(hydra.verify_ssl);
        hydra.max_retries = own.max_retries.unwrap_or(hydra.max_retries);
        hydra.cache_ttl = own.cache_ttl.unwrap_or(hydra.cache_ttl);
        hydra.max_cache_size = own.max_cache_size.unwrap_or(hydra.max_cache_size);
        hydra.auto_register_agents = own.auto_register_agents.unwrap_or(hydra.auto_register_agents);
    }
    for url in [&mut hydra.admin_url, &mut hydra.public_url] {
        url.truncate(url.trim_end_matches('/').len());
    }
    if !enabled {
        return (false, hydra);
    }
    if !cfg!(feature = "hydra") {
        let message = "is on, but authentication needs the `hydra` feature, not in this build";
        problems.push(Problem::new(key, message));
    }
    let provider = own.and_then(|own| own.provider.as_ref()).unwrap_or(&settings.auth.provider);
    if provider != "hydra" {
        let key = if own.is_some() { "'auth.provider'" } else { "AUTH__PROVIDER" };
        let message =
            format!("Unknown authentication provider: '{provider}'. Supported providers: hydra");
        problems.push(Problem::new(key, message));
    }
    for (key, url) in
        [("HYDRA__ADMIN_URL", &hydra.admin_url), ("HYDRA__PUBLIC_URL", &hydra.public_url)]
    {
        if let Err(message) = check_url(url) {
            problems.push(Problem::new(key, message));
        }
    }
    (true, hydra)
}

/// The trust that methods need, as the configuration's `agent_trust` has it.
fn operations(config: &AgentConfig, problems: &mut Vec<Problem>) -> BTreeMap<String, TrustLevel> {
    const KEY: &str = "'agent_trust.allowed_operations'";
    let trust = config.agent_trust.as_ref();
    let told = trust.and_then(|it| it.get("allowed_operations").or(it.get("allowedOperations")));
    let Some(told) = told else { return BTreeMap::new() };
    let Ok(operations) = serde_json::from_value::<BTreeMap<String, TrustLevel>>(told.clone())
    else {
        let message = "must be an object of trust levels by method, such as \
                       {\"tasks/cancel\": \"operator\"}";
        problems.push(Problem::new(KEY, message));
        return BTreeMap::new();
    };
    for name in operations.keys().filter(|name| !method::ALL.contains(&name.as_str())) {
        problems.push(Problem::new(KEY, format!("names {name:?}, which is no method")));
    }
    operations
}

/// What TLS needs besides.
fn tls(auth: bool, settings: &Settings, problems: &mut Vec<Problem>, warnings: &mut Vec<String>) {
    let mtls = &settings.mtls;
    if !mtls.is_on() {
        return;
    }
    if !cfg!(feature = "mtls") {
        let message = "is on, but TLS needs the `mtls` feature, not in this build";
        problems.push(Problem::new("MTLS__ENABLED", message));
    }
    match (&mtls.cert_file, &mtls.key_file, &mtls.ca_file) {
        (Some(_), Some(_), Some(_)) => {}
        (None, None, _) if auth => {}
        (None, None, _) => {
            let message = "is on, so AUTH__ENABLED must be too: the certificate is asked for with \
                           a token of Hydra. Or name a certificate of your own: MTLS__CERT_FILE";
            problems.push(Problem::new("MTLS__ENABLED", message));
        }
        _ => {
            let message = "goes with MTLS__KEY_FILE and MTLS__CA_FILE: set all three";
            problems.push(Problem::new("MTLS__CERT_FILE", message));
        }
    }
    if !auth && settings.auth.require_self_certified {
        let message = "is on, but without AUTH__ENABLED nobody knows the keys of callers";
        problems.push(Problem::new("AUTH__REQUIRE_SELF_CERTIFIED", message));
    }
    if mtls.cert_file.is_none() && auth && !settings.hydra.auto_register_agents {
        let message = "is off, but a certificate by step-ca needs the agent to be registered";
        problems.push(Problem::new("HYDRA__AUTO_REGISTER_AGENTS", message));
    }
    if !mtls.verify_server_cert {
        warnings.push(
            "MTLS__VERIFY_SERVER_CERT=false has no effect: agents are recognised by the DID in \
             their certificate, which needs no host name, and is always checked"
                .to_owned(),
        );
    }
    if !auth && mtls.mode == MtlsMode::Hybrid && !mtls.require_client_cert {
        warnings.push(
            "TLS is on, but nobody has to say who they are: AUTH__ENABLED is off and \
             MTLS__REQUIRE_CLIENT_CERT is false"
                .to_owned(),
        );
    }
}

fn not_in_this_build(key: &str, backend: &str) -> Problem {
    let message = format!("is {backend}, which needs the `{backend}` feature, not in this build");
    Problem::new(key, message)
}

/// Refuses what would be missed, and reports what would not.
fn absent(
    config: &AgentConfig,
    settings: &Settings,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) {
    let mut refuse = |key: &str, what: &str, feature: &str| {
        let message = format!("is on, but {what} needs the `{feature}` feature, not in this build");
        problems.push(Problem::new(key, message));
    };
    match &config.vault {
        Some(vault) if vault.enabled => refuse("'vault.enabled'", "a key in Vault", "vault"),
        None if settings.switches.vault => refuse("VAULT__ENABLED", "a key in Vault", "vault"),
        _ => {}
    }
    if settings.grpc.enabled && !cfg!(feature = "grpc") {
        refuse("GRPC__ENABLED", "the gRPC server", "grpc");
    }
    problems.extend(crate::payments::problem(config, settings));
    let sentry = match &config.sentry {
        Some(sentry) => sentry.0.get("enabled").is_some_and(|it| it.as_bool() == Some(true)),
        None => settings.switches.sentry,
    };
    if sentry {
        warnings.push("sentry is on, but this build does not report to Sentry".to_owned());
    }
}

fn webhook(
    config: &AgentConfig,
    settings: &Settings,
    problems: &mut Vec<Problem>,
) -> Option<GlobalWebhook> {
    let push = config.capabilities.push_notifications;
    let (key, url) = match &config.global_webhook_url {
        Some(url) => ("'global_webhook_url'", url),
        None if push => ("WEBHOOK_URL", settings.webhook.url.as_ref()?),
        None => return None,
    };
    let token = match &config.global_webhook_token {
        Some(token) => Some(token.clone()),
        None if push => settings.webhook.token.clone(),
        None => None,
    };
    match check_url(url) {
        Ok(url) => Some(GlobalWebhook { url, token }),
        Err(message) => {
            problems.push(Problem::new(key, message));
            None
        }
    }
}

fn telemetry(
    config: &AgentConfig,
    settings: &Settings,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> TelemetrySettings {
    let (ours, set) = (&config.oltp, &settings.telemetry);
    let mut telemetry = TelemetrySettings {
        enabled: config.telemetry.unwrap_or(set.enabled),
        endpoint: ours.endpoint.clone().or_else(|| set.endpoint.clone()),
        service_name: ours.service_name.clone().or_else(|| set.service_name.clone()),
        headers: ours.headers.clone().unwrap_or_else(|| set.headers.clone()),
        verbose_logging: ours.verbose_logging.unwrap_or(set.verbose_logging),
        service_version: text(ours.service_version.as_ref(), &set.service_version),
        deployment_environment: text(
            ours.deployment_environment.as_ref(),
            &set.deployment_environment,
        ),
        batch_max_queue_size: ours.batch_max_queue_size.unwrap_or(set.batch_max_queue_size),
        batch_schedule_delay_millis: ours
            .batch_schedule_delay_millis
            .unwrap_or(set.batch_schedule_delay_millis),
        batch_max_export_batch_size: ours
            .batch_max_export_batch_size
            .unwrap_or(set.batch_max_export_batch_size),
        batch_export_timeout_millis: ours
            .batch_export_timeout_millis
            .unwrap_or(set.batch_export_timeout_millis),
    };
    if !telemetry.enabled {
        telemetry.endpoint = None;
        telemetry.headers = BTreeMap::new();
        return telemetry;
    }
    if let Some(endpoint) = telemetry.endpoint.take() {
        let key = if ours.endpoint.is_some() { "'oltp_endpoint'" } else { "OLTP_ENDPOINT" };
        match indirect(key, &endpoint, settings) {
            Ok(endpoint) => {
                warnings.push(format!("{key} is set, but this build does not export traces"));
                telemetry.endpoint = Some(endpoint);
            }
            Err(problem) => problems.push(problem),
        }
    }
    telemetry
}

fn text(ours: Option<&String>, set: &str) -> String {
    ours.map_or(set, String::as_str).to_owned()
}

/// The value itself, or that of the variable which `env:NAME` names.
fn indirect(key: &str, value: &str, settings: &Settings) -> Result<String, Problem> {
    let Some(name) = value.strip_prefix("env:") else {
        return Ok(value.to_owned());
    };
    match settings.variable(name.trim()) {
        Some(value) if !value.is_empty() => Ok(value.to_owned()),
        _ => Err(Problem::new(key, format!("names the variable {name:?}, which is not set"))),
    }
}
