//! The agent card: what an agent says of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::spelling::two_spellings;
use crate::{AgentExecutionCost, AgentTrust, JsonObject, SecurityScheme};

/// Where every agent shows its card; A2A 0.3.
pub const CARD_PATH: &str = "/.well-known/agent-card.json";

/// Where agents of the reference, and of A2A before 0.3, show it.
pub const REFERENCE_CARD_PATH: &str = "/.well-known/agent.json";

/// What an agent says of itself.
///
/// Written in camelCase, read from both spellings. Only what every card has is required, so that
/// cards of the reference, of plain A2A 0.3 agents and of Bindu can be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
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
    #[serde(default)]
    pub protocol_version: String,
    /// The transport at `url`: `JSONRPC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_transport: Option<String>,
    /// Further addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_history_sessions: Option<u64>,
    /// Free-form remarks of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_data: Option<JsonObject>,
    /// Whether it runs in debug mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug_mode: Option<bool>,
    /// How much it tells in debug mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug_level: Option<DebugLevel>,
    /// Whether it is monitored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<bool>,
    /// Whether it reports telemetry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<bool>,
    /// Whom it trusts, and with what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_trust: Option<AgentTrust>,
    /// Media types it takes.
    #[serde(default)]
    pub default_input_modes: Vec<String>,
    /// Media types it answers in.
    #[serde(default)]
    pub default_output_modes: Vec<String>,
    /// Who offers the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<AgentProvider>,
    /// Where its documentation is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
    /// Where its icon is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
    /// What a call costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_cost: Option<AgentExecutionCost>,
    /// Which schemes a caller must use, by name, and with what scopes; one of the maps is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security: Vec<BTreeMap<String, Vec<String>>>,
    /// The schemes, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub security_schemes: BTreeMap<String, SecurityScheme>,
    /// Whether signed-in callers see more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supports_authenticated_extended_card: Option<bool>,
    /// Signatures over the card, as JWS (RFC 7515); kept, not checked here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<CardSignature>,
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
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct AgentInterface {
    /// `JSONRPC`, `GRPC` or `HTTP+JSON`.
    pub transport: String,
    /// The address.
    pub url: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Who offers an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct AgentProvider {
    /// The organisation's name.
    pub organization: String,
    /// Its website.
    pub url: String,
}

/// What an agent's protocol side can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct AgentCapabilities {
    /// Extensions it knows; its DID is one of them.
    #[serde(default)]
    pub extensions: Vec<AgentExtension>,
    /// Whether it posts to webhooks.
    #[serde(default)]
    pub push_notifications: bool,
    /// Whether it answers `message/stream`.
    #[serde(default)]
    pub streaming: bool,
    /// Whether it tells earlier states of a task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_transition_history: Option<bool>,
}

/// An extension of A2A that an agent knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
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
#[serde(remote = "Self", rename_all = "camelCase")]
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_modes: Vec<String>,
    /// Media types it answers in, if not the agent's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output_modes: Vec<String>,
    /// Where its details are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// How much an agent tells in debug mode; 1 or 2 on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum DebugLevel {
    /// 1.
    #[default]
    Some,
    /// 2.
    All,
}

impl TryFrom<u8> for DebugLevel {
    type Error = UnknownDebugLevel;

    fn try_from(level: u8) -> Result<Self, UnknownDebugLevel> {
        match level {
            1 => Ok(Self::Some),
            2 => Ok(Self::All),
            _ => Err(UnknownDebugLevel),
        }
    }
}

impl From<DebugLevel> for u8 {
    fn from(level: DebugLevel) -> Self {
        match level {
            DebugLevel::Some => 1,
            DebugLevel::All => 2,
        }
    }
}

/// The number is no [`DebugLevel`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a debug level must be 1 or 2")]
pub struct UnknownDebugLevel;

/// A signature over a card: a JWS (RFC 7515) without its payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct CardSignature {
    /// The protected header, base64url.
    pub protected: String,
    /// The signature, base64url.
    pub signature: String,
    /// The unprotected header; free-form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<JsonObject>,
}

two_spellings!(
    AgentCard,
    AgentInterface,
    AgentProvider,
    AgentCapabilities,
    AgentExtension,
    SkillCard,
    CardSignature,
);
