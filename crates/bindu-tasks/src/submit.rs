//! A message comes in.

use std::sync::Arc;
use std::time::Duration;

use bindu_protocol::{
    BIDDING_KEY, Bidding, Caller, ContextId, Dialect, JsonObject, Message, Part, PushConfig,
    PushConfigId, Role, Task, TaskId, TaskState, TaskStatus, Timestamp, payment,
};
use bindu_storage::{
    Birth, Change, Committed, EventBody, Hold, Once, Record, StorageError, TaskQuery, Version,
    Webhook,
};

use crate::follow::Follow;
use crate::run::agent_message;
use crate::tasks::MAX_RACES;
use crate::{TaskError, Tasks};

/// How long a message sent without a task id is recognised again.
const ONCE: Duration = Duration::from_hours(24);

/// How much text one webhook configuration may hold.
const MAX_WEBHOOK_BYTES: usize = 16 * 1024;

/// The metadata key that only the payment side may set.
const PAYMENT_KEY: &str = "_payment_context";

/// A message and how it is to be handled.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The message.
    pub message: Message,
    /// A webhook to tell of the task's changes.
    pub push: Option<PushConfig>,
    /// The dialect of the request: the task's, if it begins with this message.
    pub dialect: Dialect,
    /// Whether a task id that names no task begins one of that id. If not, it is an error.
    pub may_name_task: bool,
    /// The W3C `traceparent` of the request.
    pub trace: Option<Box<str>>,
    /// The id of the task that begins with the message, if the message names none. Without it the
    /// task gets a random one.
    pub fresh: Option<TaskId>,
    /// Members of the task's metadata that come with the message; from the agent's runtime, never
    /// from the caller.
    pub metadata: Option<JsonObject>,
    /// What the task waits for, instead of being run.
    pub wait: Option<Wait>,
    /// What the message must do, as a [`Preview`] said it would; else it is refused as
    /// [`TaskError::Busy`]. Whoever decided something by the preview wants no other task to be
    /// meant, not even one of the same id.
    pub only: Option<Only>,
}

/// What a message must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// Begin a task.
    Begin,
    /// Continue its task, which is still at this version.
    Continue(Version),
    /// Nothing: it came before.
    Repeat,
}

impl Preview {
    /// That the message must do what was previewed.
    #[must_use]
    pub fn only(&self) -> Only {
        match self {
            Self::Begins => Only::Begin,
            Self::Continues(record) => Only::Continue(record.version),
            Self::Repeats(_) => Only::Repeat,
        }
    }
}

impl Submission {
    /// A message by itself, of A2A 0.3, which begins a task or continues the one it names.
    #[must_use]
    pub fn new(message: Message) -> Self {
        Self {
            message,
            push: None,
            dialect: Dialect::V0_3,
            may_name_task: false,
            trace: None,
            fresh: None,
            metadata: None,
            wait: None,
            only: None,
        }
    }
}

/// What a task waits for once a message is stored.
#[derive(Clone, Debug)]
pub struct Wait {
    /// The state in which it waits: [initial](TaskState::is_initial), or one that a
    /// [`Submitted`](TaskState::Submitted) task may go to; or
    /// [`NegotiationBidLost`](TaskState::NegotiationBidLost), for a task that is over as it begins.
    pub state: TaskState,
    /// What the agent says of it.
    pub parts: Vec<Part>,
    /// Free-form remarks on that.
    pub remarks: Option<JsonObject>,
}

/// What a message would do.
#[derive(Clone, Debug)]
pub enum Preview {
    /// It begins a task.
    Begins,
    /// It continues this task.
    Continues(Arc<Record>),
    /// It came before, and made or continued this task: nothing.
    Repeats(Arc<Record>),
}

/// What became of a message.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The task as the message left it, or as it is if the message was a repeat.
    pub record: Arc<Record>,
    /// The version before the message: a stream begins after it.
    pub before: Version,
    /// Whether the same message came before; nothing was changed then.
    pub repeated: bool,
}

