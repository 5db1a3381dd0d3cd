//! Callers: they send until they are heard, look, cancel and follow.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bindu::protocol::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::history::{Event, Look, is_terminal, now};
use super::sse::Parser;
use crate::bench::{Connection, get, post};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a caller waits after a refusal.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody there, or not now: worth another attempt.
    Passing(String),
    /// The agent will not have it.
    Refused(String),
}

/// Whether `/health` says 200.
pub(super) async fn is_up(address: SocketAddr) -> bool {
    let ask = async {
        let mut connection = Connection::open(address).await?;
        Ok::<_, io::Error>(connection.exchange(&get("/health")).await?.status)
    };
    matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(200)))
}

/// Calls a method once.
pub(super) async fn call(
    address: SocketAddr,
    method: &str,
    params: &Value,
) -> Result<Value, Trouble> {
    let request = request(method, params).to_string();
    let ask = async {
        let mut connection = Connection::open(address).await?;
        let answer = connection.exchange(&post(&request)).await?;
        Ok::<_, io::Error>((answer.status, answer.body.to_vec()))
    };
    let (status, body) = match timeout(ANSWER, ask).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(Trouble::Passing(error.to_string())),
        Err(_) => return Err(Trouble::Passing(format!("no answer within {ANSWER:?}"))),
    };
    let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status == 200 && !answer["result"].is_null() {
        return Ok(answer["result"].take());
    }
    let said = format!("{method}: status {status}: {}", String::from_utf8_lossy(&body));
    Err(if status >= 500 || status == 429 {
        Trouble::Passing(said)
    } else {
        Trouble::Refused(said)
    })
}

fn request(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}

/// What a caller wants done.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) task: String,
    pub(super) text: String,
    /// Where to post what becomes of it.
    pub(super) webhook: Option<String>,
}

/// Sends a message to one replica after the other, always the same one, until it is accepted.
/// Gives the number of attempts.
pub(super) async fn submit(
    mut addresses: impl Iterator<Item = SocketAddr>,
    wish: &Wish,
    deadline: Instant,
) -> Result<usize, String> {
    let mut configuration = json!({ "blocking": false });
    if let Some(url) = &wish.webhook {
        configuration["pushNotificationConfig"] = json!({ "url": url });
    }
    let message = json!({
        "role": "user",
        "kind": "message",
        // One message of one task: that is enough for both to have the same number.
        "messageId": wish.task,
        "taskId": wish.task,
        "contextId": wish.task,
        "parts": [{ "kind": "text", "text": wish.text }],
    });
    let params = json!({ "message": message, "configuration": configuration });
    let mut sends = 0;
    loop {
        let address = addresses.next().ok_or("there is no replica")?;
        sends += 1;
        let said = match call(address, "message/send", &params).await {
            Ok(task) if task["id"] == wish.task.as_str() => return Ok(sends),
            Ok(other) => return Err(format!("asked for {}, and got {other}", wish.task)),
            Err(Trouble::Refused(said)) => return Err(format!("send {sends}: {said}")),
            Err(Trouble::Passing(said)) => said,
        };
        if Instant::now() > deadline {
            return Err(format!("not accepted by {sends} sends; at last: {said}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks a replica how a task is.
pub(super) async fn look(address: SocketAddr, replica: usize, task: &str) -> Result<Look, Trouble> {
    let asked = now();
    let found = call(address, "tasks/get", &json!({ "taskId": task })).await?;
    let status = &found["status"];
    let since = status["timestamp"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let since = since.ok_or_else(|| Trouble::Refused(format!("a task without a time: {found}")))?;
    #[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 need 51 bits")]
    let since = since.as_unix_micros() as f64 / 1e6;
    Ok(Look {
        replica,
        asked,
        answered: now(),
        state: status["state"].as_str().unwrap_or_default().to_owned(),
        since,
        answer: found["artifacts"][0]["parts"][0]["text"].as_str().map(str::to_owned),
    })
}

/// Reads the events of a task from the first to the end of the task. Comes back with the number of
/// the last one whenever the stream breaks, and breaks it itself when `leave` says so.
/// Says also when it gave up streams that were silent.
pub(super) async fn follow(
    addresses: impl Iterator<Item = SocketAddr>,
    task: &str,
    deadline: Instant,
    mut leave: impl FnMut() -> bool,
) -> (Vec<Event>, Vec<f64>) {
    let mut events: Vec<Event> = Vec::new();
    let mut silences = Vec::new();
    for address in addresses {
        let last = events.last().map_or(0, |event| event.id);
        let request = resubscribe(task, last);
        let mut parser = Parser::default();
        let read = async {
            let mut connection = Connection::open(address).await?;
            let show = |piece: &[u8]| {
                events.extend(parser.push(piece));
                !events.last().is_some_and(ends) && !leave()
            };
            connection.stream(&request, show).await
        };
        // However it broke: what counts is what came. Only silence is no break.
        if timeout(ANSWER, read).await.is_err() {
            silences.push(now());
        }
        if events.last().is_some_and(ends) || Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    (events, silences)
}

fn ends(event: &Event) -> bool {
    event.state().is_some_and(is_terminal)
}

fn resubscribe(task: &str, last: u64) -> Vec<u8> {
    let body = request("tasks/resubscribe", &json!({ "taskId": task, "id": task })).to_string();
    let length = body.len();
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         last-event-id: {last}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
