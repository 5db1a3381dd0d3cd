//! A worker over a fresh engine.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bindu_agent::{AnyHandler, Handler};
use bindu_did::key_dir::Identity;
use bindu_did::{Did, SigningKey, agent_id};
use bindu_protocol::{Caller, ContextId, Message, Part, Role, Task, TaskId, TaskState};
use bindu_scheduler::MemoryScheduler;
use bindu_storage::{MemoryStore, Record};
use bindu_tasks::{Submission, TaskError, Tasks};
use bindu_worker::{Config, Worker};

pub(crate) type Tested = Result<(), Box<dyn Error + Send + Sync>>;

/// Longer than anything below takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// An engine and a worker that runs its tasks.
pub(crate) struct Bench {
    pub(crate) tasks: Tasks,
    pub(crate) worker: Worker,
}

impl Bench {
    pub(crate) fn start(handler: impl Handler, config: Config) -> Self {
        Self::over(engine(bindu_tasks::Config::default()), handler, config)
    }

    pub(crate) fn over(tasks: Tasks, handler: impl Handler, config: Config) -> Self {
        let worker = Worker::start(tasks.clone(), AnyHandler::new(handler), None, config);
        Self { tasks, worker }
    }

    pub(crate) fn signing(handler: impl Handler, identity: Arc<Identity>) -> Self {
        let tasks = engine(bindu_tasks::Config::default());
        let handler = AnyHandler::new(handler);
        let worker = Worker::start(tasks.clone(), handler, Some(identity), Config::default());
        Self { tasks, worker }
    }

    /// Sends a text and waits for the outcome.
    pub(crate) async fn ask(&self, text: &str) -> Result<Arc<Task>, TaskError> {
        self.settle(said(text)).await
    }

    /// Sends a message and waits for the outcome.
    pub(crate) async fn settle(&self, submission: Submission) -> Result<Arc<Task>, TaskError> {
        let sent = self.tasks.submit_and_wait(&caller(), submission, LONG).await?;
        assert!(sent.record.task.status.state.is_settled(), "{:?}", sent.record.task.status);
        Ok(Arc::clone(&sent.record.task))
    }

    /// Sends a text and does not wait.
    pub(crate) async fn send(&self, text: &str) -> Result<TaskId, TaskError> {
        Ok(self.tasks.submit(&caller(), said(text)).await?.record.task.id.clone())
    }

    /// Sends a text into a context and does not wait.
    pub(crate) async fn send_in(
        &self,
        context: &ContextId,
        text: &str,
    ) -> Result<TaskId, TaskError> {
        let mut submission = said(text);
        submission.message.context_id = Some(context.clone());
        Ok(self.tasks.submit(&caller(), submission).await?.record.task.id.clone())
    }

    pub(crate) async fn get(&self, id: &TaskId) -> Result<Arc<Record>, TaskError> {
        self.tasks.get(&caller(), id).await
    }

    /// Waits for a task to be as it should.
    pub(crate) async fn until(
        &self,
        id: &TaskId,
        is_so: impl Fn(&Record) -> bool,
    ) -> Result<Arc<Record>, TaskError> {
        let begun = std::time::Instant::now();
        loop {
            let record = self.get(id).await?;
            if is_so(&record) {
                return Ok(record);
            }
            assert!(begun.elapsed() < LONG, "still {:?}", record.task.status);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for a task to end or pause.
    pub(crate) async fn settled(&self, id: &TaskId) -> Result<Arc<Record>, TaskError> {
        self.until(id, |record| record.task.status.state.is_settled()).await
    }
}

pub(crate) fn engine(config: bindu_tasks::Config) -> Tasks {
    let (store, queue) = (MemoryStore::default(), MemoryScheduler::default());
    Tasks::builder(Arc::new(store), Arc::new(queue)).config(config).build()
}

pub(crate) fn caller() -> Caller {
    Caller::anonymous()
}

pub(crate) fn said(text: &str) -> Submission {
    Submission::new(Message::new(Role::User, vec![Part::text(text)]))
}

pub(crate) fn slots(concurrency: usize) -> Config {
    Config { concurrency, ..Config::default() }
}

pub(crate) fn identity() -> Result<Arc<Identity>, Box<dyn Error + Send + Sync>> {
    let id = agent_id("ann@example.com", "signer");
    let did = Did::for_known_agent("ann@example.com", "signer", id)?;
    let key = SigningKey::from_seed(&[7; 32]);
    Ok(Arc::new(Identity::new(key, &did, id, SystemTime::now())))
}

/// The text of a task's first artifact.
pub(crate) fn result(task: &Task) -> &str {
    task.artifacts[0].parts[0].as_text().expect("the result is a text")
}

/// What the agent said last.
pub(crate) fn last_word(task: &Task) -> String {
    task.history.last().expect("a task has a history").text()
}

/// Fails unless the task did, and says why it did.
pub(crate) fn reason(task: &Task) -> String {
    assert_eq!(task.status.state, TaskState::Failed);
    task.status.message.as_ref().expect("a failure has a reason").text()
}

/// Waits, but not for ever.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.expect("it takes far less than this")
}
