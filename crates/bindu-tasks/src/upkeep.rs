//! What has to be done beside requests and runs.

use std::sync::Arc;
use std::time::Duration;

use bindu_protocol::{TaskId, TaskState};
use bindu_scheduler::SchedulerError;
use bindu_storage::{Changed, OutboxBody, OutboxKind, OutboxQuery, Record, StrandedQuery};
use futures_util::StreamExt;
use futures_util::stream::select;
use tokio::time::{Instant, sleep, sleep_until};

use crate::tasks::job;
use crate::{TaskError, Tasks};

/// How many tasks or deliveries one look finds at most.
const PAGE: usize = 1_000;

/// How many old tasks are deleted at once.
const PRUNED: usize = 500;

/// How often it is looked for old tasks.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// How often whoever listens looks again, in case a hint of another process was lost.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// A delivery that is due for so long is in nobody's hands.
const OVERDUE: Duration = Duration::from_secs(5);

impl Tasks {
    /// Looks after the agent's tasks until it is dropped:
    ///
    /// - tasks whose job was lost are queued again, tasks whose run was lost are run again or
    ///   failed, as [`Config::on_crash`](crate::Config::on_crash) says;
    /// - webhooks are told what another process has left untold;
    /// - what other processes change is shown to those who wait for it here, and stops a run here
    ///   that has lost its task;
    /// - tasks older than [`Config::retention`](crate::Config::retention) go.
    ///
    /// All of it may be done by many processes at once: each step is one that only one of them can
    /// make, or that does no harm when made twice.
    pub async fn upkeep(&self) {
        futures_util::join!(self.listen(), self.sweep_again_and_again(), self.prune_old());
    }

    async fn listen(&self) {
        let changes = self.0.storage.changes();
        let nudges = self.0.scheduler.nudges().map(Changed::Task);
        let mut heard = select(changes, nudges);
        // Hints get lost; and a store may have written what it said it had not.
        let looks_again = !self.is_volatile();
        let mut again = Instant::now() + LISTEN_AGAIN;
        loop {
            let change = tokio::select! {
                biased;
                change = heard.next() => change.unwrap_or(Changed::Missed),
                () = sleep_until(again), if looks_again => Changed::Missed,
            };
            if let Changed::Task(id) = change {
                self.look_at(&id).await;
                continue;
            }
            again = Instant::now() + LISTEN_AGAIN;
            for id in self.0.hub.ids().into_iter().chain(self.0.runs.ids()) {
                self.look_at(&id).await;
            }
        }
    }

    /// Shows a task as another process left it to those who wait for it here.
    async fn look_at(&self, id: &TaskId) {
        if !self.0.runs.has(id) && !self.0.hub.has(id) {
            return;
        }
        match self.load(id).await {
            Ok(record) => {
                self.0.runs.check(id, record.as_deref());
                match record {
                    Some(record) => self.0.hub.stir(&record),
                    None => self.0.hub.forget(id),
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(task = %id, error, "a changed task cannot be read");
            }
        }
    }

    async fn sweep_again_and_again(&self) {
        loop {
            if let Err(error) = self.sweep(self.0.config.requeue_after).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "stranded tasks cannot be looked for"
                );
            }
            // Not all processes at once.
            let every = self.0.config.lease / 3;
            sleep(every.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        }
    }

    /// Looks once for what was left behind: tasks that wait for a run for longer than `patience`,
    /// tasks whose run was lost, deliveries that nobody makes. Says how many tasks it saw to.
    ///
    /// An agent that starts does so with no patience at all, before it takes requests.
    ///
    /// # Errors
    ///
    /// [`TaskError::Storage`], [`TaskError::Scheduler`]: what is left is for the next look.
    pub async fn sweep(&self, patience: Duration) -> Result<usize, TaskError> {
        let query = StrandedQuery {
            now: self.now(),
            queued_before: self.before(patience),
            unleased_before: self.0.config.adopt_after.map(|wait| self.before(wait)),
            limit: PAGE,
        };
        let stranded = self.0.storage.stranded(query).await?;
        for record in &stranded {
            self.pick_up(record).await?;
        }
        self.wake_webhooks(OVERDUE.min(patience)).await?;
        Ok(stranded.len())
    }

    async fn pick_up(&self, record: &Arc<Record>) -> Result<(), TaskError> {
        let is_lost = record.task.status.state == TaskState::Working;
        if is_lost && !self.may_run_again(record) {
            return self.fail_lost(&record.task.id).await;
        }
        match self.0.scheduler.push(job(record, None)).await {
            Ok(()) | Err(SchedulerError::Closed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes on telling webhooks what has been due for so long that nobody else can be at it.
    async fn wake_webhooks(&self, overdue: Duration) -> Result<(), TaskError> {
        let Some(pushes) = &self.0.pushes else { return Ok(()) };
        let query = OutboxQuery {
            kind: OutboxKind::Deliver,
            task: None,
            due: Some(self.before(overdue)),
            limit: PAGE,
        };
        for entry in self.0.storage.outbox(query).await? {
            if let OutboxBody::Deliver(delivery) = entry.body
                && let Some(config) = delivery.webhook.config.id
            {
                pushes.wake(self, &entry.task, config);
            }
        }
        Ok(())
    }

    async fn prune_old(&self) {
        let Some(keep) = self.0.config.retention else { return };
        loop {
            match self.0.storage.prune(self.before(keep), PRUNED).await {
                // A whole batch: there may be more.
                Ok(gone) if gone >= PRUNED as u64 => tokio::task::yield_now().await,
                Ok(_) => sleep(PRUNE_EVERY).await,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "old tasks cannot be deleted"
                    );
                    sleep(PRUNE_EVERY).await;
                }
            }
        }
    }
}
