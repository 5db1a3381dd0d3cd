//! The loop: take a job, run it, say that it is done.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bindu_agent::AnyHandler;
use bindu_did::key_dir::Identity;
use bindu_protocol::{JsonObject, TaskId};
use bindu_scheduler::{Delivered, SchedulerError};
use bindu_storage::{BoxError, Record};
use bindu_tasks::{Begun, Run, Tasks};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::execute::{Ended, execute};
use crate::{Config, Ready};

/// How long a slot waits after its queue failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What a hook wants written on the task, and on what comes out.
type Marks = (Option<JsonObject>, Option<JsonObject>);

/// Runs an agent's tasks: so many at once as the [`Config`] says, each context's in order.
///
/// Nothing that a message, a handler or a queue entry holds ends the worker: a handler that
/// panics fails its own task only.
#[derive(Clone, Debug)]
pub struct Worker(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) tasks: Tasks,
    pub(crate) handler: AnyHandler,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) config: Config,
    busy: AtomicUsize,
    alive: AtomicUsize,
    draining: AtomicBool,
    /// Another worker of this process goes on with the same store and queue.
    handed_over: AtomicBool,
    stop: CancellationToken,
    /// Nothing is waited for any more.
    halt: CancellationToken,
    slots: TaskTracker,
}

impl Worker {
    /// Starts a worker on the present tokio runtime. With an identity, every part of every artifact is
    /// signed with its key.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(
        tasks: Tasks,
        handler: AnyHandler,
        identity: Option<Arc<Identity>>,
        config: Config,
    ) -> Self {
        let slots = config.concurrency.max(1);
        let worker = Self(Arc::new(Shared {
            tasks,
            handler,
            identity,
            config,
            busy: AtomicUsize::new(0),
            alive: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            handed_over: AtomicBool::new(false),
            stop: CancellationToken::new(),
            halt: CancellationToken::new(),
            slots: TaskTracker::new(),
        }));
        for _ in 0..slots {
            let shared = Arc::clone(&worker.0);
            worker.0.alive.fetch_add(1, Ordering::SeqCst);
            worker.0.slots.spawn(async move {
                let _alive = Leaving(&shared.alive);
                shared.work().await;
            });
        }
        worker
    }

    /// How many tasks are running now.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.0.busy.load(Ordering::SeqCst)
    }

    /// How many tasks can run at once.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.0.config.concurrency.max(1)
    }

    /// Whether every slot is there to take jobs. `false` also once a drain has begun.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.0.alive.load(Ordering::SeqCst) == self.capacity() && !self.0.stop.is_cancelled()
    }

    /// Leaves the work to another worker of this process, which has the same store and the same
    /// queue: finishes what runs, for `patience` at most, and gives the rest back.
    pub async fn hand_over(&self, patience: Duration) {
        let shared = &self.0;
        shared.handed_over.store(true, Ordering::SeqCst);
        shared.stop.cancel();
        shared.finish(patience).await;
    }

    /// Finishes what runs, for `patience` at most, and then stops the runs that are left.
    ///
    /// With a store that outlives the process, those go back to the queue for another process, and
    /// what waits is left where it is. With a store that ends with the process, what waits is
    /// finished too, as far as `patience` goes; the rest fails with a message that says so.
    pub async fn drain(&self, patience: Duration) {
        let shared = &self.0;
        shared.stop.cancel();
        shared.finish(patience).await;
        if shared.gives_back() {
            return;
        }
        while let Some(Ok(delivered)) = shared.tasks.scheduler().pull().now_or_never() {
            shared.abandon(&delivered).await;
        }
    }
}

