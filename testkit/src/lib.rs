//! Fakes, the transcript runner and `TestAgent`; never published.
//!
//! - [`wire`] replays recorded conversations against running agents and compares
//!   the answers.

pub mod wire;