impl Tasks {
    /// Begins a task with a message, or continues one.
    ///
    /// # Errors
    ///
    /// * [`TaskError::NotFound`]: the message names a task that the caller does not have.
    /// * [`TaskError::ContextNotFound`]: it names a context of somebody else.
    /// * [`TaskError::Over`], [`TaskError::Working`]: the task takes no message now.
    /// * [`TaskError::Invalid`]: the context is not the task's, or the message id was used for
    ///   another message.
    /// * [`TaskError::InvalidWebhook`], [`TaskError::PushNotSupported`]: about `push`.
    /// * [`TaskError::Busy`], [`TaskError::Closing`]: not now.
    ///
    /// In all of these nothing is stored.
    pub async fn submit(
        &self,
        caller: &Caller,
        submission: Submission,
    ) -> Result<Submitted, TaskError> {
        let (submitted, run) = self.store(caller, submission).await?;
        if let Some((committed, trace)) = run {
            self.enqueue(&committed, trace).await?;
        }
        Ok(submitted)
    }

    /// Like [`submit`](Self::submit), then waits until the task has ended or needs its caller, for
    /// `patience` at most; answers with the task as it is then.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub async fn submit_and_wait(
        &self,
        caller: &Caller,
        mut submission: Submission,
        patience: Duration,
    ) -> Result<Submitted, TaskError> {
        // Whoever waits must listen before anything happens, so the id is chosen first.
        let id = match &submission.message.task_id {
            Some(id) => id.clone(),
            None => submission.fresh.get_or_insert_with(TaskId::random).clone(),
        };
        let mut waiter = self.0.hub.wait(&id);
        let (mut submitted, run) = self.store(caller, submission).await?;
        if let Some((committed, trace)) = run {
            self.enqueue(&committed, trace).await?;
        }
        if submitted.record.task.id != id {
            // A repeat of a message that made another task.
            waiter = self.0.hub.wait(&submitted.record.task.id);
        }
        if submitted.repeated || submitted.record.task.status.state.is_settled() {
            // It may have settled before anybody listened.
            submitted.record = self.get(caller, &submitted.record.task.id).await?;
            if submitted.record.task.status.state.is_settled() {
                return Ok(submitted);
            }
        }
        let settling = tokio::time::timeout(patience, async {
            loop {
                if let Some(record) = waiter.settled().await {
                    return Ok::<_, TaskError>(record);
                }
                // Gone, or looked for before it was there: one listens before a task is stored.
                waiter = self.0.hub.wait(&submitted.record.task.id);
                let record = self.get(caller, &submitted.record.task.id).await?;
                if record.task.status.state.is_settled() {
                    return Ok(record);
                }
            }
        });
        submitted.record = match settling.await {
            Ok(settled) => settled?,
            Err(_) => self.get(caller, &submitted.record.task.id).await?,
        };
        Ok(submitted)
    }

    /// Like [`submit`](Self::submit), and follows the task from this message on.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub async fn submit_and_follow(
        &self,
        caller: &Caller,
        submission: Submission,
    ) -> Result<Follow, TaskError> {
        let (submitted, run) = self.store(caller, submission).await?;
        let follow = Follow::new(
            self.clone(),
            Arc::clone(&submitted.record),
            submitted.before.0,
            submitted.record.version.0,
        )
        .of_repeat(submitted.repeated);
        if let Some((committed, trace)) = run {
            self.enqueue(&committed, trace).await?;
        }
        Ok(follow)
    }

    /// Says what [`submit`](Self::submit) would do with a message, and refuses what it would, as far
    /// as that can be known beforehand. Nothing is stored.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    pub async fn preview(
        &self,
        caller: &Caller,
        submission: &Submission,
    ) -> Result<Preview, TaskError> {
        if self.is_closing() {
            return Err(TaskError::Closing);
        }
        let mut message = submission.message.clone();
        strip_payment(&mut message);
        if let Some(config) = &submission.push {
            self.check_webhook(config.clone(), submission.dialect).await?;
        }
        let record = match &message.task_id {
            Some(id) => self.load(id).await?,
            None => None,
        };
        let preview = match record {
            Some(record) if !caller.may_see(&record.owner) => return Err(TaskError::NotFound),
            Some(record) => match self.check(&record, &message)? {
                Some(repeat) => return Ok(Preview::Repeats(repeat.record)),
                None => Preview::Continues(record),
            },
            None if message.task_id.is_some() && !submission.may_name_task => {
                return Err(TaskError::NotFound);
            }
            None if self.0.scheduler.is_full() => return Err(TaskError::Busy),
            None => {
                check_beginning(&message)?;
                self.check_context(caller, message.context_id.as_ref()).await?;
                Preview::Begins
            }
        };
        if !self.0.scheduler.is_up() {
            return Err(TaskError::Unavailable);
        }
        Ok(preview)
    }

    /// Whether a task of the caller's may begin in a context.
    async fn check_context(
        &self,
        caller: &Caller,
        context: Option<&ContextId>,
    ) -> Result<(), TaskError> {
        let Some(context) = context else { return Ok(()) };
        let query = TaskQuery { context: Some(context.clone()), limit: 1, ..TaskQuery::default() };
        match self.0.storage.tasks(query).await?.items.first() {
            Some(other) if other.owner != caller.owner() => Err(TaskError::ContextNotFound),
            _ => Ok(()),
        }
    }

    /// Stores the message, and says what is to be queued.
    async fn store(
        &self,
        caller: &Caller,
        mut submission: Submission,
    ) -> Result<(Submitted, Option<Run>), TaskError> {
        if self.is_closing() {
            return Err(TaskError::Closing);
        }
        let message = &mut submission.message;
        message.role = Role::User;
        strip_payment(message);
        let webhook = match submission.push.take() {
            Some(config) => Some(self.check_webhook(config, submission.dialect).await?),
            None => None,
        };
        let named = submission.message.task_id.is_some();
        for _ in 0..MAX_RACES {
            let record = match &submission.message.task_id {
                Some(id) => self.load(id).await?,
                None => None,
            };
            let stored = match record {
                Some(record) => {
                    if !caller.may_see(&record.owner) {
                        return Err(TaskError::NotFound);
                    }
                    if let Some(repeat) = self.check(&record, &submission.message)? {
                        return Ok((repeat, None));
                    }
                    let meant = Only::Continue(record.version);
                    if submission.only.is_some_and(|only| only != meant) {
                        return Err(TaskError::Busy);
                    }
                    if !self.0.scheduler.is_up() {
                        return Err(TaskError::Unavailable);
                    }
                    self.proceed(&record, &submission, webhook.clone()).await
                }
                None if named && !submission.may_name_task => return Err(TaskError::NotFound),
                None if submission.only.is_some_and(|only| only != Only::Begin) => {
                    return Err(TaskError::Busy);
                }
                None if self.0.scheduler.is_full() => return Err(TaskError::Busy),
                None if !self.0.scheduler.is_up() => return Err(TaskError::Unavailable),
                None => {
                    check_beginning(&submission.message)?;
                    self.create(caller, &submission, webhook.clone()).await
                }
            };
            match stored {
                Ok(committed) => {
                    let before = Version(
                        committed
                            .events
                            .first()
                            .map_or(committed.record.version.0, |first| first.seq - 1),
                    );
                    let submitted = Submitted {
                        record: Arc::clone(&committed.record),
                        before,
                        repeated: false,
                    };
                    let waits_for_run = committed.record.task.status.state == TaskState::Submitted;
                    let run = waits_for_run.then_some((committed, submission.trace));
                    return Ok((submitted, run));
                }
                Err(StorageError::Conflict(_)) if named => {}
                Err(StorageError::Repeated(id)) => {
                    let record = self.get(caller, &id).await?;
                    return match find(&record, &submission.message) {
                        Some(true) => Ok((repeat_of(record), None)),
                        _ => Err(reused()),
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(TaskError::Busy)
    }

    /// Whether a message may continue a task; `Some` if it already has.
    fn check(
        &self,
        record: &Arc<Record>,
        message: &Message,
    ) -> Result<Option<Submitted>, TaskError> {
        if message.context_id.as_ref().is_some_and(|context| *context != record.task.context_id) {
            return Err(TaskError::Invalid(
                "message.contextId: is not the context of this task; leave it out".into(),
            ));
        }
        match find(record, message) {
            Some(true) => return Ok(Some(repeat_of(Arc::clone(record)))),
            Some(false) => return Err(reused()),
            None => {}
        }
        let state = record.task.status.state;
        if state.is_terminal() {
            return Err(TaskError::Over(state));
        }
        let bidding = bidding(message)?;
        match (state, bidding) {
            (TaskState::NegotiationBidSubmitted, Some(Bidding::Won | Bidding::Lost)) => {}
            (TaskState::NegotiationBidSubmitted, _) => return Err(undecided()),
            _ if !state.can_become(TaskState::Submitted) => return Err(TaskError::Working),
            (_, Some(word)) => return Err(no_bid(word)),
            (_, None) => {}
        }
        let held: usize = record.task.history.iter().map(|message| weight(message)).sum();
        if held + weight(message) > self.0.config.history_max_bytes {
            return Err(TaskError::Invalid(format!(
                "the history of this task would be longer than {} bytes; begin a new task that references it",
                self.0.config.history_max_bytes
            )));
        }
        Ok(None)
    }

    /// Continues a task that waits for its caller.
    async fn proceed(
        &self,
        record: &Record,
        submission: &Submission,
        webhook: Option<Webhook>,
    ) -> Result<Committed, StorageError> {
        let mut message = submission.message.clone();
        message.task_id = Some(record.task.id.clone());
        message.context_id = Some(record.task.context_id.clone());
        let at = self.now();
        if let Some(webhook) = webhook {
            self.0.storage.set_webhook(&record.task.id, webhook).await?;
        }
        let mut events = vec![EventBody::Message(Arc::new(message))];
        if let Some(metadata) = &submission.metadata {
            events.push(EventBody::Metadata(metadata.clone()));
        }
        if record.task.status.state == TaskState::NegotiationBidSubmitted {
            if Bidding::of(&submission.message) != Ok(Some(Bidding::Won)) {
                events.push(EventBody::Status(TaskStatus::new(TaskState::NegotiationBidLost, at)));
                return self.commit(self.step(record, Hold::Outside, events, at)).await;
            }
            events.push(EventBody::Status(TaskStatus::new(TaskState::NegotiationBidWon, at)));
        }
        events.push(EventBody::Status(TaskStatus::new(TaskState::Submitted, at)));
        if let Some(wait) = &submission.wait {
            events.push(EventBody::Status(waiting(&record.task, wait, at)));
        }
        if submission.wait.is_some() {
            // Nobody hears of `submitted`, which the answer says; of this, webhooks do.
            return self.commit(self.step(record, Hold::Outside, events, at)).await;
        }
        let mut task = Task::clone(&record.task);
        for event in &events {
            event.apply(&mut task);
        }
        let outbox = self.outbox_run(Version(record.version.0 + events.len() as u64));
        self.commit(Change {
            task: Arc::new(task),
            expected: Some(record.version),
            birth: None,
            hold: Hold::Outside,
            outbox,
            events,
            at,
            once: None,
        })
        .await
    }

    /// Begins a task.
    async fn create(
        &self,
        caller: &Caller,
        submission: &Submission,
        webhook: Option<Webhook>,
    ) -> Result<Committed, StorageError> {
        let mut message = submission.message.clone();
        let named = message.task_id.is_some();
        let fresh = submission.fresh.clone();
        let id = message.task_id.or(fresh).unwrap_or_else(TaskId::random);
        message.task_id = Some(id.clone());
        let context_id = message.context_id.get_or_insert_with(ContextId::random).clone();
        let at = self.now();
        let owner = caller.owner();
        let once = (!named && owner.name().is_some()).then(|| Once {
            owner: owner.clone(),
            message: message.id.clone(),
            until: self.after(ONCE),
        });
        let mut task = Task {
            id,
            context_id,
            status: TaskStatus::new(TaskState::Submitted, at),
            history: vec![Arc::new(message)],
            artifacts: Vec::new(),
            metadata: submission.metadata.clone(),
        };
        let (mut outbox, mut after) = (Vec::new(), None);
        if let Some(wait) = &submission.wait {
            let status = EventBody::Status(waiting(&task, wait, at));
            if wait.state == TaskState::NegotiationBidLost {
                // No state machine has a way past the bid.
                task.status.state = TaskState::NegotiationBidSubmitted;
                after = Some(status);
            } else {
                debug_assert!(wait.state.is_initial(), "a task does not begin so");
                status.apply(&mut task);
            }
        } else {
            outbox = self.outbox_run(Version(1));
        }
        let mut task = Arc::new(task);
        let mut events = vec![EventBody::Snapshot(Arc::clone(&task))];
        if let Some(event) = after {
            event.apply(Arc::make_mut(&mut task));
            events.push(event);
        }
        self.commit(Change {
            task,
            expected: None,
            birth: Some(Birth {
                owner,
                dialect: submission.dialect,
                webhooks: webhook.into_iter().collect(),
            }),
            hold: Hold::Outside,
            events,
            at,
            outbox,
            once,
        })
        .await
    }

    /// Checks a webhook before anything is stored, and gives it an id.
    pub(crate) async fn check_webhook(
        &self,
        mut config: PushConfig,
        dialect: Dialect,
    ) -> Result<Webhook, TaskError> {
        let pushes = self.0.pushes.as_ref().ok_or(TaskError::PushNotSupported)?;
        let signing_in = config.authentication.as_ref().map_or(0, |auth| auth.as_str().len());
        let token = config.token.as_ref().map_or(0, String::len);
        if config.url.len() + token + signing_in > MAX_WEBHOOK_BYTES {
            return Err(TaskError::InvalidWebhook(format!(
                "URL, token and authentication have more than {MAX_WEBHOOK_BYTES} bytes"
            )));
        }
        pushes.check(&config.url).await?;
        config.id.get_or_insert_with(PushConfigId::random);
        Ok(Webhook { config, dialect })
    }
}

type Run = (Committed, Option<Box<str>>);

fn repeat_of(record: Arc<Record>) -> Submitted {
    Submitted { before: record.version, record, repeated: true }
}

fn reused() -> TaskError {
    TaskError::Invalid("message.messageId: was used for another message; choose a new one".into())
}

/// What a message means for a bid.
fn bidding(message: &Message) -> Result<Option<Bidding>, TaskError> {
    Bidding::of(message).map_err(|error| TaskError::Invalid(error.to_string()))
}

/// Whether a task may begin with a message, as far as bids go.
fn check_beginning(message: &Message) -> Result<(), TaskError> {
    match bidding(message)? {
        Some(word @ (Bidding::Won | Bidding::Lost)) => Err(no_bid(word)),
        Some(Bidding::Asked) | None => Ok(()),
    }
}

fn no_bid(word: Bidding) -> TaskError {
    let key = BIDDING_KEY;
    TaskError::Invalid(match word {
        Bidding::Asked => {
            format!("message.metadata[\"{key}\"]: \"bid\" begins a task; leave the task's id out")
        }
        _ => format!(
            "message.metadata[\"{key}\"]: \"{word}\" is for a task in the state \
             negotiation-bid-submitted; send \"bid\" to begin one"
        ),
    })
}

fn undecided() -> TaskError {
    TaskError::Invalid(format!(
        "message.metadata[\"{BIDDING_KEY}\"]: this task is a bid that waits; send \"won\" to have the \
         work begin, or \"lost\" to end it"
    ))
}

/// Whether a task's history has this message: `Some(true)`, or another of the same id.
fn find(record: &Record, message: &Message) -> Option<bool> {
    let is_same = |stored: &&Arc<Message>| stored.role == Role::User && stored.id == message.id;
    let stored = record.task.history.iter().find(is_same)?;
    let empty = |map: &Option<JsonObject>| map.clone().filter(|map| !map.is_empty());
    Some(
        stored.parts == message.parts
            && stored.reference_task_ids == message.reference_task_ids
            && stored.extensions == message.extensions
            && empty(&stored.metadata) == empty(&message.metadata),
    )
}

/// How a task waits.
fn waiting(task: &Task, wait: &Wait, at: Timestamp) -> TaskStatus {
    let says = agent_message(task, wait.parts.clone(), wait.remarks.clone());
    TaskStatus { message: Some(Arc::new(says)), ..TaskStatus::new(wait.state, at) }
}

/// Nobody but the payment side may say what was paid, and what was signed is for nobody else.
fn strip_payment(message: &mut Message) {
    // A key may be written with escapes.
    let marks = [PAYMENT_KEY, payment::PREFIX, "\\"];
    if let Some(metadata) = &message.metadata
        && marks.iter().any(|mark| metadata.as_str().contains(mark))
    {
        let mut map = metadata.to_map();
        map.retain(|key, _| key != PAYMENT_KEY && !key.starts_with(payment::PREFIX));
        message.metadata = Some(map.into());
    }
}

/// What a message takes beside its content, in bytes.
const MESSAGE_BYTES: usize = 256;

/// About how many bytes a message takes.
fn weight(message: &Message) -> usize {
    use bindu_protocol::Content;
    let part = |part: &Part| match &part.content {
        Content::Text(text) => text.len(),
        Content::File { file, .. } => file.bytes.as_ref().map_or(0, String::len),
        Content::Data { data, .. } => data.as_str().len(),
        _ => 0,
    };
    let metadata = message.metadata.as_ref().map_or(0, |map| map.as_str().len());
    MESSAGE_BYTES + metadata + message.parts.iter().map(part).sum::<usize>()
}
