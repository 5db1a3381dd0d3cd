//! A core, SDKs that do as they are told, and callers of their agents.

mod life;
mod recorded;
#[cfg(feature = "mtls")]
mod tls;
mod turns;

use bindu::sidecar::{RunningSidecar, Sidecar};
use bindu::{Settings, protocol};
use bindu_grpc::proto::RegisterAgentResponse;
use bindu_testkit::sdk::{Core, Sdk, free_port};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::caller::{Caller, LONG, Result};

/// A core in a directory of its own.
pub(crate) struct Ground {
    sidecar: RunningSidecar,
    core: Core,
    directory: TempDir,
}

impl Ground {
    pub(crate) async fn new(settings: &[(&str, &str)]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let always = [("GRPC__HOST", "127.0.0.1"), ("DID__SUFFIX", "agent-id")];
        let settings = Settings::from_vars([always.as_slice(), settings].concat())?;
        let sidecar =
            Sidecar::new().settings(settings).directory(directory.path()).port(0).spawn().await?;
        let core = Core::at(sidecar.local_addr()).await?;
        Ok(Self { sidecar, core, directory })
    }

    /// Registers an agent of this name at a free port.
    pub(crate) async fn agent(&self, name: &str, sdk: &Sdk) -> Result<Registered> {
        self.register(config(name, free_port()), sdk).await
    }

    pub(crate) async fn register(&self, config: Value, sdk: &Sdk) -> Result<Registered> {
        let answer = self.core.register(&config, &sdk.address().to_string()).await?;
        if !answer.success {
            return Err(answer.error.into());
        }
        let caller = Caller::at(&answer.agent_url);
        Ok(Registered { answer, config, caller })
    }
}

/// An agent that is served.
pub(crate) struct Registered {
    pub(crate) answer: RegisterAgentResponse,
    pub(crate) config: Value,
    pub(crate) caller: Caller,
}

impl Registered {
    pub(crate) fn id(&self) -> &str {
        &self.answer.agent_id
    }

    /// The port of its address.
    pub(crate) fn port(&self) -> Result<u16> {
        let port = self.answer.agent_url.rsplit(':').next().unwrap_or_default();
        Ok(port.trim_end_matches('/').parse()?)
    }

    /// A caller who has no connection yet: one that is open may be closed when its agent is started
    /// anew, and what is just then sent over it is lost, as everywhere in HTTP/1.1.
    pub(crate) fn stranger(&self) -> Caller {
        Caller::at(&self.answer.agent_url)
    }

    /// The task once it has ended or paused.
    pub(crate) async fn settled(&self, id: &str) -> Result<Value> {
        let settled = async {
            loop {
                let task = self.stranger().result("tasks/get", json!({ "id": id })).await?;
                let state = state(&task);
                if !matches!(state.as_str(), "submitted" | "working" | "resumed" | "suspended") {
                    return Result::Ok(task);
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, settled).await?
    }
}

/// The configuration of an agent without the system message.
pub(crate) fn config(name: &str, port: u16) -> Value {
    json!({
        "author": "ann@example.com", "name": name, "telemetry": false,
        "deployment": { "url": format!("http://127.0.0.1:{port}"), "expose": true },
        "capabilities": { "streaming": true },
        "enable_system_message": false,
    })
}

pub(crate) fn state(task: &Value) -> String {
    task["status"]["state"].as_str().unwrap_or_default().to_owned()
}

/// What the agent said last.
pub(crate) fn said(task: &Value) -> Value {
    let of_status = &task["status"]["message"];
    let message = if of_status.is_object() {
        of_status.clone()
    } else {
        let history = task["history"].as_array();
        history
            .and_then(|all| all.iter().rfind(|it| it["role"] == "agent"))
            .cloned()
            .unwrap_or_default()
    };
    message["parts"][0].clone()
}

/// Its text.
pub(crate) fn text_of(task: &Value) -> String {
    said(task)["text"].as_str().unwrap_or_default().to_owned()
}

/// A protocol state by name, so that a misspelt one in a test is found.
pub(crate) fn known(state: &str) -> String {
    let parsed: protocol::TaskState =
        serde_json::from_value(state.into()).expect("a state of the protocol");
    parsed.as_str().to_owned()
}
