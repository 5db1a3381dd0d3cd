//! The crate as an agent author and an engine see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by failing")]

mod handlers;
mod loose;
mod properties;
mod skills;
mod state;
