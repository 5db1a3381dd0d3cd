//! What was left behind is seen to.

use std::sync::Arc;
use std::time::Duration;

use bindu_protocol::{JsonObject, TaskId, TaskState, Timestamp, payment};
use bindu_storage::{BoxError, Payment, PaymentState, Record};
use bindu_tasks::Tasks;
use bindu_x402::{Next, ResourceServer, remarks};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::gate::Gate;

/// How often it is looked for payments that somebody has to look at.
const EVERY: Duration = Duration::from_secs(2);

/// How many are looked at in one go, and about how many the facilitator is asked at one time.
const PAGE: usize = 1_000;
const AT_ONCE: usize = 32;

/// How often it is looked for tasks that nobody pays for.
const UNPAID_EVERY: Duration = Duration::from_secs(5);

/// The longest pause between two tries to learn what the facilitator supports.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Looks after payments until it is dropped.
pub(super) async fn upkeep(server: &ResourceServer, gate: &Gate, tasks: &Tasks) {
    futures_util::join!(introduce(server), reconcile(server, tasks), tidy(gate, tasks));
}

/// Learns whether the facilitator takes what is asked for. It may be away: then it is asked again,
/// and meanwhile nobody can pay.
async fn introduce(server: &ResourceServer) {
    let mut pause = Duration::from_secs(1);
    let supported = loop {
        match server.facilitator().supported().await {
            Ok(supported) => break supported,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the facilitator does not say what it supports"
                );
            }
        }
        sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    for offer in server.offers() {
        if !supported.takes(&offer.scheme, &offer.network) {
            tracing::warn!(
                network = offer.network,
                "the facilitator does not support a chain that is asked for: nobody can pay on it"
            );
        }
    }
}

/// Cancels tasks that nobody pays for.
async fn tidy(gate: &Gate, tasks: &Tasks) {
    loop {
        sleep(UNPAID_EVERY).await;
        for id in gate.overdue() {
            if let Err(error) = cancel_unpaid(tasks, &id).await {
                tracing::warn!(task = %id, error = &*error as &dyn std::error::Error, "a task that nobody pays for stays");
            }
        }
    }
}

async fn cancel_unpaid(tasks: &Tasks, id: &TaskId) -> Result<(), BoxError> {
    let Some(record) = tasks.storage().load(id).await? else { return Ok(()) };
    if record.task.status.state == TaskState::PaymentRequired {
        let (caller, only) = (Tasks::caller_of(&record), Some(record.version));
        tasks.cancel_with(&caller, id, None, only).await?;
    }
    Ok(())
}

async fn reconcile(server: &ResourceServer, tasks: &Tasks) {
    // Those about which the facilitator is asked take their time; the others do not wait for them.
    let mut asking = JoinSet::new();
    loop {
        while asking.try_join_next().is_some() {}
        match server.ledger().due_payments(Timestamp::now(), PAGE).await {
            Ok(due) => {
                for payment in due {
                    let asks =
                        matches!(payment.state, PaymentState::Settling | PaymentState::Unknown);
                    let (server, tasks) = (server.clone(), tasks.clone());
                    let looking = async move { see_to(&server, &tasks, payment).await };
                    if !asks {
                        looking.await;
                    } else if asking.len() < AT_ONCE {
                        // It is ours as soon as the ledger says so: no second one is begun.
                        asking.spawn(looking);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "payments cannot be looked for"
                );
            }
        }
        // Not all processes at once.
        sleep(EVERY.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
    }
}

async fn see_to(server: &ResourceServer, tasks: &Tasks, payment: Payment) {
    let key = payment.key.clone();
    let seen = match state_of(tasks, &payment).await {
        Ok(state) => look_at(server, tasks, payment, state).await,
        Err(error) => Err(error),
    };
    if let Err(error) = seen {
        tracing::warn!(payment = %key, error = &*error as &dyn std::error::Error, "a payment cannot be looked at");
    }
}

/// The task of a payment, if it is there. One of the same id that somebody else has is another.
async fn task_of(tasks: &Tasks, payment: &Payment) -> Result<Option<Arc<Record>>, BoxError> {
    let record = tasks.storage().load(&payment.task).await?;
    Ok(record.filter(|record| record.owner == payment.owner))
}

/// In which state the task of a payment is, if it is there.
pub(super) async fn state_of(
    tasks: &Tasks,
    payment: &Payment,
) -> Result<Option<TaskState>, BoxError> {
    Ok(task_of(tasks, payment).await?.map(|record| record.task.status.state))
}

/// Looks at one payment, and has its task say and do what follows from it.
pub(super) async fn look_at(
    server: &ResourceServer,
    tasks: &Tasks,
    payment: Payment,
    state: Option<TaskState>,
) -> Result<(), BoxError> {
    let id = payment.task.clone();
    match server.look_at(payment, state).await? {
        Next::Nothing => {}
        Next::Queue => tasks.requeue(&id).await?,
        Next::Orphan(payment) => {
            if let Some(told) = orphaned(tasks, &payment).await? {
                tasks.remark(&id, &told).await?;
            }
            server.orphan(*payment).await?;
        }
    }
    Ok(())
}

/// What a task that was paid for in vain is to say, if it does not yet.
async fn orphaned(tasks: &Tasks, payment: &Payment) -> Result<Option<JsonObject>, BoxError> {
    let Some(record) = task_of(tasks, payment).await? else { return Ok(None) };
    let before = record.task.metadata.as_ref();
    let says = before.and_then(|before| before.get(payment::STATUS));
    if says.is_some_and(|says| says == payment::status::ORPHANED) {
        return Ok(None);
    }
    let told = remarks::completed(before, std::slice::from_ref(payment));
    Ok(Some(told.with(payment::STATUS, payment::status::ORPHANED)))
}
