use std::collections::BTreeMap;

use bindu_protocol::{Json, JsonObject};
use serde::{Deserialize, Serialize};

use super::or_default;
use crate::Amount;

/// What a facilitator says about a payment before the money moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whether it would settle.
    #[serde(alias = "is_valid")]
    pub is_valid: bool,
    /// Why not, in a word: `insufficient_funds`.
    #[serde(default, alias = "invalid_reason")]
    pub invalid_reason: Option<String>,
    /// Why not, for a person.
    #[serde(default, alias = "invalid_message", skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// Who pays.
    #[serde(default)]
    pub payer: Option<String>,
    /// What the scheme says besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Json>,
}

/// What became of the money: the receipt, if it moved.
///
/// Written with every member in its order, nulls and all, as receipts in tasks are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// Whether it moved.
    pub success: bool,
    /// Why not, in a word.
    #[serde(default, alias = "error_reason")]
    pub error_reason: Option<String>,
    /// Why not, for a person.
    #[serde(default, alias = "error_message")]
    pub error_message: Option<String>,
    /// Who paid.
    #[serde(default)]
    pub payer: Option<String>,
    /// The hash of the transaction; empty if there is none.
    #[serde(default, deserialize_with = "or_default")]
    pub transaction: String,
    /// The chain's CAIP-2 id.
    #[serde(default, deserialize_with = "or_default")]
    pub network: String,
    /// How much moved, where the scheme leaves that open.
    #[serde(default)]
    pub amount: Option<Amount>,
    /// Extensions of x402.
    #[serde(default)]
    pub extensions: Option<JsonObject>,
    /// What the scheme says besides.
    #[serde(default)]
    pub extra: Option<Json>,
}

impl SettleResponse {
    /// The receipt of a payment that failed here, before any facilitator was asked or whatever it
    /// said.
    #[must_use]
    pub fn failed(reason: impl Into<String>, network: impl Into<String>) -> Self {
        Self {
            success: false,
            error_reason: Some(reason.into()),
            error_message: None,
            payer: None,
            transaction: String::new(),
            network: network.into(),
            amount: None,
            extensions: None,
            extra: None,
        }
    }

    /// Whether it failed for a reason that does not say that the money will not move yet: what was
    /// sent to the chain may still be confirmed.
    ///
    /// ```
    /// # use bindu_x402::SettleResponse;
    /// let said = |reason| SettleResponse::failed(reason, "eip155:8453").may_be_under_way();
    /// assert!(said("unexpected_settle_error"));
    /// assert!(said("confirmation timed out"));
    /// assert!(!said("transfer reverted"));
    /// ```
    #[must_use]
    pub fn may_be_under_way(&self) -> bool {
        let texts = [&self.error_reason, &self.error_message];
        let open =
            ["unexpected", "timeout", "timed out", "timed_out", "pending", "confirm", "unknown"];
        !self.success
            && texts.into_iter().flatten().any(|text| {
                let text = text.to_ascii_lowercase();
                open.iter().any(|word| text.contains(word))
            })
    }

    /// Whether it failed because the authorization had been used before, by these words. If we
    /// have tried before, that may have been us: then the money did move.
    ///
    /// ```
    /// # use bindu_x402::SettleResponse;
    /// let said = |reason| SettleResponse::failed(reason, "eip155:8453").says_already_used();
    /// assert!(said("nonce already used"));
    /// assert!(said("FiatTokenV2: authorization is used or canceled"));
    /// assert!(!said("insufficient_funds"));
    /// ```
    #[must_use]
    pub fn says_already_used(&self) -> bool {
        let texts = [&self.error_reason, &self.error_message];
        !self.success
            && texts.into_iter().flatten().any(|text| {
                let text = text.to_ascii_lowercase();
                let used = ["used", "replay", "duplicate", "already"];
                (text.contains("nonce") || text.contains("authorization"))
                    && used.iter().any(|word| text.contains(word))
            })
    }
}

/// What a facilitator can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SupportedKinds {
    /// The payments that it takes.
    pub kinds: Vec<SupportedKind>,
    /// The extensions of x402 that it knows.
    #[serde(default, deserialize_with = "or_default")]
    pub extensions: Vec<Json>,
    /// Which addresses send its transactions, by families of chains.
    #[serde(default, deserialize_with = "or_default")]
    pub signers: BTreeMap<String, Vec<String>>,
}

/// A kind of payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedKind {
    /// The version of x402.
    #[serde(alias = "x402_version")]
    pub x402_version: u32,
    /// The scheme: `exact`.
    pub scheme: String,
    /// The chain's CAIP-2 id; for version 1, its name.
    pub network: String,
    /// What the scheme needs besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Json>,
}

impl SupportedKinds {
    /// Whether it takes payments of this scheme on this chain, in the version that is spoken here.
    #[must_use]
    pub fn takes(&self, scheme: &str, network: &str) -> bool {
        self.kinds.iter().any(|kind| {
            let family = || {
                let (kind, ours) = (kind.network.split_once(':'), network.split_once(':'));
                matches!((kind, ours), (Some((a, "*")), Some((b, _))) if a == b)
            };
            kind.x402_version == super::X402_VERSION
                && kind.scheme == scheme
                && (kind.network == network || family())
        })
    }
}
