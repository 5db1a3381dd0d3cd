//! The model: what was stored, shown and told, and what must hold of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bindu_protocol::{MessageId, Owner, Part, Role, Task, TaskId, TaskState};
use bindu_storage::{
    Change, Committed, Event, EventBody, Hold, Lease, OutboxBody, OutboxId, Record, RunId, Version,
};
use bindu_tasks::is_settled;
use bytes::Bytes;
use uuid::Uuid;

/// What the engine says of a task whose runs were lost.
pub(super) const WORKER_LOST: &str = "Task execution failed: worker lost";

/// Names a task in a history: tasks in the order of their beginning.
pub(super) type Label = usize;

/// All that is known of the tasks.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) labels: HashMap<TaskId, Label>,
    pub(super) tasks: Vec<Model>,
    /// Which task the message of a known caller, or any message, is in.
    pub(super) messages: HashMap<MessageId, (Label, Owner)>,
    pub(super) handlers: Vec<HandlerRun>,
    /// How many runs of a task may be begun, if they are lost.
    pub(super) max_attempts: u32,
    /// Whether there is anything by which a run may be lost.
    pub(super) may_lose: bool,
    /// The run by which each life of a replica last took each task.
    pub(super) claims: HashMap<(Label, usize, u32), RunId>,
}

/// What is known of one task.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: TaskId,
    pub(super) log: Vec<Event>,
    /// The task after each write, by its version.
    pub(super) versions: Vec<(u64, Arc<Task>)>,
    pub(super) lease: Option<Lease>,
    pub(super) attempts: u32,
    pub(super) cancel_asked: bool,
    /// When each event was stored, in microseconds of true time.
    pub(super) times: Vec<i64>,
    /// The webhooks it surely has, by URL, and since when; 0 for from the beginning.
    pub(super) webhooks: BTreeMap<String, i64>,
    /// What each webhook is to be told, by URL.
    pub(super) told: BTreeMap<String, Vec<Telling>>,
    deliveries: u64,
}

/// One delivery that was promised.
#[derive(Clone, Debug)]
pub(super) struct Telling {
    pub(super) entry: OutboxId,
    pub(super) event_id: Uuid,
    pub(super) sequence: u64,
    pub(super) is_final: bool,
    pub(super) body: Bytes,
    /// How often it was taken in hand.
    pub(super) taken: u32,
}

/// One call of a handler.
#[derive(Debug)]
pub(super) struct HandlerRun {
    pub(super) task: Label,
    pub(super) replica: usize,
    pub(super) life: u32,
    pub(super) run: Option<RunId>,
    pub(super) ended: bool,
}

impl Model {
    pub(super) fn task(&self) -> Option<&Arc<Task>> {
        self.versions.last().map(|(_, task)| task)
    }

    pub(super) fn version(&self) -> u64 {
        self.log.len() as u64
    }

    pub(super) fn state(&self) -> TaskState {
        self.task().map_or(TaskState::Unknown, |task| task.status.state)
    }
}

impl Ledger {
    pub(super) fn label(&self, id: &TaskId) -> Option<Label> {
        self.labels.get(id).copied()
    }

    pub(super) fn model(&self, id: &TaskId) -> Option<&Model> {
        self.label(id).and_then(|label| self.tasks.get(label))
    }

    /// A write took effect. `now` is the true time in microseconds, `skew` by how much the fastest clock
    /// is ahead of it.
    pub(super) fn committed(
        &mut self,
        by: (usize, u32),
        now: i64,
        skew: i64,
        change: &Change,
        committed: &Committed,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        let record = &committed.record;
        let id = &record.task.id;
        let label = match self.label(id) {
            Some(label) => {
                if change.expected.is_none() {
                    problems.push("the task was made twice".to_owned());
                }
                label
            }
            None => self.born(record),
        };
        let held = self.tasks[label].lease;
        self.check_hold(label, held, now, skew, change, &mut problems);
        if let Hold::Claim(lease) = change.hold {
            self.claims.insert((label, by.0, by.1), lease.run);
        }
        self.follow_events(label, change, committed, &mut problems);
        let length = self.tasks[label].log.len();
        self.tasks[label].times.resize(length, now);
        self.check_results(change, &mut problems);
        let model = &mut self.tasks[label];
        model.lease = record.lease;
        model.attempts = record.attempts;
        promise(model, change, committed, &mut problems);
        problems.into_iter().map(|problem| format!("t{label}: {problem}")).collect()
    }

