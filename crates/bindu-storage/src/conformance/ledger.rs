//! The rules of [`Ledger`].

use bindu_protocol::{Json, Owner, TaskId};
use futures_util::future::join_all;

use super::fixture::{at, done, owner, refused, rule, same};
use crate::{Ledger, Opened, Payment, PaymentKey, PaymentQuery, PaymentState, StorageError};

/// The key of a nonce.
fn key(nonce: &str) -> PaymentKey {
    PaymentKey::new(
        "eip155:84532",
        "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        "0x857b06519E91e3A54538791bDbb0E22373e36b66",
        nonce,
    )
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).expect("the cases' JSON is JSON")
}

/// A payment that is being verified.
fn promised(nonce: &str, task: &TaskId, second: i64) -> Payment {
    Payment {
        key: key(nonce),
        version: 0,
        state: PaymentState::Required,
        task: task.clone(),
        owner: owner("alice"),
        payload: json(&format!(r#"{{"x402Version": 2, "payload": {{"nonce": "{nonce}"}}}}"#)),
        requirements: json(r#"{"scheme": "exact", "amount": "10000"}"#),
        receipt: None,
        error: None,
        attempts: 0,
        expires: at(second + 60),
        due: Some(at(second + 30)),
        created: at(second),
        updated: at(second),
    }
}

/// Opens a payment of a task of its own.
async fn opened(ledger: &dyn Ledger, nonce: &str, second: i64) -> Payment {
    open(ledger, promised(nonce, &TaskId::random(), second)).await
}

async fn open(ledger: &dyn Ledger, payment: Payment) -> Payment {
    match done!(ledger.open(payment).await, "a payment can be opened") {
        Opened::New(payment) => payment,
        Opened::Taken(other) => panic!("rule broken: a new key is not taken; it is: {other:?}"),
    }
}

async fn advance(ledger: &dyn Ledger, payment: Payment) -> Payment {
    done!(ledger.advance(payment).await, "a payment can be advanced from its version")
}

async fn read(ledger: &dyn Ledger, key: &PaymentKey) -> Option<Payment> {
    done!(ledger.payment(key).await, "a payment can be read")
}

async fn due(ledger: &dyn Ledger, second: i64, limit: usize) -> Vec<PaymentKey> {
    let due = done!(ledger.due_payments(at(second), limit).await, "due payments can be read");
    due.into_iter().map(|payment| payment.key).collect()
}

/// Reads a list to its end, in pages.
async fn all(ledger: &dyn Ledger, state: Option<PaymentState>, limit: usize) -> Vec<PaymentKey> {
    let mut found = Vec::new();
    let mut query = PaymentQuery { state, after: None, limit };
    // A list that never ends breaks a rule too.
    for _ in 0..1_000 {
        let page = done!(ledger.payments(query.clone()).await, "payments can be listed");
        rule!(page.items.len() <= limit, "a page is not longer than asked for");
        rule!(
            page.items.iter().all(|payment| state.is_none_or(|state| payment.state == state)),
            "a list of one state has no other"
        );
        found.extend(page.items.into_iter().map(|payment| payment.key));
        match page.next {
            None => return found,
            next => query.after = next,
        }
    }
    panic!("rule broken: a list of payments ends");
}

/// A key is opened once; who comes later is told what is there, which stays as it is.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_payment_is_opened_once(ledger: &dyn Ledger) {
    same!(read(ledger, &key("0x01")).await, None, "what is not there is not found");
    let first = Payment { version: 17, ..promised("0x01", &TaskId::random(), 0) };
    let there = open(ledger, first.clone()).await;
    same!(there, Payment { version: 1, ..first }, "an opened payment is at version 1");
    same!(read(ledger, &there.key).await, Some(there.clone()), "an opened payment can be read");

    let second = promised("0x01", &TaskId::random(), 5);
    let again = done!(ledger.open(second.clone()).await, "a key that is taken is no error");
    same!(again, Opened::Taken(there.clone()), "a key that is taken comes with what is there");
    let verified = Payment { state: PaymentState::Verified, ..there };
    let verified = advance(ledger, verified).await;
    let again = done!(ledger.open(second).await, "a key that is taken is no error");
    same!(again, Opened::Taken(verified.clone()), "and with how it stands now");
    same!(read(ledger, &verified.key).await, Some(verified), "which stays as it is");

    rule!(
        matches!(
            ledger.open(promised("0x02", &TaskId::random(), 6)).await,
            Ok(Opened::New(Payment { version: 1, .. }))
        ),
        "another nonce is another payment"
    );
}

/// Of 32 that open one key at once, one does, and the others see its payment.
///
/// # Panics
///
/// If the rule is broken.
pub async fn one_of_many_opens_a_payment(ledger: &dyn Ledger) {
    for nonce in ["0x0a", "0x0b", "0x0c"] {
        let wanted: Vec<_> = (0..32).map(|_| promised(nonce, &TaskId::random(), 0)).collect();
        let asked = join_all(wanted.into_iter().map(|payment| ledger.open(payment))).await;
        let mut new = Vec::new();
        let mut taken = Vec::new();
        for answer in asked {
            match done!(answer, "a payment can be opened") {
                Opened::New(payment) => new.push(payment),
                Opened::Taken(payment) => taken.push(payment),
            }
        }
        same!((new.len(), taken.len()), (1, 31), "of 32 at once one opens a payment");
        rule!(taken.iter().all(|seen| *seen == new[0]), "and the others see that one");
        same!(read(ledger, &key(nonce)).await.as_ref(), new.first(), "which is what is kept");
    }
}

/// A payment is replaced from the version that it is at, and from no other.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_payment_is_compared_and_set(ledger: &dyn Ledger) {
    let nowhere = promised("0xff", &TaskId::random(), 0);
    for version in [0, 1] {
        let nowhere = Payment { version, ..nowhere.clone() };
        refused!(
            ledger.advance(nowhere).await,
            StorageError::PaymentConflict(_),
            "what is not there cannot be advanced"
        );
    }
    same!(read(ledger, &nowhere.key).await, None, "nor is it there afterwards");

    let first = opened(ledger, "0x01", 0).await;
    let beside = opened(ledger, "0x02", 0).await;
    let next = Payment { state: PaymentState::Verified, updated: at(1), ..first.clone() };
    let second = advance(ledger, next.clone()).await;
    same!(second, Payment { version: 2, ..next.clone() }, "an advanced payment is one further");
    same!(read(ledger, &first.key).await, Some(second.clone()), "and kept as it was given");
    for version in [0, 1, 3, u64::MAX] {
        let stale = Payment { version, state: PaymentState::Failed, ..next.clone() };
        match ledger.advance(stale).await {
            Err(StorageError::PaymentConflict(named)) => {
                same!(named, first.key, "a conflict names the payment");
            }
            other => panic!("rule broken: version {version} of 2 is refused; it was: {other:?}"),
        }
    }
    same!(read(ledger, &first.key).await, Some(second.clone()), "a conflict writes nothing");
    let third = advance(ledger, second.clone()).await;
    same!(third, Payment { version: 3, ..second }, "writing the same again is writing");
    same!(read(ledger, &beside.key).await, Some(beside), "payments do not disturb each other");
}

/// Of 32 writers of one payment at once, one wins each version; those that try again all get
/// their turn.
///
/// # Panics
///
/// If the rule is broken.
pub async fn one_of_many_advances_a_payment(ledger: &dyn Ledger) {
    let there = opened(ledger, "0x01", 0).await;
    let write = async |from: Payment, writer: u32| {
        let wanted = Payment { attempts: writer, error: Some(format!("{writer}")), ..from };
        ledger.advance(wanted).await
    };
    let answers = join_all((0..32).map(|writer| write(there.clone(), writer))).await;
    let mut won = Vec::new();
    for answer in answers {
        match answer {
            Ok(payment) => won.push(payment),
            Err(StorageError::PaymentConflict(_)) => {}
            Err(error) => panic!("rule broken: of many writers one wins; one got {error:?}"),
        }
    }
    same!(won.len(), 1, "of 32 writers of one version one wins");
    same!(read(ledger, &there.key).await.as_ref(), won.first(), "what the winner wrote is kept");

    let insist = async |writer: u32| {
        loop {
            let Some(now) = read(ledger, &there.key).await else {
                panic!("rule broken: an advanced payment is there")
            };
            match write(now, writer).await {
                Ok(payment) => return payment.version,
                Err(StorageError::PaymentConflict(_)) => {}
                Err(error) => panic!("rule broken: a writer wins or conflicts, not {error:?}"),
            }
        }
    };
    let mut versions = join_all((0..32).map(insist)).await;
    versions.sort_unstable();
    rule!(versions.iter().copied().eq(3..35), "each version is won once; they were {versions:?}");
}

/// A payment is withdrawn from the version that it is at, and its key can then be opened again.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_withdrawn_payment_was_never_there(ledger: &dyn Ledger) {
    let task = TaskId::random();
    let withdraw = async |key: &PaymentKey, version: u64| {
        done!(ledger.withdraw(key, version).await, "a payment can be withdrawn")
    };
    rule!(!withdraw(&key("0x01"), 1).await, "what is not there is not withdrawn");
    let first = open(ledger, promised("0x01", &task, 0)).await;
    let beside = open(ledger, promised("0x02", &task, 1)).await;
    let second = advance(ledger, first.clone()).await;
    for version in [0, 1, 3, u64::MAX] {
        rule!(!withdraw(&first.key, version).await, "version {version} of 2 is not withdrawn");
    }
    same!(read(ledger, &first.key).await, Some(second), "and it stays as it is");
    rule!(withdraw(&first.key, 2).await, "what is at the version is withdrawn");
    rule!(!withdraw(&first.key, 2).await, "once");
    same!(read(ledger, &first.key).await, None, "what was withdrawn is not there");
    let of_task = done!(ledger.payments_of(&task).await, "a task's payments can be read");
    same!(of_task, std::slice::from_ref(&beside), "nor among those of its task");
    same!(all(ledger, None, 10).await, std::slice::from_ref(&beside.key), "nor in lists");
    same!(due(ledger, 1_000, 10).await, std::slice::from_ref(&beside.key), "nor is it due");
    refused!(
        ledger.advance(Payment { version: 2, ..first }).await,
        StorageError::PaymentConflict(_),
        "what was withdrawn cannot be advanced"
    );
    let again = open(ledger, promised("0x01", &TaskId::random(), 9)).await;
    same!(read(ledger, &again.key).await, Some(again), "the same key can come again");

    // One takes it out, others want to go on with it.
    let there = opened(ledger, "0x03", 0).await;
    let gone = ledger.withdraw(&there.key, there.version);
    let moved = join_all((0..10).map(|_| ledger.advance(there.clone())));
    let (gone, moved) = futures_util::join!(gone, moved);
    let won = moved.iter().filter(|moved| moved.is_ok()).count();
    let gone = done!(gone, "a payment can be withdrawn");
    same!(usize::from(gone) + won, 1, "a payment is withdrawn or moves on, not both");
    same!(read(ledger, &there.key).await.is_none(), gone, "and is there or not accordingly");
}

