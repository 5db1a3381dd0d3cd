//! The agent card: what an agent says of itself.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::JsonObject;

/// Where every agent shows its card; A2A 0.3.
pub const CARD_PATH: &str = "/.well-known/agent-card.json";
/// Where agents of the reference, and of A2A before 0.3, show it.
pub const REFERENCE_CARD_PATH: &str = "/.well-known/agent.json";

/// What an agent says of itself.
///
/// Written in camelCase, read from both spellings. Only what every card has is required, so that
/// cards of the reference, of plain A2A 0.3 agents and of Bindu can be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentCard {
    /// The agent's id, a UUID; cards of plain A2A agents have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The agent's name.
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub description: String,
    /// Where it answers JSON-RPC.
    pub url: String,
    /// The agent's own version.
    #[serde(default)]
    pub version: String,
    /// The version of A2A it speaks at `url`.
    #[serde(default, alias = "protocol_version")]
    pub protocol_version: String,
    /// The transport at `url`: `JSONRPC`.
    #[serde(default, alias = "preferred_transport", skip_serializing_if = "Option::is_none")]
    pub preferred_transport: Option<String>,
    /// Further addresses.
    #[serde(default, alias = "additional_interfaces", skip_serializing_if = "Vec::is_empty")]
    pub additional_interfaces: Vec<AgentInterface>,
    /// What it can do.
    #[serde(default)]
    pub skills: Vec<SkillCard>,
    /// What its protocol side can do.
    #[serde(default)]
    pub capabilities: AgentCapabilities,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AgentKind>,
    /// How many earlier tasks of a context its handler may see.
    #[serde(default, alias = "num_history_sessions", skip_serializing_if = "Option::is_none")]
    pub num_history_sessions: Option<u64>,
    /// Free-form remarks of the operator.
    #[serde(default, alias = "extra_data", skip_serializing_if = "Option::is_none")]
    pub extra_data: Option<JsonObject>,
    /// Whether it runs in debug mode.
    #[serde(default, alias = "debug_mode", skip_serializing_if = "Option::is_none")]
    pub debug_mode: Option<bool>,
    /// 1 or 2.
    #[serde(default, alias = "debug_level", skip_serializing_if = "Option::is_none")]
    pub debug_level: Option<u8>,
    /// Whether it is monitored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<bool>,
    /// Whether it reports telemetry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<bool>,
    /// Whom it trusts, and with what.
    #[serde(default, alias = "agent_trust", skip_serializing_if = "Option::is_none")]
    pub agent_trust: Option<AgentTrust>,
    /// Media types it takes.
    #[serde(default, alias = "default_input_modes")]
    pub default_input_modes: Vec<String>,
    /// Media types it answers in.
    #[serde(default, alias = "default_output_modes")]
    pub default_output_modes: Vec<String>,
    /// Where its documentation is.
    #[serde(default, alias = "documentation_url", skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
    /// Where its icon is.
    #[serde(default, alias = "icon_url", skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
    /// What a call costs.
    #[serde(default, alias = "execution_cost", skip_serializing_if = "Option::is_none")]
    pub execution_cost: Option<AgentExecutionCost>,
    /// Which schemes a caller must use, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security: Vec<Map<String, Value>>,
    /// The schemes, by name.
    #[serde(default, alias = "security_schemes", skip_serializing_if = "Map::is_empty")]
    pub security_schemes: Map<String, Value>,
    /// Whether signed-in callers see more.
    #[serde(
        default,
        alias = "supports_authenticated_extended_card",
        skip_serializing_if = "Option::is_none"
    )]
    pub supports_authenticated_extended_card: Option<bool>,
}

impl AgentCard {
    /// The agent's DID: its `id` if that is one, else the first extension whose URI is one.
    #[must_use]
    pub fn did(&self) -> Option<&str> {
        self.id
            .as_deref()
            .into_iter()
            .chain(self.capabilities.extensions.iter().map(|extension| extension.uri.as_str()))
            .find(|uri| uri.starts_with("did:"))
    }
}

