//! What the ledger in memory promises beyond the suite: bounds. And the words of a payment.

use bindu_protocol::{Json, Owner, TaskId, Timestamp};
use bindu_storage::{
    Ledger, MemoryLedger, NotAKey, Opened, Payment, PaymentKey, PaymentQuery, PaymentState,
    StorageError, conformance,
};

const DAY: i64 = 24 * 60 * 60;

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(second * 1_000_000)
}

fn payment(nonce: &str, second: i64) -> Payment {
    Payment {
        key: PaymentKey::new("eip155:1", "0xa", "0xb", nonce),
        version: 0,
        state: PaymentState::Required,
        task: TaskId::random(),
        owner: Owner::nobody(),
        payload: Json::new(&1).expect("a number is JSON"),
        requirements: Json::new(&2).expect("a number is JSON"),
        receipt: None,
        error: None,
        attempts: 0,
        expires: at(second + 60),
        due: Some(at(second)),
        created: at(second),
        updated: at(second),
    }
}

async fn opened(ledger: &MemoryLedger, payment: Payment) -> Result<Payment, StorageError> {
    match ledger.open(payment).await? {
        Opened::New(payment) => Ok(payment),
        Opened::Taken(payment) => panic!("{} is taken", payment.key),
    }
}

#[tokio::test]
async fn the_suite_runs_outside_of_tests_too() {
    conformance::run_ledger(async || MemoryLedger::default()).await;
}

#[tokio::test]
async fn a_full_ledger_refuses_what_is_new_and_nothing_else() -> Result<(), StorageError> {
    let ledger = MemoryLedger::new(2);
    let first = opened(&ledger, payment("1", 0)).await?;
    opened(&ledger, payment("2", 0)).await?;
    let refused = ledger.open(payment("3", 0)).await;
    assert!(
        matches!(refused, Err(StorageError::Full { limit: 2, unit: "payments" })),
        "{refused:?}"
    );
    assert!(matches!(ledger.open(payment("2", 0)).await?, Opened::Taken(_)));
    let failed = Payment { state: PaymentState::Failed, ..first };
    let failed = ledger.advance(failed).await?;
    // It is over, but not for long enough.
    assert!(matches!(ledger.open(payment("3", 1)).await, Err(StorageError::Full { .. })));
    assert!(ledger.withdraw(&failed.key, failed.version).await?);
    opened(&ledger, payment("3", 1)).await?;
    Ok(())
}

#[tokio::test]
async fn what_has_been_over_for_a_day_is_dropped() -> Result<(), StorageError> {
    let ledger = MemoryLedger::new(2);
    let paid = opened(&ledger, payment("1", 0)).await?;
    let task = paid.task.clone();
    let paid = Payment { state: PaymentState::Delivered, due: None, updated: at(5), ..paid };
    ledger.advance(paid.clone()).await?;
    let unknown = opened(&ledger, payment("2", 0)).await?;
    let unknown = Payment { state: PaymentState::Unknown, ..unknown };
    let unknown = ledger.advance(unknown).await?;

    // The same authorization is known for a day after the payment was over,
    assert!(matches!(ledger.open(payment("1", 4 + DAY)).await?, Opened::Taken(_)));
    assert!(matches!(ledger.open(payment("3", 4 + DAY)).await, Err(StorageError::Full { .. })));
    opened(&ledger, payment("3", 5 + DAY)).await?;
    assert_eq!(ledger.payment(&paid.key).await?, None);
    assert_eq!(ledger.payments_of(&task).await?, []);
    let query = PaymentQuery { state: Some(PaymentState::Delivered), after: None, limit: 9 };
    assert_eq!(ledger.payments(query).await?.items, []);
    // and what is not over stays, however old.
    assert!(matches!(ledger.open(payment("4", 99 * DAY)).await, Err(StorageError::Full { .. })));
    assert_eq!(ledger.payment(&unknown.key).await?, Some(unknown));
    Ok(())
}

#[test]
fn every_key_that_is_made_can_be_read() {
    for parts in [["eip155:1", "0xAB", "0xC", "0xD"], ["", "a/b", "/", "É"]] {
        let [network, asset, payer, nonce] = parts;
        let key = PaymentKey::new(network, asset, payer, nonce);
        assert_eq!(key.to_string().parse(), Ok(key.clone()), "{parts:?}");
        let parts = [key.network(), key.asset(), key.payer(), key.nonce()];
        assert_eq!(parts.join("/"), key.as_str());
        let json = Json::new(&key).expect("a key is JSON");
        assert_eq!(json.parse::<PaymentKey>().expect("a key"), key);
    }
    assert_eq!(
        "EIP155:1/0xAB/0xC/0xD".parse::<PaymentKey>(),
        Ok(PaymentKey::new("eip155:1", "0xab", "0xc", "0xd"))
    );
    for text in ["", "a", "a/b/c", "a/b/c/", "a//c/d", "a/b/c/d/e"] {
        assert_eq!(text.parse::<PaymentKey>(), Err(NotAKey), "{text}");
        assert!(serde_json::from_value::<PaymentKey>(text.into()).is_err(), "{text}");
    }
}

#[test]
fn states_are_left_by_the_allowed_ways_only() {
    use PaymentState as S;
    for from in S::ALL {
        assert_eq!(from.as_str().parse(), Ok(from));
        let stays = S::ALL.iter().all(|to| !from.can_become(*to) || *to == S::Settled);
        assert_eq!(from.is_final(), stays, "{from}");
        for to in S::ALL {
            // Money that was taken is never untaken, and none is taken without being settled.
            assert!(!(from.is_paid() && from.can_become(to) && !to.is_paid()), "{from} {to}");
            let may_settle = matches!(from, S::Settling | S::Unknown | S::Settled | S::Failed);
            assert!(to != S::Settled || !from.can_become(to) || may_settle, "{from} {to}");
        }
    }
    assert!(S::Unknown.can_become(S::Settled) && S::Unknown.can_become(S::Failed));
    assert!("paid".parse::<S>().is_err());
}
