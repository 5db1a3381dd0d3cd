//! Wrap a handler, and it is an A2A agent.
//!
//! A handler is given a [`Turn`] of a conversation and answers with a [`Reply`]. [`bindufy`] puts
//! it on the wire: found by its card, answering JSON-RPC, streaming, cancellable, signed. Nothing
//! else needs to run.
//!
//! ```no_run
//! use bindu::{AgentConfig, Reply, StartError, Turn};
//!
//! fn main() -> Result<(), StartError> {
//!     let config = AgentConfig::new("ann@example.com", "echo");
//!     bindu::bindufy(config, async |turn: Turn| Ok(Reply::text(turn.text())))
//! }
//! ```
//!
//! Several agents fit into one process, and a test can have one on a free port:
//!
//! ```
//! use std::time::Duration;
//!
//! use bindu::config::Deployment;
//! use bindu::{Agent, AgentConfig, Reply, Settings, Turn};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let keys = tempfile::tempdir()?;
//! let config = AgentConfig {
//!     deployment: Deployment { url: "http://127.0.0.1:0".into(), ..Deployment::default() },
//!     ..AgentConfig::new("ann@example.com", "echo")
//! };
//! let agent = Agent::builder(config, async |turn: Turn| Ok(Reply::text(turn.text())))
//!     .settings(Settings::default()) // not those of the environment
//!     .directory(keys.path()) // where `.bindu` with the key is
//!     .spawn()
//!     .await?;
//! println!("{} is at {}", agent.identity().did(), agent.url());
//! agent.stop(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # The types that matter
//!
//! - [`Handler`]: what you write; an async function or closure is one. [`handler_fn`] gives it a
//!   state, [`blocking`] takes one that blocks, [`Reply::stream`] answers piece by piece.
//! - [`AgentConfig`]: what the agent is, from Rust or from JSON in the format of the Python
//!   reference's `bindufy`.
//! - [`Agent`]: the builder; [`serve`](Agent::serve) until a signal, or [`spawn`](Agent::spawn) for
//!   a [`Running`] agent in one's own runtime.
//! - `Peers` (feature `client`): other agents, called by a handler in its agent's own name.
//! - [`Settings`]: what the operator sets, by environment and `.env`. This crate is the only one
//!   that reads either. [`settings::describe`] lists them all.
//!
//! # Features
//!
//! The default has none: server, worker, memory store and memory queue.
//!
//! - `client`: calling other agents, as `bindu::client`.
//! - `embeddings`: tasks that the agent bids for are compared with its skills by meaning too.
//! - `encryption`: private keys under a password.
//! - `grpc`: the sidecar, through which SDKs in any language have their handlers served.
//! - `hydra`: callers that authenticate, by tokens of Ory Hydra and signatures; https webhooks.
//! - `mtls`: TLS with certificates that name the agent, by step-ca or of your own.
//! - `postgres`, `redis`, `sqlite`: tasks that survive.
//! - `x402`: work that is paid for, with x402.
//! - `full`: all of them.
//!
//! # What it leaves out
//!
//! In this version: keys in Vault and A2A 1.0. A configuration that asks for one of
//! those that protect is refused, not ignored.

mod agent;
mod backends;
mod card;
pub mod config;
mod door;
mod error;
#[cfg(feature = "hydra")]
mod locks;
#[cfg(not(feature = "hydra"))]
#[path = "locks/none.rs"]
mod locks;
pub mod logging;
pub mod negotiation;
#[cfg(feature = "x402")]
mod payments;
#[cfg(not(feature = "x402"))]
#[path = "payments/none.rs"]
mod payments;
#[cfg(feature = "client")]
mod peers;
mod private;
pub mod settings;
#[cfg(feature = "grpc")]
pub mod sidecar;

pub use agent::{Agent, Running};
pub use bindu_agent::{
    AnyHandler, ArtifactDraft, Chunk, Completed, Handler, HandlerError, Reply, Turn, blocking,
    handler_fn, loose, state,
};
#[cfg(feature = "client")]
pub use bindu_client as client;
pub use bindu_protocol as protocol;
pub use config::AgentConfig;
pub use error::StartError;
#[cfg(feature = "client")]
pub use peers::Peers;
pub use settings::Settings;
#[cfg(feature = "grpc")]
pub use sidecar::Sidecar;

/// Starts an agent from a configuration and a handler, and serves until the process is told to
/// end; short for [`Agent::builder`] and [`Agent::serve`].
///
/// ```no_run
/// use bindu::{Reply, Turn};
///
/// bindu::bindufy(
///     r#"{"author": "ann@example.com", "name": "echo",
///         "deployment": {"url": "http://localhost:3773"}}"#.parse()?,
///     async |turn: Turn| Ok(Reply::text(turn.text())),
/// )?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`StartError`]: nothing was served.
pub fn bindufy(config: AgentConfig, handler: impl Handler) -> Result<(), StartError> {
    Agent::builder(config, handler).serve()
}

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
