//! Fakes, the transcript runner and `TestAgent`; never published.
//!
//! - [`wire`] replays recorded conversations against running agents and compares
//!   the answers.
//! - [`services`] are real servers for tests: private Postgres, Redis, Hydra and step-ca.
//! - `fake_hydra::FakeHydra` (feature `fake-hydra`) stands in for Hydra: it knows the clients and
//!   tokens of the recorded conversations, tells what it was asked, and fails on demand.
//! - `fake_facilitator::FakeFacilitator` (feature `fake-facilitator`) stands in for an x402
//!   facilitator: it keeps account of the money that really moves, and misbehaves on demand.
//! - `test_agent::TestAgent` (feature `agents`) is an agent for one test, with its client.
//! - `agents` (feature) are the agents those conversations were held with; `bench` measures an
//!   agent, `soak` is unkind to one, `crash` kills several and whatever they stand on.
//! - `sim` (feature) runs several replicas on one thread, under simulated time and faults.
//! - `sdk` (feature) is an SDK that does as it is told, and calls to a core.
//! - `fuzz` (feature) is what every reader of foreign bytes has to hold.

#[cfg(feature = "agents")]
pub mod agents;
#[cfg(feature = "agents")]
pub mod bench;
#[cfg(feature = "agents")]
pub mod crash;
#[cfg(feature = "fake-facilitator")]
pub mod fake_facilitator;
#[cfg(feature = "fake-hydra")]
pub mod fake_hydra;
#[cfg(feature = "fuzz")]
pub mod fuzz;
#[cfg(feature = "sdk")]
pub mod sdk;
pub mod services;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "agents")]
pub mod soak;
#[cfg(feature = "agents")]
pub mod test_agent;
pub mod wire;
