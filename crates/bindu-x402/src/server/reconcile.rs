//! What was left behind is seen to.

use std::time::{Duration, SystemTime};

use bindu_protocol::{TaskState, Timestamp};
use bindu_storage::{Payment, PaymentState, StorageError};

use super::{ResourceServer, after, stepped};

/// How long a payment is left alone at most whose work is not done.
const LONGEST_CHECK: Duration = Duration::from_hours(1);

/// What is to be done about the task of a payment.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// It waits for its run, and its payment is decided: it is to be queued.
    Queue,
    /// It is over, and was paid for nothing. It is to say so, if it is still there; then the payment
    /// is to be [closed](ResourceServer::orphan), not before.
    Orphan(Box<Payment>),
}

impl ResourceServer {
    /// Looks at a payment whose time has come, given the state of its task; `None` if there is no
    /// such task.
    ///
    /// What was never settled and has no task is given back. What may have been settled is asked
    /// about again. What was settled is closed once its task is over: delivered, or orphaned.
    ///
    /// # Errors
    ///
    /// [`StorageError::Backend`]: it is looked at again.
    pub async fn look_at(
        &self,
        payment: Payment,
        task: Option<TaskState>,
    ) -> Result<Next, StorageError> {
        let waits = task == Some(TaskState::Submitted);
        match payment.state {
            PaymentState::Verified if waits => {
                // Its run will settle it.
                self.put_off(payment).await?;
                Ok(Next::Queue)
            }
            PaymentState::Required | PaymentState::Verified => {
                self.release(&payment).await?;
                Ok(Next::Nothing)
            }
            PaymentState::Settling | PaymentState::Unknown => {
                let payment = self.attempt(payment).await?;
                match payment.state {
                    PaymentState::Settled => self.close(payment, task).await,
                    PaymentState::Failed if waits => Ok(Next::Queue),
                    _ => Ok(Next::Nothing),
                }
            }
            PaymentState::Settled => self.close(payment, task).await,
            PaymentState::Failed | PaymentState::Delivered | PaymentState::Orphaned => {
                Ok(Next::Nothing)
            }
        }
    }

    /// Says what became of the work that was paid for, if it is over.
    async fn close(&self, payment: Payment, task: Option<TaskState>) -> Result<Next, StorageError> {
        match task {
            Some(TaskState::Completed) => {
                self.end(payment, PaymentState::Delivered).await?;
                Ok(Next::Nothing)
            }
            None => Ok(Next::Orphan(payment.into())),
            Some(over) if over.is_terminal() => Ok(Next::Orphan(payment.into())),
            Some(TaskState::Submitted) => {
                self.put_off(payment).await?;
                Ok(Next::Queue)
            }
            Some(_) => {
                self.put_off(payment).await?;
                Ok(Next::Nothing)
            }
        }
    }

    /// Closes a payment that was for nothing: the money is to be given back. Its task has said so
    /// before, so that whoever is killed in between does both again.
    ///
    /// # Errors
    ///
    /// [`StorageError::Backend`]: it is looked at again.
    pub async fn orphan(&self, payment: Payment) -> Result<(), StorageError> {
        let (key, task) = (payment.key.clone(), payment.task.clone());
        if self.end(payment, PaymentState::Orphaned).await? {
            tracing::warn!(payment = %key, %task, "paid for work that was not done; the money is to be given back");
        }
        Ok(())
    }

    /// Ends a payment, if nobody else has.
    async fn end(&self, payment: Payment, state: PaymentState) -> Result<bool, StorageError> {
        let ended = stepped(Payment { state, ..payment }, Timestamp::now(), None);
        match self.0.ledger.advance(ended).await {
            Ok(_) => Ok(true),
            Err(StorageError::PaymentConflict(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks at it again later.
    async fn put_off(&self, payment: Payment) -> Result<(), StorageError> {
        let now = Timestamp::now();
        let age = SystemTime::from(now).duration_since(payment.created.into());
        let first = self.0.patience.work_check;
        let wait = age.unwrap_or_default().clamp(first, first.max(LONGEST_CHECK));
        let due = Some(after(now, wait));
        match self.0.ledger.advance(stepped(payment, now, due)).await {
            Ok(_) | Err(StorageError::PaymentConflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
