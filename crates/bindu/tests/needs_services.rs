//! Agents on real backends. These tests need `DATABASE_URL` and `REDIS_URL`, which
//! `cargo xtask test` sets.

mod locks;
mod outage;
#[cfg(feature = "x402")]
mod payments;
mod replicas;
mod restart;

use std::sync::Arc;
use std::time::SystemTime;

use bindu::{Agent, Handler, Running, Settings};
use bindu_did::key_dir::Identity;
use bindu_did::{Did, SigningKey, agent_id};

use crate::caller::{Result, config};

/// An identity that no other test has, and with it a schema and a queue of its own.
pub(crate) fn identity(name: &str) -> Result<Arc<Identity>> {
    let key = SigningKey::generate()?;
    let suffix = uuid::Uuid::new_v4();
    let did = Did::for_agent("ann@example.com", name, suffix)?;
    let id = agent_id("ann@example.com", name);
    Ok(Arc::new(Identity::new(key, &did, id, SystemTime::now())))
}

/// A process of an agent.
pub(crate) async fn replica(
    identity: &Arc<Identity>,
    settings: &[(&str, &str)],
    handler: impl Handler,
) -> Result<Running> {
    let name = identity.did().name().unwrap_or("replica").to_owned();
    let mut all = vec![("WORKER__LEASE_SECONDS", "3"), ("WORKER__HEARTBEAT_SECONDS", "1")];
    all.extend(settings);
    let agent = Agent::builder(config(&name), handler)
        .settings(Settings::from_vars(all)?)
        .identity(Arc::clone(identity));
    Ok(agent.spawn().await?)
}

/// What an environment variable names.
pub(crate) fn given(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "tests are told by it where the servers are")]
    let given = std::env::var(name);
    given.unwrap_or_else(|_| panic!("run it through cargo xtask test, or set {name}"))
}
