//! Call another agent: send it messages, follow what becomes of them, fetch the results.
//!
//! ```no_run
//! use std::time::Duration;
//! use bindu_client::{Client, Outgoing};
//! use bindu_protocol::SendResult;
//!
//! # async fn example() -> Result<(), bindu_client::ClientError> {
//! let agent = Client::connect("http://localhost:3773")?;
//! println!("calling {}", agent.card().await?.name);
//!
//! let question = Outgoing::text("sum this up").and_file("a.csv", "text/csv", b"a,b\n1,2\n");
//! match agent.send_and_wait(question, Duration::from_secs(60)).await? {
//!     SendResult::Task(task) => println!("{}: {:?}", task.status.state, task.artifacts),
//!     SendResult::Message(message) => println!("{}", message.text()),
//!     _ => {}
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Three types matter: [`Client`] is one agent, [`Outgoing`] is what you say to it, and
//! [`EventStream`] is what you hear while it works. [`ClientError`] tells whether to try
//! again, and what to change.
//!
//! # Dialects
//!
//! The client writes A2A 0.3 or the dialect of Bindu's Python reference, and reads both
//! always. The agent's card decides, or [`ClientBuilder::dialect`]. In the reference's
//! dialect callers choose the ids of tasks and contexts; the client makes them.
//!
//! # What is sent twice
//!
//! Whatever only reads is sent again after connection errors, time-outs and the statuses 429,
//! 502, 503 and 504, as the [`RetryPolicy`](bindu_http::client::RetryPolicy) says. A message
//! is too, each time with the same message id and another JSON-RPC id, so that an agent can
//! recognise the repeat (see [`ClientBuilder::send_replay`]). Everything else is sent again
//! only if certainly nothing of it arrived.
//!
//! # Limits
//!
//! Answers are bounded by the HTTP client (16 MiB unless told otherwise), cards by 1 MiB, and
//! each event of a stream by 16 MiB. A card cannot send the client to another host.
//!
//! # What it leaves out
//!
//! TLS, tokens, request signatures and payment: bring an HTTP client with a TLS connector
//! through [`ClientBuilder::http`], and a token through [`ClientBuilder::header`]. Nor are
//! signatures of artifacts checked: `bindu-did` does that.

mod client;
mod error;
mod outgoing;
mod params;
mod stream;

pub use client::{Client, ClientBuilder};
pub use error::ClientError;
pub use outgoing::Outgoing;
pub use stream::EventStream;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
