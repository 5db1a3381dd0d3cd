//! From JSON to [`AgentConfig`], in the order in which the reference checks.

use std::{collections::BTreeMap, time::Duration};

use bindu_protocol::{AgentExtension, AgentKind};
use serde_json::{Map, Value};

use super::{
    AgentConfig, AuthConfig, Capabilities, ConfigError, Deployment, ExecutionCost,
    NegotiationConfig, OltpConfig, Problem, RawSection, SchedulerConfig, SkillSource,
    StorageConfig, VaultConfig,
    address::check_url,
    read::{Findings, Keys, name_type},
};
use crate::settings::{Secret, value::Value as Setting};

/// What is shown to someone whose configuration misses several keys.
const EXAMPLE: &str = r#"{"author": "you@example.com", "name": "my_agent", "deployment": {"url": "http://localhost:3773"}}"#;

pub(super) fn agent(value: &Value) -> Result<AgentConfig, ConfigError> {
    let Some(object) = value.as_object() else {
        return Err(ConfigError::Invalid(vec![Problem::new(
            "the agent configuration",
            format!("must be an object, not {}; for example {EXAMPLE}", name_type(value)),
        )]));
    };
    let mut findings = Findings::default();
    findings.problems.extend(missing(object));

    let mut keys = Keys::new(object, "", &mut findings);
    let mut config = AgentConfig::new("", "");
    if let Some(map) = keys.map("deployment") {
        deployment(&mut config.deployment, map, keys.findings());
    }
    config.auth = keys.map("auth").map(|map| auth(map, keys.findings()));
    identity(&mut config, &mut keys);
    abilities(&mut config, &mut keys);
    services(&mut config, &mut keys);
    keys.finish();

    ConfigError::unless_empty(findings.problems)?;
    config.warnings = findings.warnings;
    Ok(config)
}

/// The required keys that are missing, null or blank, in one problem.
fn missing(object: &Map<String, Value>) -> Option<Problem> {
    let url = match object.get("deployment") {
        None | Some(Value::Null) => None,
        Some(Value::Object(map)) => map.get("url"),
        // What it is instead is reported as such.
        Some(_) => Some(&Value::Bool(true)),
    };
    let required =
        [("author", object.get("author")), ("name", object.get("name")), ("deployment.url", url)];
    let missing: Vec<&str> = required
        .into_iter()
        .filter(|(_, value)| match value {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.trim().is_empty(),
            Some(_) => false,
        })
        .map(|(key, _)| key)
        .collect();
    match missing.as_slice() {
        [] => None,
        [key] => Some(Problem::new(
            format!("'{key}'"),
            "is a required field in the agent configuration and must not be blank",
        )),
        keys => {
            let keys: Vec<String> = keys.iter().map(|key| format!("'{key}'")).collect();
            Some(Problem::new(
                keys.join(", "),
                format!("are required fields in the agent configuration; for example {EXAMPLE}"),
            ))
        }
    }
}

fn deployment(deployment: &mut Deployment, map: &Map<String, Value>, findings: &mut Findings) {
    let mut keys = Keys::new(map, "deployment.", findings);
    if let Some(url) = keys.text("url").filter(|url| !url.trim().is_empty()) {
        match check_url(&url) {
            Ok(_) => url.trim().clone_into(&mut deployment.url),
            Err(message) => keys.problem("url", message),
        }
    }
    // The reference takes anything here, and uses it for nothing.
    deployment.expose = keys.get("expose").is_some_and(|it| it.as_bool() != Some(false));
    if let Some(version) = keys.text("protocol_version") {
        deployment.protocol_version = version;
    }
    if let Some(origins) = keys.texts("cors_origins") {
        for origin in origins.iter().filter(|origin| matches!(origin.as_str(), "*" | "null")) {
            keys.problem(
                "cors_origins",
                format!(
                    "must not hold {origin:?}: callers send credentials, name each origin, such \
                     as \"https://app.example.com\""
                ),
            );
        }
        deployment.cors_origins = origins;
    }
    // Known to the reference and unused there too.
    keys.get("proxy_urls");
    keys.get("openapi_schema");
    keys.finish();
}

