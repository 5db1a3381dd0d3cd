//! Callers who do as they should, and must get what they ask for whatever the others do.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::site::Site;
use super::tally::Tally;
use crate::bench::{Connection, get, post};

/// A caller on a connection that it opens again when the agent has closed it.
pub(super) struct Caller {
    site: Arc<Site>,
    connection: Option<Connection>,
}

impl Caller {
    fn new(site: &Arc<Site>) -> Self {
        Self { site: Arc::clone(site), connection: None }
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        // A connection that was idle may be closed by now, as it should; a new one may not.
        if let Some(mut connection) = self.connection.take()
            && let Ok(answer) = connection.exchange(request).await
        {
            let answer = (answer.status, answer.body.to_vec());
            self.connection = Some(connection);
            return Ok(answer);
        }
        let mut connection = Connection::open(self.site.address).await?;
        let answer = connection.exchange(request).await?;
        let answer = (answer.status, answer.body.to_vec());
        self.connection = Some(connection);
        Ok(answer)
    }

    /// Calls a method; its result, or what came instead.
    async fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        let answer = self.exchange(&call(method, &params)).await;
        let (status, body) = answer.map_err(|error| format!("{method}: {error}"))?;
        let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status == 200 && answer["result"] != Value::Null {
            return Ok(answer["result"].take());
        }
        Err(format!("{method}: status {status}: {}", String::from_utf8_lossy(&body)))
    }

    /// Sends a text and notes the task.
    async fn send(&mut self, tally: &Tally, text: &str, more: Value) -> Result<Value, String> {
        let mut params = json!({ "message": message(text), "configuration": { "blocking": true } });
        merge(&mut params, more);
        let task = self.call("message/send", params).await?;
        let id = task["id"].as_str().and_then(|id| Uuid::parse_str(id).ok());
        tally.accepted(id.ok_or_else(|| format!("an answer without an id: {task}"))?);
        Ok(task)
    }
}

/// A request that calls a method.
pub(super) fn call(method: &str, params: &Value) -> Vec<u8> {
    let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    post(&request.to_string())
}

/// A message of a text, with an id of its own.
pub(super) fn message(text: &str) -> Value {
    json!({
        "role": "user",
        "kind": "message",
        "messageId": Uuid::new_v4(),
        "parts": [{ "kind": "text", "text": text }],
    })
}

/// Puts the members of `more` into `into`, deeply.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (into, more) => *into = more,
    }
}

/// Whether a task is in a state.
fn is(task: &Value, state: &str) -> Result<(), String> {
    if task["status"]["state"] == state {
        return Ok(());
    }
    Err(format!("a task that should be {state}: {task}"))
}

