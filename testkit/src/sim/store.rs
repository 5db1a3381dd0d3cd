//! A store that several replicas share, over which calls fail.

use std::sync::Arc;

use bindu_protocol::{
    ContextId, ContextSummary, Owner, PushConfigId, TaskId, TaskState, Timestamp,
};
use bindu_storage::{
    BoxFuture, BoxStream, Change, Changed, Committed, ContextQuery, Durability, Event, Feedback,
    Lease, OutboxBody, OutboxEntry, OutboxId, OutboxQuery, Page, Record, RunId, StateChange,
    StateScope, StateValue, Storage, StorageError, StrandedQuery, TaskQuery, Webhook,
};

use super::fault::{Fate, Fault, Op};
use super::life::Life;
use super::plan::Queue;
use super::queue::job_of;
use super::world::World;

/// The store as one replica sees it.
#[derive(Debug)]
pub(super) struct SimStore {
    pub(super) world: Arc<World>,
    pub(super) life: Arc<Life>,
}

/// Waits as a call's fate says; the replica may die of it.
pub(super) async fn begin(world: &World, life: &Life, op: Op, task: Option<&TaskId>) -> Fate {
    life.gate().await;
    let fate = world.fate(op);
    if fate.fault.is_some() || matches!(op, Op::Commit | Op::Pull | Op::Push) {
        world.note(op.name(), task.map_or(0, |id| world.number(id)), || {
            let task = task.map_or_else(String::new, |id| world.name(id));
            format!("{task} by {life} {fate:?}")
        });
    }
    if !fate.before.is_zero() {
        tokio::time::sleep(fate.before).await;
    } else if fate.yields {
        tokio::task::yield_now().await;
    }
    if life.is_last_call() {
        if fate.yields {
            world.kill(life);
        } else {
            // Dies of the answer instead: see `end`.
            life.doom(0);
        }
    }
    life.gate().await;
    fate
}

/// Waits for the answer; says whether it comes.
pub(super) async fn end(world: &World, life: &Life, fate: Fate) -> bool {
    if life.is_last_call() {
        world.kill(life);
    }
    life.gate().await;
    if !fate.after.is_zero() {
        tokio::time::sleep(fate.after).await;
        life.gate().await;
    }
    fate.fault.is_none()
}

fn failed(op: Op) -> StorageError {
    StorageError::Backend { doing: op.name(), source: "simulated".into() }
}

/// Why a write was refused, without ids: they are random.
fn why(error: &StorageError) -> &'static str {
    match error {
        StorageError::Conflict(_) => "conflict",
        StorageError::LeaseLost(_) => "lease lost",
        StorageError::NotOwner(_) => "not owner",
        StorageError::Repeated(_) => "repeated",
        _ => "other",
    }
}

impl SimStore {
    /// Makes a call as its fate wills.
    async fn call<T>(
        &self,
        op: Op,
        task: Option<&TaskId>,
        effect: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let fate = begin(&self.world, &self.life, op, task).await;
        if fate.fault == Some(Fault::Before) {
            end(&self.world, &self.life, fate).await;
            return Err(failed(op));
        }
        let result = effect.await;
        if end(&self.world, &self.life, fate).await { result } else { Err(failed(op)) }
    }

    fn boxed<'a, T: Send + 'a>(
        &'a self,
        op: Op,
        task: Option<&'a TaskId>,
        effect: BoxFuture<'a, Result<T, StorageError>>,
    ) -> BoxFuture<'a, Result<T, StorageError>> {
        Box::pin(self.call(op, task, effect))
    }

    /// What everything else does at the very moment of a write.
    fn written(&self, change: &Change, committed: &Committed) {
        let world = &self.world;
        world.committed(&self.life, change, committed);
        if world.plan.queue == Queue::Outbox
            && change.outbox.iter().any(|body| matches!(body, OutboxBody::Run { .. }))
        {
            world.queue.push(world, &job_of(&committed.record));
        }
        self.tell(&Changed::Task(committed.record.task.id.clone()));
    }

    /// Tells the other replicas, as far as they hear.
    fn tell(&self, changed: &Changed) {
        let world = &self.world;
        let others: Vec<_> = {
            let state = world.lock();
            let others = state.replicas.iter().flatten().map(|replica| Arc::clone(&replica.life));
            others.filter(|life| !Arc::ptr_eq(life, &self.life)).collect()
        };
        for other in others {
            let is_lost = !world.is_calm() && world.chance(world.plan.deaf);
            if !is_lost {
                let missed = !world.is_calm() && world.chance(0.02);
                let hint = if missed { &Changed::Missed } else { changed };
                other.hint(world.below(world.plan.hint_delay + 1), hint);
            }
        }
    }
}

