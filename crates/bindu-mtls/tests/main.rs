//! The crate from outside, on real sockets.

mod handshake;
mod issue;
mod needs_services;
mod renewal;
mod resumption;
mod support;
