//! The money moves.

use std::time::{Duration, SystemTime};

use bindu_protocol::{Json, Owner, TaskId, Timestamp};
use bindu_storage::{Payment, PaymentState, StorageError};

use super::{ResourceServer, after, stepped};
use crate::{FacilitatorError, PaymentPayload, PaymentRequirements, SettleResponse};

/// How often it is tried to write down that money has moved, and the pause between.
const WRITES: u32 = 60;
const BETWEEN_WRITES: Duration = Duration::from_millis(500);

/// How often it is at least tried to learn what became of a payment before the work is given up,
/// even if the work has waited for its turn that long.
const ATTEMPTS: u32 = 3;

/// What is said of a payment of which nobody knows whether its money moved.
pub(super) const UNKNOWN: &str = "settlement outcome unknown";

/// What is said of one that the facilitator could not be asked about.
const UNREACHABLE: &str = "facilitator unreachable";

/// How a task stands that is about to be worked on.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Nothing was ever to be paid for it.
    Free,
    /// It is paid for; the payments of the task, oldest first. The last one counts.
    Paid(Vec<Payment>),
    /// The last of its payments failed, surely, or has been used up.
    Refused(Vec<Payment>),
    /// It is not known yet. Whoever learns it says so.
    Pending,
    /// It is not known what became of the last of its payments, and the work has waited long
    /// enough.
    GivenUp(Vec<Payment>),
}

impl ResourceServer {
    /// Has the money moved that pays for a task of this owner, unless that was done before. Of
    /// several who ask at once, one does.
    ///
    /// May be dropped at any time: what was begun then is found by [`look_at`](Self::look_at), or by
    /// whoever asks next once the attempt's time is over.
    ///
    /// # Errors
    ///
    /// [`StorageError::Backend`] if the ledger cannot be read or written.
    pub async fn settle(&self, task: &TaskId, owner: &Owner) -> Result<Standing, StorageError> {
        let mut payments = self.0.ledger.payments_of(task).await?;
        // Those of somebody else were for another task of this id.
        payments.retain(|payment| payment.owner == *owner);
        // One that is settled pays; one that is over was for an earlier task of this id, or an
        // earlier try.
        payments.sort_by_key(|payment| match payment.state {
            PaymentState::Settled => 2,
            state if state.is_final() => 0,
            _ => 1,
        });
        let Some(last) = payments.pop() else { return Ok(Standing::Free) };
        let last = self.attempt(last).await?;
        let state = last.state;
        let (given_up, has_waited) = (is_given_up(&last), self.has_waited(&last));
        payments.push(last);
        Ok(match state {
            PaymentState::Settled => Standing::Paid(payments),
            // What was done, or given up, is not done once more for the same money.
            PaymentState::Failed | PaymentState::Delivered | PaymentState::Orphaned => {
                Standing::Refused(payments)
            }
            PaymentState::Unknown | PaymentState::Settling if has_waited || given_up => {
                Standing::GivenUp(payments)
            }
            _ => Standing::Pending,
        })
    }

    fn has_waited(&self, payment: &Payment) -> bool {
        payment.state == PaymentState::Unknown
            && payment.attempts >= ATTEMPTS
            && after(payment.created, self.0.patience.work) <= Timestamp::now()
    }

