//! Routes, layers and JSON-RPC methods of an agent.
//!
//! [`AgentServer`] is a [`tower::Service`] over an engine ([`Tasks`](bindu_tasks::Tasks)): it
//! shows the agent's card, DID document and skills, answers JSON-RPC in the caller's dialect,
//! streams events, and tells health and metrics. [`bindu_http::server::Server`] puts it on a port.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bindu_agent::skills::SkillSet;
//! use bindu_http::client::Client;
//! use bindu_http::server::{Config, Server, Shutdown};
//! use bindu_scheduler::MemoryScheduler;
//! use bindu_server::{Builder, Metrics, Profile, Workers};
//! use bindu_storage::MemoryStore;
//! use bindu_tasks::Tasks;
//!
//! /// Whoever runs the tasks; here, nobody does.
//! #[derive(Debug)]
//! struct Nobody;
//!
//! impl Workers for Nobody {
//!     fn is_alive(&self) -> bool { false }
//!     fn busy(&self) -> usize { 0 }
//!     fn capacity(&self) -> usize { 0 }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let http = Server::bind(Config::default(), "127.0.0.1:0").await?;
//! let url = format!("http://{}", http.local_addr());
//!
//! let (store, queue) = (MemoryStore::default(), MemoryScheduler::default());
//! let tasks = Tasks::builder(Arc::new(store), Arc::new(queue)).build();
//! let profile = Profile {
//!     card: serde_json::from_value(serde_json::json!({"name": "echo", "url": url}))?,
//!     skills: SkillSet::default(),
//!     did: None,
//! };
//! let metrics = Metrics::new("echo", tasks.storage().name());
//! let agent = Builder::new(profile, tasks, Arc::new(Nobody), metrics)
//!     .dangerously_open()
//!     .build()?;
//!
//! let shutdown = Shutdown::new();
//! let serving = tokio::spawn(http.serve(agent, shutdown.clone()));
//! let request = http::Request::get(format!("{url}/.well-known/agent-card.json"));
//! let card = Client::default().send(request.body(bytes::Bytes::new())?).await?;
//! assert!(std::str::from_utf8(card.body())?.contains(r#""name":"echo""#));
//!
//! shutdown.drain(Duration::from_secs(1));
//! serving.await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The types that matter
//!
//! - [`Builder`] puts a server together. It cannot be built before it is said who may call:
//!   whom an [`Authenticator`] lets in ([`auth`](Builder::auth)), or everybody
//!   ([`dangerously_open`](Builder::dangerously_open)).
//! - [`Profile`] is what the server says of its agent, [`Config`] how it behaves.
//! - [`Workers`] is what it asks of whoever runs the tasks, for `/healthz` and `/metrics`.
//! - [`Metrics`] are an agent's counters. Nothing is global: each agent of a process has its own.
//!
//! # What there is
//!
//! | route | |
//! |---|---|
//! | `POST /` | JSON-RPC: `message/*`, `tasks/*`, `contexts/*`, `agent/getAuthenticatedExtendedCard` |
//! | `/.well-known/agent-card.json`, `/.well-known/agent.json` | the card |
//! | `/did/resolve` | the document of the agent's DID |
//! | `/agent/skills`, `/agent/skills/{id}`, `/agent/skills/{id}/documentation` | the skills |
//! | `/agent/private.json`, `/agent/private/skills/{id}`, … | what only some callers may see |
//! | `POST /agent/negotiation` | whether the agent takes a task on, and how well it suits |
//! | `/health`, `/healthz`, `/metrics`, `/openapi.json` | for operators |
//!
//! Dialects are those of `bindu-protocol`: the Python reference's, and A2A 0.3. An error becomes a
//! code and a status in one file, `error_response.rs`.
//!
//! # What it leaves out
//!
//! Connections, time-outs and draining (`bindu-http`), the life of tasks (`bindu-tasks`), running
//! handlers (`bindu-worker`), reading settings (`bindu`). What tokens, signatures and certificates are good for is
//! `bindu-auth`'s to know. Not in this version: payment, A2A 1.0, REST and gRPC. There are no features.

mod access;
mod bid;
mod config;
mod error_response;
mod health;
mod inbound;
mod layers;
mod methods;
mod metrics;
mod negotiation;
mod openapi;
mod payment;
mod private;
mod rest;
mod routes;
mod rpc;
mod service;
mod stream;

pub use access::{Authenticator, Claim, Grant};
pub use config::{BuildError, Config, Profile, Workers};
pub use metrics::Metrics;
pub use negotiation::Negotiation;
pub use payment::{Admission, Asked, Deposit, PaymentGate, PaymentRoute};
pub use private::Private;
pub use service::{AgentServer, Builder, Decided, Undecided};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
