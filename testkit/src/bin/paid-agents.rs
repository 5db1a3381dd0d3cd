//! Starts agents that want to be paid, and the fake facilitator that they ask; runs until it is
//! ended.
//!
//! One of them means harm: its name and description would run scripts in a page that let them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context as _;
use bindu::settings::Settings;
use bindu::{Agent, AgentConfig, Reply, Running, Turn};
use bindu_did::key_dir::Identity;
use bindu_did::{Did, SigningKey, agent_id};
use bindu_testkit::fake_facilitator::FakeFacilitator;
use clap::Parser;
use serde_json::json;

const AUTHOR: &str = "web@example.com";

/// The agents: what they are called here, by themselves, and what they say they do.
const AGENTS: [(&str, &str, &str); 2] = [
    ("paid", "Weather Oracle", "Says what the weather will be tomorrow, for a cent or two."),
    (
        "hostile",
        "Mallory<script>hostile('name')</script>",
        "<img src=x onerror=\"hostile('image')\">'></p></script><script>hostile('description')\
         </script><svg onload=hostile('svg')>",
    ),
];

#[derive(Debug, Parser)]
struct Args {
    /// Written once all agents answer: {"paid": "http://…", …, "facilitator": "http://…"}.
    #[arg(long)]
    map: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let facilitator = FakeFacilitator::start().await.context("starting a facilitator")?;
    // Nothing of the environment, so that they are the same everywhere.
    let mut settings = Settings::default();
    settings.x402.facilitator_url = facilitator.url().to_owned();
    bindu::logging::init(&settings.logging);
    let mut urls = BTreeMap::from([("facilitator", facilitator.url().to_owned())]);
    // They run as long as they are not dropped.
    let mut running = Vec::new();
    for (name, called, does) in AGENTS {
        let agent = Box::pin(start(name, called, does, &settings)).await;
        let agent = agent.with_context(|| format!("starting {name}"))?;
        urls.insert(name, agent.url().to_owned());
        running.push(agent);
    }
    // Whoever waits for the file must never see half of it.
    let part = args.map.with_extension("part");
    std::fs::write(&part, serde_json::to_string_pretty(&urls)?)
        .with_context(|| format!("writing {}", part.display()))?;
    std::fs::rename(&part, &args.map)?;
    std::future::pending().await
}

async fn start(
    name: &str,
    called: &str,
    does: &str,
    settings: &Settings,
) -> anyhow::Result<Running> {
    let cost =
        |amount, network, to| json!({ "amount": amount, "network": network, "pay_to_address": to });
    let config = AgentConfig::from_value(&json!({
        "author": AUTHOR,
        "name": called,
        "description": does,
        "deployment": { "url": "http://127.0.0.1:0" },
        "capabilities": { "streaming": true },
        "execution_cost": [
            cost("0.01", "base-sepolia", "0xa11ce0000000000000000000000000000000a11c"),
            cost("0.02", "base", "0xb0b0000000000000000000000000000000000b0b"),
        ],
    }))?;
    // The name that is shown makes no DID.
    let id = agent_id(AUTHOR, name);
    let did = Did::for_known_agent(AUTHOR, name, id)?;
    let identity = Identity::new(SigningKey::generate()?, &did, id, SystemTime::now());
    let echo = async |turn: Turn| Ok(Reply::text(turn.text()));
    let agent = Agent::builder(config, echo).settings(settings.clone());
    Ok(agent.identity(Arc::new(identity)).spawn().await?)
}
