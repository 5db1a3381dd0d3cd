//! Many seeds, on as many threads as wanted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{Report, run};

/// A seed that found something once; it always runs.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// What it is called.
    pub name: &'static str,
    /// The seed.
    pub seed: u64,
    /// What it found.
    pub found: &'static str,
}

/// The seeds that found something once. A change of what a seed decides gives them other histories:
/// then seeds that find the same in an engine without the fix take their place.
pub const NAMED: &[Named] = &[
    Named {
        name: "looked-for-before-it-was-there",
        seed: 31,
        found: "a blocking send was told that its task is not there, since another look at the task \
                came before the task was stored",
    },
    Named {
        name: "past-not-readable",
        seed: 35,
        found: "a store that failed while the conversation was read failed the task for good",
    },
    Named {
        name: "chunk-without-answer",
        seed: 1,
        found: "a streaming handler outlived its lease while a chunk was being stored",
    },
    Named {
        name: "given-back-untold",
        seed: 938,
        found: "a webhook set during a run did not hear that the run was given back; and of two \
                that raced for one task in one process, the winner could not be canceled",
    },
    Named {
        name: "hint-before-claim",
        seed: 202,
        found: "the hint of another replica stopped a run whose claim was just being stored",
    },
    Named {
        name: "written-and-denied",
        seed: 20_348,
        found: "with a store of one process, a stream never heard of a write that the store had made \
                and then reported as failed",
    },
];

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Totals {
    /// How many seeds ran.
    pub seeds: u64,
    /// How many tasks there were in all.
    pub tasks: u64,
    /// How many steps there were in all.
    pub steps: u64,
    /// The reports of the seeds for which something did not hold, at most as many as were wanted.
    pub failed: Vec<Report>,
}

/// Runs `count` seeds from `first` on, on `jobs` threads, and stops after `enough` that failed.
/// `done` hears how many have run, now and then.
///
/// # Panics
///
/// If a simulation does.
#[must_use]
pub fn many(
    first: u64,
    count: u64,
    jobs: usize,
    enough: usize,
    done: impl Fn(u64) + Sync,
) -> Totals {
    let totals = Mutex::new(Totals::default());
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let report = run(first + number, false);
                    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                    totals.seeds += 1;
                    totals.tasks += report.tasks as u64;
                    totals.steps += report.steps;
                    if !report.problems.is_empty() {
                        totals.failed.push(report);
                        if totals.failed.len() >= enough {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                    if totals.seeds.is_multiple_of(1_000) {
                        done(totals.seeds);
                    }
                }
            });
        }
    });
    totals.into_inner().unwrap_or_else(PoisonError::into_inner)
}
