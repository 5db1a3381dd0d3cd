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
//! # Bids
//!
//! Agents of Bindu say how well a task suits them ([`Client::negotiate`]); [`bids`] asks several at
//! once and ranks what they say.
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
//! # Locked agents
//!
//! An agent may want to know who calls, by up to three locks: a client certificate, a token of
//! an authorization server, and a signature over each request. A [`Principal`] has all three
//! from a directory; [`ClientBuilder::identity`], [`ClientBuilder::tokens`] (any
//! [`TokenSource`]) and `ClientBuilder::mtls` bring them one by one.
//!
//! - Every attempt is signed anew over the very bytes that are sent, with the time, another
//!   JSON-RPC id, and the agent it is for. `GET` requests sign the empty body.
//! - A token that is refused with 401 is replaced once, and the request sent once more.
//! - Redirects are never followed, and no header of the caller's takes the place of these.
//! - Card and DID document are read without saying who asks; only then, when it is known whom
//!   one calls ([`Client::peer`]), token and signature go out. A card that is hidden (401, 403)
//!   is asked for with them, unless a DID is expected.
//!
//! Signatures in answers are checked as far as the agent's key is known
//! ([`ClientBuilder::verify_artifacts`]); what agents post is judged by a [`WebhookReceiver`].
//!
//! # Features
//!
//! - `tls`: `https`, trusting what the system trusts.
//! - `hydra`: `bindu_hydra::Tokens` as a [`TokenSource`], `bindu_hydra::Keys` as a
//!   [`KeySource`], and the tokens of a [`Principal`].
//! - `mtls`: `ClientBuilder::mtls`, and the certificate of a [`Principal`]. Includes `tls`.
//!
//! Without any, `https` takes an HTTP client with a connector of its own:
//! [`ClientBuilder::http`].
//!
//! # What it leaves out
//!
//! Payment; serving the webhooks it judges; gRPC and the REST transport of A2A.

mod artifacts;
mod auth;
mod client;
mod error;
#[cfg(feature = "hydra")]
mod hydra;
mod negotiate;
mod outgoing;
mod params;
mod peer;
mod principal;
mod stream;
mod webhook;

pub use auth::{Token, TokenAsk, TokenSource};
pub use client::{Client, ClientBuilder};
pub use error::ClientError;
pub use negotiate::{Bid, bids};
pub use outgoing::Outgoing;
pub use peer::{KeySource, Peer};
pub use principal::{Principal, PrincipalConfig};
pub use stream::EventStream;
pub use webhook::{Delivery, WebhookError, WebhookReceiver, WebhookReceiverBuilder};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