    fn born(&mut self, record: &Record) -> Label {
        let label = self.tasks.len();
        self.labels.insert(record.task.id.clone(), label);
        self.tasks.push(Model {
            id: record.task.id.clone(),
            log: Vec::new(),
            times: Vec::new(),
            versions: Vec::new(),
            lease: None,
            attempts: 0,
            cancel_asked: false,
            webhooks: record.webhooks.iter().map(|hook| (hook.config.url.clone(), 0)).collect(),
            told: BTreeMap::new(),
            deliveries: 0,
        });
        label
    }

    /// One fence at a time, and nothing written past it.
    fn check_hold(
        &self,
        label: Label,
        held: Option<Lease>,
        now: i64,
        skew: i64,
        change: &Change,
        problems: &mut Vec<String>,
    ) {
        let lives = |lease: Lease| lease.until.as_unix_micros() > now + skew;
        let model = &self.tasks[label];
        match change.hold {
            Hold::Claim(lease) => {
                if change.events.is_empty() && !self.may_lose {
                    problems.push("a run was lost, and nothing had happened".into());
                }
                if change.events.is_empty() && model.attempts >= self.max_attempts {
                    problems.push("it was run again too often".into());
                }
                if held.is_some_and(|held| held.run != lease.run && lives(held)) {
                    problems.push("a run was begun while another's lease had not ended".into());
                }
            }
            Hold::Keep(run) | Hold::Release(run) => {
                if held.is_none_or(|held| held.run != run) {
                    problems.push("a run wrote that had lost the task".into());
                }
            }
            Hold::Outside => {
                let moves = change.events.iter().filter_map(|event| match event {
                    EventBody::Status(status) => Some(status),
                    _ => None,
                });
                for status in moves {
                    let said = status.message.as_ref().map(|message| message.text());
                    let allowed = match status.state {
                        TaskState::Canceled => model.cancel_asked,
                        TaskState::Submitted => true,
                        TaskState::Failed => {
                            self.may_lose
                                && said.as_deref() == Some(WORKER_LOST)
                                && !held.is_some_and(lives)
                        }
                        _ => false,
                    };
                    if !allowed {
                        problems.push(format!("it became {} by nobody's right", status.state));
                    }
                }
            }
        }
    }

    /// The log goes on without a gap and makes the task; moves are those of the state machine.
    fn follow_events(
        &mut self,
        label: Label,
        change: &Change,
        committed: &Committed,
        problems: &mut Vec<String>,
    ) {
        let record = &committed.record;
        let mut task = self.tasks[label].task().map(|task| Task::clone(task));
        let mut messages = Vec::new();
        for event in committed.events.iter() {
            let next = self.tasks[label].version() + 1;
            if event.seq != next {
                problems.push(format!("event {} follows {}", event.seq, next - 1));
            }
            let before = task.as_ref().map(|task| task.status.state);
            if before.is_some_and(TaskState::is_terminal) {
                problems.push("it went on after its end".into());
            }
            match (&event.body, before) {
                (EventBody::Snapshot(whole), None) => messages.extend(whole.history.clone()),
                (EventBody::Snapshot(_), Some(_)) => problems.push("it was replaced".into()),
                (EventBody::Status(status), Some(before)) if !before.can_become(status.state) => {
                    problems.push(format!("it went from {before} to {}", status.state));
                }
                (EventBody::Message(message), _) => messages.push(Arc::clone(message)),
                _ => {}
            }
            match (&mut task, &event.body) {
                (Some(task), body) => body.apply(task),
                (none, EventBody::Snapshot(whole)) => *none = Some(Task::clone(whole)),
                _ => problems.push("its log does not begin with itself".into()),
            }
            self.tasks[label].log.push(event.clone());
        }
        if task.as_ref() != Some(&*record.task) {
            problems.push("its log does not make what is stored".into());
        }
        if record.version.0 != self.tasks[label].version() {
            problems.push(format!("its version is {}, its log longer or shorter", record.version));
        }
        if change.expected.unwrap_or_default()
            != Version(record.version.0 - committed.events.len() as u64)
        {
            problems.push("it was written from a version that it was not at".into());
        }
        self.tasks[label].versions.push((record.version.0, Arc::clone(&record.task)));
        for message in messages.iter().filter(|message| message.role == Role::User) {
            let owner = record.owner.clone();
            let first = self.messages.insert(message.id.clone(), (label, owner.clone()));
            match first {
                Some((first, _)) if first == label => {
                    problems.push(format!("message {} is in it twice", message.id));
                }
                Some((first, by)) if by == owner && owner.name().is_some() => {
                    problems.push(format!("message {} had made t{first} before", message.id));
                }
                _ => {}
            }
        }
    }

