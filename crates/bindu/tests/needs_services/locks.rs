//! Agents behind a real Hydra and a real step-ca.

mod calls;
mod certificate;
mod outage;
mod registration;
mod replay;

use std::path::Path;
use std::process::{Command, Stdio};

use bindu::client::{Client, ClientError};
use bindu::protocol::{Content, SendResult};
use bindu::{Agent, Handler, Peers, Reply, Running, Settings, Turn};
use bindu_testkit::services::{Machine, Server};
use tempfile::TempDir;

use super::given;
use crate::caller::{LONG, Result, config};

/// Where Hydra and step-ca are.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    admin: String,
    public: String,
    ca: String,
    root: String,
}

impl Ground {
    /// Those that all tests share.
    pub(crate) fn shared() -> Self {
        Self {
            admin: given("HYDRA__ADMIN_URL"),
            public: given("HYDRA__PUBLIC_URL"),
            ca: given("MTLS__CA_URL"),
            root: given("MTLS__CA_ROOT_FILE"),
        }
    }

    /// The settings that lead there, with authentication on.
    pub(crate) fn settings(&self) -> Vec<(&str, &str)> {
        vec![
            ("AUTH__ENABLED", "true"),
            ("HYDRA__ADMIN_URL", &self.admin),
            ("HYDRA__PUBLIC_URL", &self.public),
        ]
    }

    /// The same, with certificates.
    pub(crate) fn with_tls(&self) -> Vec<(&str, &str)> {
        let mut settings = self.settings();
        settings.extend([
            ("MTLS__ENABLED", "true"),
            ("MTLS__CA_URL", self.ca.as_str()),
            ("MTLS__CA_ROOT_FILE", self.root.as_str()),
        ]);
        settings
    }
}

/// A Hydra and a step-ca that a test may stop.
pub(crate) struct Own {
    pub(crate) hydra: Server,
    pub(crate) ca: Server,
    pub(crate) ground: Ground,
}

impl Own {
    pub(crate) async fn start() -> Result<Self> {
        let database = given("DATABASE_URL");
        // The servers are started by code that waits for them.
        tokio::task::spawn_blocking(move || {
            let machine = Machine::this();
            let hydra = Server::hydra(&machine, &database)?;
            let public = hydra.public_url().ok_or("it is a Hydra")?;
            let ca = Server::step_ca(&machine, &public)?;
            let root = ca.root_file().ok_or("it is a step-ca")?;
            let ground = Ground {
                admin: hydra.url().to_owned(),
                public,
                ca: ca.url().to_owned(),
                root: root.to_string_lossy().into_owned(),
            };
            Ok::<_, crate::caller::Error>(Self { hydra, ca, ground })
        })
        .await?
    }
}

/// An agent in a directory of its own, under a name that no other test has.
pub(crate) struct Home {
    pub(crate) directory: TempDir,
    pub(crate) name: String,
}

impl Home {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let name = format!("{name}-{}", uuid::Uuid::new_v4().simple());
        Ok(Self { directory: tempfile::tempdir()?, name })
    }

    pub(crate) fn keys(&self) -> std::path::PathBuf {
        self.directory.path().join(".bindu")
    }

    pub(crate) fn agent(&self, settings: &[(&str, &str)], handler: impl Handler) -> Result<Agent> {
        Ok(Agent::builder(config(&self.name), handler)
            .settings(Settings::from_vars(settings.iter().copied())?)
            .directory(self.directory.path()))
    }

    pub(crate) async fn start(&self, settings: &[(&str, &str)]) -> Result<Running> {
        Ok(self.agent(settings, echo)?.spawn().await?)
    }

    /// A running agent, and what it calls others by.
    pub(crate) async fn start_calling(
        &self,
        settings: &[(&str, &str)],
    ) -> Result<(Running, Peers)> {
        let peers = Peers::default();
        let running = self.agent(settings, echo)?.peers(&peers).spawn().await?;
        Ok((running, peers))
    }
}

pub(crate) async fn echo(turn: Turn) -> std::result::Result<Reply, bindu::HandlerError> {
    Ok(Reply::text(turn.text()))
}

/// What openssl says.
pub(crate) fn openssl(directory: &Path, arguments: &[&str]) -> Result<String> {
    openssl_reading(directory, arguments, Stdio::null())
}

/// As [`openssl`], with something on its standard input.
pub(crate) fn openssl_reading(
    directory: &Path,
    arguments: &[&str],
    input: Stdio,
) -> Result<String> {
    let mut openssl = Command::new("openssl");
    let ran = openssl.args(arguments).current_dir(directory).stdin(input).output()?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    if !ran.status.success() {
        return Err(format!("{text}{}", String::from_utf8_lossy(&ran.stderr)).into());
    }
    Ok(text)
}

/// The text of a task's first artifact.
pub(crate) fn answer(task: &bindu::protocol::Task) -> Option<String> {
    match &task.artifacts.first()?.parts.first()?.content {
        Content::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// Sends a text to an agent, waits, and gives what it answers.
pub(crate) async fn ask(agent: &Client, text: &str) -> std::result::Result<String, ClientError> {
    match agent.send_and_wait(text, LONG).await? {
        SendResult::Task(task) => {
            Ok(answer(&task).unwrap_or_else(|| format!("{:?}", task.status.state)))
        }
        SendResult::Message(_) => Ok("a message".to_owned()),
        _ => Ok("something else".to_owned()),
    }
}
