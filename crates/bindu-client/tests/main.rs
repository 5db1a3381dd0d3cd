//! The client against canned agents.

mod canned;
mod errors;
mod locked;
mod messages;
#[cfg(all(feature = "hydra", feature = "mtls"))]
mod needs_services;
mod negotiate;
mod peers;
mod principal;
mod signatures;
mod streams;
mod webhooks;
