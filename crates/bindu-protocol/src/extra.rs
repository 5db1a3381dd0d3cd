//! Types of contexts, negotiation, credit and identity that no method carries whole.
//!
//! They are written in snake_case, as the reference stores and shows them, and read from both
//! spellings of every key that has two.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{ContextId, IdentityProvider, JsonObject, TaskId, Timestamp, TrustLevel};

/// One line of `contexts/list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextSummary {
    /// The context.
    #[serde(alias = "contextId")]
    pub context_id: ContextId,
    /// How many tasks it has.
    #[serde(alias = "taskCount")]
    pub task_count: usize,
    /// Their ids, oldest first.
    #[serde(alias = "taskIds")]
    pub task_ids: Vec<TaskId>,
}

/// Whether a context is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContextStatus {
    /// In use.
    Active,
    /// Resting.
    Paused,
    /// Done.
    Completed,
    /// Put away.
    Archived,
}

/// A conversation, as declared; methods answer with [`ContextSummary`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// Its id.
    #[serde(alias = "contextId")]
    pub context_id: ContextId,
    /// Its tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskId>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// In what role the agent takes part.
    pub role: String,
    /// Since when it exists.
    #[serde(alias = "createdAt")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(alias = "updatedAt")]
    pub updated_at: Timestamp,
    /// Whether it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<ContextStatus>,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Free-form remarks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<JsonObject>,
    /// The context it came out of.
    #[serde(default, alias = "parentContextId", skip_serializing_if = "Option::is_none")]
    pub parent_context_id: Option<ContextId>,
    /// Contexts it points at.
    #[serde(default, alias = "referenceContextIds", skip_serializing_if = "Vec::is_empty")]
    pub reference_context_ids: Vec<ContextId>,
    /// Extensions; free-form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<JsonObject>,
}

/// Where a proposal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NegotiationStatus {
    /// Made.
    Proposed,
    /// Taken.
    Accepted,
    /// Refused.
    Rejected,
    /// Answered by another.
    Countered,
}

/// Where a negotiation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NegotiationSessionStatus {
    /// Begun.
    Initiated,
    /// Under way.
    Ongoing,
    /// Agreed.
    Completed,
    /// Given up.
    Rejected,
}

/// One agent's offer to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NegotiationProposal {
    /// Its id.
    #[serde(alias = "proposalId")]
    pub proposal_id: Uuid,
    /// Who offers.
    #[serde(alias = "fromAgent")]
    pub from_agent: Uuid,
    /// To whom.
    #[serde(alias = "toAgent")]
    pub to_agent: Uuid,
    /// What; free-form.
    pub terms: JsonObject,
    /// When.
    pub timestamp: String,
    /// Where it stands.
    pub status: NegotiationStatus,
}

/// A negotiation and its offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NegotiationContext {
    /// The conversation it takes place in.
    #[serde(alias = "contextId")]
    pub context_id: ContextId,
    /// Where it stands.
    pub status: NegotiationStatus,
    /// Who takes part.
    pub participants: Vec<String>,
    /// What was offered.
    pub proposals: Vec<NegotiationProposal>,
}

/// A request to run an agent for credits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionRequest {
    /// Its id.
    #[serde(alias = "requestId")]
    pub request_id: Uuid,
    /// Who asks.
    #[serde(alias = "executorDid")]
    pub executor_did: String,
    /// Which agent.
    #[serde(alias = "agentId")]
    pub agent_id: String,
    /// With what.
    #[serde(alias = "inputData")]
    pub input_data: String,
    /// For how many credits.
    #[serde(alias = "estimatedCredits")]
    pub estimated_credits: i64,
    /// How far the asker is trusted.
    #[serde(alias = "trustLevel")]
    pub trust_level: TrustLevel,
}

