//! A paid agent, its facilitator and its ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bindu::config::{ExecutionCost, SkillSource};
use bindu::{Reply, Running, Settings, Turn};
use bindu_http::client::{self, Client};
use bindu_http::sse::SseStream;
use bindu_protocol::TaskState;
use bindu_storage::{Ledger, MemoryLedger, Payment, PaymentQuery};
use bindu_testkit::fake_facilitator::FakeFacilitator;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};

use crate::caller::{LONG, Result, agent_of, config, message};

pub(crate) const PAY_TO: &str = "0xa11ce0000000000000000000000000000000a11c";
pub(crate) const PAYER: &str = "0x000000000000000000000000000000000000beef";
pub(crate) const V0_1: &str = "https://github.com/google-a2a/a2a-x402/v0.1";
pub(crate) const V0_2: &str =
    "https://github.com/google-agentic-commerce/a2a-x402/blob/main/spec/v0.2";

/// An agent whose work costs a cent. Its handler fails on `boom`, asks back on `ask`, waits until
/// it is dropped on `wait`, and else says what it was told.
pub(crate) struct Shop {
    pub(crate) facilitator: FakeFacilitator,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) agent: Running,
    worked: Arc<AtomicUsize>,
    http: Client,
}

async fn work(turn: Turn) -> Result<Reply> {
    match &*turn.text() {
        "boom" => Err("boom".into()),
        "ask" => Ok(Reply::input_required("which?")),
        "wait" => std::future::pending().await,
        text => Ok(Reply::text(text)),
    }
}

