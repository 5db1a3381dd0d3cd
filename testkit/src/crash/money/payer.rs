//! Payers: they pay until they are heard, and hold on to what they were told.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::timeout;

use super::Round;
use super::deal::{Copy, Deal, Way};
use crate::bench::Connection;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Payers begin in so many crowds, one every half a second or so.
const CROWDS: u64 = 20;
const CROWD: u64 = 500;

/// How long payers wait before they try again, and when they give up: later than what is claimed
/// for somebody who died is given back.
const PAUSE: std::ops::Range<u64> = 100..600;
const PATIENCE: Duration = Duration::from_secs(45);

/// How long a payer waits inside the task whose nonce is said to be used: it has three tries.
const LONG_PAUSE: Duration = Duration::from_secs(9);

/// After so many refusals that mean it, a payer who can only be refused has heard enough.
const ENOUGH: usize = 3;

const EXTENSION: &str = "https://github.com/google-agentic-commerce/a2a-x402/blob/main/spec/v0.2";
const REPLAY: &str = "Payment nonce already used (replay)";

/// What an agent says.
#[derive(Debug)]
pub(super) enum Said {
    /// Here is the task.
    Task(Value),
    /// 402, for this reason.
    Pay(String),
    /// Nobody there, or not now.
    Passing(String),
    /// It will not have it.
    Refused(String),
}

/// What became of one purchase, as its payer saw it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Paid {
    /// The tasks that it was told of.
    pub(super) tasks: Vec<String>,
    /// Whether its payment was accepted, as far as it heard.
    pub(super) is_accepted: bool,
    /// Whether it asked to cancel.
    pub(super) has_canceled: bool,
    /// How often it sent something.
    pub(super) sends: usize,
    /// What it heard last that was no task.
    pub(super) last: String,
}

impl Paid {
    fn hear(&mut self, task: &Value) {
        if let Some(id) = task["id"].as_str()
            && !self.tasks.iter().any(|known| known == id)
        {
            self.tasks.push(id.to_owned());
        }
    }
}

/// Calls a method once.
pub(super) async fn call(
    address: SocketAddr,
    method: &str,
    params: &Value,
    headers: &[(&str, &str)],
) -> Said {
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
    let mut head = String::new();
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    let request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{head}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let ask = async {
        let mut connection = Connection::open(address).await?;
        let answer = connection.exchange(request.as_bytes()).await?;
        Ok::<_, std::io::Error>((answer.status, answer.body.to_vec()))
    };
    let (status, body) = match timeout(ANSWER, ask).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Said::Passing(error.to_string()),
        Err(_) => return Said::Passing(format!("no answer within {ANSWER:?}")),
    };
    let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status == 200 && !answer["result"].is_null() {
        return Said::Task(answer["result"].take());
    }
    if status == 402 {
        return Said::Pay(answer["error"].as_str().unwrap_or_default().to_owned());
    }
    let said = format!("{method}: status {status}: {}", String::from_utf8_lossy(&body));
    // -32603 is A2A's word for what is the server's own fault.
    if status >= 500 || status == 429 || answer["error"]["code"] == -32603 {
        Said::Passing(said)
    } else {
        Said::Refused(said)
    }
}

/// Pays what a deal says; all of its copies at once.
pub(super) async fn pay(round: &Round<'_>, deal: &Deal, mut chance: fastrand::Rng) -> Vec<Paid> {
    let begin = CROWD * chance.u64(..CROWDS) + chance.u64(..CROWD / 10);
    tokio::time::sleep(Duration::from_millis(begin)).await;
    let addresses = round.site.addresses();
    let first = chance.usize(..addresses.len());
    let copies = deal.copies.iter().enumerate().map(|(number, copy)| {
        // Each at another replica to begin with, and anywhere later.
        let begin = addresses[(first + number) % addresses.len()];
        let payer = Payer { round, deal, copy, begin, deadline: Instant::now() + PATIENCE };
        payer.buy(chance.fork())
    });
    futures_util::future::join_all(copies.collect::<Vec<_>>()).await
}

struct Payer<'a> {
    round: &'a Round<'a>,
    deal: &'a Deal,
    copy: &'a Copy,
    begin: SocketAddr,
    deadline: Instant,
}

