//! What a seed decides before anything begins.

use std::time::Duration;

use super::fault::{Op, Rates};

/// How jobs get to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// One queue, which all replicas share, beside the store.
    Shared,
    /// One in each replica, which ends with it.
    Own,
    /// The store's outbox.
    Outbox,
}

/// What a seed decides before anything begins.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) replicas: usize,
    pub(super) queue: Queue,
    pub(super) lease: Duration,
    pub(super) heartbeat: Duration,
    pub(super) requeue_after: Duration,
    pub(super) visibility: Duration,
    pub(super) max_attempts: u32,
    pub(super) fails_on_crash: bool,
    pub(super) slots: usize,
    pub(super) context_history: bool,
    pub(super) stream_backlog: usize,
    /// How long a call takes that nothing is wrong with, in milliseconds at most.
    pub(super) pace: u64,
    pub(super) rates: Rates,
    /// How many of the hints between replicas get lost.
    pub(super) deaf: f64,
    /// How long a hint takes, in milliseconds at most.
    pub(super) hint_delay: u64,
    /// By how much the replicas' clocks are off, in milliseconds.
    pub(super) skew: Vec<i64>,
    /// How long after one misfortune the next comes, on average; `None` for never.
    pub(super) misfortune: Option<Duration>,
    pub(super) flushes: bool,
    /// How many jobs come twice.
    pub(super) twice: f64,
    /// How many tasks are canceled early.
    pub(super) canceled: f64,
    /// How many of the attempts that reach a receiver fail.
    pub(super) receiver_fails: f64,
    pub(super) clients: usize,
    pub(super) talks: usize,
    /// How many calls a caller gives up early.
    pub(super) impatient: f64,
    /// How long there is trouble.
    pub(super) trouble: Duration,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        // Apart from the chance that rules the run, so that a plan may be changed by hand.
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x0070_6c61_6e00);
        let lease = Duration::from_secs(*rng.choice(&[3, 6, 6, 12]).unwrap_or(&6));
        let replicas = *rng.choice(&[1, 2, 2, 3, 3]).unwrap_or(&2);
        // Clocks agree to within a third of the lease.
        let off = i64::try_from(lease.as_millis() / 6).unwrap_or_default() - 50;
        let skewed = rng.bool();
        let skew: Vec<_> =
            (0..replicas).map(|_| if skewed { rng.i64(-off..=off) } else { 0 }).collect();
        Self {
            replicas,
            queue: *rng
                .choice(&[Queue::Shared, Queue::Shared, Queue::Own, Queue::Outbox])
                .unwrap_or(&Queue::Shared),
            heartbeat: lease / 3,
            requeue_after: Duration::from_secs(rng.u64(1..=4)),
            visibility: lease * 2,
            max_attempts: rng.u32(2..=5),
            fails_on_crash: rng.f64() < 0.15,
            slots: rng.usize(1..=4),
            context_history: rng.f64() < 0.25,
            stream_backlog: *rng.choice(&[1, 4, 64]).unwrap_or(&64),
            pace: *rng.choice(&[0, 2, 10, 40]).unwrap_or(&2),
            rates: rates(&mut rng),
            deaf: *rng.choice(&[0.0, 0.0, 0.0, 0.2, 1.0]).unwrap_or(&0.0),
            hint_delay: *rng.choice(&[5, 5, 50]).unwrap_or(&5),
            skew,
            misfortune: match rng.u8(0..4) {
                0 => None,
                _ => Some(Duration::from_millis(rng.u64(500..10_000))),
            },
            flushes: rng.bool(),
            twice: *rng.choice(&[0.0, 0.05, 1.0]).unwrap_or(&0.0),
            canceled: *rng.choice(&[0.1, 0.6]).unwrap_or(&0.1),
            receiver_fails: *rng.choice(&[0.0, 0.3, 0.6]).unwrap_or(&0.0),
            clients: rng.usize(1..=4),
            talks: rng.usize(1..=4),
            impatient: *rng.choice(&[0.0, 0.15]).unwrap_or(&0.0),
            trouble: Duration::from_secs(rng.u64(5..=30)),
            lease,
        }
    }

    /// Whether there is anything by which a run may be lost.
    pub(super) fn may_lose_runs(&self) -> bool {
        self.misfortune.is_some() || !self.rates.are_none()
    }

    /// Whether a cancel must reach a run anywhere in no time.
    pub(super) fn hears_at_once(&self) -> bool {
        self.deaf == 0.0 && self.hint_delay <= 5 && self.pace <= 10 && self.rates.are_none()
    }
}

fn rates(rng: &mut fastrand::Rng) -> Rates {
    match rng.u8(0..6) {
        0 | 1 => Rates::default(),
        2 => Rates::all(0.01),
        3 => Rates::all(0.05),
        4 => Rates::all(0.15),
        _ => {
            let op = *rng.choice(&Op::ALL).unwrap_or(&Op::Commit);
            Rates::only(op, 0.35)
        }
    }
}
