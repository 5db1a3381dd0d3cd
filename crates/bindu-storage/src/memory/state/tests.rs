//! That the count of bytes never drifts from what is there, whatever happens.

use bindu_protocol::{
    Artifact, Dialect, File, Message, Owner, Part, PushConfig, Role, Task, TaskStatus,
};
use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{Delivery, Once, OutboxKind, OutboxQuery};

const SECOND: i64 = 1_000_000;

/// Something done to the store; tasks and contexts by number.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create { task: usize, size: usize, webhook: bool },
    Say { task: usize, size: usize },
    Stream { task: usize, size: usize },
    Move { task: usize, state: TaskState, lease: bool },
    Opine { task: usize, size: usize },
    Hook { task: usize, name: usize, size: usize },
    Unhook { task: usize, name: usize },
    Queue { task: usize, size: usize },
    Done { nth: usize },
    Clear { task: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let task = 0..6_usize;
    // Below and above what is packed.
    let size = || prop_oneof![3 => 0..200_usize, 1 => 3_000..6_000_usize];
    let state = proptest::sample::select(&TaskState::ALL[..]);
    prop_oneof![
        4 => (task.clone(), size(), any::<bool>())
            .prop_map(|(task, size, webhook)| Step::Create { task, size, webhook }),
        2 => (task.clone(), size()).prop_map(|(task, size)| Step::Say { task, size }),
        4 => (task.clone(), size()).prop_map(|(task, size)| Step::Stream { task, size }),
        4 => (task.clone(), state, any::<bool>())
            .prop_map(|(task, state, lease)| Step::Move { task, state, lease }),
        2 => (task.clone(), size()).prop_map(|(task, size)| Step::Opine { task, size }),
        2 => (task.clone(), 0..2_usize, size())
            .prop_map(|(task, name, size)| Step::Hook { task, name, size }),
        1 => (task.clone(), 0..2_usize).prop_map(|(task, name)| Step::Unhook { task, name }),
        3 => (task.clone(), size()).prop_map(|(task, size)| Step::Queue { task, size }),
        2 => (0..4_usize).prop_map(|nth| Step::Done { nth }),
        1 => task.prop_map(|task| Step::Clear { task }),
    ]
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros(second * SECOND)
}

/// Tasks with a UUID and tasks with a long name, two to a context.
fn ids(task: usize) -> (TaskId, ContextId) {
    let number = task as u128;
    let id = if task.is_multiple_of(2) {
        Uuid::from_u128(number).into()
    } else {
        format!("task-{task}-{}", "x".repeat(90)).parse().expect("an id")
    };
    (id, format!("context-{}", task / 2).parse().expect("an id"))
}

fn webhook(name: usize, size: usize) -> Webhook {
    let config = PushConfig {
        id: Some(format!("hook-{name}").parse().expect("an id")),
        url: format!("https://example.com/{}", "x".repeat(size)),
        token: Some("secret".to_owned()),
        authentication: None,
    };
    Webhook { config, dialect: Dialect::V0_3 }
}

fn says(size: usize) -> Arc<Message> {
    let mut part = Part::text("x".repeat(size));
    part.metadata = Some(bindu_protocol::JsonObject::empty());
    let file = File { bytes: Some("eA==".repeat(size)), ..File::default() };
    Arc::new(Message::new(Role::User, vec![part, Part::file(file), Part::text("")]))
}

fn born(task: usize, size: usize, hooked: bool, second: i64) -> Change {
    let (id, context_id) = ids(task);
    let message = says(size);
    let once = Once { owner: Owner::nobody(), message: message.id.clone(), until: at(second + 20) };
    let whole = Arc::new(Task {
        id,
        context_id,
        status: TaskStatus::new(TaskState::Submitted, at(second)),
        history: vec![message],
        artifacts: Vec::new(),
        metadata: None,
    });
    let webhooks = if hooked { vec![webhook(0, size)] } else { Vec::new() };
    Change {
        events: vec![EventBody::Snapshot(Arc::clone(&whole))],
        task: whole,
        expected: None,
        birth: Some(Birth { owner: Owner::nobody(), dialect: Dialect::V0_3, webhooks }),
        hold: Hold::Outside,
        at: at(second),
        outbox: vec![OutboxBody::Run { version: Version(1) }],
        once: Some(once),
    }
}

/// A change of a task by events; nothing if the task is not there.
fn advance(
    state: &mut State,
    task: usize,
    second: i64,
    hold: Hold,
    events: Vec<EventBody>,
    outbox: Vec<OutboxBody>,
) {
    let (id, _) = ids(task);
    let Some(found) = state.find(&id) else { return };
    let record = found.record(&id).expect("what was packed can be unpacked");
    let mut whole = Task::clone(&record.task);
    for event in &events {
        event.apply(&mut whole);
    }
    let change = Change {
        task: Arc::new(whole),
        expected: Some(record.version),
        birth: None,
        hold,
        events,
        at: at(second),
        outbox,
        once: None,
    };
    state.commit(change).expect("a change of a task that is there is made");
}

