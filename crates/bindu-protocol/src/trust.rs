//! Whom an agent trusts, with what, and what a call costs.
//!
//! They are part of the card and written in camelCase as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::spelling::two_spellings;

/// Whom an agent trusts, and with what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct AgentTrust {
    /// Who vouches for callers.
    pub identity_provider: IdentityProvider,
    /// Roles it has from elsewhere.
    #[serde(default)]
    pub inherited_roles: Vec<KeycloakRole>,
    /// SHA-256 of its TLS certificate, hex pairs joined by colons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_fingerprint: Option<String>,
    /// Its TLS certificate, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Who made it: a UUID, a number or a name.
    pub creator_id: CreatorId,
    /// When, in seconds since 1970.
    pub creation_timestamp: i64,
    /// Whether callers must prove trust.
    pub trust_verification_required: bool,
    /// The trust that each operation needs.
    #[serde(default)]
    pub allowed_operations: BTreeMap<String, TrustLevel>,
}

impl Default for AgentTrust {
    /// Nobody vouches for callers, and nothing needs trust.
    fn default() -> Self {
        Self {
            identity_provider: IdentityProvider::Custom,
            inherited_roles: Vec::new(),
            certificate_fingerprint: None,
            certificate: None,
            creator_id: CreatorId::Name("system".into()),
            creation_timestamp: 0,
            trust_verification_required: false,
            allowed_operations: BTreeMap::new(),
        }
    }
}

/// Who made an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CreatorId {
    /// By number.
    Number(i64),
    /// By name, or by a UUID.
    Name(String),
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

/// A role that an identity provider gave. The name is the reference's; any provider may fill it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct KeycloakRole {
    /// Its id.
    pub role_id: Uuid,
    /// Its name.
    pub role_name: String,
    /// What it allows.
    pub permissions: Vec<String>,
    /// How far it is trusted.
    pub trust_level: TrustLevel,
    /// The realm it is of.
    pub realm_name: String,
    /// What it is called elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_mappings: Option<BTreeMap<String, String>>,
    /// The trust that each operation needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_permissions: Option<BTreeMap<String, TrustLevel>>,
}

/// What a call costs, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct AgentExecutionCost {
    /// The agent's id.
    pub agent_id: String,
    /// Its name.
    pub agent_name: String,
    /// Credits a call.
    pub credits_per_request: i64,
    /// Who is paid.
    pub creator_did: String,
    /// How much trust a caller needs.
    pub minimum_trust_level: TrustLevel,
}

two_spellings!(AgentTrust, KeycloakRole, AgentExecutionCost);