/// An answer: status, headers and body.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Shop {
    pub(crate) async fn open() -> Result<Self> {
        Self::open_with(&[]).await
    }

    pub(crate) async fn open_with(vars: &[(&str, &str)]) -> Result<Self> {
        let facilitator = FakeFacilitator::start().await?;
        let mut all =
            vec![("X402__FACILITATOR_URL", facilitator.url()), ("X402__SETTLE_TIMEOUT", "500ms")];
        all.extend(vars);
        let settings = Settings::from_vars(all)?;
        let ledger = Arc::new(MemoryLedger::default());
        let worked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&worked);
        let handler = move |turn: Turn| {
            count.fetch_add(1, Ordering::SeqCst);
            work(turn)
        };
        let mut config = config("paid");
        let skill = json!({ "name": "pdf reading", "description": "Reads.", "tags": ["pdf"] });
        config.skills = vec![SkillSource::Inline(serde_json::from_value(skill)?)];
        config.execution_cost = vec![ExecutionCost {
            amount: "0.01".into(),
            token: Some("USDC".into()),
            network: Some("base-sepolia".into()),
            pay_to_address: Some(PAY_TO.into()),
        }];
        let agent = agent_of(config, handler)?
            .settings(settings)
            .ledger(Arc::clone(&ledger) as Arc<dyn Ledger>)
            .spawn()
            .await?;
        let http = Client::new(client::Config { timeout: LONG, ..client::Config::default() });
        Ok(Self { facilitator, ledger, agent, worked, http })
    }

    /// How often the handler was called.
    pub(crate) fn worked(&self) -> usize {
        self.worked.load(Ordering::SeqCst)
    }

    pub(crate) async fn post(&self, body: &Value, headers: &[(&str, &str)]) -> Result<Answer> {
        self.post_text(body.to_string(), headers).await
    }

    /// Posts a body as it is.
    pub(crate) async fn post_text(&self, body: String, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut request = Request::post(format!("{}/", self.agent.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.http.send(request.body(Bytes::from(body))?).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer { status, headers, body: serde_json::from_slice(answer.body())? })
    }

    /// Calls a method.
    pub(crate) async fn call(
        &self,
        method: &str,
        params: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.post(&body, headers).await
    }

    /// Sends a text and pays for it by header; the task, settled.
    pub(crate) async fn buy(&self, text: &str, nonce: &str) -> Result<Answer> {
        let payment = payment(nonce);
        self.call("message/send", &message(text), &[("X-PAYMENT", &payment)]).await
    }

    /// Streams what comes of a message; the data of its events.
    pub(crate) async fn stream(
        &self,
        params: &Value,
        headers: &[(&str, &str)],
    ) -> Result<(StatusCode, Vec<Value>)> {
        let body =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": params });
        let mut request = Request::post(format!("{}/", self.agent.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.http.send_streaming(request.body(Bytes::from(body.to_string()))?).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Ok((status, Vec::new()));
        }
        let mut events = SseStream::new(answer.into_body());
        let mut heard = Vec::new();
        while let Some(event) = tokio::time::timeout(LONG, events.next()).await? {
            heard.push(serde_json::from_slice(&event?.data)?);
        }
        Ok((status, heard))
    }

    pub(crate) async fn task(&self, id: &Value) -> Result<Value> {
        let mut answer = self.call("tasks/get", &json!({ "id": id }), &[]).await?;
        Ok(answer.body["result"].take())
    }

    /// Waits for a task to be as it should.
    pub(crate) async fn until(&self, id: &Value, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let begun = Instant::now();
        loop {
            let task = self.task(id).await?;
            if is_so(&task) {
                return Ok(task);
            }
            assert!(begun.elapsed() < LONG, "still {task}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn payments(&self) -> Result<Vec<Payment>> {
        let query = PaymentQuery { limit: 1_000, ..PaymentQuery::default() };
        Ok(self.ledger.payments(query).await?.items)
    }

    /// Waits until the only payment is in this state.
    pub(crate) async fn until_payment(&self, state: &str) -> Result<Payment> {
        let begun = Instant::now();
        loop {
            let payments = self.payments().await?;
            if let [payment] = payments.as_slice()
                && payment.state.as_str() == state
            {
                return Ok(payment.clone());
            }
            assert!(begun.elapsed() < LONG, "still {payments:?}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Whether the account agrees with the chain: what was paid was delivered, or is to be given
    /// back; and nothing else was.
    pub(crate) async fn assert_balanced(&self) -> Result {
        let payments = self.payments().await?;
        let mut paid: Vec<_> = payments
            .iter()
            .filter(|payment| payment.state.is_paid())
            .map(|payment| payment.key.as_str().rsplit('/').next().unwrap_or_default().to_owned())
            .collect();
        let mut moved: Vec<_> =
            self.facilitator.chain().into_iter().map(|moved| moved.nonce).collect();
        paid.sort();
        moved.sort();
        assert_eq!(paid, moved);
        let open: Vec<_> = payments.iter().filter(|payment| !payment.state.is_final()).collect();
        assert!(open.is_empty(), "{open:?}");
        Ok(())
    }
}

/// The state in which a task is, as the wire says it.
pub(crate) fn is(state: TaskState) -> impl Fn(&Value) -> bool {
    move |task| task["status"]["state"] == state.as_str()
}

/// 32 bytes that begin so.
pub(crate) fn nonce(begin: &str) -> String {
    format!("0x{begin:0<64}")
}

/// A payment of what is asked for, as JSON.
pub(crate) fn payload(nonce: &str) -> Value {
    json!({
        "x402Version": 2,
        "payload": {
            "signature": format!("0x{}", "00".repeat(65)),
            "authorization": {
                "from": PAYER, "to": PAY_TO, "value": "10000", "validAfter": "0",
                "validBefore": "9999999999", "nonce": nonce,
            },
        },
        "accepted": {
            "scheme": "exact", "network": "eip155:84532",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e", "amount": "10000",
            "payTo": PAY_TO, "maxTimeoutSeconds": 60,
            "extra": { "name": "USDC", "version": "2" },
        },
    })
}

/// The same as a header.
pub(crate) fn payment(nonce: &str) -> String {
    bindu_x402::header::encode(&payload(nonce))
}
