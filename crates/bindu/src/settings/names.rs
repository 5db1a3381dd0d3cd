//! Names that look like ours: which are known, and what was probably meant.

use super::{Variable, environment::Environment};

/// Sections in which a name that we do not know is reported.
const SECTIONS: &[&str] = &[
    "A2A",
    "AGENT",
    "AUTH",
    "DID",
    "GRPC",
    "HYDRA",
    "LIMITS",
    "LOGGING",
    "MTLS",
    "NEGOTIATION",
    "NETWORK",
    "PROJECT",
    "RETRY",
    "SCHEDULER",
    "STORAGE",
    "WEBHOOK",
    "WORKER",
];

/// Names of the Python reference that mean nothing here, or belong to something that this
/// build does not have. They are taken in silence, so that an existing environment starts.
pub(super) const WITHOUT_EFFECT: &[&str] = &[
    "AGENT__METHOD_HANDLERS",
    "AGENT__NON_TERMINAL_STATES",
    "AGENT__STREAM_MISSING_TASK_RETRIES",
    "AGENT__STREAM_MISSING_TASK_RETRY_DELAY_SECONDS",
    "AGENT__STREAM_MISSING_TASK_DELAY_SECONDS",
    "AGENT__STREAM_POLL_INTERVAL_SECONDS",
    "AGENT__TERMINAL_STATES",
    "AUTH__ALGORITHMS",
    "AUTH__LEEWAY",
    "DID__AGENT_EXTENSION_DESCRIPTION",
    "DID__CONFIG_FILENAME",
    "DID__EXTENSION_DESCRIPTION",
    "DID__INFO_ENDPOINT",
    "DID__METHOD",
    "DID__RESOLVER_ENDPOINT",
    "DID__SERVICE_FRAGMENT",
    "DID__SERVICE_TYPE",
    "HYDRA__AGENT_CLIENT_PREFIX",
    "HYDRA__ENABLED",
    "LOGGING__LOG_FORMAT",
    "LOGGING__SHOW_LOCALS",
    "LOGGING__TRACEBACK_WIDTH",
    "MTLS__CA_PROVISIONER",
    "MTLS__KEY_CURVE",
    "MTLS__KEY_TYPE",
    "MTLS__MAX_RETRIES",
    "MTLS__RENEW_CHECK_INTERVAL_SECONDS",
    "MTLS__VAULT_PATH_TEMPLATE",
    "NEGOTIATION__MIN_SCORE_THRESHOLD",
    "NETWORK__CONNECTION_TIMEOUT",
    "NETWORK__REQUEST_TIMEOUT",
    "PROJECT__NAME",
    "PROJECT__VERSION",
    "SCHEDULER__MAX_CONNECTIONS",
    "SCHEDULER__POLL_TIMEOUT",
    "SCHEDULER__REDIS_DB",
    "SCHEDULER__REDIS_HOST",
    "SCHEDULER__REDIS_PASSWORD",
    "SCHEDULER__REDIS_PORT",
    "SCHEDULER__RETRY_ON_TIMEOUT",
    "STORAGE__POSTGRES_COMMAND_TIMEOUT",
    "STORAGE__POSTGRES_DID",
    "STORAGE__POSTGRES_MAX_RETRIES",
    "STORAGE__POSTGRES_POOL_MIN",
    "STORAGE__POSTGRES_RETRY_DELAY",
];

/// Names of the reference whose value is part of the protocol here: changing it would make
/// an agent that nobody understands.
pub(super) const FIXED: &[(&str, &str)] = &[
    ("DID__AGENT_EXTENSION_METADATA", "did.message.signature"),
    ("DID__BASE58_ENCODING", "ascii"),
    ("DID__BINDU_CONTEXT", "https://getbindu.com/ns/v1"),
    ("DID__BINDU_PARTS", "4"),
    ("DID__EXTENSION_URI", "https://github.com/getbindu/bindu"),
    ("DID__KEY_FRAGMENT", "key-1"),
    ("DID__METHOD_BINDU", "bindu"),
    ("DID__METHOD_KEY", "key"),
    ("DID__MIN_PARTS", "3"),
    ("DID__MULTIBASE_PREFIX", "z"),
    ("DID__PREFIX", "did:"),
    ("DID__TEXT_ENCODING", "utf-8"),
    ("DID__VERIFICATION_KEY_TYPE", "Ed25519VerificationKey2020"),
    ("DID__W3C_CONTEXT", "https://www.w3.org/ns/did/v1"),
];

/// What is odd about the names in an environment, one sentence a name.
pub(super) fn warnings(environment: &Environment, variables: &[&Variable]) -> Vec<String> {
    let known: Vec<&str> = variables.iter().flat_map(|it| it.names).copied().collect();
    let mut names: Vec<String> = environment.names().map(str::to_ascii_uppercase).collect();
    names.sort_unstable();
    names.dedup();
    names.iter().filter_map(|name| warning(environment, &known, name)).collect()
}

fn warning(environment: &Environment, known: &[&str], name: &str) -> Option<String> {
    let (section, field) = name.split_once("__")?;
    if let Some((_, value)) = FIXED.iter().find(|(fixed, _)| *fixed == name) {
        let same = environment.get(name).is_none_or(|given| given == *value);
        return (!same)
            .then(|| format!("{name} has no effect: the protocol fixes its value to {value:?}"));
    }
    if !SECTIONS.contains(&section)
        || known.contains(&name)
        || WITHOUT_EFFECT.contains(&name)
        || (section == "LOGGING" && field.starts_with("THEME_"))
    {
        return None;
    }
    Some(match closest(name, known.iter().copied()) {
        Some(meant) => format!("{name} is not a setting, did you mean {meant}?"),
        None => format!("{name} is not a setting, it has no effect"),
    })
}

/// The candidate that `name` is probably a slip of.
pub(crate) fn closest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let most = (name.chars().count() / 4).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