/// What came of an [`ExecutionRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionResponse {
    /// The request's id.
    #[serde(alias = "requestId")]
    pub request_id: Uuid,
    /// The run's id.
    #[serde(alias = "executionId")]
    pub execution_id: Uuid,
    /// Whether it went well.
    pub success: bool,
    /// Credits taken.
    #[serde(alias = "creditsCharged")]
    pub credits_charged: i64,
    /// The transaction that took them.
    #[serde(default, alias = "transactionId", skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Uuid>,
    /// What came out.
    #[serde(default, alias = "outputData", skip_serializing_if = "Option::is_none")]
    pub output_data: Option<String>,
    /// What went wrong.
    #[serde(default, alias = "errorMessage", skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// When.
    #[serde(alias = "executionTime")]
    pub execution_time: String,
}

/// A role that an identity provider gave. The name is the reference's; any provider may fill it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeycloakRole {
    /// Its id.
    #[serde(alias = "roleId")]
    pub role_id: Uuid,
    /// Its name.
    #[serde(alias = "roleName")]
    pub role_name: String,
    /// What it allows.
    pub permissions: Vec<String>,
    /// How far it is trusted.
    #[serde(alias = "trustLevel")]
    pub trust_level: TrustLevel,
    /// The realm it is of.
    #[serde(alias = "realmName")]
    pub realm_name: String,
    /// What it is called elsewhere.
    #[serde(default, alias = "externalMappings", skip_serializing_if = "Option::is_none")]
    pub external_mappings: Option<BTreeMap<String, String>>,
    /// The trust that each operation needs.
    #[serde(default, alias = "operationPermissions", skip_serializing_if = "Option::is_none")]
    pub operation_permissions: Option<BTreeMap<String, TrustLevel>>,
}

/// An agent's identity in one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentIdentity {
    /// Its DID.
    pub did: String,
    /// The DID's document; free-form.
    #[serde(alias = "didDocument")]
    pub did_document: JsonObject,
    /// Where a directory lists it.
    #[serde(default, alias = "agentdnsUrl", skip_serializing_if = "Option::is_none")]
    pub agentdns_url: Option<String>,
    /// Where it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Its public key.
    #[serde(alias = "publicKey")]
    pub public_key: String,
    /// Its certificate request.
    pub csr: String,
}

/// How a caller proves who it is; the wire's `type` tells which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum SecurityScheme {
    /// An HTTP authentication scheme.
    #[serde(rename = "http")]
    Http {
        /// Such as `bearer`.
        scheme: String,
        /// Such as `JWT`.
        #[serde(default, alias = "bearerFormat", skip_serializing_if = "Option::is_none")]
        bearer_format: Option<String>,
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// A key that the agent gave out.
    #[serde(rename = "apiKey")]
    ApiKey {
        /// The parameter's or header's name.
        name: String,
        /// Where it goes. Written as `in`, A2A's spelling; the reference's is `in_`.
        #[serde(rename = "in", alias = "in_")]
        location: ApiKeyLocation,
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// OAuth 2.0.
    #[serde(rename = "oauth2")]
    OAuth2 {
        /// The flows, by name; free-form.
        flows: Map<String, Value>,
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// `OpenID` Connect.
    #[serde(rename = "openIdConnect")]
    OpenIdConnect {
        /// Where its configuration is.
        #[serde(rename = "openIdConnectUrl", alias = "open_id_connect_url")]
        open_id_connect_url: String,
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// A client certificate.
    #[serde(rename = "mutualTLS")]
    MutualTls {
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
}

/// Where an API key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiKeyLocation {
    /// In the query.
    Query,
    /// In a header.
    Header,
    /// In a cookie.
    Cookie,
}

/// Whom an agent's card names as the one who vouches for callers, by default.
impl Default for crate::AgentTrust {
    fn default() -> Self {
        Self {
            identity_provider: IdentityProvider::Custom,
            inherited_roles: Vec::new(),
            certificate_fingerprint: None,
            certificate: None,
            creator_id: Value::from("system"),
            creation_timestamp: 0,
            trust_verification_required: false,
            allowed_operations: BTreeMap::new(),
        }
    }
}
