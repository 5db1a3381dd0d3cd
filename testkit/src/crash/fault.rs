//! What goes wrong, and putting it right again.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::history::{is_terminal, now};
use super::replica::Replica;
use super::round::Round;
use super::runlog::{Line, Tail, What};
use super::site::Site;
use super::{Backends, client};
use crate::services::{Server, ServicesError};

/// How often a round kills.
const KILLS: usize = 3;

/// How long to wait for a place to stand; after that there is no more work to be killed at.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the log is looked at: the places to be hit are a few milliseconds wide.
const BEAT: Duration = Duration::from_micros(500);

/// One kind of thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// For comparison.
    Nothing,
    /// `kill -9` at any time.
    KillAnywhere,
    /// `kill -9` when a process stands at a certain place.
    KillAt(Point),
    /// SIGTERM to one process after the other, each started again.
    Terminate,
    /// The database is shut down and comes back.
    RestartPostgres,
    /// The database is killed and recovers.
    KillPostgres,
    /// The queue forgets everything and is restarted.
    FlushRedis,
    /// The queue is killed and comes back with what it had written.
    KillRedis,
}

/// A place in the life of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Its entry is taken from the queue, its handler has not begun.
    AfterPop,
    /// Its handler runs.
    AfterWorking,
    /// Its handler has come to its end.
    AfterHandler,
    /// It is over; its entry may still be in the queue.
    BeforeAck,
}

impl Point {
    pub(super) const ALL: [Self; 4] =
        [Self::AfterPop, Self::AfterWorking, Self::AfterHandler, Self::BeforeAck];
}

impl Fault {
    /// What can go wrong with these backends, without a task being lost.
    #[must_use]
    pub fn of(backends: Backends) -> Vec<Self> {
        let mut faults = vec![Self::Nothing];
        if backends != Backends::Memory {
            faults.extend([Self::KillAnywhere, Self::Terminate]);
            faults.extend(Point::ALL.map(Self::KillAt));
        }
        if backends.has_postgres() {
            faults.extend([Self::RestartPostgres, Self::KillPostgres]);
        }
        if backends == Backends::Redis {
            faults.extend([Self::FlushRedis, Self::KillRedis]);
        }
        faults
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::KillAnywhere => "kill anywhere",
            Self::KillAt(Point::AfterPop) => "kill after pop",
            Self::KillAt(Point::AfterWorking) => "kill after working",
            Self::KillAt(Point::AfterHandler) => "kill after the handler",
            Self::KillAt(Point::BeforeAck) => "kill before ack",
            Self::Terminate => "terminate in turn",
            Self::RestartPostgres => "restart Postgres",
            Self::KillPostgres => "kill Postgres",
            Self::FlushRedis => "flush Redis",
            Self::KillRedis => "kill Redis",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::of(Backends::Redis);
        all.iter().copied().find(|fault| fault.name() == text).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|fault| fault.name()).collect();
            format!("there is no fault {text:?}; it is one of: {}", names.join(", "))
        })
    }
}

/// Something that went wrong, once.
#[derive(Clone, Debug)]
pub(super) struct Blow {
    pub(super) at: f64,
    /// Which run it was aimed at.
    pub(super) aim: Option<String>,
}

