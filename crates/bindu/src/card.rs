//! The agent's card, from its configuration and identity.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bindu_did::key_dir::Identity;
use bindu_protocol::{
    AgentCapabilities, AgentCard, AgentExtension, AgentTrust, DebugLevel, JsonObject,
};
use serde_json::{Map, Value, json};

use crate::config::AgentConfig;

/// The version of A2A that an agent's address answers in.
const PROTOCOL_VERSION: &str = "0.3.0";

const MODES: [&str; 2] = ["text/plain", "application/json"];

/// The card of an agent that is reached at `url`. The server adds the skills.
pub(crate) fn of(config: &AgentConfig, identity: &Identity, url: &str) -> AgentCard {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let mut extensions = config.capabilities.extensions.clone();
    extensions.push(did_extension(config, identity));
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
        agent_trust: Some(trust(config, now)),
        default_input_modes: MODES.map(Into::into).into(),
        default_output_modes: MODES.map(Into::into).into(),
        provider: None,
        documentation_url: config.documentation_url.clone(),
        icon_url: None,
        execution_cost: None,
        security: Vec::new(),
        security_schemes: BTreeMap::new(),
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

/// The configured trust, or that of an agent nobody vouches for.
fn trust(config: &AgentConfig, now: i64) -> AgentTrust {
    let configured = config.agent_trust.clone();
    configured
        .and_then(|trust| serde_json::from_value(Value::Object(trust)).ok())
        .unwrap_or_else(|| AgentTrust { creation_timestamp: now, ..AgentTrust::default() })
}
