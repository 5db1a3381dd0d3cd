//! Fakes, the transcript runner and `TestAgent`; never published.
//!
//! - [`wire`] replays recorded conversations against running agents and compares
//!   the answers.
//! - `agents` (feature) are the agents those conversations were held with.

#[cfg(feature = "agents")]
pub mod agents;
pub mod wire;
