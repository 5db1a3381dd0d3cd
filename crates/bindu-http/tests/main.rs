//! The crate from outside, on real sockets.

mod client;
mod server;
mod sse;
mod support;
#[cfg(feature = "tls")]
mod tls;
