//! The gRPC sidecar: agents whose handlers run in other processes.

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