struct Leaving<'a>(&'a AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    /// Waits for what runs, for `patience` at most, and stops what is left.
    async fn finish(&self, patience: Duration) {
        self.slots.close();
        let idle = async {
            self.slots.wait().await;
            if let Some(hook) = &self.config.before_run {
                hook.idle().await;
            }
        };
        if tokio::time::timeout(patience, idle).await.is_err() {
            self.draining.store(true, Ordering::SeqCst);
            self.halt.cancel();
            self.tasks.cancel_runs();
            self.slots.wait().await;
        }
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether somebody is there to do what this worker leaves.
    pub(crate) fn gives_back(&self) -> bool {
        !self.tasks.is_volatile() || self.handed_over.load(Ordering::SeqCst)
    }

    /// The next job. Once the worker stops, only one that waits already and that nobody else will
    /// do.
    async fn next(&self) -> Option<Result<Delivered, SchedulerError>> {
        let scheduler = self.tasks.scheduler();
        if self.is_draining() || (self.stop.is_cancelled() && self.gives_back()) {
            return None;
        }
        tokio::select! {
            biased;
            delivered = scheduler.pull() => Some(delivered),
            () = self.stop.cancelled() => None,
        }
    }

    /// One slot: runs one task at a time until the worker stops.
    async fn work(&self) {
        while let Some(delivered) = self.next().await {
            match delivered {
                Ok(delivered) => {
                    self.busy.fetch_add(1, Ordering::SeqCst);
                    let _busy = Leaving(&self.busy);
                    let ran = AssertUnwindSafe(self.run(&delivered)).catch_unwind().await;
                    if ran.is_err() {
                        self.lost(&delivered).await;
                    }
                }
                Err(SchedulerError::Closed) => return,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the queue cannot be read"
                    );
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Runs one job, and tells the queue how it went.
    async fn run(&self, delivered: &Delivered) {
        let id = &delivered.job.task;
        let scheduler = self.tasks.scheduler();
        let ready = match self.ready(delivered).await {
            Ok(ready) => ready,
            Err(error) => {
                tracing::warn!(task = %id, error = &*error as &dyn std::error::Error, "a task cannot be begun yet");
                tokio::time::sleep(AFTER_FAILURE).await;
                return Self::tell(id, scheduler.release(delivered).await);
            }
        };
        let Some((metadata, marks)) = ready else {
            return Self::tell(id, scheduler.ack(delivered).await);
        };
        let told = match self.tasks.begin_with(id, metadata.as_ref()).await {
            // Gone, over, or in other hands: there is nothing to do.
            Ok(Begun::Nothing) => {
                self.after(id, None).await;
                scheduler.ack(delivered).await
            }
            Ok(Begun::GivenUp(why)) => {
                self.after(id, None).await;
                scheduler.bury(delivered, why).await
            }
            Ok(Begun::Run(run)) => match self.execute(run, delivered, marks).await {
                Ended::Stored(record) => {
                    self.after(id, Some(&record)).await;
                    scheduler.ack(delivered).await
                }
                Ended::Lost => {
                    self.after(id, None).await;
                    scheduler.ack(delivered).await
                }
                Ended::GivenBack => scheduler.release(delivered).await,
                Ended::Unstored(error) => {
                    tracing::error!(task = %id, error = &error as &dyn std::error::Error, "an outcome could not be stored");
                    scheduler.release(delivered).await
                }
            },
            Err(error) => {
                tracing::warn!(task = %id, error = &error as &dyn std::error::Error, "a task could not be taken");
                tokio::time::sleep(AFTER_FAILURE).await;
                scheduler.release(delivered).await
            }
        };
        Self::tell(id, told);
    }

    fn tell(id: &TaskId, told: Result<(), SchedulerError>) {
        if let Err(error) = told {
            tracing::warn!(task = %id, error = &error as &dyn std::error::Error, "the queue could not be told");
        }
    }

    /// Whether a task is to be run now, and with which metadata and marks.
    async fn ready(&self, delivered: &Delivered) -> Result<Option<Marks>, BoxError> {
        let Some(hook) = &self.config.before_run else { return Ok(Some((None, None))) };
        let id = &delivered.job.task;
        let Some(record) = self.tasks.storage().load(id).await? else { return Ok(None) };
        let mut asked = hook.before(&record);
        let ready = loop {
            tokio::select! {
                biased;
                ready = &mut asked => break ready?,
                () = self.halt.cancelled() => return Err("the worker is shutting down".into()),
                () = tokio::time::sleep(self.config.heartbeat) => {
                    if let Err(error) = self.tasks.scheduler().keep(delivered).await {
                        // A job that comes twice is asked about twice, no more.
                        tracing::debug!(task = %id, error = &error as &dyn std::error::Error, "the queue could not be told that a job goes on");
                    }
                }
            }
        };
        match ready {
            Ready::Run { metadata, marks } => Ok(Some((metadata, marks))),
            Ready::Later => Ok(None),
            Ready::Stop(outcome) => {
                self.tasks.stop(id, &outcome).await?;
                self.after(id, None).await;
                Ok(None)
            }
        }
    }

    async fn after(&self, id: &TaskId, stored: Option<&Record>) {
        if let Some(hook) = &self.config.before_run {
            hook.after(id, stored).await;
        }
    }

    async fn execute(&self, run: Run, delivered: &Delivered, marks: Option<JsonObject>) -> Ended {
        // A run that began while the others were being stopped was not among them.
        if self.is_draining() {
            run.cancellation().cancel();
        }
        execute(self, run, delivered, marks).await
    }

    /// A fault of ours broke a run off: its task fails, and the slot goes on.
    async fn lost(&self, delivered: &Delivered) {
        let id = &delivered.job.task;
        tracing::error!(task = %id, "a run broke off inside the worker");
        if let Err(error) = self.tasks.fail_lost(id).await {
            tracing::error!(task = %id, error = &error as &dyn std::error::Error, "a lost task could not be failed");
        }
        if let Err(error) = self.tasks.scheduler().ack(delivered).await {
            tracing::warn!(task = %id, error = &error as &dyn std::error::Error, "the queue could not be told");
        }
    }

    /// Ends a task that this process accepted and nobody will ever run.
    async fn abandon(&self, delivered: &Delivered) {
        match self.tasks.begin(&delivered.job.task).await {
            Ok(Begun::Run(run)) => {
                if let Ended::Unstored(error) = self.execute(run, delivered, None).await {
                    tracing::error!(task = %delivered.job.task, error = &error as &dyn std::error::Error, "a task is abandoned");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(task = %delivered.job.task, error = &error as &dyn std::error::Error, "a task is abandoned");
            }
        }
        if let Err(error) = self.tasks.scheduler().ack(delivered).await {
            tracing::warn!(task = %delivered.job.task, error = &error as &dyn std::error::Error, "the queue could not be told");
        }
    }

    /// Whether runs that are stopped now are stopped because the process ends.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}
