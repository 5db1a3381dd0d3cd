//! The chain: what really moved.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::log;

/// Money that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The chain's CAIP-2 id.
    pub network: String,
    /// The contract, in lower case.
    pub asset: String,
    /// Who paid, in lower case.
    pub from: String,
    /// Who was paid, in lower case.
    pub to: String,
    /// How much, in the smallest units.
    pub value: String,
    /// The authorization's nonce, in lower case.
    pub nonce: String,
}

impl Moved {
    fn to_value(&self) -> Value {
        let Self { network, asset, from, to, value, nonce } = self;
        json!({
            "network": network, "asset": asset, "from": from, "to": to,
            "value": value, "nonce": nonce,
        })
    }

    fn is_same_authorization(&self, other: &Self) -> bool {
        let parts = |moved: &Self| {
            [&moved.network, &moved.asset, &moved.from, &moved.nonce].map(String::clone)
        };
        parts(self) == parts(other)
    }
}

/// A transfer that was signed.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) moves: Moved,
    valid_after: u64,
    valid_before: u64,
}

impl Transfer {
    /// The transfer of a request to verify or to settle, if there is one in it.
    pub(super) fn of(body: &Value) -> Option<Self> {
        let requirements = body.get("paymentRequirements")?;
        let authorization = body.pointer("/paymentPayload/payload/authorization")?;
        let text = |value: &Value, key| Some(value.get(key)?.as_str()?.to_ascii_lowercase());
        // What is longer than a clock is forever.
        let time = |key| Some(text(authorization, key)?.parse().unwrap_or(u64::MAX));
        Some(Self {
            moves: Moved {
                network: text(requirements, "network")?,
                asset: text(requirements, "asset")?,
                from: text(authorization, "from")?,
                to: text(authorization, "to")?,
                value: text(authorization, "value")?,
                nonce: text(authorization, "nonce")?,
            },
            valid_after: time("validAfter")?,
            valid_before: time("validBefore")?,
        })
    }
}

/// What moved, in order.
#[derive(Debug, Default)]
pub(super) struct Chain(Vec<Moved>);

impl Chain {
    pub(super) fn all(&self) -> &[Moved] {
        &self.0
    }

    pub(super) fn has(&self, transfer: &Transfer) -> bool {
        self.0.iter().any(|moved| moved.is_same_authorization(&transfer.moves))
    }

    /// Moves the money, unless it has moved already; or says why it cannot.
    pub(super) fn take(&mut self, transfer: &Transfer) -> Result<(), &'static str> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.has(transfer) {
            Ok(())
        } else if now < transfer.valid_after {
            Err("authorization is not yet valid")
        } else if now >= transfer.valid_before {
            Err("authorization is expired")
        } else {
            self.0.push(transfer.moves.clone());
            Ok(())
        }
    }

    /// Answers a request for what moved; a query chooses.
    pub(super) fn answer(&self, query: &str) -> Value {
        let moved = self.0.iter().map(Moved::to_value);
        let chosen: Vec<_> = moved.filter(|moved| log::is_chosen(moved, moved, query)).collect();
        json!({ "count": chosen.len(), "payments": chosen })
    }
}
