//! What must hold when all has come to an end.

use bindu_protocol::{Role, TaskState};
use bindu_storage::{EventBody, OutboxKind, OutboxQuery, Storage};
use futures_util::FutureExt;

use super::ledger::{Model, WORKER_LOST};
use super::replica::DELIVERIES;
use super::world::{State, World};

impl World {
    /// Whether every webhook was told what it could be.
    pub(super) fn is_told(&self, _: &State) -> bool {
        let all = OutboxQuery { kind: OutboxKind::Deliver, task: None, due: None, limit: 1 };
        let left = self.store.outbox(all).now_or_never();
        matches!(left, Some(Ok(left)) if left.is_empty())
    }

    /// Says what has not come to an end.
    pub(super) fn name_unfinished(&self) {
        let mut unfinished = Vec::new();
        {
            let state = self.lock();
            for (label, task) in state.ledger.tasks.iter().enumerate() {
                if !task.state().is_settled() {
                    unfinished.push(format!("t{label} is {} with {:?}", task.state(), task.lease));
                }
            }
            for replica in state.replicas.iter().flatten() {
                if !replica.is_idle() {
                    unfinished.push(format!("{} is not idle", replica.life));
                }
            }
            if !self.is_told(&state) {
                unfinished.push("webhooks are not told".to_owned());
            }
        }
        for problem in unfinished {
            self.problem(|| problem);
        }
    }

    pub(super) fn check_at_the_end(&self) {
        let mut problems = Vec::new();
        {
            let state = self.lock();
            for (label, task) in state.ledger.tasks.iter().enumerate() {
                let mut found = Vec::new();
                self.check_stored(task, &mut found);
                check_outcome(self, task, &mut found);
                self.check_webhooks(task, &mut found);
                problems.extend(found.into_iter().map(|problem| format!("t{label}: {problem}")));
            }
        }
        for problem in problems {
            self.problem(|| problem);
        }
    }

    /// The store has what was written, and its log is whole.
    fn check_stored(&self, task: &Model, problems: &mut Vec<String>) {
        let stored = self.store.load(&task.id).now_or_never().and_then(Result::ok).flatten();
        let log = self.store.events(&task.id, 0, usize::MAX).now_or_never().and_then(Result::ok);
        if log.as_ref() != Some(&task.log) {
            problems.push("its log is not what was written".to_owned());
        }
        let is_same = stored.is_some_and(|stored| {
            Some(&stored.task) == task.task() && stored.version.0 == task.version()
        });
        if !is_same {
            problems.push("it is not what was written".to_owned());
        }
    }

    /// How long may be between a replica's look at a task and its write, in microseconds.
    fn blind_time(&self) -> i64 {
        let pace = i64::try_from(self.plan.pace).unwrap_or(0);
        1_000 * if self.plan.rates.are_none() { 4 * pace + 20 } else { 20_000 }
    }

    /// Each webhook was told all, in order, and of the end once.
    fn check_webhooks(&self, task: &Model, problems: &mut Vec<String>) {
        for (url, since) in &task.webhooks {
            let told = task.told.get(url).map(Vec::as_slice).unwrap_or_default();
            // Whoever read the task before the webhook was there, and wrote it after, does not know.
            let from = if *since == 0 { 0 } else { since + self.blind_time() };
            let late = task.log.iter().zip(&task.times).filter(|(_, at)| **at >= from);
            let expected = late
                .filter(|(event, _)| match &event.body {
                    EventBody::Status(status) => status.state != TaskState::Submitted,
                    EventBody::Artifact { .. } => true,
                    _ => false,
                })
                .count();
            if told.len() < expected || (*since == 0 && told.len() != expected) {
                let told = told.len();
                problems.push(format!("{url}: {told} of {expected} events are told"));
            }
            let ends = told.iter().filter(|telling| telling.is_final).count();
            let may_end = usize::from(task.state().is_terminal());
            let must_end = task.times.last().is_some_and(|at| *at >= from);
            if ends > may_end || (must_end && ends < may_end) {
                problems.push(format!("{url}: {ends} final events"));
            }
        }
        for (url, told) in &task.told {
            let arrivals = self.receivers.of(url);
            let mut last = 0;
            let mut seen = Vec::new();
            for arrival in &arrivals {
                let Some(telling) = told.iter().find(|telling| telling.body == arrival.body) else {
                    problems.push(format!("{url}: got what nobody announced"));
                    continue;
                };
                if seen.contains(&telling.event_id) {
                    continue;
                }
                seen.push(telling.event_id);
                if telling.sequence <= last {
                    problems.push(format!("{url}: {} came after {last}", telling.sequence));
                }
                last = telling.sequence;
            }
            for telling in told {
                let came = arrivals.iter().any(|arrival| arrival.body == telling.body);
                if !came && telling.taken < DELIVERIES {
                    let (sequence, taken) = (telling.sequence, telling.taken);
                    problems.push(format!("{url}: {sequence} never came, taken {taken} times"));
                }
            }
        }
    }
}

/// It ended as it was asked to.
fn check_outcome(world: &World, task: &Model, problems: &mut Vec<String>) {
    let Some(stored) = task.task() else { return };
    let said = stored.status.message.as_ref().map(|message| message.text()).unwrap_or_default();
    let asked = stored.history.iter().rev().find(|message| message.role == Role::User);
    let asked = asked.map(|message| message.text()).unwrap_or_default();
    let wish = asked.split(' ').next().unwrap_or_default();
    let fits = match stored.status.state {
        TaskState::Completed => matches!(wish, "answer" | "slow" | "stream"),
        TaskState::InputRequired => matches!(wish, "ask" | "stream-ask"),
        TaskState::Canceled => task.cancel_asked,
        TaskState::Failed if said == WORKER_LOST => {
            world.plan.fails_on_crash || task.attempts >= world.plan.max_attempts
        }
        TaskState::Failed => matches!(wish, "fail" | "panic"),
        _ => false,
    };
    if !fits {
        let state = stored.status.state;
        problems.push(format!("asked to {asked:?}, it is {state}: {said:?}"));
    }
}