/// Looks after the agent's health all the time.
pub(super) async fn watch_health(site: Arc<Site>, tally: Arc<Tally>, end: Instant, _: usize) {
    let mut caller = Caller::new(&site);
    while Instant::now() < end {
        let asked = Instant::now();
        match caller.exchange(&get("/healthz")).await {
            Ok((200, _)) => tally.took("healthz", asked.elapsed()),
            Ok((status, body)) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                tally.unhealthy(format!("/healthz: {status}: {body}"));
            }
            Err(error) => tally.unhealthy(format!("/healthz: {error}")),
        }
        tally.did("health asked for");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Sends texts and waits for the answers.
pub(super) async fn send(site: Arc<Site>, tally: Arc<Tally>, end: Instant, number: usize) {
    let mut caller = Caller::new(&site);
    while Instant::now() < end {
        let text = format!("hello {number}");
        let sent = match caller.send(&tally, &text, Value::Null).await {
            Ok(task) => is(&task, "completed").and_then(|()| {
                let said = &task["artifacts"][0]["parts"][0]["text"];
                if *said == text { Ok(()) } else { Err(format!("{text:?} became {said}")) }
            }),
            Err(problem) => Err(problem),
        };
        tally.note("messages answered", sent);
        sleep(Duration::from_millis(2)).await;
    }
}

/// Is asked back, and answers; every third task fails.
pub(super) async fn answer_questions(
    site: Arc<Site>,
    tally: Arc<Tally>,
    end: Instant,
    number: usize,
) {
    let mut caller = Caller::new(&site);
    let mut round = number;
    while Instant::now() < end {
        round += 1;
        if round.is_multiple_of(3) {
            let failed = caller.send(&tally, "fail", Value::Null).await;
            tally.note("tasks failed", failed.and_then(|task| is(&task, "failed")));
        } else {
            tally.note("questions answered", question(&mut caller, &tally).await);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn question(caller: &mut Caller, tally: &Tally) -> Result<(), String> {
    let task = caller.send(tally, "ask", Value::Null).await?;
    is(&task, "input-required")?;
    let more = json!({ "message": { "taskId": task["id"], "contextId": task["contextId"] } });
    is(&caller.send(tally, "this one", more).await?, "completed")
}

/// Cancels what would run for a minute.
pub(super) async fn cancel(site: Arc<Site>, tally: Arc<Tally>, end: Instant, _: usize) {
    let mut caller = Caller::new(&site);
    while Instant::now() < end {
        tally.note("tasks canceled", cancel_one(&mut caller, &tally).await);
        sleep(Duration::from_millis(20)).await;
    }
}

async fn cancel_one(caller: &mut Caller, tally: &Tally) -> Result<(), String> {
    let now = json!({ "configuration": { "blocking": false } });
    let task = caller.send(tally, "sleep 60000", now).await?;
    // Some while they wait, some while they run.
    sleep(Duration::from_millis(5)).await;
    let asked = Instant::now();
    let canceled = caller.call("tasks/cancel", json!({ "id": task["id"] })).await?;
    tally.took("cancel", asked.elapsed());
    is(&canceled, "canceled")
}

/// Reads streams to their end.
pub(super) async fn read_streams(site: Arc<Site>, tally: Arc<Tally>, end: Instant, _: usize) {
    while Instant::now() < end {
        tally.note("streams read to the end", read_stream(&site).await);
        sleep(Duration::from_millis(20)).await;
    }
}

async fn read_stream(site: &Site) -> Result<(), String> {
    // Few enough that even a reader whom the machine gives no time cannot fall behind.
    const CHUNKS: usize = 200;
    let request =
        call("message/stream", &json!({ "message": message(&format!("stream {CHUNKS}")) }));
    let mut body = Vec::new();
    let read = async {
        let mut connection = Connection::open(site.address).await?;
        let keep = |piece: &[u8]| {
            body.extend_from_slice(piece);
            true
        };
        connection.stream(&request, keep).await
    };
    let status = read.await.map_err(|error| error.to_string())?;
    let body = String::from_utf8_lossy(&body);
    let last = body.trim_end().rsplit_once("data: ").map_or("", |(_, last)| last);
    let last: Value = serde_json::from_str(last).unwrap_or_default();
    let chunks = body.matches("artifact-update").count();
    let is_whole = chunks > CHUNKS && last["result"]["final"] == true;
    if status == 200 && is_whole && is(&last["result"], "completed").is_ok() {
        return Ok(());
    }
    Err(format!("status {status}, {chunks} pieces, and last {last}"))
}

/// Looks at everything there is to look at.
pub(super) async fn browse(site: Arc<Site>, tally: Arc<Tally>, end: Instant, _: usize) {
    let mut caller = Caller::new(&site);
    while Instant::now() < end {
        for path in [bindu::protocol::CARD_PATH, "/agent/skills", "/openapi.json", "/metrics"] {
            let seen = match caller.exchange(&get(path)).await {
                Ok((200, _)) => Ok(()),
                Ok((status, _)) => Err(format!("{path}: {status}")),
                Err(error) => Err(format!("{path}: {error}")),
            };
            tally.note("pages read", seen);
        }
        for method in ["tasks/list", "contexts/list"] {
            let listed = caller.call(method, json!({ "page_size": 20 })).await;
            tally.note("lists read", listed.map(drop));
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Wants to be told by webhooks that are no help.
pub(super) async fn want_webhooks(site: Arc<Site>, tally: Arc<Tally>, end: Instant, number: usize) {
    let mut caller = Caller::new(&site);
    let receiver = if number == 0 { site.hanging } else { site.failing };
    let config = json!({ "url": format!("http://{receiver}/hook"), "token": "secret" });
    let more = json!({ "configuration": { "pushNotificationConfig": config } });
    while Instant::now() < end {
        let sent = caller.send(&tally, "hello", more.clone()).await;
        tally.note("webhooks wanted", sent.and_then(|task| is(&task, "completed")));
        sleep(Duration::from_millis(200)).await;
    }
}