/// A further address of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInterface {
    /// `JSONRPC`, `GRPC` or `HTTP+JSON`.
    pub transport: String,
    /// The address.
    pub url: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What an agent's protocol side can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentCapabilities {
    /// Extensions it knows; its DID is one of them.
    #[serde(default)]
    pub extensions: Vec<AgentExtension>,
    /// Whether it posts to webhooks.
    #[serde(default, alias = "push_notifications")]
    pub push_notifications: bool,
    /// Whether it answers `message/stream`.
    #[serde(default)]
    pub streaming: bool,
    /// Whether it tells earlier states of a task.
    #[serde(default, alias = "state_transition_history", skip_serializing_if = "Option::is_none")]
    pub state_transition_history: Option<bool>,
}

/// An extension of A2A that an agent knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentExtension {
    /// Names the extension.
    pub uri: String,
    /// How the agent uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether a caller must know it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Its parameters; free-form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<JsonObject>,
}

/// A skill as the card shows it.
///
/// The reference's cards have only the first two and `documentationPath`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillCard {
    /// Names the skill.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// What a caller may ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Media types it takes, if not the agent's.
    #[serde(default, alias = "input_modes", skip_serializing_if = "Vec::is_empty")]
    pub input_modes: Vec<String>,
    /// Media types it answers in, if not the agent's.
    #[serde(default, alias = "output_modes", skip_serializing_if = "Vec::is_empty")]
    pub output_modes: Vec<String>,
    /// Where its details are.
    #[serde(default, alias = "documentation_path", skip_serializing_if = "Option::is_none")]
    pub documentation_path: Option<String>,
}

/// What kind of thing an agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentKind {
    /// One agent.
    #[default]
    Agent,
    /// Several that work together.
    Team,
    /// A fixed course of steps.
    Workflow,
}

/// What a call costs, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentExecutionCost {
    /// The agent's id.
    #[serde(alias = "agent_id")]
    pub agent_id: String,
    /// Its name.
    #[serde(alias = "agent_name")]
    pub agent_name: String,
    /// Credits a call.
    #[serde(alias = "credits_per_request")]
    pub credits_per_request: i64,
    /// Who is paid.
    #[serde(alias = "creator_did")]
    pub creator_did: String,
    /// How much trust a caller needs.
    #[serde(alias = "minimum_trust_level")]
    pub minimum_trust_level: TrustLevel,
}

/// Whom an agent trusts, and with what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentTrust {
    /// Who vouches for callers.
    #[serde(alias = "identity_provider")]
    pub identity_provider: IdentityProvider,
    /// Roles it has from elsewhere; free-form.
    #[serde(default, alias = "inherited_roles")]
    pub inherited_roles: Vec<Value>,
    /// SHA-256 of its TLS certificate, hex pairs joined by colons.
    #[serde(default, alias = "certificate_fingerprint", skip_serializing_if = "Option::is_none")]
    pub certificate_fingerprint: Option<String>,
    /// Its TLS certificate, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Who made it: a UUID, a number or a name.
    #[serde(alias = "creator_id")]
    pub creator_id: Value,
    /// When, in seconds since 1970.
    #[serde(alias = "creation_timestamp")]
    pub creation_timestamp: i64,
    /// Whether callers must prove trust.
    #[serde(alias = "trust_verification_required")]
    pub trust_verification_required: bool,
    /// The trust that each operation needs.
    #[serde(default, alias = "allowed_operations")]
    pub allowed_operations: std::collections::BTreeMap<String, TrustLevel>,
}

/// Who vouches for callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityProvider {
    /// Ory Hydra.
    Hydra,
    /// Something of the operator's own, or nobody.
    #[default]
    Custom,
}

/// How far someone is trusted; the lowest is the smallest.
///
/// ```
/// # use bindu_protocol::TrustLevel;
/// assert!(TrustLevel::SuperAdmin > TrustLevel::Guest);
/// assert_eq!(serde_json::to_string(&TrustLevel::SuperAdmin)?, r#""super_admin""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustLevel {
    /// The least.
    Guest,
    /// May look.
    Viewer,
    /// Helps users.
    Support,
    /// Checks what was done.
    Auditor,
    /// Reads data.
    Analyst,
    /// Changes content.
    Editor,
    /// Runs things.
    Operator,
    /// Decides for a team.
    Manager,
    /// Decides for the installation.
    Admin,
    /// Everything.
    SuperAdmin,
}
