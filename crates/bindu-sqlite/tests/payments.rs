//! What a file keeps of payments, beyond the rules of the seam.

use std::sync::Arc;

use bindu_protocol::{ContextId, Json, Owner, TaskId};
use bindu_sqlite::SqliteStore;
use bindu_storage::{
    Ledger, Opened, Payment, PaymentKey, PaymentQuery, PaymentState, Storage as _,
};
use rusqlite::Connection;

use crate::support::{at, born, config};

fn promised(nonce: &str) -> Payment {
    let json = |text: &str| -> Json { serde_json::from_str(text).expect("it is JSON") };
    Payment {
        key: PaymentKey::new("eip155:84532", "0xA", "0xB", nonce),
        version: 0,
        state: PaymentState::Required,
        task: TaskId::random(),
        owner: Owner::from(Some("alice".to_owned())),
        payload: json(r#"{"x402Version":  2, "n": 1e999}"#),
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

async fn opened(ledger: &SqliteStore, nonce: &str) -> Payment {
    match ledger.open(promised(nonce)).await.expect("a payment is opened") {
        Opened::New(payment) => payment,
        Opened::Taken(payment) => panic!("{} is taken", payment.key),
    }
}

#[tokio::test]
async fn payments_are_there_when_the_file_is_opened_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(config(&directory)).await.unwrap();
    let unknown = opened(&store, "1").await;
    let unknown = Payment {
        state: PaymentState::Unknown,
        receipt: Some(serde_json::from_str(r#"{"success":   false}"#).unwrap()),
        error: Some("no answer".to_owned()),
        attempts: 2,
        ..unknown
    };
    let unknown = store.advance(unknown).await.unwrap();
    let withdrawn = opened(&store, "2").await;
    assert!(store.withdraw(&withdrawn.key, 1).await.unwrap());
    drop(store);

    let store = SqliteStore::open(config(&directory)).await.unwrap();
    let found = store.payment(&unknown.key).await.unwrap();
    assert_eq!(found.as_ref(), Some(&unknown));
    let payload = found.map(|payment| payment.payload.as_str().to_owned());
    assert_eq!(payload.as_deref(), Some(unknown.payload.as_str()), "as it was written");
    assert_eq!(store.payment(&withdrawn.key).await.unwrap(), None);
    assert_eq!(store.due_payments(at(30), 9).await.unwrap(), std::slice::from_ref(&unknown));
    let again = Payment { task: TaskId::random(), ..promised("1") };
    assert_eq!(store.open(again).await.unwrap(), Opened::Taken(unknown));
}

#[tokio::test]
async fn a_payment_outlives_its_task() {
    let store = crate::support::fresh().await;
    let change = born("t", "hello", 0);
    let context: ContextId = change.task.context_id.clone();
    let payment = Payment { task: change.task.id.clone(), ..promised("1") };
    assert!(matches!(store.open(payment.clone()).await.unwrap(), Opened::New(_)));
    let born = store.commit(change).await.unwrap().record;
    let canceled = bindu_storage::EventBody::Status(bindu_protocol::TaskStatus::new(
        bindu_protocol::TaskState::Canceled,
        at(1),
    ));
    store.commit(crate::support::next(&born, 1, vec![canceled])).await.unwrap();
    store.clear_context(&context, &born.owner).await.unwrap();
    assert!(store.load(&payment.task).await.unwrap().is_none());
    assert_eq!(store.payments_of(&payment.task).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_file_from_before_payments_gets_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(config(&directory)).await.unwrap();
    let task = store.commit(born("t", "hello", 0)).await.unwrap().record;
    drop(store);
    let file = Connection::open(directory.path().join("tasks.db")).unwrap();
    file.execute_batch("DROP TABLE payments; PRAGMA user_version = 1;").unwrap();
    drop(file);

    let store = SqliteStore::open(config(&directory)).await.unwrap();
    assert_eq!(store.load(&task.task.id).await.unwrap(), Some(Arc::clone(&task)));
    let payment = opened(&store, "1").await;
    let page = store.payments(PaymentQuery { limit: 9, ..PaymentQuery::default() }).await.unwrap();
    assert_eq!(page.items, [payment]);
}
