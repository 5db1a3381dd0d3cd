//! What an agent author implements, and what describes the agent.
//!
//! An agent is a [`Handler`]: it is given a [`Turn`], the conversation up to the newest message,
//! and answers with a [`Reply`]. An async closure is one already:
//!
//! ```
//! use bindu_agent::{AnyHandler, Reply, Turn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), bindu_agent::HandlerError> {
//! let shout = AnyHandler::new(async |turn: Turn| Ok(Reply::text(turn.text().to_uppercase())));
//!
//! let reply = shout.handle(Turn::from("hello")).await?;
//! assert!(matches!(reply, Reply::Completed(done) if done.message[0].as_text() == Some("HELLO")));
//! # Ok(())
//! # }
//! ```
//!
//! - [`handler_fn`] gives an async function a state, [`blocking`] takes one that blocks, and
//!   [`Handler`] can be implemented on a type of one's own.
//! - A [`Reply`] is text, parts, data or files; a question that pauses the task; a refusal; or a
//!   [stream](Reply::stream) of [`Chunk`]s that reach the caller as they are made.
//! - [`Turn::state`] keeps small values for the conversation and for the agent, from one turn to
//!   the next; [`Turn::references`] are other tasks that the caller points at.
//! - [`loose`] turns what a dynamically typed handler returns (a string, a dictionary, a list, the
//!   values of a generator) into a `Reply`.
//! - [`skills`] reads `skill.yaml` and `SKILL.md` and shows skills as the agent's routes do.
//! - [`negotiation`] judges whether a task suits those skills, and how well.
//!
//! Left out: whoever runs handlers. Loading the conversation, keeping time, catching panics,
//! signing artifacts and storing what came out is the worker's work, and so is keeping state: a
//! handler never sees a socket, and of a store only the values it keeps there. The crate needs tokio only for its timer, its blocking pool and its
//! synchronisation; there are no features.

mod blocking;
mod chunk;
mod handler;
pub mod loose;
pub mod negotiation;
mod reply;
pub mod skills;
pub mod state;
mod turn;

pub use blocking::{Blocking, blocking};
pub use chunk::{Chunk, ChunkStream, Collected};
pub use handler::{AnyHandler, BoxFuture, BoxStream, Handler, HandlerError, handler_fn};
pub use reply::{ArtifactDraft, Completed, RESULT_NAME, Reply};
pub use turn::{Turn, TurnParts};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