impl Storage for SimStore {
    fn load<'a>(
        &'a self,
        id: &'a TaskId,
    ) -> BoxFuture<'a, Result<Option<Arc<Record>>, StorageError>> {
        self.boxed(Op::Load, Some(id), self.world.store.load(id))
    }

    fn commit(&self, change: Change) -> BoxFuture<'_, Result<Committed, StorageError>> {
        Box::pin(async move {
            let id = change.task.id.clone();
            self.call(Op::Commit, Some(&id), async {
                if change.task.status.state == TaskState::Canceled {
                    self.world.note("cancels", self.world.number(&id), || self.world.name(&id));
                }
                let result = self.world.store.commit(change.clone()).await;
                match &result {
                    Ok(committed) => self.written(&change, committed),
                    Err(error) => self.world.note("refused", self.world.number(&id), || {
                        format!("{} {} by {}", self.world.name(&id), why(error), self.life)
                    }),
                }
                result
            })
            .await
        })
    }

    fn events<'a>(
        &'a self,
        id: &'a TaskId,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Event>, StorageError>> {
        self.boxed(Op::Events, Some(id), self.world.store.events(id, after, limit))
    }

    fn renew<'a>(
        &'a self,
        id: &'a TaskId,
        run: RunId,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(self.call(Op::Renew, Some(id), async move {
            let renewed = self.world.store.renew(id, run, until).await;
            if renewed.is_ok() {
                self.world.lock().ledger.renewed(id, Lease { run, until });
            }
            renewed
        }))
    }

    fn stranded(
        &self,
        query: StrandedQuery,
    ) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>> {
        self.boxed(Op::Stranded, None, self.world.store.stranded(query))
    }

    fn tasks(&self, query: TaskQuery) -> BoxFuture<'_, Result<Page<Arc<Record>>, StorageError>> {
        self.boxed(Op::Tasks, None, self.world.store.tasks(query))
    }

    fn contexts(
        &self,
        query: ContextQuery,
    ) -> BoxFuture<'_, Result<Page<ContextSummary>, StorageError>> {
        self.boxed(Op::Tasks, None, self.world.store.contexts(query))
    }

    fn clear_context<'a>(
        &'a self,
        id: &'a ContextId,
        owner: &'a Owner,
    ) -> BoxFuture<'a, Result<Vec<TaskId>, StorageError>> {
        self.boxed(Op::Other, None, self.world.store.clear_context(id, owner))
    }

    fn count(&self) -> BoxFuture<'_, Result<Vec<(TaskState, u64)>, StorageError>> {
        self.boxed(Op::Other, None, self.world.store.count())
    }

    fn add_feedback<'a>(
        &'a self,
        id: &'a TaskId,
        feedback: Feedback,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        self.boxed(Op::Other, Some(id), self.world.store.add_feedback(id, feedback))
    }

    fn feedback<'a>(
        &'a self,
        id: &'a TaskId,
    ) -> BoxFuture<'a, Result<Vec<Feedback>, StorageError>> {
        self.boxed(Op::Other, Some(id), self.world.store.feedback(id))
    }

    fn set_webhook<'a>(
        &'a self,
        id: &'a TaskId,
        webhook: Webhook,
    ) -> BoxFuture<'a, Result<(), StorageError>> {
        self.boxed(Op::Webhook, Some(id), self.world.store.set_webhook(id, webhook))
    }

    fn remove_webhook<'a>(
        &'a self,
        id: &'a TaskId,
        config: &'a PushConfigId,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        self.boxed(Op::Webhook, Some(id), self.world.store.remove_webhook(id, config))
    }

    fn outbox(&self, query: OutboxQuery) -> BoxFuture<'_, Result<Vec<OutboxEntry>, StorageError>> {
        self.boxed(Op::Outbox, None, self.world.store.outbox(query))
    }

    fn outbox_take(
        &self,
        id: OutboxId,
        attempts: u32,
        until: Timestamp,
    ) -> BoxFuture<'_, Result<bool, StorageError>> {
        Box::pin(self.call(Op::OutboxTake, None, async move {
            let taken = self.world.store.outbox_take(id, attempts, until).await;
            if matches!(taken, Ok(true)) {
                self.world.note("taken", id.0, || format!("entry {} by {}", id.0, self.life));
                self.world.lock().ledger.taken(id);
            }
            taken
        }))
    }

    fn outbox_done(&self, id: OutboxId) -> BoxFuture<'_, Result<(), StorageError>> {
        self.boxed(Op::OutboxDone, None, self.world.store.outbox_done(id))
    }

    fn outbox_retry(
        &self,
        id: OutboxId,
        next: Timestamp,
    ) -> BoxFuture<'_, Result<(), StorageError>> {
        self.boxed(Op::OutboxRetry, None, self.world.store.outbox_retry(id, next))
    }

    fn changes(&self) -> BoxStream<'static, Changed> {
        self.life.changes()
    }

    fn state<'a>(
        &'a self,
        scope: &'a StateScope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<StateValue>, StorageError>> {
        self.boxed(Op::Other, None, self.world.store.state(scope, key))
    }

    fn set_state(&self, change: StateChange) -> BoxFuture<'_, Result<u64, StorageError>> {
        self.boxed(Op::Other, None, self.world.store.set_state(change))
    }

    fn state_keys<'a>(
        &'a self,
        scope: &'a StateScope,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        self.boxed(Op::Other, None, self.world.store.state_keys(scope, after, limit))
    }

    fn prune(&self, before: Timestamp, limit: usize) -> BoxFuture<'_, Result<u64, StorageError>> {
        self.boxed(Op::Other, None, self.world.store.prune(before, limit))
    }

    fn durability(&self) -> Durability {
        if self.world.plan.replicas == 1 { Durability::Local } else { Durability::Shared }
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.boxed(Op::Other, None, self.world.store.ping())
    }

    fn name(&self) -> &'static str {
        "SimStorage"
    }
}