/// Whatever a payment holds comes back, in every state.
///
/// # Panics
///
/// If the rule is broken.
pub async fn every_field_of_a_payment_comes_back(ledger: &dyn Ledger) {
    let odd = r#"{ "a":1.50, "z" : 12345678901234567890123,
        "escaped": "\u0000\ud83d\ude00\/", "list": [null, true, {}] }"#;
    for (number, state) in PaymentState::ALL.into_iter().enumerate() {
        let nonce = format!("0x{number:064x}");
        let second = i64::try_from(number).unwrap_or_default();
        let mut payment = opened(ledger, &nonce, second).await;
        for (owner, task) in [(Owner::nobody(), "order/17"), (owner("größe"), "x")] {
            payment = Payment {
                state,
                owner,
                task: task.parse().expect("the cases' ids are ids"),
                payload: json(odd),
                requirements: json(
                    r#"{"amount": "115792089237316195423570985008687907853269984665640564039457584007913129639935"}"#,
                ),
                receipt: Some(json(
                    r#"{"success": true, "errorReason": null, "transaction": "0xab"}"#,
                )),
                error: Some("he said \"no\",\n\u{1F600}".to_owned()),
                attempts: u32::MAX,
                expires: at(-5_000_000_000),
                due: Some(at(9_000_000)),
                created: at(second + 1),
                updated: at(77),
                ..payment
            };
            let kept = advance(ledger, payment.clone()).await;
            payment.version += 1;
            same!(kept, payment, "a payment in {state} comes back from its writing");
            let found = read(ledger, &payment.key).await;
            same!(found, Some(payment.clone()), "a payment in {state} comes back");
            let page = PaymentQuery { state: Some(state), after: None, limit: 10 };
            let page = done!(ledger.payments(page).await, "payments can be listed");
            same!(page.items, std::slice::from_ref(&payment), "it comes back in lists too");
        }
        let bare = Payment { receipt: None, error: None, due: None, ..payment };
        let kept = advance(ledger, bare).await;
        same!(read(ledger, &kept.key).await, Some(kept), "what was taken away is away");
    }
}

