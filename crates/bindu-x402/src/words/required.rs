use bindu_protocol::{Json, JsonObject};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Resource, X402_VERSION, or_default};
use crate::{Amount, header};

/// What is asked of a payer: one entry of `accepts`.
///
/// Read in both casings; unknown members are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// How it is paid: `exact`.
    pub scheme: String,
    /// The chain's CAIP-2 id; a name, if a stranger wrote it so.
    pub network: String,
    /// The contract of the asset.
    pub asset: String,
    /// How much, in the asset's smallest units.
    pub amount: Amount,
    /// Who is paid.
    #[serde(alias = "pay_to")]
    pub pay_to: String,
    /// How long the payment may take, in seconds.
    #[serde(alias = "max_timeout_seconds")]
    pub max_timeout_seconds: u64,
    /// What the scheme needs besides: for `exact`, `name` and `version` of the asset's EIP-712
    /// domain.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// The agent that asks, as the body of a 402 names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentInfo {
    /// Its name.
    pub name: String,
    /// What it does; may be empty.
    pub description: String,
    /// The path of its card.
    #[serde(alias = "agent_card")]
    pub agent_card: String,
    /// Its DID, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did: Option<String>,
}

/// Why a request was not done, and how to pay for it: the body of a 402.
///
/// ```
/// # use bindu_x402::PaymentRequired;
/// let required = PaymentRequired::new("X-PAYMENT header required", Vec::new());
/// assert_eq!(
///     required.body(),
///     r#"{"x402Version":2,"error":"X-PAYMENT header required","resource":null,"accepts":[],"extensions":null}"#,
/// );
/// assert_eq!(
///     required.in_task().as_str(),
///     r#"{"x402Version":2,"error":"X-PAYMENT header required","accepts":[]}"#,
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// Always 2.
    #[serde(alias = "x402_version")]
    pub x402_version: u32,
    /// What is wrong, for a person.
    #[serde(default)]
    pub error: Option<String>,
    /// What is paid for.
    #[serde(default)]
    pub resource: Option<Resource>,
    /// The ways to pay; one is chosen.
    pub accepts: Vec<PaymentRequirements>,
    /// Extensions of x402.
    #[serde(default)]
    pub extensions: Option<JsonObject>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentInfo>,
}

/// The same without nulls, and without the agent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Compact<'a> {
    x402_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a Resource>,
    accepts: &'a [PaymentRequirements],
    #[serde(skip_serializing_if = "Option::is_none")]
    extensions: Option<&'a JsonObject>,
}

impl PaymentRequired {
    /// This error and these offers, and nothing else.
    #[must_use]
    pub fn new(error: impl Into<String>, accepts: Vec<PaymentRequirements>) -> Self {
        Self {
            x402_version: X402_VERSION,
            error: Some(error.into()),
            resource: None,
            accepts,
            extensions: None,
            agent: None,
        }
    }

    /// The JSON of a 402: every member in its order, nulls and all.
    #[must_use]
    pub fn body(&self) -> String {
        // Only strings, numbers and JSON that was read before: it always prints.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The value of [`PAYMENT_REQUIRED`](header::PAYMENT_REQUIRED): the same in base64, without
    /// the agent and without nulls.
    #[must_use]
    pub fn header(&self) -> String {
        header::encode(&self.compact())
    }

    /// What a task's `x402.payment.required` holds: as the header, but not in base64.
    #[must_use]
    pub fn in_task(&self) -> Json {
        Json::new(&self.compact()).unwrap_or_else(|_| Json::from(Value::Null))
    }

    fn compact(&self) -> Compact<'_> {
        Compact {
            x402_version: self.x402_version,
            error: self.error.as_deref(),
            resource: self.resource.as_ref(),
            accepts: &self.accepts,
            extensions: self.extensions.as_ref(),
        }
    }
}
