//! The money is taken before the work begins.

use std::sync::Arc;
use std::time::Duration;

use bindu_protocol::{JsonObject, Owner, Part, Role, Task, TaskId, TaskState, payment};
use bindu_storage::{BoxError, BoxFuture, Payment, PaymentState, Record};
use bindu_tasks::{Outcome, Tasks};
use bindu_worker::{BeforeRun, Ready};
use bindu_x402::{PaymentRequired, ResourceServer, Standing, remarks};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::TRIES;
use super::upkeep::{look_at, state_of};

/// What is said of a task whose money was not taken.
const NOT_SETTLED: &str = "Payment settlement failed; task not executed.";

/// How long a place of the worker waits for the money. What takes longer goes on beside, and the
/// task comes again: a slow facilitator does not keep others from their work.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How many payments may be settled at one time.
const BESIDE: usize = 64;

/// What the worker asks.
#[derive(Debug)]
pub(super) struct Hook {
    server: ResourceServer,
    tasks: Tasks,
    settling: TaskTracker,
    room: Arc<Semaphore>,
}

impl Hook {
    pub(super) fn new(server: ResourceServer, tasks: Tasks) -> Self {
        let room = Arc::new(Semaphore::new(BESIDE));
        Self { server, tasks, settling: TaskTracker::new(), room }
    }

    /// Has the money moved; `None` if that takes its time.
    async fn settle(&self, id: &TaskId, owner: &Owner) -> Result<Option<Standing>, BoxError> {
        // A task that finds no room comes again with the next look for tasks that wait.
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else { return Ok(None) };
        let (server, task, owner) = (self.server.clone(), id.clone(), owner.clone());
        let mut settling = self.settling.spawn(async move { server.settle(&task, &owner).await });
        if let Ok(settled) = tokio::time::timeout(AT_ONCE, &mut settling).await {
            return Ok(Some(settled??));
        }
        let (tasks, task) = (self.tasks.clone(), id.clone());
        self.settling.spawn(async move {
            let _permit = permit;
            let settled = settling.await.is_ok_and(|settled| settled.is_ok());
            // If not, whoever looks for tasks that wait queues it.
            if settled && let Err(error) = tasks.requeue(&task).await {
                tracing::warn!(%task, error = &error as &dyn std::error::Error, "a task that is paid for is not queued yet");
            }
        });
        Ok(None)
    }

    async fn ready(&self, record: &Record) -> Result<Ready, BoxError> {
        let task = &record.task;
        let before = task.metadata.as_ref();
        if task.status.state != TaskState::Submitted || is_paid(task) {
            // Paid for before, taken up again after its worker was lost, or over.
            let marks = before.filter(|_| is_paid(task) && is_in_task(task)).map(remarks::marks);
            return Ok(Ready::Run { metadata: None, marks });
        }
        let Some(standing) = self.settle(&task.id, &record.owner).await? else {
            return Ok(Ready::Later);
        };
        Ok(match standing {
            // Its payment was given back: whoever stored the task took longer than a payment waits.
            Standing::Free if is_priced(task) => Ready::Stop(Box::new(refused(task, &[]))),
            Standing::Free => Ready::Run { metadata: None, marks: None },
            Standing::Paid(payments) => {
                let told = remarks::completed(before, &payments);
                let marks = is_in_task(task).then(|| remarks::marks(&told));
                Ready::Run { metadata: Some(told), marks }
            }
            Standing::Refused(payments) | Standing::GivenUp(payments) => {
                Ready::Stop(Box::new(refused(task, &payments)))
            }
            Standing::Pending => Ready::Later,
        })
    }

    /// Closes the payments of a task whose run has ended.
    async fn close(&self, id: &TaskId, stored: Option<&Record>) -> Result<(), BoxError> {
        for payment in self.server.ledger().payments_of(id).await? {
            if payment.state == PaymentState::Settled {
                // What was stored counts, even if the caller has cleared it away since.
                let state = match stored.filter(|record| record.owner == payment.owner) {
                    Some(record) => Some(record.task.status.state),
                    None => state_of(&self.tasks, &payment).await?,
                };
                look_at(&self.server, &self.tasks, payment, state).await?;
            }
        }
        Ok(())
    }
}

impl BeforeRun for Hook {
    fn before<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<Ready, BoxError>> {
        Box::pin(self.ready(record))
    }

    fn after<'a>(&'a self, task: &'a TaskId, stored: Option<&'a Record>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = self.close(task, stored).await {
                // Whoever looks after what was left behind will.
                tracing::warn!(%task, error = &*error as &dyn std::error::Error, "a payment is not closed yet");
            }
        })
    }

    fn idle(&self) -> BoxFuture<'_, ()> {
        self.settling.close();
        Box::pin(self.settling.wait())
    }
}

/// Whether a task says that it is to be paid for, and not that it was.
fn is_priced(task: &Task) -> bool {
    let says = task.metadata.as_ref().and_then(|metadata| metadata.get(payment::STATUS));
    says.is_some_and(|says| says != payment::status::COMPLETED)
}

/// Whether a task says that it was paid for.
pub(super) fn is_paid(task: &Task) -> bool {
    let says = task.metadata.as_ref().and_then(|metadata| metadata.get(payment::STATUS));
    says.is_some_and(|says| says == payment::status::COMPLETED)
}

/// What a task asked to be paid, if it ever did: it is paid for by messages then.
pub(super) fn asked(task: &Task) -> Option<PaymentRequired> {
    // What a caller says it was asked for is worth nothing.
    let ours = task.history.iter().rev().filter(|message| message.role == Role::Agent);
    let mut asked = ours.filter_map(|message| message.metadata.as_ref());
    let required = asked.find_map(|metadata| metadata.get(payment::REQUIRED))?;
    serde_json::from_value(required).ok()
}

pub(super) fn is_in_task(task: &Task) -> bool {
    asked(task).is_some()
}

/// How often a payment in a task has failed.
pub(super) fn failures(told: &JsonObject) -> usize {
    let receipts = told.get(payment::RECEIPTS).unwrap_or_default();
    let receipts = receipts.as_array().map(Vec::as_slice).unwrap_or_default();
    receipts.iter().filter(|receipt| receipt["success"] == false).count()
}

/// The end of a task whose money was not taken, or another try.
fn refused(task: &Task, payments: &[Payment]) -> Outcome {
    let asked = asked(task);
    let told = remarks::failed(task.metadata.as_ref(), payments, asked.is_some());
    let is_unknown = payments.last().is_some_and(|last| last.state != PaymentState::Failed);
    let again = asked.filter(|_| !is_unknown && failures(&told) < TRIES);
    let mut remarks = told.to_map();
    remarks.retain(|key, _| key.starts_with(payment::PREFIX));
    let state = if let Some(asked) = &again {
        if let Ok(offers) = serde_json::from_str(asked.in_task().as_str()) {
            remarks.insert(payment::REQUIRED.to_owned(), offers);
        }
        TaskState::PaymentRequired
    } else {
        TaskState::Failed
    };
    Outcome {
        state,
        message: Some(vec![Part::text(NOT_SETTLED)]),
        remarks: is_in_task(task).then(|| remarks.into()),
        artifacts: Vec::new(),
        metadata: Some(told),
    }
}
