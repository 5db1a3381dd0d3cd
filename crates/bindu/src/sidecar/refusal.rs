//! What is wrong with a registration, in the words that SDKs and their users know.
//!
//! The checks come in a fixed order, and the first that fails is the answer. What they do not
//! cover is said by the configuration's own checks.

use serde_json::{Map, Value};
use url::Url;

/// The longest name or author, and the longest address, in bytes.
const MAX_NAME: usize = 256;
const MAX_URL: usize = 2048;

/// Texts, as the reference calls them.
const TEXTS: [&str; 6] = ["name", "author", "description", "version", "kind", "key_password"];
const SWITCHES: [&str; 4] = ["recreate_keys", "debug_mode", "monitoring", "telemetry"];

/// Checks what every SDK's user gets wrong at first.
///
/// # Errors
///
/// What to change.
pub(super) fn check(config: &Map<String, Value>) -> Result<(), String> {
    required(config)?;
    lengths(config)?;
    address(config)?;
    types(config)?;
    cost(config)?;
    if config.get("id").is_some_and(|id| !id.is_null() && uuid(id).is_none()) {
        return Err("badly formed hexadecimal UUID string".to_owned());
    }
    provider(config)
}

/// Names are part of directories, DIDs and logs; addresses, of every card.
fn lengths(config: &Map<String, Value>) -> Result<(), String> {
    let fields = [
        ("author", config.get("author"), MAX_NAME),
        ("name", config.get("name"), MAX_NAME),
        ("deployment.url", url(config), MAX_URL),
    ];
    for (field, value, limit) in fields {
        if value.and_then(Value::as_str).is_some_and(|text| text.len() > limit) {
            return Err(format!("ConfigError: '{field}' has more than {limit} bytes."));
        }
    }
    Ok(())
}

fn uuid(id: &Value) -> Option<uuid::Uuid> {
    id.as_str()?.parse().ok()
}

fn url(config: &Map<String, Value>) -> Option<&Value> {
    config.get("deployment")?.get("url")
}

fn required(config: &Map<String, Value>) -> Result<(), String> {
    let is_missing = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.trim().is_empty(),
        Some(_) => false,
    };
    let fields = [
        ("author", config.get("author")),
        ("name", config.get("name")),
        ("deployment.url", url(config)),
    ];
    let missing: Vec<_> = fields
        .into_iter()
        .filter(|(_, value)| is_missing(*value))
        .map(|(field, _)| field)
        .collect();
    match missing.as_slice() {
        [] => Ok(()),
        [field] => {
            Err(format!("ConfigError: '{field}' is a required field in the agent configuration."))
        }
        fields => {
            let lines = fields.join("\n- ");
            Err(format!(
                "ConfigError: missing required fields in the agent configuration:\n- {lines}"
            ))
        }
    }
}

fn address(config: &Map<String, Value>) -> Result<(), String> {
    let is_good = |text: &str| {
        Url::parse(text.trim()).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.host_str().is_some_and(|it| !it.is_empty())
        })
    };
    match url(config) {
        Some(Value::String(text)) if is_good(text) => Ok(()),
        Some(Value::String(text)) => {
            Err(format!("ConfigError: 'deployment.url' must be a valid http(s) URL, got '{text}'."))
        }
        _ => Err("Field 'deployment.url' must be a str".to_owned()),
    }
}

fn types(config: &Map<String, Value>) -> Result<(), String> {
    let given = |field: &str| config.get(field).filter(|value| !value.is_null());
    for field in TEXTS {
        if given(field).is_some_and(|value| !value.is_string()) {
            return Err(format!("Field '{field}' must be a str"));
        }
    }
    for field in SWITCHES {
        if given(field).is_some_and(|value| !value.is_boolean()) {
            return Err(format!("Field '{field}' must be a bool"));
        }
    }
    if given("kind")
        .is_some_and(|kind| !matches!(kind.as_str(), Some("agent" | "team" | "workflow")))
    {
        return Err("Field 'kind' must be one of: agent, team, workflow".to_owned());
    }
    if given("debug_level").is_some_and(|level| !matches!(level.as_u64(), Some(1 | 2))) {
        return Err("Field 'debug_level' must be 1 or 2".to_owned());
    }
    if given("num_history_sessions").is_some_and(|number| !number.is_u64()) {
        return Err("Field 'num_history_sessions' must be a non-negative integer".to_owned());
    }
    Ok(())
}

fn cost(config: &Map<String, Value>) -> Result<(), String> {
    let entries = match config.get("execution_cost") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(entry)) if entry.is_empty() => return Ok(()),
        Some(Value::Object(entry)) => vec![Some(entry)],
        Some(Value::Array(entries)) if entries.is_empty() => {
            return Err("Field 'execution_cost' list cannot be empty".to_owned());
        }
        Some(Value::Array(entries)) => entries.iter().map(Value::as_object).collect(),
        Some(_) => vec![None],
    };
    for entry in entries {
        let Some(entry) = entry else {
            return Err("Field 'execution_cost' must be a dict or a list of dicts".to_owned());
        };
        if entry.get("amount").is_none_or(|amount| amount.is_null() || amount.as_str() == Some(""))
        {
            return Err(
                "execution_cost.amount is required when execution_cost is configured".to_owned()
            );
        }
    }
    Ok(())
}

fn provider(config: &Map<String, Value>) -> Result<(), String> {
    let Some(Value::Object(auth)) = config.get("auth") else { return Ok(()) };
    let enabled = auth.get("enabled").and_then(Value::as_bool).unwrap_or(false);
    match auth.get("provider").and_then(Value::as_str) {
        Some(other) if enabled && other != "hydra" => {
            Err(format!("Unknown auth provider: '{other}'. Supported providers: hydra"))
        }
        _ => Ok(()),
    }
}
