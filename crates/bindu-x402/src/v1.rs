//! Payments of x402 v1, which are read inside tasks only: over HTTP they are refused.
//!
//! Version 1 names networks, not chains (`base-sepolia`), calls the price `maxAmountRequired`, and
//! its payments do not repeat the offer that they are for.

use bindu_protocol::{Json, JsonObject};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::header::{self, MAX_BYTES};
use crate::{
    Amount, Authorization, ExactEvmPayload, Fault, Mismatch, NetworkError, Networks,
    PaymentPayload, PaymentRequirements, Refusal, Resource, X402_VERSION,
};

/// An offer as version 1 writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirementsV1 {
    /// How it is paid: `exact`.
    pub scheme: String,
    /// The network's name.
    pub network: String,
    /// How much, in the asset's smallest units.
    #[serde(alias = "max_amount_required")]
    pub max_amount_required: Amount,
    /// The address of what is paid for.
    #[serde(default)]
    pub resource: String,
    /// What it is.
    #[serde(default)]
    pub description: String,
    /// The media type of what is answered.
    #[serde(default, alias = "mime_type")]
    pub mime_type: String,
    /// Who is paid.
    #[serde(alias = "pay_to")]
    pub pay_to: String,
    /// How long the payment may take, in seconds.
    #[serde(alias = "max_timeout_seconds")]
    pub max_timeout_seconds: u64,
    /// The contract of the asset.
    pub asset: String,
    /// `name` and `version` of the asset's EIP-712 domain.
    #[serde(default)]
    pub extra: Option<Map<String, Value>>,
}

impl PaymentRequirementsV1 {
    /// An offer of ours as version 1 writes it, if its chain has a name.
    #[must_use]
    pub fn of(
        offer: &PaymentRequirements,
        resource: Option<&Resource>,
        networks: &Networks,
    ) -> Option<Self> {
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        Some(Self {
            scheme: offer.scheme.clone(),
            network: networks.name_of(&offer.network)?.to_owned(),
            max_amount_required: offer.amount.clone(),
            resource: text(resource.map(|resource| &resource.url)),
            description: text(resource.and_then(|resource| resource.description.as_ref())),
            mime_type: text(resource.and_then(|resource| resource.mime_type.as_ref())),
            pay_to: offer.pay_to.clone(),
            max_timeout_seconds: offer.max_timeout_seconds,
            asset: offer.asset.clone(),
            extra: Some(offer.extra.clone()),
        })
    }

    /// The offer as version 2 writes it.
    ///
    /// # Errors
    ///
    /// [`NetworkError::Unknown`] if no network has that name.
    pub fn into_v2(self, networks: &Networks) -> Result<PaymentRequirements, NetworkError> {
        Ok(PaymentRequirements {
            scheme: self.scheme,
            network: networks.resolve(&self.network)?.caip2,
            asset: self.asset,
            amount: self.max_amount_required,
            pay_to: self.pay_to,
            max_timeout_seconds: self.max_timeout_seconds,
            extra: self.extra.unwrap_or_default(),
        })
    }
}

/// Reads a payment of version 2, or of version 1 as if it were of version 2: from a task's
/// `x402.payment.payload`.
///
/// One of version 1 is for that offer whose network, payee and price it has; `offers` are those
/// that were made for the task.
///
/// # Errors
///
/// [`Refusal::InvalidHeader`]; for version 1 also [`Refusal::NoMatch`] and
/// [`Refusal::MissingNonce`].
pub fn decode(
    json: &Json,
    offers: &[PaymentRequirements],
    networks: &Networks,
) -> Result<PaymentPayload, Refusal> {
    match header::from_json(json) {
        Err(Refusal::Version1) => read(json, offers, networks),
        read => read,
    }
}

#[derive(Deserialize)]
struct PayloadV1 {
    scheme: String,
    network: String,
    payload: JsonObject,
}

fn read(
    json: &Json,
    offers: &[PaymentRequirements],
    networks: &Networks,
) -> Result<PaymentPayload, Refusal> {
    debug_assert!(json.as_str().len() <= MAX_BYTES, "its length was checked with its version");
    let PayloadV1 { scheme, network, payload } =
        json.parse().map_err(|error| Refusal::invalid_header(&error.to_string()))?;
    let network =
        networks.resolve(&network).map_err(|_| Refusal::NoMatch(Mismatch::Network))?.caip2;
    let mut on_chain =
        offers.iter().filter(|o| o.scheme == scheme && o.network == network).peekable();
    if on_chain.peek().is_none() {
        return Err(Refusal::NoMatch(Mismatch::Network));
    }
    let signed: ExactEvmPayload = payload.parse().map_err(|_| Refusal::Invalid(Fault::Payload))?;
    let accepted = on_chain
        .find(|offer| pays(&signed.authorization, offer))
        .ok_or(Refusal::NoMatch(Mismatch::Terms))?
        .clone();
    Ok(PaymentPayload {
        x402_version: X402_VERSION,
        payload,
        accepted,
        resource: None,
        extensions: None,
    })
}

fn pays(authorization: &Authorization, offer: &PaymentRequirements) -> bool {
    authorization.value == offer.amount
        && authorization.to.as_str().eq_ignore_ascii_case(&offer.pay_to)
}
