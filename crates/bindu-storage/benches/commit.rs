//! Costs of the memory store: a change of a task, and reading one that is over.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bindu_protocol::{
    ContextId, Dialect, Message, Owner, Part, Role, Task, TaskId, TaskState, TaskStatus, Timestamp,
};
use bindu_storage::{Birth, Change, EventBody, Hold, MemoryStore, Record, Storage};

fn main() {
    divan::main();
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the futures of the memory store never wait"),
    }
}

fn submitted() -> Change {
    let at = Timestamp::now();
    let task = Arc::new(Task {
        id: TaskId::random(),
        context_id: ContextId::random(),
        status: TaskStatus::new(TaskState::Submitted, at),
        history: vec![Arc::new(Message::new(Role::User, vec![Part::text("hello")]))],
        artifacts: Vec::new(),
        metadata: None,
    });
    Change {
        events: vec![EventBody::Snapshot(Arc::clone(&task))],
        task,
        expected: None,
        birth: Some(Birth { owner: Owner::nobody(), dialect: Dialect::V0_3, webhooks: Vec::new() }),
        hold: Hold::Outside,
        at,
        outbox: Vec::new(),
        once: None,
    }
}

fn moved(record: &Record, state: TaskState) -> Change {
    let mut task = Task::clone(&record.task);
    let event = EventBody::Status(TaskStatus::new(state, Timestamp::now()));
    event.apply(&mut task);
    Change {
        task: Arc::new(task),
        expected: Some(record.version),
        birth: None,
        hold: Hold::Outside,
        events: vec![event],
        at: Timestamp::now(),
        outbox: Vec::new(),
        once: None,
    }
}

#[divan::bench]
fn create(bencher: divan::Bencher<'_, '_>) {
    let store = MemoryStore::default();
    bencher.with_inputs(submitted).bench_values(|change| ready(store.commit(change)).is_ok());
}

#[divan::bench]
fn advance(bencher: divan::Bencher<'_, '_>) {
    let store = MemoryStore::default();
    bencher
        .with_inputs(|| {
            let committed = ready(store.commit(submitted()));
            committed.ok().map(|committed| moved(&committed.record, TaskState::Working))
        })
        .bench_values(|change| change.map(|change| ready(store.commit(change)).is_ok()));
}

#[divan::bench]
fn finish(bencher: divan::Bencher<'_, '_>) {
    let store = MemoryStore::default();
    bencher
        .with_inputs(|| {
            let committed = ready(store.commit(submitted()));
            committed.ok().map(|committed| moved(&committed.record, TaskState::Completed))
        })
        .bench_values(|change| change.map(|change| ready(store.commit(change)).is_ok()));
}

#[divan::bench]
fn load_finished(bencher: divan::Bencher<'_, '_>) {
    let store = MemoryStore::default();
    let change = submitted();
    let id = change.task.id.clone();
    if let Ok(committed) = ready(store.commit(change)) {
        let _ = ready(store.commit(moved(&committed.record, TaskState::Completed)));
    }
    bencher.bench(|| ready(store.load(divan::black_box(&id))).is_ok());
}
