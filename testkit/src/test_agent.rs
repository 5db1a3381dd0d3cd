//! An agent for one test.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use bindu::client::Client;
use bindu::config::{Capabilities, Deployment};
use bindu::settings::Settings;
use bindu::{Agent, AgentConfig, Handler, Running};
use bindu_did::key_dir::Identity;
use bindu_did::{Did, SigningKey, agent_id};

const AUTHOR: &str = "test@example.com";
const NAME: &str = "test_agent";

/// A running agent on a free port of the loopback address.
///
/// It has a new key, keeps everything in memory, and hears nothing of the environment, so that
/// tests can run side by side. Dropped, it ends with the test's runtime.
///
/// ```
/// use bindu::{Reply, Turn};
/// use bindu_testkit::test_agent::TestAgent;
///
/// # #[tokio::main]
/// # async fn main() -> anyhow::Result<()> {
/// let shout = async |turn: Turn| Ok(Reply::text(turn.text().to_uppercase()));
/// let agent = TestAgent::start(shout).await?;
/// let task = agent.client().send_task("hello").await?;
/// assert_eq!(task.artifacts[0].parts[0].as_text(), Some("HELLO"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestAgent {
    running: Running,
    client: Client,
}

impl TestAgent {
    /// Starts an agent of this handler that streams and sends push notifications.
    ///
    /// # Errors
    ///
    /// The agent does not start.
    pub async fn start(handler: impl Handler) -> anyhow::Result<Self> {
        Self::start_with(handler, Settings::default(), |_| {}).await
    }

    /// Starts an agent under these settings, with whatever `change` changes about it.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(
        handler: impl Handler,
        settings: Settings,
        change: impl FnOnce(&mut AgentConfig),
    ) -> anyhow::Result<Self> {
        let mut config = AgentConfig {
            deployment: Deployment { url: "http://127.0.0.1:0".into(), ..Deployment::default() },
            capabilities: Capabilities {
                streaming: true,
                push_notifications: true,
                ..Capabilities::default()
            },
            ..AgentConfig::new(AUTHOR, NAME)
        };
        change(&mut config);
        let id = agent_id(&config.author, &config.name);
        let did = Did::for_known_agent(&config.author, &config.name, id)?;
        let identity = Identity::new(SigningKey::generate()?, &did, id, SystemTime::now());
        let agent = Agent::builder(config, handler).settings(settings).identity(Arc::new(identity));
        let running = agent.spawn().await.context("starting an agent")?;
        let client = Client::connect(running.url()).context("making a client")?;
        Ok(Self { running, client })
    }

    /// A client of the agent.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The agent itself.
    #[must_use]
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Ends the agent, within `patience`.
    pub async fn stop(self, patience: Duration) {
        self.running.stop(patience).await;
    }
}
