//! Paid agents on real stores: what one process takes, no other takes again, and what a process
//! that died had taken is given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bindu::config::ExecutionCost;
use bindu::{Agent, Reply, Running, Settings, Turn};
use bindu_did::key_dir::Identity;
use bindu_http::client::{self, Client};
use bindu_postgres::{PostgresConfig, PostgresStore};
use bindu_protocol::{Json, Owner, TaskId, Timestamp};
use bindu_storage::{Ledger, Opened, Payment, PaymentKey, PaymentQuery, PaymentState};
use bindu_testkit::fake_facilitator::FakeFacilitator;
use bindu_x402::header;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{given, identity};
use crate::caller::{LONG, Result, config, message};

/// Who is paid, and who pays.
const PAY_TO: &str = "0xa11ce0000000000000000000000000000000a11c";
const PAYER: &str = "0x000000000000000000000000000000000000beef";

/// How often an authorization is used at once, at each replica.
const TIMES: usize = 4;

/// Two processes of a paid agent.
struct Shops {
    who: Arc<Identity>,
    facilitator: FakeFacilitator,
    agents: Vec<Running>,
    worked: Arc<AtomicUsize>,
    http: Client,
}

impl Shops {
    async fn open(name: &str, backends: &[(&str, &str)]) -> Result<Self> {
        let who = identity(name)?;
        let facilitator = FakeFacilitator::start().await?;
        let worked = Arc::new(AtomicUsize::new(0));
        let mut agents = Vec::new();
        for _ in 0..2 {
            let mut all = vec![
                ("X402__FACILITATOR_URL", facilitator.url()),
                ("X402__VERIFY_TIMEOUT", "1s"),
                ("WORKER__LEASE_SECONDS", "3"),
                ("WORKER__HEARTBEAT_SECONDS", "1"),
            ];
            all.extend(backends);
            let mut config = config(name);
            config.execution_cost = vec![ExecutionCost {
                amount: "0.01".into(),
                token: Some("USDC".into()),
                network: Some("base-sepolia".into()),
                pay_to_address: Some(PAY_TO.into()),
            }];
            let count = Arc::clone(&worked);
            let work = move |turn: Turn| {
                count.fetch_add(1, Ordering::SeqCst);
                async move { Ok(Reply::text(turn.text().into_owned())) }
            };
            let agent = Agent::builder(config, work)
                .settings(Settings::from_vars(all)?)
                .identity(Arc::clone(&who));
            agents.push(agent.spawn().await?);
        }
        let http = Client::new(client::Config { timeout: LONG, ..client::Config::default() });
        Ok(Self { who, facilitator, agents, worked, http })
    }

    /// What they ask for.
    async fn offer(&self) -> Result<Value> {
        let (status, mut body) = self.send(0, &message("how much?"), None).await?;
        assert_eq!(status, StatusCode::PAYMENT_REQUIRED, "{body}");
        Ok(body["accepts"][0].take())
    }

    /// A payment of what they ask for.
    async fn payload(&self, nonce: &str) -> Result<Value> {
        Ok(json!({
            "x402Version": 2,
            "payload": {
                "signature": format!("0x{}", "00".repeat(65)),
                "authorization": {
                    "from": PAYER, "to": PAY_TO, "value": "10000", "validAfter": "0",
                    "validBefore": "9999999999", "nonce": nonce,
                },
            },
            "accepted": self.offer().await?,
        }))
    }

    async fn send(
        &self,
        agent: usize,
        params: &Value,
        payment: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send", "params": params });
        let mut request = Request::post(format!("{}/", self.agents[agent].url()));
        if let Some(payment) = payment {
            request = request.header("PAYMENT-SIGNATURE", header::encode(payment));
        }
        let answer = self.http.send(request.body(Bytes::from(body.to_string()))?).await?;
        Ok((answer.status(), serde_json::from_slice(answer.body())?))
    }

    /// Buys something at one of them, and waits for it.
    async fn buy(&self, agent: usize, text: &str, nonce: &str) -> Result<(StatusCode, Value)> {
        let payload = self.payload(nonce).await?;
        self.send(agent, &message(text), Some(&payload)).await
    }

