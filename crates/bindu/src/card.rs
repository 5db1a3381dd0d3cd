//! The agent's card, from its configuration and identity.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bindu_did::key_dir::Identity;
use bindu_protocol::{
    AgentCapabilities, AgentCard, AgentExtension, AgentTrust, DebugLevel, IdentityProvider,
    JsonObject, SecurityScheme,
};
use serde_json::{Map, Value, json};

use crate::config::AgentConfig;
use crate::payments::Payments;

/// The version of A2A that an agent's address answers in.
const PROTOCOL_VERSION: &str = "0.3.0";

const MODES: [&str; 2] = ["text/plain", "application/json"];

/// What callers need to be let in, as the card tells it.
#[derive(Debug, Default)]
pub(crate) struct Locked {
    /// Where tokens are had, if one is needed.
    pub(crate) token_url: Option<String>,
    /// The scopes that there are.
    pub(crate) scopes: BTreeMap<&'static str, &'static str>,
    /// Whether a client certificate is needed.
    pub(crate) certificate: bool,
    /// SHA-256 of the agent's own certificate.
    pub(crate) fingerprint: Option<String>,
}

/// The card of an agent that is reached at `url`. The server adds the skills.
pub(crate) fn of(
    config: &AgentConfig,
    identity: &Identity,
    url: &str,
    locked: &Locked,
) -> AgentCard {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let mut extensions = config.capabilities.extensions.clone();
    extensions.push(did_extension(config, identity));
    if !config.execution_cost.is_empty() {
        extensions.extend(Payments::extensions());
    }
    let extra = if config.extra_metadata.is_empty() {
        let mut extra = Map::new();
        extra.insert("created".into(), now.into());
        extra.insert("server_info".into(), "bindu Agent Server".into());
        extra
    } else {
        config.extra_metadata.clone()
    };
    AgentCard {
        id: Some(identity.agent_id().to_string()),
        name: config.name.clone(),
        description: config.description.clone(),
        url: url.to_owned(),
        version: config.version.clone(),
        protocol_version: PROTOCOL_VERSION.into(),
        preferred_transport: Some("JSONRPC".into()),
        additional_interfaces: Vec::new(),
        skills: Vec::new(),
        capabilities: AgentCapabilities {
            extensions,
            push_notifications: config.capabilities.push_notifications,
            streaming: config.capabilities.streaming,
            state_transition_history: None,
        },
        kind: Some(config.kind),
        num_history_sessions: Some(config.num_history_sessions.into()),
        extra_data: Some(JsonObject::from(extra)),
        debug_mode: Some(config.debug_mode),
        debug_level: DebugLevel::try_from(config.debug_level).ok(),
        monitoring: Some(config.monitoring),
        telemetry: Some(config.telemetry.unwrap_or(true)),
        agent_trust: Some(trust(config, now, locked)),
        default_input_modes: MODES.map(Into::into).into(),
        default_output_modes: MODES.map(Into::into).into(),
        provider: None,
        documentation_url: config.documentation_url.clone(),
        icon_url: None,
        execution_cost: None,
        security: security(locked),
        security_schemes: schemes(locked),
        supports_authenticated_extended_card: Some(false),
        signatures: Vec::new(),
    }
}

/// Where callers find the agent's DID.
fn did_extension(config: &AgentConfig, identity: &Identity) -> AgentExtension {
    let params = json!({
        "author": config.author,
        "agent_name": config.name,
        "agent_id": identity.agent_id().to_string(),
    });
    let Value::Object(params) = params else { unreachable!("the literal above is an object") };
    AgentExtension {
        uri: identity.did().to_string(),
        description: Some(format!("DID-based identity for {}", config.name)),
        required: Some(false),
        params: Some(params.into()),
    }
}

const OAUTH2: &str = "oauth2";
const CERTIFICATE: &str = "certificate";

/// How callers prove who they are.
fn schemes(locked: &Locked) -> BTreeMap<String, SecurityScheme> {
    let mut schemes = BTreeMap::new();
    if let Some(token_url) = &locked.token_url {
        let flow = json!({ "clientCredentials": {
            "tokenUrl": token_url, "scopes": locked.scopes,
        } });
        let Value::Object(flows) = flow else { unreachable!("the literal above is an object") };
        let description = "A caller whose client id is a DID also signs the request: \
                           X-DID, X-DID-Signature, X-DID-Timestamp";
        let scheme = SecurityScheme::OAuth2 {
            flows: flows.into(),
            description: Some(description.to_owned()),
        };
        schemes.insert(OAUTH2.to_owned(), scheme);
    }
    if locked.certificate {
        let description = Some("A certificate that names the caller's DID".to_owned());
        schemes.insert(CERTIFICATE.to_owned(), SecurityScheme::MutualTls { description });
    }
    schemes
}

/// That all of them are needed.
fn security(locked: &Locked) -> Vec<BTreeMap<String, Vec<String>>> {
    let mut needed = BTreeMap::new();
    if locked.token_url.is_some() {
        let scopes = locked.scopes.keys().map(|&scope| scope.to_owned()).collect();
        needed.insert(OAUTH2.to_owned(), scopes);
    }
    if locked.certificate {
        needed.insert(CERTIFICATE.to_owned(), Vec::new());
    }
    if needed.is_empty() { Vec::new() } else { vec![needed] }
}

/// The configured trust, or that of an agent that says nothing of it.
fn trust(config: &AgentConfig, now: i64, locked: &Locked) -> AgentTrust {
    let identity_provider = match locked.token_url {
        Some(_) => IdentityProvider::Hydra,
        None => IdentityProvider::Custom,
    };
    let configured = config.agent_trust.clone();
    let mut trust = configured
        .and_then(|trust| serde_json::from_value(Value::Object(trust)).ok())
        .unwrap_or_else(|| AgentTrust {
            identity_provider,
            creation_timestamp: now,
            ..AgentTrust::default()
        });
    if locked.fingerprint.is_some() {
        trust.certificate_fingerprint.clone_from(&locked.fingerprint);
    }
    trust
}
