//! The seller's side, over a ledger in memory and a facilitator that does as it is told.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bindu_http::client::Client;
use bindu_protocol::{Owner, TaskId, TaskState, Timestamp};
use bindu_storage::{
    Ledger, MemoryLedger, MemoryReplayGuard, Opened, Payment, PaymentState, ReplayGuard,
};
use bindu_testkit::fake_facilitator::{Behaviour, FakeFacilitator, Fault};
use bindu_x402::{
    Config, Facilitator, Networks, Next, Patience, PaymentOption, PaymentPayload, Rejection,
    ResourceServer, Standing, offers,
};
use serde_json::json;

type Tested = Result<(), Box<dyn Error + Send + Sync>>;

const PAY_TO: &str = "0xa11ce0000000000000000000000000000000a11c";

struct Stall {
    facilitator: FakeFacilitator,
    ledger: Arc<MemoryLedger>,
    server: ResourceServer,
}

impl Stall {
    async fn open(patience: Patience) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let facilitator = FakeFacilitator::start().await?;
        let ledger = Arc::new(MemoryLedger::default());
        let server = Self::server(&facilitator, &ledger, patience)?;
        Ok(Self { facilitator, ledger, server })
    }

    /// Another process with the same ledger.
    fn server(
        facilitator: &FakeFacilitator,
        ledger: &Arc<MemoryLedger>,
        patience: Patience,
    ) -> Result<ResourceServer, Box<dyn Error + Send + Sync>> {
        let option = PaymentOption {
            amount: "0.01".into(),
            network: "base-sepolia".into(),
            pay_to: Some(PAY_TO.into()),
            ..PaymentOption::default()
        };
        let offers = offers(&[option], &Networks::default())?;
        let mut config = Config::new(facilitator.url().parse()?);
        config.settle_timeout = Duration::from_millis(300);
        let facilitator = Facilitator::new(&config, Client::builder())?;
        let ledger = Arc::clone(ledger) as Arc<dyn Ledger>;
        Ok(ResourceServer::new(offers, facilitator, ledger, patience))
    }

    fn payload(&self, nonce: &str) -> PaymentPayload {
        let payload = json!({
            "x402Version": 2,
            "payload": {
                "signature": format!("0x{}", "00".repeat(65)),
                "authorization": {
                    "from": "0x000000000000000000000000000000000000beef", "to": PAY_TO,
                    "value": "10000", "validAfter": "0", "validBefore": "9999999999",
                    "nonce": format!("0x{nonce:0<64}"),
                },
            },
            "accepted": self.server.offers()[0],
        });
        serde_json::from_value(payload).expect("it is one")
    }

    async fn accept(&self, nonce: &str, task: &TaskId) -> Result<Payment, Rejection> {
        let offers = self.server.offers();
        self.server.accept(&self.payload(nonce), offers, task, &Owner::nobody()).await
    }

    async fn now(&self, payment: &Payment) -> Option<Payment> {
        self.ledger.payment(&payment.key).await.expect("memory answers")
    }
}

#[tokio::test]
async fn a_payment_goes_from_hand_to_hand() -> Tested {
    let stall = Stall::open(Patience::default()).await?;
    let task = TaskId::random();
    let payment = stall.accept("1", &task).await?;
    assert_eq!(payment.state, PaymentState::Verified);
    assert!(stall.facilitator.chain().is_empty(), "nothing moves before the work");
    let taken = stall.accept("1", &TaskId::random()).await;
    assert!(matches!(taken, Err(Rejection::Taken(other)) if other.task == task));

    assert!(
        matches!(stall.server.settle(&task, &Owner::nobody()).await?, Standing::Paid(all) if all.len() == 1)
    );
    assert!(
        matches!(stall.server.settle(&task, &Owner::nobody()).await?, Standing::Paid(_)),
        "and once only"
    );
    assert_eq!(stall.facilitator.chain().len(), 1);
    let settled = stall.now(&payment).await.expect("it stays");
    assert_eq!((settled.state, settled.attempts), (PaymentState::Settled, 1));
    stall.server.withdraw(&payment).await?;
    assert_eq!(stall.now(&payment).await.map(|now| now.state), Some(PaymentState::Settled));

    let next = stall.server.look_at(settled, Some(TaskState::Completed)).await?;
    assert_eq!(next, Next::Nothing);
    assert_eq!(stall.now(&payment).await.map(|now| now.state), Some(PaymentState::Delivered));
    let free = stall.server.settle(&TaskId::random(), &Owner::nobody()).await?;
    assert!(matches!(free, Standing::Free));
    Ok(())
}

#[tokio::test]
async fn what_is_refused_or_given_back_may_come_again() -> Tested {
    let stall = Stall::open(Patience::default()).await?;
    let task = TaskId::random();
    stall.facilitator.fail(Some(Fault::Down));
    assert!(matches!(stall.accept("1", &task).await, Err(Rejection::Refused(_))));
    stall.facilitator.fail(None);
    let payment = stall.accept("1", &task).await?;
    stall.server.withdraw(&payment).await?;
    assert_eq!(stall.now(&payment).await, None);
    let again = stall.accept("1", &TaskId::random()).await?;
    assert_eq!(again.key, payment.key);
    // The first one is not the second one, even if it reads the same.
    stall.server.withdraw(&payment).await?;
    assert!(stall.now(&again).await.is_some());
    Ok(())
}

