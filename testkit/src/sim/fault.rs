//! What can be wrong with a call.

use std::time::Duration;

/// A call on what replicas stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Load,
    Commit,
    Events,
    Renew,
    Stranded,
    Tasks,
    Webhook,
    Outbox,
    OutboxTake,
    OutboxDone,
    OutboxRetry,
    Other,
    Push,
    Pull,
    Ack,
    Release,
    Keep,
}

impl Op {
    pub(super) const ALL: [Self; 17] = [
        Self::Load,
        Self::Commit,
        Self::Events,
        Self::Renew,
        Self::Stranded,
        Self::Tasks,
        Self::Webhook,
        Self::Outbox,
        Self::OutboxTake,
        Self::OutboxDone,
        Self::OutboxRetry,
        Self::Other,
        Self::Push,
        Self::Pull,
        Self::Ack,
        Self::Release,
        Self::Keep,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Commit => "commit",
            Self::Events => "events",
            Self::Renew => "renew",
            Self::Stranded => "stranded",
            Self::Tasks => "tasks",
            Self::Webhook => "webhook",
            Self::Outbox => "outbox",
            Self::OutboxTake => "outbox_take",
            Self::OutboxDone => "outbox_done",
            Self::OutboxRetry => "outbox_retry",
            Self::Other => "other",
            Self::Push => "push",
            Self::Pull => "pull",
            Self::Ack => "ack",
            Self::Release => "release",
            Self::Keep => "keep",
        }
    }
}

/// How often calls go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    rate: f64,
    only: Option<Op>,
}

impl Rates {
    pub(super) const fn all(rate: f64) -> Self {
        Self { rate, only: None }
    }

    pub(super) const fn only(op: Op, rate: f64) -> Self {
        Self { rate, only: Some(op) }
    }

    pub(super) const fn are_none(&self) -> bool {
        self.rate == 0.0
    }

    pub(super) fn of(&self, op: Op) -> f64 {
        if self.only.is_none_or(|only| only == op) { self.rate } else { 0.0 }
    }
}

/// How one call goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    /// How long it takes until it has its effect.
    pub(super) before: Duration,
    /// Whether the others may go first, where it takes no time.
    pub(super) yields: bool,
    /// How long its answer takes.
    pub(super) after: Duration,
    pub(super) fault: Option<Fault>,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It has no effect.
    Before,
    /// It has its effect, and its caller is told that it failed.
    After,
}

impl Fate {
    /// Draws a fate for a call that goes wrong so often, and takes so long if it does not.
    pub(super) fn draw(rng: &mut fastrand::Rng, rate: f64, pace: u64) -> Self {
        let mut fate = Self { yields: rng.bool(), ..Self::default() };
        if pace > 0 && rng.bool() {
            fate.before = Duration::from_millis(rng.u64(0..=pace));
            fate.after = Duration::from_millis(rng.u64(0..=pace));
        }
        if rate > 0.0 && rng.f64() < rate {
            let ends = if rng.bool() { Fault::Before } else { Fault::After };
            match rng.u8(0..10) {
                0..=6 => fate.fault = Some(ends),
                7 => fate.before = Duration::from_millis(rng.u64(50..2_000)),
                8 => fate.after = Duration::from_millis(rng.u64(50..2_000)),
                // No answer at all: whoever asked gives up at last. When it takes effect, if it
                // does, nobody knows.
                _ => {
                    fate.fault = Some(ends);
                    fate.before = Duration::from_millis(rng.u64(0..8_000));
                    fate.after = Duration::from_millis(rng.u64(4_000..8_000));
                }
            }
        }
        fate
    }
}
