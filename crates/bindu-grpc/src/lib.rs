//! The gRPC sidecar: agents whose handlers run in other processes, in any language.
//!
//! An SDK keeps a developer's handler in its own process. It registers here, over gRPC; somebody (a
//! [`Registrar`](registry::Registrar)) makes an agent of the registration, with a
//! [`RemoteHandler`](remote::RemoteHandler) in the place of a handler; and every turn becomes a call
//! to the SDK:
//!
//! ```
//! use bindu_agent::AnyHandler;
//! use bindu_grpc::calls::{Config, Instances};
//! use bindu_grpc::content::Transcriber;
//! use bindu_grpc::documents::{self, Documents};
//! use bindu_grpc::remote::RemoteHandler;
//!
//! // Two processes that serve `bindu.grpc.AgentHandler` share the turns of one agent.
//! let instances = Instances::new("echo", Config::default(), None);
//! for callback in ["127.0.0.1:50051", "127.0.0.1:50052"] {
//!     instances.add(callback.parse()?);
//! }
//! let content = Transcriber::new(Documents::new(documents::Config::default()));
//! let handler = AnyHandler::new(RemoteHandler::new(instances, content));
//! # let _ = handler;
//! # Ok::<(), bindu_grpc::calls::InvalidCallback>(())
//! ```
//!
//! # The modules
//!
//! - [`proto`]: the contract, as messages, clients and servers.
//! - [`service`]: what SDKs call, as one tower service: registration, health, reflection.
//! - [`registry`]: the agents of a core, and the seams to whoever makes them.
//! - [`calls`]: the processes of an agent: which one gets a turn, over which connection, and what
//!   happens when it is not there. A call that was never sent is tried again; one that was, never.
//! - [`remote`]: all of that as a [`Handler`](bindu_agent::Handler).
//! - [`content`] and [`outcome`]: a turn as a request, an answer as a reply.
//! - [`documents`]: text out of PDF and DOCX, by a child process.
//! - [`metrics`] counts.
//!
//! # Features
//!
//! - `documents`: what the child process needs that reads documents. Nobody else does.
//!
//! # What it leaves out
//!
//! Agents: keys, tasks, addresses and HTTP are for the registrar (`bindu::Sidecar`). TLS: the server
//! takes an acceptor, calls take a [`Secure`](calls::Secure).

pub mod calls;
pub mod content;
pub mod documents;
pub mod metrics;
pub mod outcome;
pub mod proto;
pub mod registry;
pub mod remote;
pub mod service;
mod skills;

/// The gRPC library whose types the generated clients and servers are made of.
pub use tonic;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
