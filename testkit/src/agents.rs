//! The agents that the recorded transcripts talk to, all in one process.

mod handlers;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bindu::settings::Settings;
use bindu::{Agent, AgentConfig, AnyHandler, Running};
use bindu_did::key_dir::Identity;
use bindu_did::{Did, SigningKey, agent_id};
use serde_json::{Map, Value, json};

/// The author that every fixture agent has.
const AUTHOR: &str = "wire@example.com";

/// Agents that are not open to everybody, or not free: they come with what locks them.
const NOT_YET: [&str; 5] = ["secured", "secured_perms", "private", "paid", "paid_multi"];

/// Running agents by name.
#[derive(Debug)]
pub struct Agents(BTreeMap<String, Running>);

impl Agents {
    /// Starts every agent of `agents.json` in `fixtures` on free ports of the loopback address,
    /// with the fixture keys, under `settings`.
    ///
    /// # Errors
    ///
    /// The fixtures cannot be read, or an agent does not start.
    pub async fn start(fixtures: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let file = fixtures.join("agents.json");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("reading {}", file.display()))?;
        let described: Value = serde_json::from_str(&text)?;
        let common = described["common"].as_object().context("agents.json has no `common`")?;
        let agents = described["agents"].as_object().context("agents.json has no `agents`")?;
        let mut running = BTreeMap::new();
        for (name, own) in agents.iter().filter(|(name, _)| !NOT_YET.contains(&name.as_str())) {
            let own = own.as_object().with_context(|| format!("agent {name} is no object"))?;
            let config = configuration(name, common, own)?;
            let handler = handlers::of(name).with_context(|| format!("no handler for {name}"))?;
            let agent = start(name, config, handler, fixtures, settings)
                .await
                .with_context(|| format!("starting {name}"))?;
            running.insert(name.clone(), agent);
        }
        Ok(Self(running))
    }

    /// Where each agent answers.
    #[must_use]
    pub fn urls(&self) -> BTreeMap<String, String> {
        let url = |(name, agent): (&String, &Running)| (name.clone(), agent.url().to_owned());
        self.0.iter().map(url).collect()
    }

    /// Ends all of them, within `patience` for each.
    pub async fn stop(self, patience: Duration) {
        for agent in self.0.into_values() {
            agent.stop(patience).await;
        }
    }
}

async fn start(
    name: &str,
    config: AgentConfig,
    handler: AnyHandler,
    fixtures: &Path,
    settings: &Settings,
) -> anyhow::Result<Running> {
    let key = SigningKey::from_seed(&seed(name));
    let id = agent_id(&config.author, &config.name);
    let did = Did::for_known_agent(&config.author, &config.name, id)?;
    let identity = Arc::new(Identity::new(key, &did, id, SystemTime::now()));
    let agent = Agent::builder_of(config, handler);
    let mut settings = settings.clone();
    // A file is for one agent.
    if let Some(url) = &settings.storage.url {
        settings.storage.url = Some(url.reveal().replace("{agent}", name).into());
    }
    let agent = agent.settings(settings).directory(fixtures).identity(identity);
    Ok(agent.spawn().await?)
}

/// The seed of a fixture agent's key.
fn seed(name: &str) -> [u8; 32] {
    let digest =
        ring::digest::digest(&ring::digest::SHA256, format!("wire-fixture:{name}").as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The agent's configuration: what all have, and its own over that.
fn configuration(
    name: &str,
    common: &Map<String, Value>,
    own: &Map<String, Value>,
) -> anyhow::Result<AgentConfig> {
    let mut config = Map::new();
    for (key, value) in common.iter().filter(|(key, _)| *key != "key seed") {
        let value = match value.as_str() {
            Some(text) => Value::from(text.replace("<agent>", name)),
            None => value.clone(),
        };
        config.insert(key.clone(), value);
    }
    config.insert("author".into(), AUTHOR.into());
    config.insert("deployment".into(), json!({ "url": "http://127.0.0.1:0", "expose": false }));
    for (key, value) in own {
        match key.split_once('.') {
            Some(("deployment", inner)) => config["deployment"][inner] = value.clone(),
            _ => drop(config.insert(key.clone(), value.clone())),
        }
    }
    Ok(AgentConfig::from_value(&Value::Object(config))?)
}
