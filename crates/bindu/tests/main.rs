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
mod start;
mod stream;
mod together;