fn auth(map: &Map<String, Value>, findings: &mut Findings) -> AuthConfig {
    let mut keys = Keys::new(map, "auth.", findings);
    let seconds = "a number of seconds, 0 or more";
    let duration =
        |value: &Value| value.as_f64().and_then(|it| Duration::try_from_secs_f64(it).ok());
    let auth = AuthConfig {
        enabled: keys.bool("enabled").unwrap_or(false),
        provider: keys.text("provider"),
        admin_url: keys.text("admin_url"),
        public_url: keys.text("public_url"),
        timeout: keys.read("timeout", seconds, duration),
        verify_ssl: keys.bool("verify_ssl"),
        max_retries: keys.whole("max_retries"),
        cache_ttl: keys.read("cache_ttl", seconds, duration),
        max_cache_size: keys.whole("max_cache_size"),
        auto_register_agents: keys.bool("auto_register_agents"),
        agent_client_prefix: keys.text("agent_client_prefix"),
    };
    if auth.enabled {
        if let Some(provider) = auth.provider.as_deref().filter(|it| *it != "hydra") {
            keys.problem(
                "provider",
                format!("is the unknown auth provider {provider:?}; supported providers: hydra"),
            );
        }
        for (key, url) in [("admin_url", &auth.admin_url), ("public_url", &auth.public_url)] {
            if let Some(Err(message)) = url.as_deref().map(check_url) {
                keys.problem(key, message);
            }
        }
    }
    keys.finish();
    auth
}

fn identity(config: &mut AgentConfig, keys: &mut Keys<'_>) {
    set(&mut config.author, keys.text("author"));
    set(&mut config.name, keys.text("name"));
    config.id = keys.read("id", "a UUID", |value| value.as_str()?.parse().ok());
    set(&mut config.description, keys.text("description"));
    set(&mut config.version, keys.text("version"));
    config.key_password = keys.secret("key_password");
    set(&mut config.recreate_keys, keys.bool("recreate_keys"));
    set(&mut config.debug_mode, keys.bool("debug_mode"));
    set(&mut config.monitoring, keys.bool("monitoring"));
    config.telemetry = keys.bool("telemetry");
    let level = keys.read("debug_level", "1 or 2", |value| match value.as_u64()? {
        1 => Some(1),
        2 => Some(2),
        _ => None,
    });
    set(&mut config.debug_level, level);
    set(&mut config.num_history_sessions, keys.whole("num_history_sessions"));
    let kind =
        keys.read("kind", "one of: agent, team, workflow", |value| match value.as_str()? {
            "agent" => Some(AgentKind::Agent),
            "team" => Some(AgentKind::Team),
            "workflow" => Some(AgentKind::Workflow),
            _ => None,
        });
    set(&mut config.kind, kind);
    config.execution_cost = execution_cost(keys);
}

fn abilities(config: &mut AgentConfig, keys: &mut Keys<'_>) {
    config.skills = skills("skills", keys);
    config.private_skills = skills("private_skills", keys);
    config.allowed_dids = keys.texts("allowed_dids").unwrap_or_default();
    if let Some(map) = keys.map("capabilities") {
        config.capabilities = capabilities(map, keys.findings());
    }
    config.agent_trust = keys.map("agent_trust").cloned();
    set(&mut config.enable_system_message, keys.bool("enable_system_message"));
    set(&mut config.enable_context_based_history, keys.bool("enable_context_based_history"));
    config.documentation_url = keys.text("documentation_url");
    set(&mut config.extra_metadata, keys.map("extra_metadata").cloned());
}

fn services(config: &mut AgentConfig, keys: &mut Keys<'_>) {
    config.storage = keys.map("storage").map(|map| {
        let (backend, url) =
            backend(map, "storage.", &["postgres_url", "database_url"], keys.findings());
        StorageConfig { backend, url }
    });
    config.scheduler = keys.map("scheduler").map(|map| {
        let (backend, url) = backend(map, "scheduler.", &["redis_url"], keys.findings());
        SchedulerConfig { backend, url }
    });
    config.vault = keys.map("vault").map(|map| {
        let mut keys = Keys::new(map, "vault.", keys.findings());
        let vault = VaultConfig {
            enabled: keys.bool("enabled").unwrap_or(false),
            url: keys.text("url"),
            token: keys.secret("token"),
        };
        keys.finish();
        vault
    });
    config.sentry = keys.map("sentry").cloned().map(RawSection);
    config.negotiation = keys.map("negotiation").map(|map| {
        let mut keys = Keys::new(map, "negotiation.", keys.findings());
        let negotiation = NegotiationConfig { embedding_api_key: keys.secret("embedding_api_key") };
        keys.finish();
        negotiation
    });
    config.global_webhook_url = keys.text("global_webhook_url");
    config.global_webhook_token = keys.secret("global_webhook_token");
    config.oltp = OltpConfig {
        endpoint: keys.text("oltp_endpoint"),
        service_name: keys.text("oltp_service_name"),
        headers: keys.read("oltp_headers", "an object of strings", |value| {
            let headers = value.as_object()?.iter();
            headers
                .map(|(name, value)| Some((name.clone(), value.as_str()?.into())))
                .collect::<Option<BTreeMap<String, Secret>>>()
        }),
        verbose_logging: keys.bool("oltp_verbose_logging"),
        service_version: keys.text("oltp_service_version"),
        deployment_environment: keys.text("oltp_deployment_environment"),
        batch_max_queue_size: keys.whole("oltp_batch_max_queue_size"),
        batch_schedule_delay_millis: keys.whole("oltp_batch_schedule_delay_millis"),
        batch_max_export_batch_size: keys.whole("oltp_batch_max_export_batch_size"),
        batch_export_timeout_millis: keys.whole("oltp_batch_export_timeout_millis"),
    };
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn skills(key: &'static str, keys: &mut Keys<'_>) -> Vec<SkillSource> {
    let entries = keys.list(key).map_or(&[][..], Vec::as_slice);
    let mut skills = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        match entry {
            Value::String(path) => skills.push(SkillSource::Path(path.into())),
            Value::Object(skill) => skills.push(SkillSource::Inline(skill.clone())),
            other => keys.findings().warnings.push(format!(
                "'{key}[{index}]' is {}, not a path or an object, and is left out",
                name_type(other)
            )),
        }
    }
    skills
}