    /// Tries to have the money moved, if it is time; answers with the payment as it is then.
    pub(super) async fn attempt(&self, payment: Payment) -> Result<Payment, StorageError> {
        let now = Timestamp::now();
        let is_due = match payment.state {
            PaymentState::Verified => true,
            PaymentState::Settling | PaymentState::Unknown => {
                payment.due.is_some_and(|due| due <= now)
            }
            _ => false,
        };
        if !is_due {
            return Ok(payment);
        }
        if payment.attempts == 0 && self.is_too_late(&payment, now) {
            return self.fail_unsent(payment, now).await;
        }
        let key = payment.key.clone();
        let attempt = Payment {
            state: PaymentState::Settling,
            attempts: payment.attempts.saturating_add(1),
            ..payment.clone()
        };
        let lease = Some(after(now, self.0.patience.attempt));
        let attempt = match self.0.ledger.advance(stepped(attempt, now, lease)).await {
            Ok(attempt) => attempt,
            // Somebody else is at it.
            Err(StorageError::PaymentConflict(_)) => {
                let now = self.0.ledger.payment(&key).await?;
                return Ok(now.unwrap_or(payment));
            }
            Err(error) => return Err(error),
        };
        let (Ok(payload), Ok(requirements)) = (
            attempt.payload.parse::<PaymentPayload>(),
            attempt.requirements.parse::<PaymentRequirements>(),
        ) else {
            tracing::error!(payment = %key, "a payment in the ledger cannot be read");
            return self.conclude(attempt, Outcome::Unknown("the ledger's entry is damaged")).await;
        };
        let outcome = match self.ask(&payload, &requirements, attempt.attempts).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(payment = %key, error = &error as &dyn std::error::Error, "a payment is not settled");
                of(&error, &attempt, &requirements)
            }
        };
        if let Outcome::Settled(receipt) = &outcome {
            tracing::info!(payment = %key, transaction = receipt.transaction, "settled");
        }
        self.conclude(attempt, outcome).await
    }

    /// Asks the facilitator to move the money. A no is asked about once more before it is believed:
    /// whoever has moved the money and says no, says yes the second time, or that it was moved.
    async fn ask(
        &self,
        payload: &PaymentPayload,
        requirements: &PaymentRequirements,
        attempts: u32,
    ) -> Result<Outcome, FacilitatorError> {
        let first = self.0.facilitator.settle(payload, requirements).await?;
        if first.success {
            return Ok(Outcome::Settled(first));
        }
        if attempts > 1 {
            // An earlier attempt may have moved the money, and this be the reason.
            return Ok(Outcome::Unknown(UNKNOWN));
        }
        if first.says_already_used() {
            // By somebody else: nobody has tried before us.
            return Ok(Outcome::Failed(first));
        }
        if first.may_be_under_way() {
            return Ok(Outcome::Unknown(UNKNOWN));
        }
        Ok(match self.0.facilitator.settle(payload, requirements).await {
            Ok(second) if second.success => Outcome::Settled(second),
            Ok(second) if second.says_already_used() || second.may_be_under_way() => {
                Outcome::Unknown(UNKNOWN)
            }
            Err(error) if error.may_have_moved() => Outcome::Unknown(UNKNOWN),
            _ => Outcome::Failed(first),
        })
    }

    /// Whether an authorization that was never used is of no use any more, to the work or at all.
    fn is_too_late(&self, payment: &Payment, now: Timestamp) -> bool {
        payment.expires <= now
            || (payment.state != PaymentState::Verified
                && after(payment.created, self.0.patience.work) <= now)
    }

    /// Ends a payment of which the facilitator never heard.
    async fn fail_unsent(&self, payment: Payment, now: Timestamp) -> Result<Payment, StorageError> {
        let reason = if payment.expires <= now { "expired" } else { UNREACHABLE };
        let network = payment.requirements.parse::<PaymentRequirements>();
        let network = network.map(|offer| offer.network).unwrap_or_default();
        let key = payment.key.clone();
        let failed = Payment {
            state: PaymentState::Failed,
            error: Some(reason.to_owned()),
            receipt: Json::new(&SettleResponse::failed(reason, network)).ok(),
            ..payment.clone()
        };
        match self.0.ledger.advance(stepped(failed, now, None)).await {
            Err(StorageError::PaymentConflict(_)) => {
                Ok(self.0.ledger.payment(&key).await?.unwrap_or(payment))
            }
            result => result,
        }
    }

    /// Writes down what came of an attempt. That money has moved is tried again and again: whoever
    /// forgets it takes it for nothing.
    async fn conclude(&self, attempt: Payment, outcome: Outcome) -> Result<Payment, StorageError> {
        let key = attempt.key.clone();
        let mut latest = attempt;
        let mut left = WRITES;
        loop {
            let next = self.concluded(latest.clone(), &outcome);
            match self.0.ledger.advance(next).await {
                Err(StorageError::PaymentConflict(_)) => {
                    // Our time was over, and somebody else went on.
                    let Some(now) = self.0.ledger.payment(&key).await? else { return Ok(latest) };
                    let Outcome::Settled(receipt) = &outcome else { return Ok(now) };
                    if !now.state.can_become(PaymentState::Settled) {
                        return Ok(now);
                    }
                    if now.state == PaymentState::Failed {
                        tracing::error!(payment = %key, transaction = receipt.transaction, "settled, although it was taken for failed");
                    }
                    latest = now;
                }
                Err(error) if left > 0 => {
                    left -= 1;
                    tracing::error!(payment = %key, error = &error as &dyn std::error::Error, "an outcome cannot be written down yet");
                    tokio::time::sleep(BETWEEN_WRITES).await;
                }
                result => return result,
            }
        }
    }

    /// A payment after an outcome.
    fn concluded(&self, payment: Payment, outcome: &Outcome) -> Payment {
        let now = Timestamp::now();
        match outcome {
            Outcome::Settled(receipt) => {
                let settled = Payment {
                    state: PaymentState::Settled,
                    receipt: Json::new(receipt).ok(),
                    error: None,
                    ..payment
                };
                stepped(settled, now, Some(after(now, self.0.patience.work_check)))
            }
            Outcome::Failed(receipt) => {
                let reason = receipt.error_reason.clone();
                let failed = Payment {
                    state: PaymentState::Failed,
                    error: Some(reason.unwrap_or_else(|| "settlement failed".to_owned())),
                    receipt: Json::new(receipt).ok(),
                    ..payment
                };
                stepped(failed, now, None)
            }
            Outcome::Unknown(why) => {
                let due = self.next_attempt(&payment, now);
                let unknown = Payment {
                    state: PaymentState::Unknown,
                    error: Some((*why).to_owned()),
                    ..payment
                };
                stepped(unknown, now, due)
            }
            Outcome::NotSent => {
                let attempts = payment.attempts.saturating_sub(1);
                let due = match attempts {
                    0 => Some(after(now, self.pause(&payment, now))),
                    _ => self.next_attempt(&payment, now),
                };
                // If an earlier attempt got through, this one says nothing about it.
                let state =
                    if attempts == 0 { PaymentState::Settling } else { PaymentState::Unknown };
                let error = Some(UNREACHABLE.to_owned());
                stepped(Payment { state, attempts, error, ..payment }, now, due)
            }
        }
    }

    /// When it is tried again to learn what became of a payment; `None` if a person must.
    fn next_attempt(&self, payment: &Payment, now: Timestamp) -> Option<Timestamp> {
        let next = after(now, self.pause(payment, now));
        let end = after(payment.created, self.0.patience.inquiry).min(payment.expires);
        (next <= end).then_some(next)
    }

    /// Half as long as it has been going on, so that each pause is longer than the one before.
    fn pause(&self, payment: &Payment, now: Timestamp) -> Duration {
        let age = SystemTime::from(now).duration_since(payment.created.into());
        let half = age.unwrap_or_default() / 2;
        half.max(self.0.patience.first_pause).min(self.0.patience.longest_pause)
    }
}

/// Whether nobody will look into it any more.
fn is_given_up(payment: &Payment) -> bool {
    payment.state == PaymentState::Unknown && payment.due.is_none()
}

/// What came of an attempt.
enum Outcome {
    Settled(SettleResponse),
    Failed(SettleResponse),
    Unknown(&'static str),
    /// The facilitator knows nothing of it.
    NotSent,
}

/// What an error says of the money.
fn of(error: &FacilitatorError, attempt: &Payment, offer: &PaymentRequirements) -> Outcome {
    match error {
        FacilitatorError::Refused { status: 409, .. } => Outcome::Unknown(UNKNOWN),
        FacilitatorError::Refused { .. } if !error.is_passing() && attempt.attempts <= 1 => {
            Outcome::Failed(SettleResponse::failed("settlement refused", &*offer.network))
        }
        FacilitatorError::Config(_)
        | FacilitatorError::NotSent { .. }
        | FacilitatorError::Refused { .. }
            if !error.may_have_moved() && (error.is_passing() || attempt.attempts > 1) =>
        {
            Outcome::NotSent
        }
        _ => Outcome::Unknown(UNKNOWN),
    }
}
