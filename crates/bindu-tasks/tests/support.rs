//! An engine, and short ways to drive it by hand.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bindu_protocol::{Artifact, Caller, ContextId, Message, Part, Role, TaskId, TaskState};
use bindu_scheduler::MemoryScheduler;
use bindu_storage::{Event, MemoryStore, Record};
use bindu_tasks::{
    Begun, Config, Follow, Followed, Outcome, Pushes, Run, Submission, TaskError, Tasks,
};

pub(crate) type Tested = Result<(), Box<dyn Error + Send + Sync>>;

/// Longer than anything below takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn engine(config: Config) -> Tasks {
    builder(config).build()
}

pub(crate) fn pushing(config: Config, pushes: Pushes) -> Tasks {
    builder(config).pushes(pushes).build()
}

fn builder(config: Config) -> bindu_tasks::TasksBuilder {
    let (store, queue) = (MemoryStore::default(), MemoryScheduler::default());
    Tasks::builder(Arc::new(store), Arc::new(queue)).config(config)
}

pub(crate) fn said(text: &str) -> Submission {
    Submission::new(Message::new(Role::User, vec![Part::text(text)]))
}

/// A message to a task that is there.
pub(crate) fn said_to(task: &TaskId, text: &str) -> Submission {
    let mut submission = said(text);
    submission.message.task_id = Some(task.clone());
    submission
}

/// A message into a context.
pub(crate) fn said_in(context: &ContextId, text: &str) -> Submission {
    let mut submission = said(text);
    submission.message.context_id = Some(context.clone());
    submission
}

pub(crate) fn ann() -> Caller {
    Caller::named("ann")
}

pub(crate) fn bob() -> Caller {
    Caller::named("bob")
}

/// A task of the caller's that is queued.
pub(crate) async fn queued(tasks: &Tasks, caller: &Caller) -> Result<TaskId, TaskError> {
    Ok(tasks.submit(caller, said("hello")).await?.record.task.id.clone())
}

/// The run of a task that is queued.
pub(crate) async fn begun(tasks: &Tasks, id: &TaskId) -> Result<Run, TaskError> {
    match tasks.begin(id).await? {
        Begun::Run(run) => Ok(run),
        other => panic!("the task is queued: {other:?}"),
    }
}

/// Runs a queued task to an end or a pause.
pub(crate) async fn run_to(
    tasks: &Tasks,
    id: &TaskId,
    state: TaskState,
) -> Result<Arc<Record>, TaskError> {
    begun(tasks, id).await?.finish(outcome(state, "done")).await
}

pub(crate) fn outcome(state: TaskState, text: &str) -> Outcome {
    let artifacts = match state {
        TaskState::Completed => vec![Artifact::new("result", vec![Part::text(text)])],
        _ => Vec::new(),
    };
    Outcome {
        state,
        message: Some(vec![Part::text(text)]),
        remarks: None,
        artifacts,
        metadata: None,
    }
}

/// Everything that a follower brings until its end.
pub(crate) async fn rest(follow: &mut Follow) -> Result<Vec<Event>, TaskError> {
    let mut all = Vec::new();
    while let Some(followed) = within(follow.next()).await? {
        match followed {
            Followed::Events(events) => all.extend(events),
            Followed::FellBehind => panic!("the follower fell behind after {}", all.len()),
        }
    }
    Ok(all)
}

/// Waits, but not for ever.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.expect("it takes far less than this")
}

/// The texts of messages.
pub(crate) fn texts<'a>(messages: impl IntoIterator<Item = &'a Arc<Message>>) -> Vec<String> {
    messages.into_iter().map(|message| message.text()).collect()
}
