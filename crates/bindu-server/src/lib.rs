//! Routes, layers and JSON-RPC methods of an agent.
mod config;
mod error_response;
mod health;
mod layers;
mod methods;
mod metrics;
mod openapi;
mod rest;
mod routes;
mod rpc;
mod service;
mod stream;

pub use config::{BuildError, Config, Profile, Workers};
pub use metrics::Metrics;
pub use service::{AgentServer, Builder, Open, Undecided};