#[tokio::test]
async fn a_claim_of_somebody_who_is_gone_is_taken_over() -> Tested {
    let stall = Stall::open(Patience { claim: Duration::ZERO, ..Patience::default() }).await?;
    let (gone, task) = (TaskId::random(), TaskId::random());
    let payment = stall.accept("1", &gone).await?;
    // As it was before it was verified.
    stall.server.withdraw(&payment).await?;
    let claimed = Payment { state: PaymentState::Required, ..payment };
    let Opened::New(_) = stall.ledger.open(claimed).await? else { panic!("it was given back") };
    let payment = stall.accept("1", &task).await?;
    assert_eq!(payment.task, task);

    // One that is verified may have a task: that is not for whoever comes next to decide.
    assert!(matches!(stall.accept("1", &gone).await, Err(Rejection::Taken(_))));
    let waits = stall.server.look_at(payment.clone(), Some(TaskState::Submitted)).await?;
    assert_eq!(waits, Next::Queue);
    let payment = stall.now(&payment).await.expect("its task waits");
    assert_eq!(stall.server.look_at(payment.clone(), None).await?, Next::Nothing);
    assert_eq!(stall.now(&payment).await, None);
    Ok(())
}

#[tokio::test]
async fn a_guard_that_is_shared_is_asked_too() -> Tested {
    let stall = Stall::open(Patience::default()).await?;
    let guard: Arc<dyn ReplayGuard> = Arc::new(MemoryReplayGuard::default());
    let here = stall.server.clone().nonces(Arc::clone(&guard));
    let there =
        Stall::server(&stall.facilitator, &Arc::new(MemoryLedger::default()), Patience::default())?
            .nonces(guard);
    let (payload, nobody) = (stall.payload("1"), Owner::nobody());
    let task = TaskId::random();
    let first = here.accept(&payload, here.offers(), &task, &nobody).await?;
    let second = there.accept(&payload, there.offers(), &task, &nobody).await;
    assert!(matches!(second, Err(Rejection::Taken(_))));
    here.withdraw(&first).await?;
    there.accept(&payload, there.offers(), &task, &nobody).await?;
    Ok(())
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_until_it_is_known() -> Tested {
    let patience = Patience {
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        ..Patience::default()
    };
    let stall = Stall::open(patience).await?;
    stall.facilitator.behave("0x1", Behaviour::SettledThen500);
    let task = TaskId::random();
    let payment = stall.accept("1", &task).await?;
    assert!(matches!(stall.server.settle(&task, &Owner::nobody()).await?, Standing::Pending));
    let unknown = stall.now(&payment).await.expect("it stays");
    assert_eq!(unknown.state, PaymentState::Unknown);
    // The work was given up meanwhile: it is for nothing.
    let Next::Orphan(orphan) = stall.server.look_at(unknown, Some(TaskState::Canceled)).await?
    else {
        panic!("it was paid")
    };
    assert_eq!(stall.now(&payment).await.map(|now| now.state), Some(PaymentState::Settled));
    stall.server.orphan(*orphan).await?;
    assert_eq!(stall.now(&payment).await.map(|now| now.state), Some(PaymentState::Orphaned));
    assert_eq!(stall.facilitator.chain().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_no_after_a_lost_answer_is_not_believed() -> Tested {
    let patience = Patience {
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        ..Patience::default()
    };
    let stall = Stall::open(patience).await?;
    stall.facilitator.refuse_repeats(true);
    stall.facilitator.behave("0x1", Behaviour::SettledThen500);
    let task = TaskId::random();
    let payment = stall.accept("1", &task).await?;
    for _ in 0..3 {
        assert!(matches!(stall.server.settle(&task, &Owner::nobody()).await?, Standing::Pending));
    }
    let unknown = stall.now(&payment).await.expect("it stays");
    assert_eq!((unknown.state, unknown.attempts), (PaymentState::Unknown, 3));
    Ok(())
}

#[tokio::test]
async fn whoever_was_never_asked_has_taken_nothing() -> Tested {
    let patience = Patience {
        work: Duration::ZERO,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        ..Patience::default()
    };
    let stall = Stall::open(patience.clone()).await?;
    let task = TaskId::random();
    let payment = stall.accept("1", &task).await?;
    // Another process, without a connection.
    let server = Stall::server(&stall.facilitator, &stall.ledger, patience)?;
    let Stall { facilitator, ledger, .. } = stall;
    drop(facilitator);
    // It cannot be reached; the work would have waited, and does not any more.
    let mut standing = server.settle(&task, &Owner::nobody()).await?;
    while matches!(standing, Standing::Pending) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        standing = server.settle(&task, &Owner::nobody()).await?;
    }
    assert!(matches!(standing, Standing::Refused(_)), "{standing:?}");
    let failed = ledger.payment(&payment.key).await?.expect("it stays");
    assert_eq!((failed.state, failed.attempts), (PaymentState::Failed, 0));
    assert_eq!(failed.due, None);
    Ok(())
}

#[tokio::test]
async fn an_authorization_that_ran_out_is_not_sent() -> Tested {
    let stall = Stall::open(Patience::default()).await?;
    let task = TaskId::random();
    let payment = stall.accept("1", &task).await?;
    let over = Payment { expires: Timestamp::from_unix_micros(0), ..payment };
    stall.ledger.advance(over).await?;
    assert!(matches!(stall.server.settle(&task, &Owner::nobody()).await?, Standing::Refused(_)));
    assert_eq!(stall.facilitator.count("POST", "/settle"), 0);
    Ok(())
}
