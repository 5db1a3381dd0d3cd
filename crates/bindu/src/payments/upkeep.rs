//! What was left behind is seen to.

use std::time::Duration;

use bindu_protocol::{JsonObject, Timestamp, payment};
use bindu_storage::{BoxError, Payment};
use bindu_tasks::Tasks;
use bindu_x402::{Next, ResourceServer, remarks};
use futures_util::StreamExt as _;
use tokio::time::sleep;

/// How often it is looked for payments that somebody has to look at.
const EVERY: Duration = Duration::from_secs(2);

/// How many are looked at in one go, and how many at one time: a facilitator takes its time.
const PAGE: usize = 200;
const AT_ONCE: usize = 16;

/// The longest pause between two tries to learn what the facilitator supports.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Looks after payments until it is dropped.
pub(super) async fn upkeep(server: &ResourceServer, tasks: &Tasks) {
    futures_util::join!(introduce(server), reconcile(server, tasks));
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

async fn reconcile(server: &ResourceServer, tasks: &Tasks) {
    loop {
        match server.ledger().due_payments(Timestamp::now(), PAGE).await {
            Ok(due) => {
                futures_util::stream::iter(due)
                    .for_each_concurrent(AT_ONCE, |payment| async move {
                        let key = payment.key.clone();
                        if let Err(error) = look_at(server, tasks, payment).await {
                            tracing::warn!(payment = %key, error = &*error as &dyn std::error::Error, "a payment cannot be looked at");
                        }
                    })
                    .await;
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

/// Looks at one payment, and has its task say and do what follows from it.
pub(super) async fn look_at(
    server: &ResourceServer,
    tasks: &Tasks,
    payment: Payment,
) -> Result<(), BoxError> {
    let id = payment.task.clone();
    let record = tasks.storage().load(&id).await?;
    let state = record.map(|record| record.task.status.state);
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
    let Some(record) = tasks.storage().load(&payment.task).await? else { return Ok(None) };
    let before = record.task.metadata.as_ref();
    let says = before.and_then(|before| before.get(payment::STATUS));
    if says.is_some_and(|says| says == payment::status::ORPHANED) {
        return Ok(None);
    }
    let told = remarks::completed(before, std::slice::from_ref(payment));
    Ok(Some(told.with(payment::STATUS, payment::status::ORPHANED)))
}
