//! The suites on a real server, and what only this backend promises.

mod compat;
mod conformance;
mod connection;
mod queue;
mod support;
