//! What is told of rounds with money.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

use bindu_storage::PaymentState;
use serde_json::Value;

use super::check::Seen;
use super::deal::Deal;
use super::payer::Paid;
use super::storm::Blow;
use crate::crash::Backends;

/// What was paid, and what did not hold.
#[derive(Debug)]
pub struct Told {
    backends: Backends,
    violations: Vec<String>,
    blows: BTreeMap<Blow, usize>,
    counts: BTreeMap<&'static str, usize>,
    /// By the beginning of the nonce: how many, how many moved, and how they ended.
    kinds: BTreeMap<&'static str, (usize, usize, BTreeMap<&'static str, usize>)>,
    /// Where the logs were left, if something did not hold.
    pub evidence: Option<PathBuf>,
}

impl Told {
    pub(super) fn new(backends: Backends) -> Self {
        Self {
            backends,
            violations: Vec::new(),
            blows: BTreeMap::new(),
            counts: BTreeMap::new(),
            kinds: BTreeMap::new(),
            evidence: None,
        }
    }

    pub(super) fn backends(&self) -> &'static str {
        self.backends.name()
    }

    /// How many payments have something wrong with them.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.violations.len()
    }

    pub(super) fn round(&mut self, blows: &[Blow]) {
        for blow in blows {
            *self.blows.entry(*blow).or_default() += 1;
        }
    }

    fn count(&mut self, what: &'static str, times: usize) {
        *self.counts.entry(what).or_default() += times;
    }

    /// Counts a payment that was checked; keeps its whole story if something does not hold.
    pub(super) fn deal(
        &mut self,
        deal: &Deal,
        paid: &[Paid],
        seen: &Seen<'_>,
        problems: &[String],
    ) {
        let row = seen.row(deal);
        let has_moved = seen.has_moved(deal);
        let state = row.map_or("not written down", |row| row.state.as_str());
        let (all, moved, states) = self.kinds.entry(deal.kind.prefix).or_default();
        *all += 1;
        *moved += usize::from(has_moved);
        *states.entry(state).or_default() += 1;
        let is = |wanted: PaymentState| row.is_some_and(|row| row.state == wanted);
        self.count("authorizations", 1);
        self.count("used twice at once", usize::from(deal.copies.len() > 1));
        self.count("messages sent", paid.iter().map(|paid| paid.sends).sum());
        self.count("paid on the chain", usize::from(has_moved));
        self.count("delivered", usize::from(is(PaymentState::Delivered)));
        self.count("orphaned", usize::from(is(PaymentState::Orphaned)));
        self.count("paid, and not known", usize::from(has_moved && is(PaymentState::Unknown)));
        self.count("attempts to settle", row.map_or(0, |row| row.attempts as usize));
        self.count("canceled by the payer", paid.iter().filter(|paid| paid.has_canceled).count());
        let runs = deal.copies.iter().filter_map(|copy| seen.runs.get(&copy.text));
        self.count("runs", runs.map(Vec::len).sum());
        if problems.is_empty() {
            return;
        }
        let mut story = format!("{}\n  {deal:?}\n", problems.join("\n"));
        for paid in paid {
            let _ = writeln!(story, "  {paid:?}");
            for task in &paid.tasks {
                let end = seen.ends.get(task).unwrap_or(&Value::Null);
                let _ = writeln!(story, "  {task}: {end}");
            }
        }
        let _ = writeln!(story, "  moved: {has_moved}, written down: {row:?}");
        for run in deal.copies.iter().filter_map(|copy| seen.runs.get(&copy.text)).flatten() {
            let _ = writeln!(story, "{run}");
        }
        self.violations.push(story);
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "\nVIOLATION: {violation}")?;
        }
        writeln!(f, "with money, {}", self.backends.name())?;
        for (what, times) in &self.counts {
            writeln!(f, "{what:<28}{times:>9}")?;
        }
        for (blow, times) in &self.blows {
            writeln!(f, "{blow:<28}{times:>9}")?;
        }
        writeln!(f, "{:<28}{:>9}{:>9}  written down as", "nonce", "all", "moved")?;
        for (prefix, (all, moved, states)) in &self.kinds {
            let states: Vec<_> =
                states.iter().map(|(state, times)| format!("{times} {state}")).collect();
            writeln!(f, "0x{prefix:<26}{all:>9}{moved:>9}  {}", states.join(", "))?;
        }
        if let Some(evidence) = &self.evidence {
            writeln!(f, "the logs are in {}", evidence.display())?;
        }
        write!(f, "{} violations", self.failed())
    }
}
