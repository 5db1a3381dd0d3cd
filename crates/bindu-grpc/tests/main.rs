//! Tests of the crate.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod calls;
mod contract;
#[cfg(feature = "documents")]
mod documents;
mod mapping;
mod service;
mod support;