/// Lets it go wrong while the round is under way, and puts it right.
pub(super) async fn inflict(
    site: &Site,
    round: &Round,
    fault: Fault,
    mut chance: fastrand::Rng,
) -> anyhow::Result<Vec<Blow>> {
    let chance = &mut chance;
    // When work has begun to flow.
    pause(chance, 200..600).await;
    let mut blows = Vec::new();
    match fault {
        Fault::Nothing => {}
        Fault::KillAnywhere => {
            for _ in 0..KILLS {
                pause(chance, 0..800).await;
                let number = chance.usize(..site.addresses().len());
                blows.push(kill(site, number, None, chance).await?);
            }
        }
        Fault::KillAt(point) => {
            for _ in 0..KILLS {
                let Some((number, aim)) = stand(site, round, point, chance).await? else { break };
                blows.push(kill(site, number, aim, chance).await?);
            }
        }
        Fault::Terminate => {
            for number in 0..site.addresses().len() {
                blows.push(Blow { at: now(), aim: None });
                let mut replicas = site.replicas().await;
                let (death, problem) = replicas[number].terminate().await?;
                site.bury(death);
                if let Some(problem) = problem {
                    round.problem(problem);
                }
                replicas[number].start().await?;
            }
        }
        Fault::RestartPostgres | Fault::KillPostgres | Fault::FlushRedis | Fault::KillRedis => {
            let is_redis = matches!(fault, Fault::FlushRedis | Fault::KillRedis);
            let server = if is_redis { site.redis() } else { site.postgres() };
            let server = server.context("there is no such server")?;
            blows.push(Blow { at: now(), aim: None });
            down(&server, move |server| match fault {
                Fault::FlushRedis => server.flush().and_then(|()| server.stop()),
                Fault::RestartPostgres => server.stop(),
                _ => server.kill(),
            })
            .await?;
            pause(chance, 0..2000).await;
            down(&server, Server::start).await?;
        }
    }
    Ok(blows)
}

/// Does what blocks where it may.
async fn down(
    server: &Arc<Mutex<Server>>,
    act: impl FnOnce(&mut Server) -> Result<(), ServicesError> + Send + 'static,
) -> anyhow::Result<()> {
    let server = Arc::clone(server);
    let acted = tokio::task::spawn_blocking(move || {
        act(&mut server.lock().unwrap_or_else(PoisonError::into_inner))
    });
    Ok(acted.await??)
}

async fn pause(chance: &mut fastrand::Rng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(chance.u64(milliseconds))).await;
}

/// Kills a replica and starts it again after a while.
async fn kill(
    site: &Site,
    number: usize,
    aim: Option<String>,
    chance: &mut fastrand::Rng,
) -> anyhow::Result<Blow> {
    let mut replicas = site.replicas().await;
    let at = now();
    site.bury(replicas[number].kill()?);
    pause(chance, 0..1500).await;
    replicas[number].start().await?;
    Ok(Blow { at, aim })
}

/// Waits until a replica stands where it is to be killed; `None` if none will any more.
async fn stand(
    site: &Site,
    round: &Round,
    point: Point,
    chance: &mut fastrand::Rng,
) -> anyhow::Result<Option<(usize, Option<String>)>> {
    let deadline = Instant::now() + PATIENCE;
    if point == Point::AfterPop {
        // Whatever was accepted this moment is on its way; where exactly, chance says.
        let enough = round.accepted() + chance.usize(1..8);
        while round.accepted() < enough {
            if Instant::now() > deadline {
                return Ok(None);
            }
            tokio::time::sleep(BEAT).await;
        }
        tokio::time::sleep(Duration::from_micros(chance.u64(..3_000))).await;
        return Ok(Some((chance.usize(..site.addresses().len()), None)));
    }
    let mut tail = Tail::open(site.log())?;
    tail.read()?;
    // Not always the first one.
    let mut skip = chance.usize(..10);
    while Instant::now() < deadline {
        for Line { text, pid, what, .. } in tail.read()? {
            let fits = match point {
                Point::AfterPop | Point::AfterWorking => what == What::Start,
                Point::AfterHandler | Point::BeforeAck => what == What::End,
            };
            if !fits || skip > 0 {
                skip -= usize::from(fits);
                continue;
            }
            let pids: Vec<_> = site.replicas().await.iter().map(Replica::pid).collect();
            let Some(number) = pids.iter().position(|it| *it == Some(pid)) else { continue };
            if point == Point::BeforeAck {
                let Some(task) = round.task_of(&text) else { continue };
                while Instant::now() < deadline {
                    let look = client::look(site.addresses()[number], number, &task).await;
                    if look.is_ok_and(|look| is_terminal(&look.state)) {
                        break;
                    }
                }
            }
            return Ok(Some((number, Some(text))));
        }
        tokio::time::sleep(BEAT).await;
    }
    Ok(None)
}
