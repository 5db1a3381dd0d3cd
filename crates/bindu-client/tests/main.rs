//! The client against canned agents.

mod canned;
mod errors;
mod locked;
mod messages;
#[cfg(all(feature = "hydra", feature = "mtls"))]
mod needs_services;
mod peers;
mod principal;
mod signatures;
mod streams;
mod webhooks;
