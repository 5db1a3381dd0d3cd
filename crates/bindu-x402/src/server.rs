//! The seller's side of x402: takes payments for tasks, and keeps account of them.

mod claim;
mod reconcile;
pub mod remarks;
mod settle;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bindu_protocol::Timestamp;
use bindu_storage::{Ledger, Payment, ReplayGuard};

use tokio::sync::Semaphore;

pub use self::claim::Rejection;
pub use self::reconcile::Next;
pub use self::settle::Standing;
use crate::{Facilitator, PaymentRequirements};

/// How many payments are verified at one time. Who comes beyond that is told to come again: strangers
/// decide how many there are.
const VERIFYING: usize = 256;

/// How payments are taken; every member has a default.
#[derive(Clone, Debug)]
pub struct Patience {
    /// How long a payment that was found good may stand without the task that it is for. Longer
    /// than a verification takes. Default 30 s.
    pub claim: Duration,
    /// How long one attempt to settle belongs to whoever makes it. Longer than twice the
    /// facilitator's time-out, since a no is asked about again. Default 135 s.
    pub attempt: Duration,
    /// How long the work waits for a payment whose outcome is not known. After that the task fails,
    /// and the payment is still looked into. Default 2 minutes.
    pub work: Duration,
    /// For how long it is tried to learn what became of a payment; not beyond the life of its
    /// authorization. After that a person decides. Default 24 hours.
    pub inquiry: Duration,
    /// The first pause between two attempts; later ones are half as long as it has been going on.
    /// Default 1 s.
    pub first_pause: Duration,
    /// The longest pause between two attempts. Default 5 minutes.
    pub longest_pause: Duration,
    /// When a settled payment is looked at again whose work is not done; later, once it is as old
    /// again, and at least each hour. Default 1 minute.
    pub work_check: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            claim: Duration::from_secs(30),
            attempt: Duration::from_secs(135),
            work: Duration::from_mins(2),
            inquiry: Duration::from_hours(24),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(5),
            work_check: Duration::from_mins(1),
        }
    }
}

/// Sells tasks: x402's resource server.
///
/// A payment goes through three hands. [`accept`](Self::accept) writes it down, so that nobody can
/// use it twice, and has it verified; nothing has moved. [`settle`](Self::settle) has the money
/// moved, once the work is about to begin; each attempt is written down before it is made.
/// [`look_at`](Self::look_at) sees to what was left behind: attempts whose outcome got lost, money
/// that was taken for work that was never done.
///
/// Any number of these over one ledger, in one process or many, are one. Clones are one anyway.
#[derive(Clone, Debug)]
pub struct ResourceServer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    offers: Vec<PaymentRequirements>,
    facilitator: Facilitator,
    ledger: Arc<dyn Ledger>,
    nonces: Option<Arc<dyn ReplayGuard>>,
    patience: Patience,
    /// Room for verifications.
    verifying: Semaphore,
}

impl ResourceServer {
    /// Sells for any of these offers.
    #[must_use]
    pub fn new(
        offers: Vec<PaymentRequirements>,
        facilitator: Facilitator,
        ledger: Arc<dyn Ledger>,
        patience: Patience,
    ) -> Self {
        let verifying = Semaphore::new(VERIFYING);
        Self(Arc::new(Inner { offers, facilitator, ledger, nonces: None, patience, verifying }))
    }

    /// Remembers nonces in a guard too: for processes that share it, but no ledger.
    #[must_use]
    pub fn nonces(self, guard: Arc<dyn ReplayGuard>) -> Self {
        let Inner { offers, facilitator, ledger, patience, .. } = &*self.0;
        Self(Arc::new(Inner {
            offers: offers.clone(),
            facilitator: facilitator.clone(),
            ledger: Arc::clone(ledger),
            nonces: Some(guard),
            patience: patience.clone(),
            verifying: Semaphore::new(VERIFYING),
        }))
    }

    /// What is asked for.
    #[must_use]
    pub fn offers(&self) -> &[PaymentRequirements] {
        &self.0.offers
    }

    /// The account of payments.
    #[must_use]
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.0.ledger
    }

    /// Who moves the money.
    #[must_use]
    pub fn facilitator(&self) -> &Facilitator {
        &self.0.facilitator
    }
}

/// A time so much later.
fn after(now: Timestamp, wait: Duration) -> Timestamp {
    (SystemTime::from(now) + wait).into()
}

/// Writes a step of a payment.
fn stepped(mut payment: Payment, now: Timestamp, due: Option<Timestamp>) -> Payment {
    payment.updated = now;
    payment.due = due;
    payment
}
