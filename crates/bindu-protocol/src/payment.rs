//! The words of payments inside tasks and messages: the A2A x402 extension.
//!
//! Members of a task's or a message's metadata, and what stands in them. Source: the A2A x402
//! extension, version 0.2, sections 5 and 7.

/// The extension's URI, version 0.2.
pub const EXTENSION: &str =
    "https://github.com/google-agentic-commerce/a2a-x402/blob/main/spec/v0.2";

/// The extension's URI as Bindu agents have always declared it, version 0.1.
pub const EXTENSION_V0_1: &str = "https://github.com/google-a2a/a2a-x402/v0.1";

/// Where a payment stands: one of the words of [`status`].
pub const STATUS: &str = "x402.payment.status";

/// What is to be paid: an x402 `PaymentRequired`.
pub const REQUIRED: &str = "x402.payment.required";

/// What was signed: an x402 `PaymentPayload`.
pub const PAYLOAD: &str = "x402.payment.payload";

/// What came of it: every x402 `SettleResponse` of the task, in order.
pub const RECEIPTS: &str = "x402.payment.receipts";

/// Why a payment failed, in a word.
pub const ERROR: &str = "x402.payment.error";

/// What every member that belongs to payments begins with. Such members of a caller's message are
/// for the agent's runtime; no handler sees them.
pub const PREFIX: &str = "x402.payment.";

/// The nonce of the authorization that pays for a task.
pub const NONCE: &str = "x402_nonce";

/// The authorization that pays for a task: who pays whom, how much, and until when.
pub const AUTHORIZATION: &str = "x402_authorization";

/// The chain on which a task is paid, as a CAIP-2 id.
pub const NETWORK: &str = "x402_network";

/// Where a payment stands, as [`STATUS`] says it.
pub mod status {
    /// The agent asks for it.
    pub const REQUIRED: &str = "payment-required";
    /// The caller sends it.
    pub const SUBMITTED: &str = "payment-submitted";
    /// The caller declines it.
    pub const REJECTED: &str = "payment-rejected";
    /// It was found good; the money has not moved.
    pub const VERIFIED: &str = "payment-verified";
    /// The money was taken.
    pub const COMPLETED: &str = "payment-completed";
    /// The money was not taken.
    pub const FAILED: &str = "payment-failed";
    /// The money was taken and the work was not done: it is to be given back.
    pub const ORPHANED: &str = "payment-orphaned";
}
