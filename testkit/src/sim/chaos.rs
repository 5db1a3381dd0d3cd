//! Misfortunes: replicas killed and stopped, queues forgotten.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::life::Life;
use super::plan::Queue;
use super::replica::Replica;
use super::world::World;

/// How long a replica that is told to stop may take before it is killed.
const GRACE: Duration = Duration::from_secs(40);

/// Starts the replicas, and whatever befalls them.
pub(super) fn start(world: &Arc<World>) {
    for replica in 0..world.plan.replicas {
        tokio::spawn(supervise(Arc::clone(world), replica));
    }
    if let Some(pause) = world.plan.misfortune {
        tokio::spawn(strike(Arc::clone(world), pause));
    }
}

/// Nothing fails from now on.
pub(super) fn cease(world: &World) {
    world.note("calm", 0, String::new);
    let mut state = world.lock();
    state.calm = true;
    for replica in state.replicas.iter().flatten() {
        replica.life.doom(-1);
    }
}

/// Starts a replica again and again.
async fn supervise(world: Arc<World>, replica: usize) {
    for number in 0.. {
        let life = Arc::new(Life::new(replica, number));
        world.note("start", replica as u64, || life.to_string());
        let started = tokio::select! {
            biased;
            started = Replica::start(&world, &life) => Some(started),
            () = life.over() => None,
        };
        match started {
            Some(Ok(started)) => {
                world.lock().replicas[replica] = Some(Arc::new(started));
                life.over().await;
                world.lock().replicas[replica] = None;
            }
            Some(Err(_)) => world.kill(&life),
            None => {}
        }
        world.rest(50, 2_000).await;
    }
}

/// Lets misfortunes happen, until there are to be no more.
async fn strike(world: Arc<World>, pause: Duration) {
    let most = u64::try_from(pause.as_millis()).unwrap_or(1_000) * 2;
    loop {
        world.rest(0, most).await;
        if world.is_calm() {
            return;
        }
        let replica = world.below(world.plan.replicas as u64);
        let place = usize::try_from(replica).unwrap_or(0);
        let alive = world.lock().replicas[place].clone();
        match (world.below(8), alive) {
            (0 | 1, Some(replica)) => world.kill(&replica.life),
            (2..=4, Some(replica)) => {
                let calls = world.below(60);
                world.note("doom", calls, || format!("{} in {calls} calls", replica.life));
                replica.life.doom(i64::try_from(calls).unwrap_or(0));
            }
            (5 | 6, Some(replica)) => drop(tokio::spawn(stop(Arc::clone(&world), replica))),
            (7, _) if world.plan.flushes && world.plan.queue == Queue::Shared => {
                world.note("flush", 0, String::new);
                world.queue.flush();
            }
            _ => {}
        }
    }
}

/// Stops a replica as an operator does.
async fn stop(world: Arc<World>, replica: Arc<Replica>) {
    world.note("stop", replica.life.replica as u64, || replica.life.to_string());
    if timeout(GRACE, replica.stop()).await.is_err() {
        world.note("impatience", replica.life.replica as u64, || replica.life.to_string());
    }
    world.kill(&replica.life);
}

impl World {
    /// Waits until nothing is under way.
    pub(super) async fn settle(&self) {
        loop {
            let is_settled = {
                let state = self.lock();
                state.replicas.iter().flatten().all(|replica| replica.is_idle())
                    && state.ledger.tasks.iter().all(|task| task.state().is_settled())
                    && self.is_told(&state)
            };
            if is_settled {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}