    /// Uses an authorization at both of them many times at once: one message is taken.
    async fn storm(&self, nonce: &str) -> Result {
        let texts: Vec<_> = (0..2 * TIMES).map(|number| number.to_string()).collect();
        let payload = self.payload(nonce).await?;
        let buys = texts.iter().enumerate();
        let buys =
            buys.map(async |(at, text)| self.send(at % 2, &message(text), Some(&payload)).await);
        let mut taken = Vec::new();
        for answer in join_all(buys).await {
            let (status, body) = answer?;
            if status == StatusCode::OK {
                assert_eq!(body["result"]["status"]["state"], "completed", "{body}");
                taken.push(body["result"]["id"].clone());
            } else {
                assert_eq!(status, StatusCode::PAYMENT_REQUIRED, "{body}");
                assert_eq!(body["error"], "Payment nonce already used (replay)");
            }
        }
        assert_eq!(taken.len(), 1, "{taken:?}");
        Ok(())
    }

    async fn stop(self) -> Result {
        for agent in self.agents {
            tokio::time::timeout(LONG, agent.stop(Duration::ZERO)).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_on_one_database_take_a_payment_once() -> Result {
    let (database, redis) = (given("DATABASE_URL"), given("REDIS_URL"));
    for queue in ["postgres", "redis"] {
        let shops = Shops::open(
            "shops",
            &[
                ("STORAGE_TYPE", "postgres"),
                ("DATABASE_URL", &database),
                ("SCHEDULER_TYPE", queue),
                ("REDIS_URL", &redis),
            ],
        )
        .await?;
        for begin in ["1", "2", "3"] {
            shops.storm(&nonce(begin)).await?;
        }
        assert_eq!(shops.worked.load(Ordering::SeqCst), 3, "{queue}");
        assert_eq!(shops.facilitator.chain().len(), 3, "{queue}");
        // Who was refused was not even looked at.
        assert_eq!(shops.facilitator.count("POST", "/verify"), 3, "{queue}");
        let ledger = ledger(&shops.who, &database).await?;
        until_all_are(&ledger, 3, PaymentState::Delivered).await?;
        shops.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_without_a_database_take_a_payment_once() -> Result {
    let redis = given("REDIS_URL");
    let shops =
        Shops::open("stalls", &[("SCHEDULER_TYPE", "redis"), ("REDIS_URL", &redis)]).await?;
    // What one has in memory the other cannot run: each works for itself, and the queue is shared.
    // Only whether the payment is taken is asked here, and that is known before the work.
    let payload = shops.payload(&nonce("1")).await?;
    let begin = async |agent: usize, text: String| -> Result<StatusCode> {
        let mut params = message(&text);
        params["configuration"] = json!({ "blocking": false });
        Ok(shops.send(agent, &params, Some(&payload)).await?.0)
    };
    let all = join_all((0..2 * TIMES).map(|number| begin(number % 2, number.to_string()))).await;
    let statuses = all.into_iter().collect::<Result<Vec<_>>>()?;
    let taken = statuses.iter().filter(|status| **status == StatusCode::OK).count();
    let refused = statuses.iter().filter(|status| **status == StatusCode::PAYMENT_REQUIRED).count();
    assert_eq!((taken, refused), (1, 2 * TIMES - 1), "{statuses:?}");
    assert_eq!(shops.facilitator.count("POST", "/verify"), 1);
    // And later: the memory lasts.
    for agent in 0..2 {
        assert_eq!(begin(agent, "again".to_owned()).await?, StatusCode::PAYMENT_REQUIRED);
    }
    shops.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_verified_by_a_process_that_died_may_be_used_again() -> Result {
    let database = given("DATABASE_URL");
    let backends = [
        ("STORAGE_TYPE", "postgres"),
        ("DATABASE_URL", database.as_str()),
        ("SCHEDULER_TYPE", "postgres"),
    ];
    let shops = Shops::open("heirs", &backends).await?;
    let ledger = ledger(&shops.who, &database).await?;
    // As it is left by one that was killed before it stored the task.
    let nonce = nonce("1");
    let payment = abandoned(&shops.payload(&nonce).await?)?;
    let Opened::New(payment) = ledger.open(payment).await? else { panic!("it is new") };
    let later = Some((SystemTime::now() + Duration::from_hours(1)).into());
    let verified = Payment { state: PaymentState::Verified, due: later, ..payment };
    let verified = ledger.advance(verified).await?;
    let (status, body) = shops.buy(0, "hello", &nonce).await?;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(body["error"], "Payment nonce already used (replay)");

    // Its time is over.
    let due = Some(Timestamp::now());
    ledger.advance(Payment { due, ..verified.clone() }).await?;
    let begun = Instant::now();
    let taken = loop {
        let (status, body) = shops.buy(1, "hello", &nonce).await?;
        if status == StatusCode::OK {
            break body;
        }
        assert!(begun.elapsed() < LONG, "still {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(taken["result"]["status"]["state"], "completed", "{taken}");
    let payments = until_all_are(&ledger, 1, PaymentState::Delivered).await?;
    assert_ne!(payments[0].task, verified.task, "it pays for another task");
    assert_eq!(taken["result"]["id"], payments[0].task.to_string());
    assert_eq!(shops.worked.load(Ordering::SeqCst), 1);
    shops.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_in_the_hands_of_a_process_that_died_is_settled_by_another() -> Result {
    let database = given("DATABASE_URL");
    let backends = [
        ("STORAGE_TYPE", "postgres"),
        ("DATABASE_URL", database.as_str()),
        ("SCHEDULER_TYPE", "postgres"),
    ];
    let shops = Shops::open("finders", &backends).await?;
    let ledger = ledger(&shops.who, &database).await?;
    // The money of this one was on its way, and its task is gone: it is owed back.
    let payment = abandoned(&shops.payload(&nonce("1")).await?)?;
    let Opened::New(payment) = ledger.open(payment).await? else { panic!("it is new") };
    let verified = Payment { state: PaymentState::Verified, ..payment };
    let verified = ledger.advance(verified).await?;
    let due = Some(Timestamp::now());
    let settling = Payment { state: PaymentState::Settling, attempts: 1, due, ..verified };
    ledger.advance(settling).await?;
    let payments = until_all_are(&ledger, 1, PaymentState::Orphaned).await?;
    assert!(payments[0].receipt.is_some(), "{payments:?}");
    assert_eq!(shops.facilitator.chain().len(), 1);
    assert_eq!(shops.worked.load(Ordering::SeqCst), 0);
    // And it stays used.
    let (status, _) = shops.buy(0, "hello", &nonce("1")).await?;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
    shops.stop().await
}

/// The account of an agent, past it.
async fn ledger(who: &Identity, database: &str) -> Result<PostgresStore> {
    let did = Some(who.did().as_str().to_owned());
    Ok(PostgresStore::open(PostgresConfig { did, ..PostgresConfig::new(database) }).await?)
}

/// A payment for a task that is not there.
fn abandoned(payload: &Value) -> Result<Payment> {
    let offer = &payload["accepted"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let [network, asset] = ["network", "asset"].map(|key| text(&offer[key]));
    let nonce = text(&payload["payload"]["authorization"]["nonce"]);
    let now = Timestamp::now();
    let later = |hours| (SystemTime::from(now) + Duration::from_hours(hours)).into();
    Ok(Payment {
        key: PaymentKey::new(&network, &asset, PAYER, &nonce),
        version: 0,
        state: PaymentState::Required,
        task: TaskId::random(),
        owner: Owner::nobody(),
        requirements: Json::new(offer)?,
        payload: Json::new(payload)?,
        receipt: None,
        error: None,
        attempts: 0,
        expires: later(2),
        due: Some(later(1)),
        created: now,
        updated: now,
    })
}

/// 32 bytes that begin so.
fn nonce(begin: &str) -> String {
    format!("0x{begin:0<64}")
}

/// Waits until there are so many payments, and all are so.
async fn until_all_are(
    ledger: &PostgresStore,
    count: usize,
    state: PaymentState,
) -> Result<Vec<Payment>> {
    let begun = Instant::now();
    loop {
        let query = PaymentQuery { limit: 100, ..PaymentQuery::default() };
        let payments = ledger.payments(query).await?.items;
        if payments.len() == count && payments.iter().all(|payment| payment.state == state) {
            return Ok(payments);
        }
        assert!(begun.elapsed() < LONG, "still {payments:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
