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
use tempfile::TempDir;

use crate::fake_facilitator::FakeFacilitator;
use crate::fake_hydra::FakeHydra;
use crate::services::Given;

/// The author that every fixture agent has.
const AUTHOR: &str = "wire@example.com";

/// Whether an agent asks for scopes, which is no part of a configuration: the settings say it.
const REQUIRE_PERMISSIONS: &str = "auth.require_permissions";

/// What the Hydra is called among the addresses.
const HYDRA: &str = "hydra";

/// What the facilitator is called among the addresses, and where a recorded one was.
const FACILITATOR: &str = "facilitator";
const RECORDED_FACILITATOR: &str = "x402.facilitator_url";

/// Running agents by name, and the Hydra that the locked ones ask.
#[derive(Debug)]
pub struct Agents {
    running: BTreeMap<String, Running>,
    hydra: Hydra,
    facilitator: Facilitator,
    /// Where each agent has a key directory of its own, empty at the start.
    _keys: TempDir,
}

/// The Hydra that locked agents ask.
#[derive(Debug)]
struct Hydra {
    admin_url: String,
    public_url: String,
    /// It ends with this value, if it is ours.
    _fake: Option<FakeHydra>,
}

impl Hydra {
    /// The given one, or else a fake one.
    async fn start(given: &Given) -> anyhow::Result<Self> {
        if let Some((admin_url, public_url)) = given.hydra()? {
            return Ok(Self { admin_url, public_url, _fake: None });
        }
        let fake = FakeHydra::start().await.context("starting a fake Hydra")?;
        let (admin_url, public_url) = (fake.admin_url().to_owned(), fake.public_url().to_owned());
        Ok(Self { admin_url, public_url, _fake: Some(fake) })
    }
}

/// Who moves the money of paid agents.
#[derive(Debug)]
struct Facilitator {
    url: String,
    /// It ends with this value, if it is ours.
    _fake: Option<FakeFacilitator>,
}

impl Facilitator {
    /// The one that the settings name, or else a fake one.
    async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let named = ["X402__FACILITATOR_URL", "FACILITATOR_URL"];
        if named.iter().any(|name| settings.variable(name).is_some()) {
            return Ok(Self { url: settings.x402.facilitator_url.clone(), _fake: None });
        }
        let fake = FakeFacilitator::start().await.context("starting a fake facilitator")?;
        Ok(Self { url: fake.url().to_owned(), _fake: Some(fake) })
    }
}

impl Agents {
    /// Starts every agent of `agents.json` in `fixtures` on free ports of the loopback address,
    /// with the fixture keys, under `settings`. Locked ones ask the Hydra that is `given`, or else
    /// a fake one; paid ones the facilitator of the settings, or else a fake one.
    ///
    /// # Errors
    ///
    /// The fixtures cannot be read, or an agent does not start.
    pub async fn start(
        fixtures: &Path,
        settings: &Settings,
        given: &Given,
    ) -> anyhow::Result<Self> {
        let file = fixtures.join("agents.json");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("reading {}", file.display()))?;
        let described: Value = serde_json::from_str(&text)?;
        let common = described["common"].as_object().context("agents.json has no `common`")?;
        let agents = described["agents"].as_object().context("agents.json has no `agents`")?;
        let keys = tempfile::tempdir().context("making a folder for keys")?;
        let hydra = Hydra::start(given).await?;
        let facilitator = Facilitator::start(settings).await?;
        let mut running = BTreeMap::new();
        for (name, own) in agents {
            let own = own.as_object().with_context(|| format!("agent {name} is no object"))?;
            let config = configuration(name, common, own, &hydra)?;
            let handler = handlers::of(name).with_context(|| format!("no handler for {name}"))?;
            let mut settings = settings.clone();
            settings.did.pki_dir = keys.path().join(name);
            settings.x402.facilitator_url.clone_from(&facilitator.url);
            settings.auth.require_permissions = own.get(REQUIRE_PERMISSIONS) == Some(&true.into());
            // Boxed, since a starting agent is large.
            let agent = Box::pin(start(name, config, handler, fixtures, settings))
                .await
                .with_context(|| format!("starting {name}"))?;
            running.insert(name.clone(), agent);
        }
        Ok(Self { running, hydra, facilitator, _keys: keys })
    }

    /// Where each agent answers; as `hydra`, where administrators reach the Hydra; and as
    /// `facilitator`, where payments are checked.
    #[must_use]
    pub fn urls(&self) -> BTreeMap<String, String> {
        let url = |(name, agent): (&String, &Running)| (name.clone(), agent.url().to_owned());
        let hydra = (HYDRA.to_owned(), self.hydra.admin_url.clone());
        let facilitator = (FACILITATOR.to_owned(), self.facilitator.url.clone());
        self.running.iter().map(url).chain([hydra, facilitator]).collect()
    }

    /// Ends all of them, within `patience` for each.
    pub async fn stop(self, patience: Duration) {
        for agent in self.running.into_values() {
            agent.stop(patience).await;
        }
    }
}

async fn start(
    name: &str,
    config: AgentConfig,
    handler: AnyHandler,
    fixtures: &Path,
    mut settings: Settings,
) -> anyhow::Result<Running> {
    let key = SigningKey::from_seed(&seed(name));
    let id = agent_id(&config.author, &config.name);
    let did = Did::for_known_agent(&config.author, &config.name, id)?;
    let identity = Arc::new(Identity::new(key, &did, id, SystemTime::now()));
    let agent = Agent::builder_of(config, handler);
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
    hydra: &Hydra,
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
            _ if key == REQUIRE_PERMISSIONS || key == RECORDED_FACILITATOR => {}
            Some(("deployment", inner)) => config["deployment"][inner] = value.clone(),
            // The recorded addresses are those of one machine.
            _ if key == "auth" => drop(config.insert(key.clone(), lock(hydra))),
            _ => drop(config.insert(key.clone(), value.clone())),
        }
    }
    Ok(AgentConfig::from_value(&Value::Object(config))?)
}

/// The lock that all locked agents have.
fn lock(hydra: &Hydra) -> Value {
    json!({
        "enabled": true,
        "provider": "hydra",
        "admin_url": hydra.admin_url,
        "public_url": hydra.public_url,
    })
}
