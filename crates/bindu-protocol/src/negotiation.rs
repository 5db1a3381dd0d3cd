//! Types of negotiation, credit and identity that no method carries.
//!
//! Written in snake_case, as the reference shows them.

mod answer;
mod bid;
mod request;

pub use self::answer::{NegotiationAnswer, RejectionReason, SkillMatch, Subscores};
pub use self::bid::{BID_ANSWER_KEY, BID_REQUEST_KEY, BIDDING_KEY, Bidding, BiddingError};
pub use self::request::{
    CostAmount, MAX_NEGOTIATION_LIST, MAX_SUMMARY_CHARS, NegotiationRequest,
    NegotiationRequestError, NegotiationWeights,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::spelling::two_spellings;
use crate::{ContextId, JsonObject, Timestamp, TrustLevel};

/// One agent's offer to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all(serialize = "snake_case", deserialize = "camelCase"))]
pub struct NegotiationProposal {
    /// Its id.
    pub proposal_id: Uuid,
    /// Who offers.
    pub from_agent: Uuid,
    /// To whom.
    pub to_agent: Uuid,
    /// What; free-form.
    pub terms: JsonObject,
    /// When.
    pub timestamp: Timestamp,
    /// Where it stands.
    pub status: NegotiationStatus,
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

/// A negotiation and its offers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all(serialize = "snake_case", deserialize = "camelCase"))]
pub struct NegotiationContext {
    /// The conversation it takes place in.
    pub context_id: ContextId,
    /// Where it stands.
    pub status: NegotiationStatus,
    /// Who takes part.
    pub participants: Vec<String>,
    /// What was offered.
    pub proposals: Vec<NegotiationProposal>,
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

/// A request to run an agent for credits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all(serialize = "snake_case", deserialize = "camelCase"))]
pub struct ExecutionRequest {
    /// Its id.
    pub request_id: Uuid,
    /// Who asks.
    pub executor_did: String,
    /// Which agent.
    pub agent_id: String,
    /// With what.
    pub input_data: String,
    /// For how many credits.
    pub estimated_credits: i64,
    /// How far the asker is trusted.
    pub trust_level: TrustLevel,
}

/// What came of an [`ExecutionRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all(serialize = "snake_case", deserialize = "camelCase"))]
pub struct ExecutionResponse {
    /// The request's id.
    pub request_id: Uuid,
    /// The run's id.
    pub execution_id: Uuid,
    /// Whether it went well.
    pub success: bool,
    /// Credits taken.
    pub credits_charged: i64,
    /// The transaction that took them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<Uuid>,
    /// What came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_data: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// When.
    pub execution_time: String,
}

/// An agent's identity in one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all(serialize = "snake_case", deserialize = "camelCase"))]
pub struct AgentIdentity {
    /// Its DID.
    pub did: String,
    /// The DID's document; free-form.
    pub did_document: JsonObject,
    /// Where a directory lists it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agentdns_url: Option<String>,
    /// Where it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Its public key.
    pub public_key: String,
    /// Its certificate request.
    pub csr: String,
}

two_spellings!(
    NegotiationProposal,
    NegotiationContext,
    ExecutionRequest,
    ExecutionResponse,
    AgentIdentity,
);
