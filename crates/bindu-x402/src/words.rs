//! The objects of x402 v2, as they are on the wire.

mod answers;
mod payload;
mod required;

use serde::{Deserialize, Deserializer};

pub use self::answers::{SettleResponse, SupportedKind, SupportedKinds, VerifyResponse};
pub use self::payload::{Authorization, ExactEvmPayload, PaymentPayload, Resource};
pub use self::required::{AgentInfo, PaymentRequired, PaymentRequirements};

/// The version of x402 that is spoken here.
pub const X402_VERSION: u32 = 2;

/// What is null is as if it were not there.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
