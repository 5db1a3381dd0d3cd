//! What must hold of each authorization, whatever was killed.

use std::collections::{BTreeMap, BTreeSet};

use bindu_storage::PaymentState;
use serde_json::Value;

use super::books::Row;
use super::deal::{Deal, NETWORK, Way};
use super::payer::Paid;
use crate::crash::history::{Run, is_terminal};

/// What was found when all was over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// What the agents wrote down.
    pub(super) rows: &'a [Row],
    /// How each task is; null if nobody knows it.
    pub(super) ends: &'a BTreeMap<String, Value>,
    /// The runs, by text.
    pub(super) runs: &'a BTreeMap<String, Vec<Run>>,
    /// How often the money of a nonce moved.
    pub(super) moved: &'a BTreeMap<String, usize>,
    /// The texts of runs that began before their money moved.
    pub(super) early: &'a BTreeSet<String>,
}

impl<'a> Seen<'a> {
    pub(super) fn row(&self, deal: &Deal) -> Option<&'a Row> {
        self.rows.iter().find(|row| row.nonce == deal.nonce)
    }

    pub(super) fn has_moved(&self, deal: &Deal) -> bool {
        self.moved.contains_key(&deal.nonce)
    }

    fn state(&self, task: &str) -> Option<&'a str> {
        self.ends.get(task)?["status"]["state"].as_str()
    }
}

/// What does not hold of a deal, one line each; empty if all holds.
pub(super) fn check(deal: &Deal, paid: &[Paid], seen: &Seen<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    books(deal, seen, &mut problems);
    work(deal, paid, seen, &mut problems);
    tasks(deal, paid, seen, &mut problems);
    problems
}

/// The account agrees with the chain.
fn books(deal: &Deal, seen: &Seen<'_>, problems: &mut Vec<String>) {
    let times = seen.moved.get(&deal.nonce).copied().unwrap_or_default();
    if times > 1 {
        problems.push(format!("its money moved {times} times"));
    }
    if seen.rows.iter().filter(|row| row.nonce == deal.nonce).count() > 1 {
        problems.push("it is written down more than once".to_owned());
    }
    let Some(row) = seen.row(deal) else {
        if times > 0 {
            problems.push("its money moved, and it is not written down".to_owned());
        }
        return;
    };
    if row.is_open() {
        problems.push(format!("it is left open, and {}", row.state));
    }
    let allowed = match row.state {
        PaymentState::Delivered | PaymentState::Orphaned => times > 0,
        PaymentState::Failed => times == 0,
        // Whoever cannot learn it leaves it to a person. That may be only where nobody tells.
        PaymentState::Unknown if times > 0 => deal.kind.hides,
        PaymentState::Unknown => !deal.kind.can_move,
        _ => false,
    };
    if !allowed {
        let moved = if times > 0 { "moved" } else { "did not move" };
        problems.push(format!("its money {moved}, and it is {}", row.state));
    }
}

/// What was not paid was not done, and what was paid is done once, or is owed back.
fn work(deal: &Deal, paid: &[Paid], seen: &Seen<'_>, problems: &mut Vec<String>) {
    let row = seen.row(deal);
    for (copy, paid) in deal.copies.iter().zip(paid) {
        if seen.early.contains(&copy.text) {
            problems.push(format!("{} began before its money moved", copy.text));
        }
        let has_run = seen.runs.contains_key(&copy.text);
        if has_run && !row.is_some_and(|row| row.state.is_paid()) {
            problems.push(format!("{} ran, and was not paid for", copy.text));
        }
        // A task is heard of late, if at all.
        if has_run
            && let Some(row) = row
            && !paid.tasks.is_empty()
            && !paid.tasks.contains(&row.task)
        {
            problems.push(format!("{} ran, and {} was paid for", copy.text, row.task));
        }
    }
    let all: BTreeSet<&str> = paid
        .iter()
        .flat_map(|paid| paid.tasks.iter().map(String::as_str))
        .chain(row.map(|row| row.task.as_str()))
        .collect();
    let done: Vec<_> =
        all.iter().filter(|task| seen.state(task) == Some("completed")).copied().collect();
    if done.len() > 1 {
        problems.push(format!("two tasks are done for one payment: {}", done.join(" and ")));
    }
    let delivered = row.filter(|row| row.state == PaymentState::Delivered);
    for task in &done {
        if delivered.is_none_or(|row| row.task != *task) {
            problems.push(format!("{task} is done, and was not paid for"));
        }
    }
    if let Some(row) = delivered
        && !done.contains(&row.task.as_str())
    {
        problems.push(format!("{} counts as delivered, and is not done", row.task));
    }
    let owed = row.filter(|row| row.state == PaymentState::Orphaned);
    for (row, status) in delivered
        .map(|row| (row, "payment-completed"))
        .into_iter()
        .chain(owed.map(|row| (row, "payment-orphaned")))
    {
        if let Some(task) = seen.ends.get(&row.task).filter(|task| !task.is_null()) {
            says(deal, task, status, problems);
        }
    }
}

/// A task that was paid for says so, with all that a refund needs.
fn says(deal: &Deal, task: &Value, status: &str, problems: &mut Vec<String>) {
    let told = &task["metadata"];
    let is_nonce =
        |value: &Value| value.as_str().is_some_and(|nonce| nonce.eq_ignore_ascii_case(&deal.nonce));
    let receipts = told["x402.payment.receipts"].as_array();
    let has_receipt = receipts.is_some_and(|all| all.iter().any(|it| it["success"] == true));
    for (holds, what) in [
        (told["x402.payment.status"] == status, "status"),
        (is_nonce(&told["x402_nonce"]), "nonce"),
        (is_nonce(&told["x402_authorization"]["nonce"]), "authorization"),
        (told["x402_network"] == NETWORK, "network"),
        (has_receipt, "receipt"),
    ] {
        if !holds {
            let id = task["id"].as_str().unwrap_or_default();
            problems.push(format!("{id} should be {status}; its {what} is wrong: {told}"));
        }
    }
}

/// Whoever was told of a task finds it, and it is over or waits for him; and whoever paid well is
/// heard in the end.
fn tasks(deal: &Deal, paid: &[Paid], seen: &Seen<'_>, problems: &mut Vec<String>) {
    for task in paid.iter().flat_map(|paid| &paid.tasks) {
        match seen.state(task) {
            None => problems.push(format!("{task} is not there any more")),
            Some("input-required" | "auth-required" | "payment-required") => {}
            Some(state) if is_terminal(state) => {}
            Some(state) => problems.push(format!("{task} is {state} for ever")),
        }
    }
    let is_heard = paid.iter().any(|paid| paid.is_accepted);
    // Inside a task there are three tries, and a death may cost all of them.
    let must = deal.copies.iter().all(|copy| copy.way == Way::Header) && deal.kind.is_accepted;
    if must && !is_heard {
        let said: Vec<_> = paid.iter().map(|paid| paid.last.as_str()).collect();
        problems.push(format!("nobody takes it: {}", said.join(" | ")));
    }
    if is_heard && !deal.kind.is_accepted {
        problems.push("it was accepted".to_owned());
    }
}

#[cfg(test)]
mod tests;
