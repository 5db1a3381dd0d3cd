use bindu_protocol::JsonObject;
use serde::{Deserialize, Serialize};

use super::PaymentRequirements;
use crate::{Amount, EvmAddress, header};

/// What a payer signed, and for which offer.
///
/// Read in both casings; unknown members are ignored. Written without members that are absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// Always 2.
    #[serde(alias = "x402_version")]
    pub x402_version: u32,
    /// What the scheme needs: for `exact` on chains of the EVM family, an [`ExactEvmPayload`].
    pub payload: JsonObject,
    /// The offer that was chosen, as the payer saw it.
    pub accepted: PaymentRequirements,
    /// What is paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// Extensions of x402.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<JsonObject>,
}

/// The same with nulls, as tokens are.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    x402_version: u32,
    payload: &'a JsonObject,
    accepted: &'a PaymentRequirements,
    resource: Option<&'a Resource>,
    extensions: Option<&'a JsonObject>,
}

impl PaymentPayload {
    /// What was signed, if it is a transfer of the scheme `exact` on a chain of the EVM family.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn exact_evm(&self) -> Result<ExactEvmPayload, serde_json::Error> {
        self.payload.parse()
    }

    /// The token of a payment session, which is the value of a payment header: base64 of the JSON
    /// with nulls for what is absent.
    #[must_use]
    pub fn token(&self) -> String {
        header::encode(&Whole {
            x402_version: self.x402_version,
            payload: &self.payload,
            accepted: &self.accepted,
            resource: self.resource.as_ref(),
            extensions: self.extensions.as_ref(),
        })
    }
}

/// What is paid for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Its address.
    pub url: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The media type of what is answered.
    #[serde(default, alias = "mime_type", skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Who offers it.
    #[serde(default, alias = "service_name", skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// A picture of it.
    #[serde(default, alias = "icon_url", skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
}

/// A signed transfer of the scheme `exact` on a chain of the EVM family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactEvmPayload {
    /// The signature, in hexadecimal: 65 bytes, or more of a contract wallet.
    pub signature: String,
    /// What is signed.
    pub authorization: Authorization,
}

/// Whoever holds its signature may move this much money, once (EIP-3009).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    /// Who pays.
    pub from: EvmAddress,
    /// Who is paid.
    pub to: EvmAddress,
    /// How much, in the asset's smallest units.
    pub value: Amount,
    /// It is void until after this second, counted from 1970.
    #[serde(alias = "valid_after")]
    pub valid_after: Amount,
    /// It is void from this second on.
    #[serde(alias = "valid_before")]
    pub valid_before: Amount,
    /// 32 bytes in hexadecimal that the payer uses once.
    pub nonce: String,
}
