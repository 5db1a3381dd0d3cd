//! What goes wrong while payments are made.

use std::fmt;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::Round;
use crate::crash::runlog::{Tail, What};
use crate::fake_facilitator::Fault;

/// How long to wait for a step before something happens all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it is looked whether a step was made.
const BEAT: Duration = Duration::from_micros(300);

/// How long a facilitator takes while nothing is wrong with it: so long it is not known what became
/// of a payment, and so long there is something to be hit.
const LATENCY: Duration = Duration::from_millis(150);

/// How long a process stands still: longer than anything is claimed for it.
const STILL: Duration = Duration::from_secs(18);

/// A blow to an agent or to its facilitator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Blow {
    /// `kill -9` of an agent, just after a step was made somewhere.
    Kill(Step),
    /// An agent stands still for a while, just after a payment was verified.
    Still,
    /// The facilitator takes no connections.
    Shut,
    /// The facilitator closes connections.
    Down,
    /// The facilitator answers 503.
    Status,
    /// The facilitator answers no JSON.
    NotJson,
    /// The facilitator does what it should, and answers too late.
    Slow,
}

/// A step of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// None in particular.
    Any,
    /// The facilitator was asked to verify.
    Verify,
    /// The facilitator was asked to settle.
    Settle,
    /// Money moved.
    Move,
    /// A handler began.
    Run,
    /// A handler came to its end.
    End,
}

impl Step {
    const ALL: [Self; 6] =
        [Self::Any, Self::Verify, Self::Settle, Self::Move, Self::Run, Self::End];
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kill(Step::Any) => "kill at any time",
            Self::Kill(Step::Verify) => "kill at verify",
            Self::Kill(Step::Settle) => "kill at settle",
            Self::Kill(Step::Move) => "kill when money moved",
            Self::Kill(Step::Run) => "kill when a run began",
            Self::Kill(Step::End) => "kill when a run ended",
            Self::Still => "stand still at verify",
            Self::Shut => "facilitator away",
            Self::Down => "facilitator hangs up",
            Self::Status => "facilitator says 503",
            Self::NotJson => "facilitator says no JSON",
            Self::Slow => "facilitator is late",
        })
    }
}

/// Blows until it is over, and puts everything right again.
pub(super) async fn blow(
    round: &Round<'_>,
    end: Instant,
    mut chance: fastrand::Rng,
) -> anyhow::Result<Vec<Blow>> {
    let (kills, faults) = (chance.fork(), chance.fork());
    round.facilitator.fail(Some(Fault::Slow(LATENCY)));
    let (killed, failed, still) =
        tokio::join!(kill(round, end, kills), fail(round, end, faults), still(round, chance));
    round.facilitator.fail(None);
    let mut blows = killed?;
    blows.extend(failed?);
    blows.extend(still?);
    Ok(blows)
}

async fn pause(chance: &mut fastrand::Rng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(chance.u64(milliseconds))).await;
}

/// Kills agents, and starts them again.
async fn kill(
    round: &Round<'_>,
    end: Instant,
    mut chance: fastrand::Rng,
) -> anyhow::Result<Vec<Blow>> {
    let mut blows = Vec::new();
    let mut turns = Vec::new();
    while Instant::now() < end {
        pause(&mut chance, 100..700).await;
        if turns.is_empty() {
            turns = Step::ALL.to_vec();
            chance.shuffle(&mut turns);
        }
        let Some(step) = turns.pop() else { break };
        wait(round, step).await?;
        // Soon after, or as long as nobody knows yet what comes of it.
        let most = if chance.bool() { 4_000 } else { 150_000 };
        tokio::time::sleep(Duration::from_micros(chance.u64(..most))).await;
        let mut replicas = round.site.replicas().await;
        // The last one stands still for a while; alone, it is killed all the same.
        let number = chance.usize(..replicas.len().saturating_sub(1).max(1));
        round.site.bury(replicas[number].kill()?);
        pause(&mut chance, 0..1_000).await;
        replicas[number].start().await?;
        blows.push(Blow::Kill(step));
    }
    Ok(blows)
}

/// Stops one of several agents for so long that others take it for dead, and lets it go on.
async fn still(round: &Round<'_>, mut chance: fastrand::Rng) -> anyhow::Result<Option<Blow>> {
    let number = round.site.addresses().len() - 1;
    if number == 0 {
        return Ok(None);
    }
    pause(&mut chance, 1_000..7_000).await;
    wait(round, Step::Verify).await?;
    tokio::time::sleep(Duration::from_micros(chance.u64(..6_000))).await;
    let Some(pid) = round.site.replicas().await[number].pid() else { return Ok(None) };
    crate::services::send(pid, "STOP")?;
    tokio::time::sleep(STILL).await;
    crate::services::send(pid, "CONT")?;
    Ok(Some(Blow::Still))
}

/// Has the facilitator fail, in one way after the other.
async fn fail(
    round: &Round<'_>,
    end: Instant,
    mut chance: fastrand::Rng,
) -> anyhow::Result<Vec<Blow>> {
    let mut blows = Vec::new();
    let mut turns = Vec::new();
    while Instant::now() < end {
        pause(&mut chance, 500..2_000).await;
        if turns.is_empty() {
            turns = vec![Blow::Shut, Blow::Down, Blow::Status, Blow::NotJson, Blow::Slow];
            chance.shuffle(&mut turns);
        }
        let Some(blow) = turns.pop() else { break };
        match blow {
            Blow::Shut => round.door.shut(),
            Blow::Down => round.facilitator.fail(Some(Fault::Down)),
            Blow::Status => {
                round.facilitator.fail(Some(Fault::Status(StatusCode::SERVICE_UNAVAILABLE)));
            }
            Blow::NotJson => round.facilitator.fail(Some(Fault::NotJson)),
            _ => round.facilitator.fail(Some(Fault::Slow(Duration::from_millis(800)))),
        }
        pause(&mut chance, 200..1_500).await;
        if blow == Blow::Shut {
            round.door.reopen().await?;
        }
        round.facilitator.fail(Some(Fault::Slow(LATENCY)));
        blows.push(blow);
    }
    Ok(blows)
}

/// Waits until a step is made.
async fn wait(round: &Round<'_>, step: Step) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let count = || match step {
        Step::Verify => round.facilitator.count("POST", "/verify"),
        Step::Settle => round.facilitator.count("POST", "/settle"),
        _ => round.facilitator.chain().len(),
    };
    let before = count();
    let mut tail = Tail::open(round.site.log())?;
    tail.read()?;
    while step != Step::Any && Instant::now() < deadline {
        let is_made = match step {
            Step::Run => tail.read()?.iter().any(|line| line.what == What::Start),
            Step::End => tail.read()?.iter().any(|line| line.what == What::End),
            _ => count() > before,
        };
        if is_made {
            break;
        }
        tokio::time::sleep(BEAT).await;
    }
    Ok(())
}
