//! What an agent is, as its developer writes it, and what holds once the settings are
//! put together with it.
//!
//! [`AgentConfig`] is the configuration, from Rust or from JSON. [`Resolved`] is what
//! follows from it and the [`Settings`](crate::settings::Settings). [`ConfigError`] lists
//! all that is wrong with either.

mod address;
mod agent;
mod embeddings;
mod error;
mod parse;
mod read;
mod resolved;
#[cfg(test)]
mod tests;

pub use address::Listen;
pub use agent::{
    AgentConfig, AuthConfig, Capabilities, Deployment, ExecutionCost, NegotiationConfig,
    OltpConfig, RawSection, SchedulerConfig, SkillSource, StorageConfig, VaultConfig,
};
pub use embeddings::EmbeddingService;
pub use error::{ConfigError, Problem};
pub use resolved::{GlobalWebhook, Resolved};
