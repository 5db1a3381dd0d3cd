//! Payments that several processes share, and databases from before there were any.

use bindu_postgres::{LAYOUT_VERSION, PostgresStore, check};
use bindu_protocol::{Json, Owner, TaskId, Timestamp};
use bindu_storage::{
    Ledger, Opened, Payment, PaymentKey, PaymentQuery, PaymentState, StorageError,
};
use futures_util::future::join_all;

use crate::server::{config, open, psql, schema};
use crate::sharing::thief;

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros((1_800_000_000 + second) * 1_000_000)
}

fn promised(nonce: &str) -> Payment {
    let json = |text: &str| -> Json { serde_json::from_str(text).expect("it is JSON") };
    Payment {
        key: PaymentKey::new("eip155:84532", "0xA", "0xB", nonce),
        version: 0,
        state: PaymentState::Required,
        task: TaskId::random(),
        owner: Owner::from(Some("alice".to_owned())),
        payload: json(
            r#"{"x402Version":  2, "nul": "\u0000", "n": 1e3, "m": 1e999, "a": 1, "a": 2}"#,
        ),
        requirements: json(r#"{"amount": "10000"}"#),
        receipt: None,
        error: None,
        attempts: 0,
        expires: at(60),
        due: Some(at(30)),
        created: at(0),
        updated: at(0),
    }
}

async fn opened(ledger: &PostgresStore, nonce: &str) -> Payment {
    match ledger.open(promised(nonce)).await.expect("a payment is opened") {
        Opened::New(payment) => payment,
        Opened::Taken(payment) => panic!("{} is taken", payment.key),
    }
}

#[tokio::test]
async fn two_processes_see_the_same_payments() {
    let config = config(&schema());
    let (ours, theirs) = (open(&config).await, open(&config).await);
    let first = opened(&ours, "0x01").await;
    assert_eq!(theirs.payment(&first.key).await.unwrap().as_ref(), Some(&first));
    let again = theirs.open(promised("0x01")).await.unwrap();
    assert_eq!(again, Opened::Taken(first.clone()), "a nonce is taken for all processes");

    // What they want at once, one gets.
    let both = [&ours, &theirs];
    let opens = (0..32).map(|number| both[number % 2].open(promised("0x02")));
    let opens = join_all(opens).await;
    let new = opens.iter().filter(|opened| matches!(opened, Ok(Opened::New(_)))).count();
    assert_eq!(new, 1, "{opens:?}");
    let settling = Payment { state: PaymentState::Settling, ..first.clone() };
    let moves = (0..32).map(|number| both[number % 2].advance(settling.clone()));
    let moves = join_all(moves).await;
    assert_eq!(moves.iter().filter(|moved| moved.is_ok()).count(), 1, "{moves:?}");

    let query = PaymentQuery { limit: 10, ..PaymentQuery::default() };
    let seen = theirs.payments(query.clone()).await.unwrap().items;
    assert_eq!(seen, ours.payments(query).await.unwrap().items);
    assert_eq!(theirs.due_payments(at(30), 10).await.unwrap().len(), 2);
    drop((ours, theirs));
    let third = open(&config).await;
    let found = third.payment(&first.key).await.unwrap().expect("it stays");
    assert_eq!((found.version, found.state), (2, PaymentState::Settling));
    assert_eq!(found.payload.as_str(), first.payload.as_str(), "what was signed stays as it came");
}

#[tokio::test]
async fn a_write_of_a_payment_whose_answer_is_lost_is_made_once() {
    let thief = thief().await;
    let mut config = config(&schema());
    config.url.clone_from(&thief.url);
    let store = open(&config).await;
    // So that the statements are prepared, and only their parameters go.
    let warm = opened(&store, "0x00").await;
    let warm = store.advance(warm).await.unwrap();
    assert!(store.withdraw(&warm.key, warm.version).await.unwrap());
    let steal = |piece: &[u8]| *thief.steal.lock().expect("no panic") = Some(piece.to_vec());
    let stolen = || thief.steal.lock().expect("no panic").is_none();

    steal(b"0xb/0x01");
    let payment = opened(&store, "0x01").await;
    assert!(stolen(), "the answer was stolen");
    let again = store.open(promised("0x01")).await.unwrap();
    assert_eq!(again, Opened::Taken(payment.clone()));

    steal(b"stolen advance");
    let error = Some("stolen advance".to_owned());
    let moved = store.advance(Payment { error, ..payment.clone() }).await.unwrap();
    assert!(stolen(), "the answer was stolen");
    assert_eq!(moved.version, 2);
    assert_eq!(store.payment(&moved.key).await.unwrap(), Some(moved.clone()));
    let refused = store.advance(payment).await;
    assert!(matches!(refused, Err(StorageError::PaymentConflict(_))), "{refused:?}");

    steal(b"0xb/0x01");
    assert!(store.withdraw(&moved.key, 2).await.unwrap());
    assert!(stolen(), "the answer was stolen");
    assert_eq!(store.payment(&moved.key).await.unwrap(), None);
}

#[tokio::test]
async fn a_database_from_before_payments_gets_them() {
    let config = config(&schema());
    drop(open(&config).await);
    let name = config.schema_name();
    let sql = format!(
        "DROP TABLE {name}.bindu_payments; \
         UPDATE {name}.bindu_meta SET value = '1' WHERE key = 'version'"
    );
    psql().await.batch_execute(&sql).await.expect("the past can be brought back");
    let report = check(&config).await.expect("a database can be looked at");
    assert!(!report.is_current());
    assert!(
        report.problems.iter().any(|it| it == "bindu_payments.payload is missing"),
        "{report:?}"
    );

    let store = open(&config).await;
    opened(&store, "0x01").await;
    let report = check(&config).await.expect("a database can be looked at");
    assert!(report.is_current() && report.version == Some(LAYOUT_VERSION), "{report:?}");
}
