//! What all parts of a simulation share: chance, time, the store, and what happened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bindu_protocol::{TaskId, Timestamp};
use bindu_storage::{Change, Committed, Event, MemoryStore, Record};
use bindu_tasks::Clock;
use tokio::time::Instant;

use super::Report;
use super::courier::Receivers;
use super::fault::{Fate, Op};
use super::ledger::Ledger;
use super::life::Life;
use super::plan::Plan;
use super::queue::SharedQueue;
use super::replica::Replica;

/// When it all begins, in microseconds since 1970.
const BEGINNING: i64 = 1_800_000_000_000_000;

/// How many problems of one seed are told.
const TOLD: usize = 20;

/// What all parts of a simulation share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) store: MemoryStore,
    pub(super) queue: SharedQueue,
    pub(super) receivers: Receivers,
    begun: Instant,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rng: fastrand::Rng,
    pub(super) calm: bool,
    pub(super) ledger: Ledger,
    pub(super) replicas: Vec<Option<Arc<Replica>>>,
    /// The last instant each replica's clock was asked, and how often within it.
    asked: Vec<(i64, i64)>,
    history: Option<Vec<String>>,
    digest: u64,
    steps: u64,
    problems: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan, traced: bool) -> Arc<Self> {
        let world = Arc::new(Self {
            begun: Instant::now(),
            store: MemoryStore::default(),
            queue: SharedQueue::default(),
            receivers: Receivers::default(),
            state: Mutex::new(State {
                rng: fastrand::Rng::with_seed(seed),
                calm: false,
                ledger: Ledger {
                    may_lose: plan.may_lose_runs(),
                    max_attempts: plan.max_attempts,
                    ..Ledger::default()
                },
                replicas: vec![None; plan.replicas],
                asked: vec![(0, 0); plan.replicas],
                history: traced.then(Vec::new),
                digest: 0xcbf2_9ce4_8422_2325,
                steps: 0,
                problems: Vec::new(),
            }),
            plan,
        });
        world.note("plan", 0, || format!("{:?}", world.plan));
        world
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long it has been going on, in milliseconds.
    pub(super) fn millis(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// The true time in microseconds.
    pub(super) fn now(&self) -> i64 {
        BEGINNING + self.millis() * 1_000
    }

    /// By how much the fastest clock is ahead of the true time, in microseconds.
    pub(super) fn skew(&self) -> i64 {
        self.plan.skew.iter().max().map_or(0, |skew| skew * 1_000) + 1_000
    }

    /// The clock of a replica. No two answers of any two clocks are the same, so that nothing that
    /// is sorted by time falls back on ids, which are random.
    pub(super) fn clock(self: &Arc<Self>, replica: usize) -> Clock {
        let world = Arc::clone(self);
        let share = 1_000 / i64::try_from(self.plan.replicas).unwrap_or(1);
        let own = share * i64::try_from(replica).unwrap_or(0);
        Clock::new(move || {
            let millis = world.millis();
            let mut state = world.lock();
            let (at, count) = &mut state.asked[replica];
            *count = if *at == millis { (*count + 1).min(share - 1) } else { 0 };
            *at = millis;
            let micros = (millis + world.plan.skew[replica]) * 1_000 + own + *count;
            Timestamp::from_unix_micros(BEGINNING + micros)
        })
    }

    /// Writes down what happens. `what` and `number` go into the digest, the text does not.
    pub(super) fn note(&self, what: &str, number: u64, text: impl FnOnce() -> String) {
        let millis = self.millis();
        let mut state = self.lock();
        state.steps += 1;
        let mut digest = state.digest;
        let time = u64::try_from(millis).unwrap_or(0);
        for byte in what.bytes().chain(number.to_le_bytes()).chain(time.to_le_bytes()) {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        state.digest = digest;
        if state.history.is_some() {
            drop(state);
            let seconds = Duration::from_millis(time).as_secs_f64();
            let line = format!("{seconds:>8.3} {what} {}", text());
            if let Some(history) = &mut self.lock().history {
                history.push(line);
            }
        }
    }

    /// Something does not hold.
    pub(super) fn problem(&self, text: impl FnOnce() -> String) {
        let text = text();
        self.note("PROBLEM", 0, || text.clone());
        let at = self.millis();
        let mut state = self.lock();
        if state.problems.len() < TOLD {
            state.problems.push(format!("at {at} ms: {text}"));
        }
    }

    /// Draws a number below `end`.
    pub(super) fn below(&self, end: u64) -> u64 {
        self.lock().rng.u64(0..end.max(1))
    }

    /// Draws yes so often.
    pub(super) fn chance(&self, often: f64) -> bool {
        often > 0.0 && self.lock().rng.f64() < often
    }

    /// Waits between `least` and `most` milliseconds.
    pub(super) async fn rest(&self, least: u64, most: u64) {
        let millis = least + self.below(most.saturating_sub(least) + 1);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    pub(super) fn is_calm(&self) -> bool {
        self.lock().calm
    }

    /// How a call goes.
    pub(super) fn fate(&self, op: Op) -> Fate {
        let mut state = self.lock();
        let rate = if state.calm { 0.0 } else { self.plan.rates.of(op) };
        Fate::draw(&mut state.rng, rate, self.plan.pace)
    }

    /// A replica that serves, of those there are.
    pub(super) async fn any_replica(&self) -> Arc<Replica> {
        loop {
            {
                let mut state = self.lock();
                let alive: Vec<_> = state.replicas.iter().flatten().cloned().collect();
                if !alive.is_empty() {
                    let place = state.rng.usize(0..alive.len());
                    return Arc::clone(&alive[place]);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A task as histories name it.
    pub(super) fn name(&self, id: &TaskId) -> String {
        match self.lock().ledger.label(id) {
            Some(label) => format!("t{label}"),
            None => "t?".to_owned(),
        }
    }

    pub(super) fn number(&self, id: &TaskId) -> u64 {
        self.lock().ledger.label(id).map_or(u64::MAX, |label| label as u64)
    }

    /// A life ends at once, with all it has under way.
    pub(super) fn kill(&self, life: &Life) {
        if life.is_over() {
            return;
        }
        self.note("die", life.replica as u64, || life.to_string());
        life.end();
        self.lock().ledger.died((life.replica, life.number));
    }

    pub(super) fn committed(&self, life: &Life, change: &Change, committed: &Committed) {
        let (now, skew) = (self.now(), self.skew());
        let by = (life.replica, life.number);
        let problems = self.lock().ledger.committed(by, now, skew, change, committed);
        for problem in problems {
            self.problem(|| problem);
        }
        self.note("stored", committed.record.version.0, || {
            let events = committed.events.iter().map(|event| in_short(&event.body));
            let events: Vec<_> = events.collect();
            let (name, version) = (self.name(&committed.record.task.id), committed.record.version);
            format!("{name} v{version} {events:?} by {life}")
        });
    }

    /// Somebody was told of a task.
    pub(super) fn told(&self, record: &Record) {
        let problem = self.lock().ledger.told(record);
        if let Some(problem) = problem {
            self.problem(|| problem);
        }
    }

    /// Somebody was shown an event.
    pub(super) fn shown(&self, id: &TaskId, event: &Event) {
        let problem = self.lock().ledger.shown(id, event);
        if let Some(problem) = problem {
            self.problem(|| problem);
        }
    }

    pub(super) fn report(&self, seed: u64) -> Report {
        let mut state = self.lock();
        // They know the world, and the world knows them.
        state.replicas.clear();
        Report {
            seed,
            problems: std::mem::take(&mut state.problems),
            digest: state.digest,
            steps: state.steps,
            tasks: state.ledger.tasks.len(),
            history: state.history.take().unwrap_or_default(),
        }
    }
}

/// An event in a word or two.
fn in_short(event: &bindu_storage::EventBody) -> String {
    use bindu_storage::EventBody;
    match event {
        EventBody::Snapshot(_) => "born".to_owned(),
        EventBody::Message(message) => format!("{}: {}", message.role.as_str(), message.text()),
        EventBody::Status(status) => match &status.message {
            Some(said) => format!("{}: {}", status.state, said.text()),
            None => status.state.to_string(),
        },
        EventBody::Artifact { .. } => "artifact".to_owned(),
        EventBody::Metadata(_) => "metadata".to_owned(),
        EventBody::Chunk { .. } => "chunk".to_owned(),
        _ => "?".to_owned(),
    }
}
