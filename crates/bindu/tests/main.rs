//! Whole agents on free ports.

#[cfg(feature = "hydra")]
mod attacks;
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
#[cfg(feature = "client")]
mod peers;
mod start;
mod stream;
mod together;
