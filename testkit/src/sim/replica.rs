//! One replica: the engine's parts, put together as the facade does.

use std::sync::Arc;
use std::time::Duration;

use bindu_tasks::{Config, OnCrash, PushSettings, Pushes, TaskError, Tasks};
use bindu_worker::Worker;
use tokio::task::JoinHandle;

use super::courier::SimCourier;
use super::handler;
use super::life::Life;
use super::queue::SimQueue;
use super::store::SimStore;
use super::world::World;

/// How often a delivery is tried.
pub(super) const DELIVERIES: u32 = 6;

/// How long what is under way may take when a replica is stopped.
const PATIENCE: Duration = Duration::from_secs(3);

/// One replica, in one life.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) life: Arc<Life>,
    pub(super) tasks: Tasks,
    worker: Worker,
    pushes: Pushes,
    upkeep: JoinHandle<()>,
}

impl Replica {
    /// Starts it.
    pub(super) async fn start(world: &Arc<World>, life: &Arc<Life>) -> Result<Self, TaskError> {
        let plan = &world.plan;
        let (shared, own) = (Arc::clone(world), Arc::clone(life));
        let store = Arc::new(SimStore { world: shared, life: own });
        let queue = Arc::new(SimQueue::new(world, life));
        let courier = SimCourier { world: Arc::clone(world), life: Arc::clone(life) };
        let settings = PushSettings {
            timeout: Duration::from_secs(1),
            max_attempts: DELIVERIES,
            min_wait: Duration::from_millis(200),
            max_wait: Duration::from_secs(2),
            ..PushSettings::default()
        };
        let pushes = Pushes::with_courier(settings, None, Arc::new(courier));
        let config = Config {
            lease: plan.lease,
            max_attempts: plan.max_attempts,
            stream_backlog: plan.stream_backlog,
            on_crash: if plan.fails_on_crash { OnCrash::Fail } else { OnCrash::Requeue },
            requeue_after: plan.requeue_after,
            context_history: plan.context_history,
            clock: world.clock(life.replica),
            ..Config::default()
        };
        let tasks = Tasks::builder(store, queue).config(config).pushes(pushes.clone()).build();
        tasks.sweep(Duration::ZERO).await?;
        let upkeep = tokio::spawn({
            let tasks = tasks.clone();
            async move { tasks.upkeep().await }
        });
        let config = bindu_worker::Config {
            concurrency: plan.slots,
            heartbeat: plan.heartbeat,
            ..bindu_worker::Config::default()
        };
        let worker = Worker::start(tasks.clone(), handler::of(world, life), None, config);
        Ok(Self { life: Arc::clone(life), tasks, worker, pushes, upkeep })
    }

    /// Stops it in good order.
    pub(super) async fn stop(&self) {
        self.tasks.close();
        self.worker.drain(PATIENCE).await;
        self.tasks.scheduler().close().await;
        self.upkeep.abort();
        self.pushes.close(PATIENCE).await;
    }

    /// Whether nothing is under way in it.
    pub(super) fn is_idle(&self) -> bool {
        self.worker.busy() == 0 && self.pushes.pending() == 0
    }
}
