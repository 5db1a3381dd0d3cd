use std::collections::{BTreeMap, BTreeSet};

use bindu_storage::PaymentState;
use serde_json::{Value, json};

use super::{Seen, check};
use crate::crash::history::Run;
use crate::crash::money::books::Row;
use crate::crash::money::deal::{Copy, Deal, KINDS, NETWORK, Way};
use crate::crash::money::payer::Paid;

/// A deal whose nonce begins so, tried twice, and all that was found of it.
struct Found {
    deal: Deal,
    paid: Vec<Paid>,
    rows: Vec<Row>,
    ends: BTreeMap<String, Value>,
    runs: BTreeMap<String, Vec<Run>>,
    moved: BTreeMap<String, usize>,
    early: BTreeSet<String>,
}

impl Found {
    fn problems(&self) -> Vec<String> {
        let Self { deal, paid, rows, ends, runs, moved, early } = self;
        check(deal, paid, &Seen { rows, ends, runs, moved, early })
    }

    fn nonce(&self) -> String {
        self.deal.nonce.clone()
    }

    /// Does something to it, and looks whether it is noticed, in these words.
    fn notices(&self, words: &str, change: impl FnOnce(&mut Self)) {
        let mut changed = Self { deal: self.deal.clone(), paid: self.paid.clone(), ..found(self) };
        change(&mut changed);
        let problems = changed.problems();
        assert!(problems.iter().any(|it| it.contains(words)), "{words}: {problems:?}");
    }
}

fn found(of: &Found) -> Found {
    Found {
        deal: of.deal.clone(),
        paid: of.paid.clone(),
        rows: of.rows.clone(),
        ends: of.ends.clone(),
        runs: of.runs.clone(),
        moved: of.moved.clone(),
        early: of.early.clone(),
    }
}

fn task(id: &str, state: &str, status: &str, nonce: &str) -> Value {
    json!({ "id": id, "status": { "state": state }, "metadata": {
        "x402.payment.status": status, "x402_nonce": nonce.to_uppercase(),
        "x402_authorization": { "nonce": nonce }, "x402_network": NETWORK,
        "x402.payment.receipts": [{ "success": true }],
    } })
}

/// Paid twice at once; one was taken, ran, and is done.
fn delivered(prefix: &str) -> Found {
    let mut chance = fastrand::Rng::with_seed(1);
    let mut deal = Deal::new(0, 0, 9.0, &mut chance);
    deal.kind = KINDS.into_iter().find(|kind| kind.prefix == prefix).unwrap();
    let copy = |text: &str| Copy {
        text: text.to_owned(),
        way: Way::Header,
        task: String::new(),
        cancels: false,
    };
    deal.copies = vec![copy("a"), copy("b")];
    let nonce = deal.nonce.clone();
    let paid = Paid { tasks: vec!["t".to_owned()], is_accepted: true, ..Paid::default() };
    let row = Row {
        nonce: nonce.clone(),
        state: PaymentState::Delivered,
        task: "t".to_owned(),
        is_due: false,
        attempts: 1,
        error: None,
    };
    let run = Run { text: "a".to_owned(), pid: 7, start: 1.0, over: None };
    Found {
        paid: vec![paid, Paid::default()],
        rows: vec![row],
        ends: BTreeMap::from([("t".into(), task("t", "completed", "payment-completed", &nonce))]),
        runs: BTreeMap::from([("a".to_owned(), vec![run])]),
        moved: BTreeMap::from([(nonce, 1)]),
        early: BTreeSet::new(),
        deal,
    }
}

fn orphaned() -> Found {
    let mut found = delivered("00");
    found.rows[0].state = PaymentState::Orphaned;
    let told = task("t", "failed", "payment-orphaned", &found.nonce());
    found.ends.insert("t".to_owned(), told);
    found
}

/// Not paid, whatever for.
fn unpaid(prefix: &str, state: PaymentState) -> Found {
    let mut found = delivered(prefix);
    found.rows[0].state = state;
    found.moved.clear();
    found.runs.clear();
    let told = json!({ "id": "t", "status": { "state": "failed" }, "metadata": {} });
    found.ends.insert("t".to_owned(), told);
    found
}

#[test]
fn what_is_in_order_is_not_complained_of() {
    let none = Vec::<String>::new();
    assert_eq!(delivered("00").problems(), none);
    assert_eq!(orphaned().problems(), none);
    assert_eq!(unpaid("fa11", PaymentState::Failed).problems(), none);
    assert_eq!(unpaid("cdcd", PaymentState::Unknown).problems(), none);
    let mut hidden = unpaid("5e7799", PaymentState::Unknown);
    hidden.moved.insert(hidden.nonce(), 1);
    assert_eq!(hidden.problems(), none);
}

#[test]
fn books_that_do_not_agree_with_the_chain_are_noticed() {
    let good = delivered("00");
    good.notices("moved 2 times", |it| *it.moved.values_mut().next().unwrap() = 2);
    good.notices("not written down", |it| it.rows.clear());
    good.notices("more than once", |it| it.rows.push(it.rows[0].clone()));
    good.notices("did not move, and it is delivered", |it| it.moved.clear());
    for state in [PaymentState::Failed, PaymentState::Unknown, PaymentState::Settled] {
        good.notices(&format!("moved, and it is {state}"), |it| it.rows[0].state = state);
    }
    good.notices("left open", |it| {
        it.rows[0].state = PaymentState::Settling;
        it.rows[0].is_due = true;
    });
    orphaned().notices("did not move, and it is orphaned", |it| it.moved.clear());
    unpaid("00", PaymentState::Failed)
        .notices("did not move, and it is unknown", |it| it.rows[0].state = PaymentState::Unknown);
}

#[test]
fn free_work_is_noticed() {
    let good = delivered("00");
    good.notices("began before", |it| {
        it.early.insert("a".to_owned());
    });
    unpaid("fa11", PaymentState::Failed).notices("ran, and was not paid for", |it| {
        it.runs.insert("b".to_owned(), Vec::new());
    });
    good.notices("b ran, and t was paid for", |it| {
        it.runs.insert("b".to_owned(), Vec::new());
        it.paid[1].tasks.push("u".to_owned());
    });
    good.notices("two tasks are done", |it| {
        it.paid[1].tasks.push("u".to_owned());
        it.ends.insert("u".to_owned(), it.ends["t"].clone());
    });
    unpaid("fa11", PaymentState::Failed).notices("done, and was not paid for", |it| {
        it.ends.get_mut("t").unwrap()["status"]["state"] = "completed".into();
    });
    good.notices("delivered, and is not done", |it| {
        it.ends.get_mut("t").unwrap()["status"]["state"] = "failed".into();
    });
}

#[test]
fn a_refund_without_its_data_is_noticed() {
    for found in [orphaned(), delivered("00")] {
        for member in [
            "x402.payment.status",
            "x402_nonce",
            "x402_authorization",
            "x402_network",
            "x402.payment.receipts",
        ] {
            found.notices("is wrong", |it| {
                it.ends.get_mut("t").unwrap()["metadata"].as_object_mut().unwrap().remove(member);
            });
        }
    }
}

#[test]
fn payers_who_are_not_heard_are_noticed() {
    let good = delivered("00");
    good.notices("not there any more", |it| it.ends.clear());
    good.notices("submitted for ever", |it| {
        it.ends.get_mut("t").unwrap()["status"]["state"] = "submitted".into();
    });
    unpaid("00", PaymentState::Failed)
        .notices("nobody takes it", |it| it.paid[0].is_accepted = false);
    unpaid("bad0", PaymentState::Failed).notices("it was accepted", |_| {});
}
