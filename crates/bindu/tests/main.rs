//! Whole agents on free ports.

#[cfg(feature = "hydra")]
mod attacks;
mod bids;
mod caller;
mod drain;
#[cfg(all(
    feature = "client",
    feature = "mtls",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite"
))]
mod needs_services;
mod negotiation;
#[cfg(feature = "x402")]
mod payments;
#[cfg(feature = "client")]
mod peers;
#[cfg(feature = "grpc")]
mod sidecar;
mod start;
mod stream;
mod together;