    /// What a handler brought is written only by the run that called it.
    fn check_results(&self, change: &Change, problems: &mut Vec<String>) {
        let (Hold::Keep(run) | Hold::Release(run)) = change.hold else { return };
        for event in &change.events {
            let parts: &[Part] = match event {
                EventBody::Artifact { artifact, .. } | EventBody::Chunk { artifact, .. } => {
                    &artifact.parts
                }
                EventBody::Message(message) => &message.parts,
                EventBody::Status(status) => status.message.as_ref().map_or(&[], |it| &it.parts),
                _ => &[],
            };
            for number in parts.iter().filter_map(Part::as_text).filter_map(handler_of) {
                let by = self.handlers.get(number).and_then(|handler| handler.run);
                if by != Some(run) {
                    problems
                        .push(format!("the result of handler {number} was stored by another run"));
                }
            }
        }
    }

    pub(super) fn renewed(&mut self, id: &TaskId, lease: Lease) {
        if let Some(label) = self.label(id) {
            self.tasks[label].lease = Some(lease);
        }
    }

    /// A handler begins; says its number.
    pub(super) fn handler_begins(&mut self, id: &TaskId, by: (usize, u32)) -> (usize, Vec<String>) {
        let label = self.label(id).unwrap_or(usize::MAX);
        let mut problems = Vec::new();
        for (number, other) in self.handlers.iter().enumerate() {
            if other.task == label && !other.ended {
                problems.push(format!(
                    "t{label}: handler {number} still runs at r{}.{}",
                    other.replica, other.life
                ));
            }
        }
        let run = self.claims.get(&(label, by.0, by.1)).copied();
        self.handlers.push(HandlerRun {
            task: label,
            replica: by.0,
            life: by.1,
            run,
            ended: false,
        });
        (self.handlers.len() - 1, problems)
    }

    /// With a replica, its handlers end.
    pub(super) fn died(&mut self, by: (usize, u32)) {
        let own = |handler: &&mut HandlerRun| (handler.replica, handler.life) == by;
        for handler in self.handlers.iter_mut().filter(own) {
            handler.ended = true;
        }
    }

    /// Somebody was told of a task: it must have been so.
    pub(super) fn told(&self, record: &Record) -> Option<String> {
        let id = &record.task.id;
        let Some(label) = self.label(id) else {
            return Some(format!("{id} was told of, and is none"));
        };
        let model = &self.tasks[label];
        let stored = model.versions.iter().rev().find(|(version, _)| *version == record.version.0);
        match stored {
            Some((_, task)) if Arc::ptr_eq(task, &record.task) || **task == *record.task => None,
            _ => Some(format!("t{label}: version {} was told, and never stored", record.version)),
        }
    }

    /// An event was shown: the log must have it.
    pub(super) fn shown(&self, id: &TaskId, event: &Event) -> Option<String> {
        let label = self.label(id)?;
        let place = usize::try_from(event.seq).ok()?.checked_sub(1)?;
        match self.tasks[label].log.get(place) {
            Some(stored) if stored == event => None,
            _ => Some(format!("t{label}: event {} was shown, and never stored", event.seq)),
        }
    }

    /// Whether the log says that a stream may end after an event.
    pub(super) fn may_end_after(&self, id: &TaskId, seq: u64) -> bool {
        let Some(model) = self.model(id) else { return false };
        let place = usize::try_from(seq).ok().and_then(|seq| seq.checked_sub(1));
        let event = place.and_then(|place| model.log.get(place));
        event.is_some_and(|event| is_settled(&event.body))
    }

    pub(super) fn taken(&mut self, entry: OutboxId) {
        let tellings = self.tasks.iter_mut().flat_map(|model| model.told.values_mut()).flatten();
        for telling in tellings.filter(|telling| telling.entry == entry) {
            telling.taken += 1;
        }
    }
}

/// The number of the handler that made a text.
pub(super) fn handler_of(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once('#')?;
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Notes what webhooks are to be told, and that it is numbered rightly.
fn promise(model: &mut Model, change: &Change, committed: &Committed, problems: &mut Vec<String>) {
    let mut highest = model.deliveries;
    for (body, entry) in change.outbox.iter().zip(&committed.outbox) {
        let OutboxBody::Deliver(delivery) = body else { continue };
        if delivery.sequence != highest && delivery.sequence != highest + 1 {
            problems.push(format!("delivery {} follows {highest}", delivery.sequence));
        }
        highest = highest.max(delivery.sequence);
        let text = std::str::from_utf8(&delivery.body).unwrap_or_default();
        let url = delivery.webhook.config.url.clone();
        model.told.entry(url).or_default().push(Telling {
            entry: *entry,
            event_id: delivery.event_id,
            sequence: delivery.sequence,
            is_final: text.contains(r#""final":true"#),
            body: delivery.body.clone(),
            taken: 0,
        });
    }
    model.deliveries = highest;
}
