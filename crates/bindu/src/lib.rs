//! Wrap a handler, and it is an A2A agent.

mod agent;
mod card;
pub mod config;
mod error;
pub mod logging;
pub mod settings;

pub use agent::{Agent, Running};
pub use bindu_agent::{
    AnyHandler, Chunk, Handler, HandlerError, Reply, Turn, blocking, handler_fn, loose,
};
#[cfg(feature = "client")]
pub use bindu_client as client;
pub use bindu_protocol as protocol;
pub use config::AgentConfig;
pub use error::StartError;
pub use settings::Settings;

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