/// Does the step; says whose task must not be dropped for it.
fn take(state: &mut State, step: Step, second: i64) -> Option<usize> {
    match step {
        Step::Create { task, size, webhook } => {
            let known = state.tasks.contains_key(&ids(task).0);
            let before = state.load;
            match state.commit(born(task, size, webhook, second)) {
                Ok(_) => assert!(!known),
                Err(StorageError::Conflict(_)) => assert!(known),
                Err(StorageError::Full { .. }) => {
                    assert_eq!(state.load, before, "a refusal drops nothing");
                }
                Err(error) => panic!("{error}"),
            }
            Some(task)
        }
        Step::Say { task, size } => {
            let event = EventBody::Message(says(size));
            advance(state, task, second, Hold::Outside, vec![event], Vec::new());
            Some(task)
        }
        Step::Stream { task, size } => {
            let artifact = Arc::new(Artifact::new("result", vec![Part::text("x".repeat(size))]));
            let event = EventBody::Chunk { artifact, append: true };
            advance(state, task, second, Hold::Outside, vec![event], Vec::new());
            Some(task)
        }
        Step::Move { task, state: next, lease } => {
            let mut status = TaskStatus::new(next, at(second));
            status.message = next.is_terminal().then(|| says(10));
            let run = Lease { run: RunId::random(), until: at(second) };
            let hold = if lease { Hold::Claim(run) } else { Hold::Outside };
            advance(state, task, second, hold, vec![EventBody::Status(status)], Vec::new());
            Some(task)
        }
        Step::Opine { task, size } => {
            let text = "x".repeat(size);
            let feedback = Feedback { text, rating: None, metadata: None, at: at(second) };
            let result = state.add_feedback(&ids(task).0, feedback);
            assert!(matches!(
                result,
                Ok(()) | Err(StorageError::NotFound | StorageError::Full { .. })
            ));
            Some(task)
        }
        Step::Hook { task, name, size } => {
            let result = state.set_webhook(&ids(task).0, webhook(name, size));
            assert!(matches!(
                result,
                Ok(()) | Err(StorageError::NotFound | StorageError::Full { .. })
            ));
            Some(task)
        }
        Step::Unhook { task, name } => {
            let name = format!("hook-{name}").parse().expect("an id");
            state.remove_webhook(&ids(task).0, &name).expect("a webhook can be removed");
            Some(task)
        }
        Step::Queue { task, size } => {
            let delivery = Delivery {
                webhook: webhook(0, size),
                event_id: Uuid::nil(),
                sequence: 1,
                body: vec![b'x'; size].into(),
            };
            let outbox = vec![OutboxBody::Deliver(delivery)];
            advance(state, task, second, Hold::Outside, Vec::new(), outbox);
            Some(task)
        }
        Step::Done { nth } => {
            let deliveries = state.outbox.read(&query(OutboxKind::Deliver, None, 4));
            let runs = state.outbox.read(&query(OutboxKind::Run, None, 4));
            if let Some(entry) = deliveries.iter().chain(&runs).nth(nth) {
                state.outbox_done(entry.id);
            }
            None
        }
        Step::Clear { task } => {
            let result = state.clear_context(&ids(task).1, &Owner::nobody());
            assert!(matches!(result, Ok(_) | Err(StorageError::NotFound | StorageError::Busy(_))));
            None
        }
    }
}

/// What the store holds, counted anew.
fn counted(state: &State) -> Load {
    let of_task = |(id, entry): (&TaskId, &Entry)| {
        let kept = match entry {
            Entry::Live(live) => {
                weight::live(&live.record, Log::new(live.log.events().to_vec()).weight())
            }
            Entry::Packed(packed) => weight::packed(id, packed),
        };
        let feedback: usize = state.feedback(id).iter().map(weight::feedback).sum();
        let outbox: usize = [OutboxKind::Run, OutboxKind::Deliver]
            .into_iter()
            .flat_map(|kind| state.outbox.read(&query(kind, Some(id), usize::MAX)))
            .map(|entry| weight::outbox(&entry.task, &entry.body))
            .sum();
        let all = kept + feedback + outbox;
        Load { all, over: if entry.state().is_terminal() { all } else { 0 } }
    };
    state.tasks.iter().map(of_task).fold(Load::default(), |sum, load| sum + load)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_count_is_what_is_there(
        steps in vec(step(), 1..60),
        max_tasks in 2_usize..6,
        max_bytes in 4_000_usize..60_000,
        max_log_events in 2_usize..12,
    ) {
        let mut state = State::new(MemoryConfig { max_tasks, max_bytes, max_log_events });
        for (step, second) in steps.into_iter().zip(0..) {
            let before = state.load;
            let spared = take(&mut state, step, second);
            prop_assert_eq!(state.load, counted(&state));
            // What grows beyond the bound leaves only what must not be dropped.
            let spared = spared.map_or(0, |task| state.load_of(&ids(task).0).over);
            prop_assert!(
                state.load.all <= before.all
                    || state.load.over == spared
                    || state.bytes() <= max_bytes,
                "{} of {max_bytes} bytes, {} of them over", state.bytes(), state.load.over
            );
            prop_assert!(state.tasks.len() <= max_tasks);
            prop_assert!(state.once.weight() <= max_bytes / SHARE_OF_KEYS);
        }
        for task in 0..6 {
            let end = EventBody::Status(TaskStatus::new(TaskState::Canceled, at(99)));
            advance(&mut state, task, 99, Hold::Outside, vec![end], Vec::new());
        }
        for task in [0, 2, 4] {
            let _ = state.clear_context(&ids(task).1, &Owner::nobody());
        }
        prop_assert_eq!(state.load, Load::default());
        prop_assert!(state.outbox.weight(&ids(0).0) == 0 && state.feedback.is_empty());
    }
}

fn query(kind: OutboxKind, task: Option<&TaskId>, limit: usize) -> OutboxQuery {
    OutboxQuery { kind, task: task.cloned(), due: None, limit }
}