/// A payment of a megabyte comes back.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_large_payment_comes_back(ledger: &dyn Ledger) {
    let text = "x".repeat(1 << 20);
    let mut payment = promised("0x01", &TaskId::random(), 0);
    payment.payload = json(&format!(r#"{{"extensions": ["{text}"]}}"#));
    let there = open(ledger, payment).await;
    let receipt = Some(json(&format!(r#"{{"extra": "{text}"}}"#)));
    let error = Some(text);
    let next = advance(ledger, Payment { receipt, error, ..there }).await;
    same!(read(ledger, &next.key).await.as_ref() == Some(&next), true, "large payments come back");
}

/// The payments for a task are found by it, oldest first, and by no other.
///
/// # Panics
///
/// If the rule is broken.
pub async fn payments_are_found_by_their_task(ledger: &dyn Ledger) {
    // The second differs from the first in case: ids are opaque.
    let tasks = ["6f9619ff-8b86-4011-b42d-00cf4fc964ff", "6F9619FF-8B86-4011-B42D-00CF4FC964FF"];
    let tasks = tasks.map(|id| id.parse::<TaskId>().expect("the cases' ids are ids"));
    let of = async |task: &TaskId| {
        done!(ledger.payments_of(task).await, "a task's payments can be read")
    };
    same!(of(&tasks[0]).await, [], "a task without payments has none");
    let mut made = Vec::new();
    for (nonce, second) in [("0x02", 20), ("0x01", 30), ("0x03", 10)] {
        made.push(open(ledger, promised(nonce, &tasks[0], second)).await);
    }
    let other = open(ledger, promised("0x04", &tasks[1], 0)).await;
    made.sort_by_key(|payment| payment.created);
    same!(of(&tasks[0]).await, made, "a task's payments come oldest first");
    // A change does not move it.
    made[0] = advance(ledger, Payment { updated: at(99), ..made[0].clone() }).await;
    same!(of(&tasks[0]).await, made, "in the order of their opening");
    same!(of(&tasks[1]).await, std::slice::from_ref(&other), "and none of another task");
}

/// What is due is found, the longest due first, and only what is due.
///
/// # Panics
///
/// If the rule is broken.
pub async fn due_payments_are_found(ledger: &dyn Ledger) {
    same!(due(ledger, 1_000_000, 10).await, [], "an empty ledger has nothing due");
    let mut made = Vec::new();
    for (nonce, second) in [("0x01", 40), ("0x02", 10), ("0x03", 30), ("0x04", 20)] {
        let payment = promised(nonce, &TaskId::random(), 0);
        made.push(open(ledger, Payment { due: Some(at(second)), ..payment }).await);
    }
    let keys = |places: &[usize]| places.iter().map(|at| made[*at].key.clone()).collect::<Vec<_>>();
    same!(due(ledger, 9, 10).await, [], "what is not due yet is not found");
    same!(due(ledger, 10, 10).await, keys(&[1]), "what is due at the moment is found");
    same!(due(ledger, 39, 10).await, keys(&[1, 3, 2]), "the longest due comes first");
    same!(due(ledger, 99, usize::MAX).await, keys(&[1, 3, 2, 0]), "all that is due is found");
    same!(due(ledger, 99, 2).await, keys(&[1, 3]), "at most as many as asked for");
    same!(due(ledger, 99, 0).await, [], "none if none is asked for");
    let found = done!(ledger.due_payments(at(99), 1).await, "due payments can be read");
    same!(found, std::slice::from_ref(&made[1]), "due payments come whole");

    let later = Payment { due: Some(at(50)), ..made[1].clone() };
    advance(ledger, later).await;
    let never = Payment { due: None, ..made[3].clone() };
    advance(ledger, never).await;
    same!(due(ledger, 99, 10).await, keys(&[2, 0, 1]), "what was put off comes later");

    let same_time = |nonce| Payment { due: Some(at(5)), ..promised(nonce, &TaskId::random(), 0) };
    for nonce in ["0x05", "0x06", "0x07"] {
        open(ledger, same_time(nonce)).await;
    }
    let mut found = due(ledger, 5, 10).await;
    found.sort_unstable();
    same!(found, ["0x05", "0x06", "0x07"].map(key), "all that became due at once are found");
}

/// Payments are listed newest first, all or those in a state, and pages repeat and skip none.
///
/// # Panics
///
/// If the rule is broken.
pub async fn payments_are_listed_newest_first(ledger: &dyn Ledger) {
    same!(all(ledger, None, 10).await, [], "an empty ledger lists nothing");
    let mut newest = Vec::new();
    for number in 0..9_u32 {
        // Three of each moment.
        let second = i64::from(number / 3);
        let payment = opened(ledger, &format!("0x{number:02x}"), second).await;
        let state = if number % 2 == 0 { PaymentState::Verified } else { PaymentState::Failed };
        newest.push(advance(ledger, Payment { state, updated: at(100), ..payment }).await);
    }
    newest.sort_by(|a, b| (b.created, &b.key).cmp(&(a.created, &a.key)));
    let keys = |state: Option<PaymentState>| {
        let listed = newest.iter().filter(|it| state.is_none_or(|state| it.state == state));
        listed.map(|payment| payment.key.clone()).collect::<Vec<_>>()
    };
    for limit in [1, 2, 3, 4, 9, 100, usize::MAX] {
        for state in [None, Some(PaymentState::Verified), Some(PaymentState::Failed)] {
            same!(all(ledger, state, limit).await, keys(state), "lists are whole and in order");
        }
        same!(all(ledger, Some(PaymentState::Unknown), limit).await, [], "or empty");
    }
    let page = async |limit, after: Option<String>| {
        let query = PaymentQuery { state: None, after, limit };
        done!(ledger.payments(query).await, "payments can be listed")
    };
    same!(page(9, None).await.next, None, "a page that ends the list has no cursor");
    let none = page(0, None).await;
    same!((none.items.len(), none.next), (0, None), "of nothing there is nothing");
    let whole = page(9, None).await.items;
    same!(whole, newest, "payments are listed whole");

    // A list goes on where it was, whatever came and moved meanwhile.
    let first = page(4, None).await;
    rule!(first.next.is_some(), "a page that does not end the list has a cursor");
    opened(ledger, "0xaa", 50).await;
    advance(ledger, newest[8].clone()).await;
    done!(ledger.withdraw(&newest[3].key, newest[3].version).await, "one can be withdrawn");
    let rest = page(9, first.next).await;
    let found: Vec<_> = first.items.iter().chain(&rest.items).map(|it| it.key.clone()).collect();
    same!(found, keys(None), "pages neither repeat nor skip");
}

/// A cursor that the ledger did not make is refused.
///
/// # Panics
///
/// If the rule is broken.
pub async fn wrong_cursors_of_payments_are_refused(ledger: &dyn Ledger) {
    opened(ledger, "0x01", 0).await;
    for wrong in ["", " ", ".", "1", "nonsense", "0x01", "1.", ".a/b/c/d", "x.a/b/c/d", "1.a/b/c"] {
        let query = PaymentQuery { state: None, after: Some(wrong.to_owned()), limit: 1 };
        refused!(
            ledger.payments(query).await,
            StorageError::BadCursor,
            "the cursor {wrong:?} is refused"
        );
    }
}

/// Runs every case of a [`Ledger`], each with one that `fresh` makes for it.
///
/// # Panics
///
/// If a rule is broken; the message says which.
pub async fn run_ledger<F, Fut, L>(fresh: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = L>,
    L: Ledger,
{
    macro_rules! all {
        ($fresh:ident: $($case:ident)*) => {$( $case(&$fresh().await).await; )*};
    }
    crate::for_each_ledger_case!(all! fresh);
}

/// Makes a test of every rule of [`Ledger`](crate::Ledger): one `#[tokio::test]` per case.
///
/// Takes the path of an async function without arguments that makes an empty ledger. See
/// [`conformance`](crate::conformance).
#[macro_export]
macro_rules! ledger_tests {
    ($fresh:path) => {
        mod ledger_conformance {
            #[allow(unused_imports, reason = "a path may be absolute")]
            use super::*;

            $crate::for_each_ledger_case!($crate::conformance_test! $fresh);
        }
    };
}

/// The list of cases.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_ledger_case {
    ($($then:tt)::+ ! $($given:tt)*) => { $($then)::+ ! { $($given)*:
        a_payment_is_opened_once
        one_of_many_opens_a_payment
        a_payment_is_compared_and_set
        one_of_many_advances_a_payment
        a_withdrawn_payment_was_never_there
        every_field_of_a_payment_comes_back
        a_large_payment_comes_back
        payments_are_found_by_their_task
        due_payments_are_found
        payments_are_listed_newest_first
        wrong_cursors_of_payments_are_refused
    } };
}
