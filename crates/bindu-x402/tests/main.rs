//! The crate by its own door: against what was recorded, against laws, and against facilitators
//! that cannot be trusted.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod facilitator;
mod laws;
mod offers;
mod pages;
mod recorded;
mod refusals;
mod server;
mod sessions;
mod support;
mod v1;
