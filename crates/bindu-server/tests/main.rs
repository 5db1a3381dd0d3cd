//! The server on a real socket, over an engine that the tests drive by hand.

mod http;
mod metrics;
mod negotiation;
mod private;
mod routes;
mod rpc;
mod served;
mod stream;