impl Payer<'_> {
    async fn buy(self, mut chance: fastrand::Rng) -> Paid {
        let mut paid = Paid::default();
        match self.copy.way {
            Way::Header => self.by_header(&mut paid, &mut chance).await,
            Way::InTask => self.in_task(&mut paid, &mut chance).await,
        }
        if self.copy.cancels
            && paid.is_accepted
            && let Some(task) = paid.tasks.first().cloned()
        {
            tokio::time::sleep(Duration::from_millis(chance.u64(..200))).await;
            paid.has_canceled = true;
            for address in self.addresses(&mut chance) {
                let params = self.naming(&task);
                match call(address, "tasks/cancel", &params, &[]).await {
                    Said::Passing(_) if Instant::now() < self.deadline => {
                        self.pause(&mut chance).await;
                    }
                    // It is canceled, or was over before.
                    _ => break,
                }
            }
        }
        paid
    }

    fn addresses(&self, chance: &mut fastrand::Rng) -> impl Iterator<Item = SocketAddr> + use<> {
        std::iter::once(self.begin).chain(self.round.addresses(chance.u64(..)))
    }

    async fn pause(&self, chance: &mut fastrand::Rng) {
        tokio::time::sleep(Duration::from_millis(chance.u64(PAUSE))).await;
    }

    fn naming(&self, task: &str) -> Value {
        let key = if self.round.is_named { "taskId" } else { "id" };
        json!({ key: task })
    }

    /// The parameters of a message.
    fn message(&self, id: &str, task: Option<&str>, metadata: Value) -> Value {
        let mut message = json!({
            "role": "user", "kind": "message", "messageId": id,
            "parts": [{ "kind": "text", "text": self.copy.text }],
        });
        if self.round.is_named {
            message["contextId"] = self.copy.task.as_str().into();
            message["taskId"] = self.copy.task.as_str().into();
        }
        if let Some(task) = task {
            message["taskId"] = task.into();
        }
        if !metadata.is_null() {
            message["metadata"] = metadata;
        }
        json!({ "message": message, "configuration": { "blocking": false } })
    }

    async fn by_header(&self, paid: &mut Paid, chance: &mut fastrand::Rng) {
        let params = self.message(&self.copy.task, None, Value::Null);
        let header = self.deal.header();
        let mut refusals = 0;
        for address in self.addresses(chance) {
            paid.sends += 1;
            let headers = [("x-payment", header.as_str())];
            match call(address, "message/send", &params, &headers).await {
                Said::Task(task) => {
                    paid.hear(&task);
                    paid.is_accepted = true;
                    return;
                }
                // Whoever had it before has it, or died with it.
                Said::Pay(said) => {
                    refusals += usize::from(said != REPLAY);
                    paid.last = said;
                }
                Said::Passing(said) => paid.last = said,
                Said::Refused(said) => {
                    paid.last = said;
                    return;
                }
            }
            let has_heard = !self.deal.kind.is_accepted && refusals >= ENOUGH;
            if has_heard || Instant::now() > self.deadline {
                return;
            }
            self.pause(chance).await;
        }
    }

    async fn in_task(&self, paid: &mut Paid, chance: &mut fastrand::Rng) {
        let opening = self.message(&self.copy.task, None, Value::Null);
        let Some(task) = self.hear(paid, &opening, chance).await else { return };
        let Some(id) = task["id"].as_str() else { return };
        loop {
            let message = uuid::Builder::from_random_bytes(chance.u128(..).to_be_bytes());
            let metadata = json!({
                "x402.payment.status": "payment-submitted",
                "x402.payment.payload": self.deal.payload(),
            });
            let paying = self.message(&message.into_uuid().to_string(), Some(id), metadata);
            let Some(task) = self.hear(paid, &paying, chance).await else { return };
            let error = task["metadata"]["x402.payment.error"].as_str().unwrap_or_default();
            if !waits(&task) {
                paid.is_accepted = task["metadata"]["x402.payment.status"] != "payment-failed";
                return;
            }
            error.clone_into(&mut paid.last);
            if Instant::now() > self.deadline || error == "SETTLEMENT_FAILED" {
                return;
            }
            match error {
                "DUPLICATE_NONCE" => tokio::time::sleep(LONG_PAUSE).await,
                _ => self.pause(chance).await,
            }
        }
    }

    /// Sends something, always the same, until there is a task.
    async fn hear(
        &self,
        paid: &mut Paid,
        params: &Value,
        chance: &mut fastrand::Rng,
    ) -> Option<Value> {
        for address in self.addresses(chance) {
            paid.sends += 1;
            let headers = [("x-a2a-extensions", EXTENSION)];
            match call(address, "message/send", params, &headers).await {
                Said::Task(task) => {
                    paid.hear(&task);
                    return Some(task);
                }
                Said::Pay(said) | Said::Refused(said) => {
                    paid.last = said;
                    return None;
                }
                Said::Passing(said) => paid.last = said,
            }
            if Instant::now() > self.deadline {
                return None;
            }
            self.pause(chance).await;
        }
        None
    }
}

/// Whether a task waits to be paid for.
fn waits(task: &Value) -> bool {
    let state = task["status"]["state"].as_str();
    let said = task["metadata"]["x402.payment.status"].as_str();
    matches!(state, Some("input-required" | "payment-required"))
        && matches!(said, Some("payment-required" | "payment-failed"))
}
