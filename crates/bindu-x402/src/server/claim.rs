//! A payment comes in.

use std::time::Duration;

use bindu_protocol::{Json, Owner, TaskId, Timestamp};
use bindu_storage::{Opened, Payment, PaymentKey, PaymentState, StorageError};

use super::{ResourceServer, after, stepped};
use crate::{Checked, PaymentPayload, PaymentRequirements, Refusal, check};

/// For how long a guard remembers a nonce at most.
const LONGEST_MEMORY: Duration = Duration::from_hours(24 * 400);

/// For how long after its authorization is void.
const AFTERWARDS: Duration = Duration::from_mins(1);

/// Why a payment is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It is no good, or cannot be judged now. The same authorization may come again.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It came before, and this became of it.
    #[error("Payment nonce already used (replay)")]
    Taken(Box<Payment>),
}

impl Rejection {
    /// What the payer is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal.clone(),
            Self::Taken(_) => Refusal::Replay,
        }
    }
}

impl ResourceServer {
    /// Accepts a payment of one of `offers` for a task, which need not exist yet: from now on nobody
    /// else can pay with it, and the facilitator has found it good. Nothing has moved.
    ///
    /// If the task is not made after all, [`withdraw`](Self::withdraw) it; if nobody does,
    /// [`look_at`](Self::look_at) will.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; nothing is left of it then.
    pub async fn accept(
        &self,
        payload: &PaymentPayload,
        offers: &[PaymentRequirements],
        task: &TaskId,
        owner: &Owner,
    ) -> Result<Payment, Rejection> {
        let now = Timestamp::now();
        let checked = check(payload, offers, now)?;
        let payment = self.claim(&checked, task, owner, now).await?;
        let verified = self.verify(&checked).await;
        if let Err(refusal) = verified {
            self.forget(&payment).await;
            return Err(refusal.into());
        }
        let now = Timestamp::now();
        let due = Some(after(now, self.0.patience.claim));
        let payment = Payment { state: PaymentState::Verified, ..payment };
        // Whoever was too slow has lost it to another who came with the same.
        self.0.ledger.advance(stepped(payment, now, due)).await.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "a payment is not accepted");
            Refusal::Unavailable.into()
        })
    }

    /// Makes the payment ours alone.
    async fn claim(
        &self,
        checked: &Checked,
        task: &TaskId,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Payment, Rejection> {
        let unavailable = |error: &dyn std::error::Error| {
            tracing::error!(error = %error, "payments cannot be written down");
            Rejection::Refused(Refusal::Unavailable)
        };
        let json = |value: Result<Json, serde_json::Error>| {
            value.map_err(|_| Rejection::Refused(Refusal::Unavailable))
        };
        let payment = Payment {
            key: checked.key().clone(),
            version: 0,
            state: PaymentState::Required,
            task: task.clone(),
            owner: owner.clone(),
            payload: json(Json::new(checked.payload()))?,
            requirements: json(Json::new(checked.requirements()))?,
            receipt: None,
            error: None,
            attempts: 0,
            expires: checked.expires(),
            due: Some(after(now, self.0.patience.claim)),
            created: now,
            updated: now,
        };
        let opened = self.0.ledger.open(payment.clone()).await;
        let payment = match opened.map_err(|error| unavailable(&error))? {
            Opened::New(payment) => payment,
            Opened::Taken(other) if is_abandoned(&other, now) => {
                let again = Payment { version: other.version, ..payment };
                match self.0.ledger.advance(again).await {
                    Ok(payment) => return Ok(payment),
                    Err(StorageError::PaymentConflict(_)) => {
                        return Err(Rejection::Taken(other.into()));
                    }
                    Err(error) => return Err(unavailable(&error)),
                }
            }
            Opened::Taken(other) => return Err(Rejection::Taken(other.into())),
        };
        let Some(guard) = &self.0.nonces else { return Ok(payment) };
        let until = after(checked.expires(), AFTERWARDS).min(after(now, LONGEST_MEMORY));
        match guard.first(&nonce(&payment.key), now, until).await {
            Ok(true) => Ok(payment),
            first => {
                // The guard's memory is not ours to take away.
                self.strike(&payment).await;
                Err(match first {
                    Ok(_) => Rejection::Taken(payment.into()),
                    Err(error) => unavailable(&error),
                })
            }
        }
    }

    async fn verify(&self, checked: &Checked) -> Result<(), Refusal> {
        let Ok(_room) = self.0.verifying.try_acquire() else { return Err(Refusal::NotVerified) };
        let verified = self.0.facilitator.verify(checked.payload(), checked.requirements()).await;
        match verified {
            Ok(answer) if answer.is_valid => Ok(()),
            Ok(answer) => Err(Refusal::rejected(answer.invalid_reason.as_deref())),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a payment cannot be verified"
                );
                Err(Refusal::NotVerified)
            }
        }
    }

    /// Gives an accepted payment back, as [`accept`](Self::accept) answered with it: it may be used
    /// again. One that has gone on since stays.
    ///
    /// # Errors
    ///
    /// [`StorageError::Backend`]: [`look_at`](Self::look_at) will see to it.
    pub async fn withdraw(&self, payment: &Payment) -> Result<(), StorageError> {
        // Given back and accepted anew, it would have the same version.
        match self.0.ledger.payment(&payment.key).await? {
            Some(now) if now == *payment => self.release(&now).await.map(drop),
            _ => Ok(()),
        }
    }

    /// The same. Says whether it did.
    pub(super) async fn release(&self, payment: &Payment) -> Result<bool, StorageError> {
        if !matches!(payment.state, PaymentState::Required | PaymentState::Verified) {
            return Ok(false);
        }
        let gone = self.0.ledger.withdraw(&payment.key, payment.version).await?;
        if gone && let Some(guard) = &self.0.nonces {
            guard.forget(&nonce(&payment.key)).await?;
        }
        Ok(gone)
    }

    /// Lets go of a payment that was not accepted.
    async fn forget(&self, payment: &Payment) {
        if let Err(error) = self.release(payment).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a refused payment is written down until it is looked at"
            );
        }
    }

    async fn strike(&self, payment: &Payment) {
        if let Err(error) = self.0.ledger.withdraw(&payment.key, payment.version).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a refused payment is written down until it is looked at"
            );
        }
    }
}

/// Whether whoever opened this is gone: it was never found good, let alone used.
fn is_abandoned(payment: &Payment, now: Timestamp) -> bool {
    payment.state == PaymentState::Required && payment.due.is_none_or(|due| due <= now)
}

/// What a guard calls a payment.
fn nonce(key: &PaymentKey) -> String {
    format!("x402:{key}")
}
