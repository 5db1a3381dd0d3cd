//! An agent for a test, and somebody who calls it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bindu::config::{Capabilities, Deployment};
use bindu::{Agent, AgentConfig, Handler, Running, Settings};
use bindu_did::key_dir::Identity;
use bindu_did::{Did, SigningKey, agent_id};
use bindu_http::client::{self, Client};
use bindu_http::sse::{Event, SseStream};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, StatusCode};
use serde_json::{Value, json};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Longer than anything here takes; only a test that fails waits for it.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// What an agent is called, where nothing else matters.
pub(crate) fn config(name: &str) -> AgentConfig {
    AgentConfig {
        deployment: Deployment { url: "http://127.0.0.1:0".into(), ..Deployment::default() },
        capabilities: Capabilities { streaming: true, ..Capabilities::default() },
        ..AgentConfig::new("ann@example.com", name)
    }
}

/// An agent before its start: with a key of its own, and deaf to the environment.
pub(crate) fn agent(name: &str, handler: impl Handler) -> Result<Agent> {
    agent_of(config(name), handler)
}

/// The same, of a configuration.
pub(crate) fn agent_of(config: AgentConfig, handler: impl Handler) -> Result<Agent> {
    let id = agent_id(&config.author, &config.name);
    let did = Did::for_known_agent(&config.author, &config.name, id)?;
    let identity = Identity::new(SigningKey::generate()?, &did, id, SystemTime::now());
    Ok(Agent::builder(config, handler).settings(Settings::default()).identity(Arc::new(identity)))
}

/// A running agent that answers as `handler` does.
pub(crate) async fn start(handler: impl Handler) -> Result<Running> {
    Ok(agent("tested", handler)?.spawn().await?)
}

/// Somebody who calls one agent.
#[derive(Clone)]
pub(crate) struct Caller {
    http: Client,
    url: String,
}

impl Caller {
    pub(crate) fn of(agent: &Running) -> Self {
        Self::at(agent.url())
    }

    pub(crate) fn at(url: &str) -> Self {
        let config = client::Config { timeout: LONG, ..client::Config::default() };
        Self { http: Client::new(config), url: url.trim_end_matches('/').to_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, Bytes)> {
        let request = Request::get(format!("{}{path}", self.url)).body(Bytes::new())?;
        let answer = self.http.send(request).await?;
        Ok((answer.status(), answer.into_body()))
    }

    /// Posts JSON to a path, and takes the JSON that comes.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = Request::post(format!("{}{path}", self.url));
        let answer = self.http.send(request.body(body.to_string().into())?).await?;
        Ok(serde_json::from_slice(answer.body())?)
    }

    fn request(&self, method: &str, params: &Value, after: Option<&str>) -> Result<Request<Bytes>> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let mut request = Request::post(format!("{}/", self.url));
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        Ok(request.body(body.to_string().into())?)
    }

    /// Calls a method; what it answers, with the status.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Result<(StatusCode, Value)> {
        let answer = self.http.send(self.request(method, &params, None)?).await?;
        Ok((answer.status(), serde_json::from_slice(answer.body())?))
    }

    /// Calls a method and takes its result.
    pub(crate) async fn result(&self, method: &str, params: Value) -> Result<Value> {
        let (_, mut answer) = self.call(method, params).await?;
        if answer["error"].is_object() {
            return Err(answer["error"].to_string().into());
        }
        Ok(answer["result"].take())
    }

    /// Sends a text and waits for the outcome.
    pub(crate) async fn send(&self, text: &str) -> Result<Value> {
        self.result("message/send", message(text)).await
    }

    /// Sends a text and does not wait; the id of the task.
    pub(crate) async fn begin(&self, text: &str) -> Result<String> {
        let mut params = message(text);
        params["configuration"] = json!({ "blocking": false });
        let task = self.result("message/send", params).await?;
        Ok(task["id"].as_str().ok_or("a task has an id")?.to_owned())
    }

    /// Calls a method that answers with a stream, and hears it to its end.
    pub(crate) async fn stream(
        &self,
        method: &str,
        params: Value,
        after: Option<&str>,
    ) -> Result<Vec<(Option<String>, Value)>> {
        let answer = self.http.send_streaming(self.request(method, &params, after)?).await?;
        assert_eq!(answer.status(), StatusCode::OK);
        let mut events = SseStream::new(answer.into_body());
        let mut heard = Vec::new();
        while let Some(event) = tokio::time::timeout(LONG, events.next()).await? {
            let Event { id, data, .. } = event?;
            heard.push((id, serde_json::from_slice(&data)?));
        }
        Ok(heard)
    }

    /// Waits for a task to be in a state.
    pub(crate) async fn until(&self, id: &str, state: &str) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let task = self.result("tasks/get", json!({ "id": id })).await?;
            if task["status"]["state"] == state {
                return Ok(task);
            }
            assert!(begun.elapsed() < LONG, "still {}", task["status"]);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The parameters of a message of one text.
pub(crate) fn message(text: &str) -> Value {
    json!({ "message": {
        "role": "user",
        "messageId": uuid::Uuid::new_v4(),
        "parts": [{ "kind": "text", "text": text }],
    } })
}
