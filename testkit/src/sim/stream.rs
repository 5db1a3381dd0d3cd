//! Callers that follow a task, and resume whenever they were cut off.

use std::sync::Arc;
use std::time::Duration;

use bindu_protocol::{Caller, TaskId};
use bindu_tasks::{Follow, Followed, TaskError};
use tokio::time::{sleep, timeout};

use super::client::{Trouble, call};
use super::replica::Replica;
use super::world::World;

/// For how long a stream may be silent once nothing fails.
const SILENCE: Duration = Duration::from_secs(200);

/// Follows a task until it is over, or left alone by its caller.
pub(super) async fn follow(world: Arc<World>, caller: Caller, id: TaskId, from_start: bool) {
    let mut last = from_start.then_some(0);
    loop {
        let replica = world.any_replica().await;
        let begun = {
            let (caller, id) = (&caller, &id);
            let over = replica.life.over();
            tokio::select! {
                biased;
                () = over => Err(Trouble::Lost),
                begun = replica.tasks.follow(caller, id, last) => begun.map_err(Trouble::Refused),
            }
        };
        match begun {
            Ok(follow) => {
                last = Some(read(&world, &replica, follow, &id).await);
            }
            Err(Trouble::Refused(TaskError::NotFound)) => {
                world.problem(|| format!("{} is gone for a stream", world.name(&id)));
                return;
            }
            Err(_) => {}
        }
        let got = call(&world, "a get", async |tasks| tasks.get(&caller, &id).await).await;
        if let Ok(record) = got
            && Some(record.version.0) == last
            && (record.task.status.state.is_terminal() || world.is_calm())
            && record.task.status.state.is_settled()
        {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Reads a stream to its end, or until it breaks; says the number of the last event.
async fn read(world: &Arc<World>, replica: &Arc<Replica>, mut follow: Follow, id: &TaskId) -> u64 {
    let mut last = follow.position();
    world.note("follow", last, || format!("{} after {last} at {}", world.name(id), replica.life));
    loop {
        let began_calm = world.is_calm();
        // Some readers leave.
        let patience = if !began_calm && world.chance(0.05) {
            Duration::from_millis(world.below(500))
        } else {
            SILENCE
        };
        let followed = tokio::select! {
            biased;
            () = replica.life.over() => return last,
            followed = timeout(patience, follow.next()) => followed,
        };
        match followed {
            Err(_) => {
                if began_calm {
                    world.problem(|| {
                        format!("{}: a stream stands still after {last}", world.name(id))
                    });
                }
                return last;
            }
            Ok(Err(_)) => return last,
            Ok(Ok(Some(Followed::FellBehind))) => {
                world.note("behind", last, || world.name(id));
                return last;
            }
            Ok(Ok(None)) => {
                if !world.lock().ledger.may_end_after(id, last) {
                    world.problem(|| format!("{}: a stream ended after {last}", world.name(id)));
                }
                return last;
            }
            Ok(Ok(Some(Followed::Events(events)))) => {
                if events.is_empty() {
                    world.problem(|| "a stream brought nothing".to_owned());
                }
                for event in &events {
                    if event.seq != last + 1 {
                        let name = world.name(id);
                        world.problem(|| format!("{name}: {} was shown after {last}", event.seq));
                    }
                    last = event.seq;
                    world.shown(id, event);
                }
                world.note("shown", last, || format!("{} up to {last}", world.name(id)));
            }
        }
    }
}