fn capabilities(map: &Map<String, Value>, findings: &mut Findings) -> Capabilities {
    let mut keys = Keys::new(map, "capabilities.", findings);
    let mut extensions = Vec::new();
    for (index, entry) in keys.list("extensions").into_iter().flatten().enumerate() {
        match serde_json::from_value::<AgentExtension>(entry.clone()) {
            Ok(extension) => extensions.push(extension),
            Err(error) => keys.problem(
                &format!("extensions[{index}]"),
                format!("must be an object with a 'uri': {error}"),
            ),
        }
    }
    let capabilities = Capabilities {
        push_notifications: keys.bool("push_notifications").unwrap_or(false),
        streaming: keys.bool("streaming").unwrap_or(false),
        negotiation: keys.bool("negotiation").unwrap_or(false),
        extensions,
    };
    // Part of A2A's capabilities, but not of the cards of the reference.
    keys.get("state_transition_history");
    keys.finish();
    capabilities
}

fn execution_cost(keys: &mut Keys<'_>) -> Vec<ExecutionCost> {
    let entries: Vec<&Map<String, Value>> = match keys.get("execution_cost") {
        None => return Vec::new(),
        Some(Value::Object(entry)) if entry.is_empty() => return Vec::new(),
        Some(Value::Object(entry)) => vec![entry],
        Some(Value::Array(entries)) if entries.is_empty() => {
            keys.problem("execution_cost", "must not be an empty list; leave it out for no cost");
            return Vec::new();
        }
        Some(value) => {
            let entries: Option<Vec<_>> =
                value.as_array().and_then(|entries| entries.iter().map(Value::as_object).collect());
            let Some(entries) = entries else {
                keys.problem("execution_cost", "must be an object or a list of objects");
                return Vec::new();
            };
            entries
        }
    };
    let mut costs = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        costs.push(cost(entry, index == 0, keys.findings()));
    }
    costs
}

fn cost(entry: &Map<String, Value>, first: bool, findings: &mut Findings) -> ExecutionCost {
    let mut keys = Keys::new(entry, "execution_cost.", findings);
    let amount = keys
        .read("amount", "a price such as \"0.01\"", |value| match value {
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
        .unwrap_or_default();
    if amount.is_empty() && entry.get("amount").is_none_or(|it| it.is_null() || it.is_string()) {
        keys.problem("amount", "is required when execution_cost is configured");
    }
    let pay_to_address = keys.text("pay_to_address").filter(|it| !it.trim().is_empty());
    if first && pay_to_address.is_none() {
        keys.problem("pay_to_address", "is required in the first entry of execution_cost");
    }
    let cost = ExecutionCost {
        amount,
        token: keys.text("token").filter(|it| !it.trim().is_empty()),
        network: keys.text("network").filter(|it| !it.trim().is_empty()),
        pay_to_address,
    };
    // Read by none: the list of methods that cost is a setting.
    keys.get("protected_methods");
    keys.finish();
    cost
}

/// `type` and URL of the storage or the scheduler.
fn backend<B: Setting + Copy>(
    map: &Map<String, Value>,
    prefix: &'static str,
    urls: &[&'static str],
    findings: &mut Findings,
) -> (B, Option<Secret>) {
    let mut keys = Keys::new(map, prefix, findings);
    let backend = match keys.get("type") {
        None => B::parse("memory"),
        Some(Value::String(text)) => {
            let backend = B::parse(text);
            if backend.is_none() {
                keys.problem("type", format!("is {text:?}, must be {}", B::ALLOWED));
            }
            backend
        }
        Some(other) => {
            let message = format!("must be {}, not {}", B::ALLOWED, name_type(other));
            keys.problem("type", message);
            None
        }
    };
    let mut url = None;
    for key in urls {
        url = url.or(keys.secret(key).filter(|it| !it.reveal().trim().is_empty()));
    }
    keys.finish();
    (backend.or_else(|| B::parse("memory")).expect("every kind of backend has `memory`"), url)
}
