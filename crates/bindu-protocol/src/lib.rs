//! A2A wire types, ids, methods and codes, with codecs for every dialect.
//!
//! One model, several ways to write it. A program reads whatever a peer sent into the model with
//! plain `serde`, both spellings of every key, and writes the model in the dialect that its peer
//! speaks:
//!
//! ```
//! use bindu_protocol::{Dialect, SendParams, Request};
//!
//! let body = br#"{"jsonrpc": "2.0", "id": "1", "method": "message/send", "params": {
//!     "message": {"messageId": "m-1", "role": "user", "parts": [{"kind": "text", "text": "hi"}]}
//! }}"#;
//! let request = Request::parse(body)?;
//! let params: SendParams = serde_json::from_str(request.params)?;
//! assert_eq!(params.message.text(), "hi");
//!
//! let as_a2a = serde_json::to_string(&Dialect::V0_3.view(&params.message))?;
//! assert!(as_a2a.contains("messageId"));
//! let as_reference = serde_json::to_string(&Dialect::Reference.view(&params.message))?;
//! assert!(as_reference.contains("message_id"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Three types matter most: [`Task`], with its [`Message`]s and [`Artifact`]s; [`TaskState`],
//! whose [`can_become`](TaskState::can_become) is the state machine; and [`StreamEvent`].
//! [`Marks`] tells which dialect a request speaks.
//!
//! What a dialect has no words for is told in others, and understood again: states that only Bindu
//! has, data parts that hold no object. The rest is left out: an A2A artifact does not say
//! `append` (its event does), a status of the reference has no message (the history has).
//!
//! Free-form maps ([`JsonObject`]) are kept as their text, so that they come out as they went in
//! and cost nothing on the way. Ids are opaque: whatever the peer chose is echoed.
//!
//! There is no I/O here, no async runtime, no storage: only types, and functions over them.

mod caller;
mod card;
mod code;
mod context;
mod denied;
mod dialect;
mod id;
mod json;
mod message;
pub mod method;
mod negotiation;
mod params;
mod part;
pub mod payment;
mod push;
pub mod reference;
mod rpc;
mod security;
mod skill;
mod spelling;
mod state;
mod task;
mod timestamp;
mod trust;
pub mod v0_3;
mod view;
mod wire;

pub use caller::{Caller, Owner};
pub use card::{
    AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentKind, AgentProvider,
    CARD_PATH, CardSignature, DebugLevel, REFERENCE_CARD_PATH, SkillCard, UnknownDebugLevel,
};
pub use code::Code;
pub use context::{Context, ContextKind, ContextStatus, ContextSummary};
pub use denied::Denied;
pub use dialect::{Dialect, DialectPolicy, Marks, UnknownPolicy};
pub use id::{ArtifactId, ContextId, IdError, MAX_ID_CHARS, MessageId, PushConfigId, TaskId};
pub use json::{Json, JsonObject, MAX_DEPTH, is_nested_deeper};
pub use message::{Artifact, Message, Role};
pub use negotiation::{
    AgentIdentity, BID_ANSWER_KEY, BID_REQUEST_KEY, BIDDING_KEY, Bidding, BiddingError, CostAmount,
    ExecutionRequest, ExecutionResponse, MAX_NEGOTIATION_LIST, MAX_SUMMARY_CHARS,
    NegotiationAnswer, NegotiationContext, NegotiationProposal, NegotiationRequest,
    NegotiationRequestError, NegotiationSessionStatus, NegotiationStatus, NegotiationWeights,
    RejectionReason, SkillMatch, Subscores,
};
pub use params::{
    ContextParams, FeedbackParams, ListParams, PushParams, PushSetParams, SendConfiguration,
    SendParams, TaskParams,
};
pub use part::{Content, File, Part};
pub use push::{PushConfig, TaskPushConfig};
pub use rpc::{Answer, Call, Request, RequestError, RequestId, Response, RpcError};
pub use security::{ApiKeyLocation, PushAuthentication, SecurityScheme};
pub use skill::Skill;
pub use state::{TaskState, TransitionError};
pub use task::{SendResult, StreamEvent, Task, TaskArtifactUpdate, TaskStatus, TaskStatusUpdate};
pub use timestamp::{Timestamp, TimestampError};
pub use trust::{
    AgentExecutionCost, AgentTrust, CreatorId, IdentityProvider, KeycloakRole, TrustLevel,
};
pub use view::{STATE_KEY, View};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
