//! What the callers did and saw.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

/// How many problems are told in full.
const TOLD: usize = 5;

/// What the callers did and saw.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<&'static str, u64>,
    problems: u64,
    told: Vec<String>,
    /// Tasks that the agent said it had accepted. Sixteen bytes each: the memory of the soak is
    /// the memory of the agent's process.
    accepted: Vec<Uuid>,
    slowest: BTreeMap<&'static str, Duration>,
    unhealthy: u64,
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was done.
    pub(super) fn did(&self, what: &'static str) {
        *self.lock().counts.entry(what).or_default() += 1;
    }

    /// Something was done as it should, or not.
    pub(super) fn note(&self, what: &'static str, done: Result<(), String>) {
        match done {
            Ok(()) => self.did(what),
            Err(problem) => self.problem(format!("{what}: {problem}")),
        }
    }

    /// Something took so long.
    pub(super) fn took(&self, what: &'static str, time: Duration) {
        let mut inner = self.lock();
        let slowest = inner.slowest.entry(what).or_default();
        *slowest = time.max(*slowest);
    }

    pub(super) fn slowest(&self, what: &str) -> Duration {
        self.lock().slowest.get(what).copied().unwrap_or_default()
    }

    /// A caller did not get what it should have got.
    pub(super) fn problem(&self, what: String) {
        let mut inner = self.lock();
        inner.problems += 1;
        if inner.told.len() < TOLD {
            inner.told.push(what);
        }
    }

    /// `/healthz` did not say 200.
    pub(super) fn unhealthy(&self, what: String) {
        self.lock().unhealthy += 1;
        self.problem(what);
    }

    pub(super) fn accepted(&self, task: Uuid) {
        self.lock().accepted.push(task);
    }

    pub(super) fn take_accepted(&self) -> Vec<Uuid> {
        std::mem::take(&mut self.lock().accepted)
    }

    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        let counts = &self.lock().counts;
        counts.iter().map(|(what, times)| ((*what).to_owned(), *times)).collect()
    }

    pub(super) fn count(&self, what: &str) -> u64 {
        self.lock().counts.get(what).copied().unwrap_or(0)
    }

    pub(super) fn problems(&self) -> (u64, Vec<String>) {
        let inner = self.lock();
        (inner.problems, inner.told.clone())
    }

    pub(super) fn times_unhealthy(&self) -> u64 {
        self.lock().unhealthy
    }
}
