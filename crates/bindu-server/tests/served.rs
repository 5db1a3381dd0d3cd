//! A server on a free port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bindu_agent::skills::{Skill, SkillSet};
use bindu_http::server::{self, Server, Shutdown};
use bindu_protocol::{Artifact, Caller, Message, Part, Role, TaskId, TaskState};
use bindu_scheduler::MemoryScheduler;
use bindu_server::{AgentServer, Builder, Config, Decided, Metrics, Profile, Workers};
use bindu_storage::MemoryStore;
use bindu_tasks::{Begun, Outcome, Run, Submission, Tasks};
use serde_json::{Value, json};

use crate::http::{self, Answer, Open};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Longer than anything here takes; only a test that fails waits for it.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Waits, but not for ever.
pub(crate) async fn within<T, E: Into<Error>>(
    work: impl Future<Output = std::result::Result<T, E>>,
) -> Result<T> {
    tokio::time::timeout(LONG, work).await?.map_err(Into::into)
}

/// A worker of which only its word is known.
#[derive(Debug)]
struct Idle;

impl Workers for Idle {
    fn is_alive(&self) -> bool {
        true
    }

    fn busy(&self) -> usize {
        1
    }

    fn capacity(&self) -> usize {
        4
    }
}

/// A server, and the engine behind it.
pub(crate) struct Served {
    pub(crate) tasks: Tasks,
    pub(crate) service: AgentServer,
    pub(crate) address: SocketAddr,
    _shutdown: Shutdown,
}

impl Served {
    pub(crate) async fn start() -> Result<Self> {
        Self::with(Config::default(), bindu_tasks::Config::default(), "agent").await
    }

    pub(crate) async fn with(
        config: Config,
        tasks: bindu_tasks::Config,
        name: &str,
    ) -> Result<Self> {
        Self::built(tasks, name, |builder| builder.config(config).dangerously_open()).await
    }

    /// A server that is finished by whoever starts it.
    pub(crate) async fn built(
        tasks: bindu_tasks::Config,
        name: &str,
        finish: impl FnOnce(Builder) -> Builder<Decided>,
    ) -> Result<Self> {
        let server = Server::bind(server::Config::default(), "127.0.0.1:0").await?;
        let address = server.local_addr();
        let (store, queue) = (MemoryStore::default(), MemoryScheduler::default());
        let metrics = Metrics::new(name, "memory");
        let tasks = Tasks::builder(Arc::new(store), Arc::new(queue))
            .config(tasks)
            .observer(Arc::clone(&metrics) as _)
            .build();
        let skill = json!({
            "id": "naming v1", "name": "naming", "description": "Names things", "tags": ["words"],
        });
        let profile = Profile {
            card: serde_json::from_value(json!({
                "protocolVersion": "0.3.0", "name": name, "description": "An agent",
                "url": format!("http://{address}"), "version": "1.0.0",
                "preferredTransport": "JSONRPC", "capabilities": { "streaming": true },
                "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
                "skills": [],
            }))?,
            skills: SkillSet::new(vec![Skill::from_value(skill)?])?,
            did: None,
        };
        let builder = Builder::new(profile, tasks.clone(), Arc::new(Idle), metrics);
        let service = finish(builder).build()?;
        let shutdown = Shutdown::new();
        tokio::spawn(server.serve(service.clone(), shutdown.clone()));
        Ok(Self { tasks, service, address, _shutdown: shutdown })
    }

    /// Sends a request: its first line without the version, then its header fields.
    pub(crate) async fn ask(&self, head: &str) -> Result<Answer> {
        http::ask(self.address, head, b"").await
    }

    pub(crate) async fn post(&self, head: &str, body: &[u8]) -> Result<Answer> {
        http::ask(self.address, head, body).await
    }

    /// Calls a method.
    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Result<Value> {
        let answer = self.post("POST /", &request(method, &params)).await?;
        Ok(answer.json())
    }

    /// Calls a method that answers with a stream.
    pub(crate) async fn stream(
        &self,
        method: &str,
        params: Value,
        last_event_id: Option<u64>,
    ) -> Result<Open> {
        let head = match last_event_id {
            Some(id) => format!("POST /\nLast-Event-ID: {id}"),
            None => "POST /".to_owned(),
        };
        let open = http::open(self.address, &head, &request(method, &params), None).await?;
        assert_eq!(open.status, 200, "{:?}", open.headers);
        Ok(open)
    }

    /// A queued task.
    pub(crate) async fn queued(&self) -> Result<TaskId> {
        let submission = Submission::new(Message::new(Role::User, vec![Part::text("hello")]));
        let submitted = self.tasks.submit(&Caller::anonymous(), submission).await?;
        Ok(submitted.record.task.id.clone())
    }

    /// The run of a queued task.
    pub(crate) async fn begun(&self, id: &TaskId) -> Result<Run> {
        match self.tasks.begin(id).await? {
            Begun::Run(run) => Ok(run),
            other => Err(format!("the task is not queued: {other:?}").into()),
        }
    }
}

/// The body of a request of id 1.
pub(crate) fn request(method: &str, params: &Value) -> Vec<u8> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    body.to_string().into_bytes()
}

/// A run's good end.
pub(crate) fn completed(text: &str) -> Outcome {
    Outcome {
        state: TaskState::Completed,
        message: Some(vec![Part::text(text)]),
        remarks: None,
        artifacts: vec![Artifact::new("result", vec![Part::text(text)])],
        metadata: None,
    }
}
