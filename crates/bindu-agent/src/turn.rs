//! What a handler is given.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bindu_protocol::{Caller, ContextId, JsonObject, Message, Part, Role, Task, TaskId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::state::State;

/// One turn of a conversation: the newest message, what came before it, and who asks.
///
/// ```
/// # use bindu_agent::Turn;
/// let turn = Turn::from("what is new?");
/// assert_eq!(turn.text(), "what is new?");
/// assert!(!turn.is_continuation());
/// ```
///
/// An engine makes one with [`Turn::new`]; a test of a handler may take `Turn::from` a text or a
/// message.
#[derive(Clone, Debug)]
pub struct Turn(TurnParts);

/// What a [`Turn`] is made of.
///
/// ```
/// use bindu_agent::{Turn, TurnParts};
/// use bindu_protocol::{Caller, Message, Part, Role};
///
/// let message = Message::new(Role::User, vec![Part::text("hello")]);
/// let turn = Turn::new(TurnParts {
///     caller: Caller::named("did:bindu:alice:a:1"),
///     ..TurnParts::new("t-1".parse()?, "c-1".parse()?, vec![message.into()])
/// });
/// assert_eq!(turn.caller().name.as_deref(), Some("did:bindu:alice:a:1"));
/// # Ok::<(), bindu_protocol::IdError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TurnParts {
    /// The conversation in order: the operator's instructions if there are any, then earlier
    /// tasks, then this task. The last one is the message to answer.
    pub messages: Vec<Arc<Message>>,
    /// The task under work.
    pub task_id: TaskId,
    /// The conversation it belongs to.
    pub context_id: ContextId,
    /// Who sent the message.
    pub caller: Caller,
    /// Free-form remarks that came with the request.
    pub metadata: Option<JsonObject>,
    /// The tasks that the caller's messages point at, with their artifacts.
    pub references: Vec<Arc<Task>>,
    /// What the agent keeps between turns.
    pub state: State,
    /// Cancelled when nobody wants the answer any more.
    pub cancel: CancellationToken,
    /// When the engine will stop waiting; `None` for never.
    pub deadline: Option<Instant>,
    /// The W3C `traceparent` of the request, for calls to other agents to carry on.
    pub trace: Option<Box<str>>,
}

impl TurnParts {
    /// A turn of an anonymous caller, without remarks, references or a deadline. Its state is kept
    /// in memory and goes with it.
    #[must_use]
    pub fn new(task_id: TaskId, context_id: ContextId, messages: Vec<Arc<Message>>) -> Self {
        Self {
            messages,
            task_id,
            context_id,
            caller: Caller::anonymous(),
            metadata: None,
            references: Vec::new(),
            state: State::in_memory(),
            cancel: CancellationToken::new(),
            deadline: None,
            trace: None,
        }
    }
}

impl Turn {
    /// Makes a turn.
    #[must_use]
    pub const fn new(parts: TurnParts) -> Self {
        Self(parts)
    }

    /// The conversation in order: the operator's instructions if there are any, then earlier
    /// tasks of the context or those referred to, then this task. The last one is the newest.
    #[must_use]
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.0.messages
    }

    /// The newest message, the one to answer. A turn made without messages has an empty one.
    #[must_use]
    pub fn message(&self) -> &Message {
        static NOTHING: LazyLock<Arc<Message>> =
            LazyLock::new(|| Arc::new(Message::new(Role::User, Vec::new())));
        self.0.messages.last().unwrap_or_else(|| &*NOTHING)
    }

    /// The text of the newest message: its text parts, joined by one blank. Borrowed unless there
    /// are several.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        let message = self.message();
        let mut texts = message.parts.iter().filter_map(Part::as_text);
        match (texts.next(), texts.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(text), None) => Cow::Borrowed(text),
            (Some(_), Some(_)) => Cow::Owned(message.text()),
        }
    }

    /// The messages of this task alone, without instructions and earlier tasks.
    #[must_use]
    pub fn own_messages(&self) -> &[Arc<Message>] {
        let is_own = |message: &Message| {
            message.role != Role::System
                && message.task_id.as_ref().is_none_or(|task| *task == self.0.task_id)
        };
        let others = self.0.messages.iter().rposition(|message| !is_own(message));
        &self.0.messages[others.map_or(0, |last| last + 1)..]
    }

    /// Whether this task has paused before, and the newest message continues it.
    #[must_use]
    pub fn is_continuation(&self) -> bool {
        self.own_messages().len() > 1
    }

    /// The task under work.
    #[must_use]
    pub const fn task_id(&self) -> &TaskId {
        &self.0.task_id
    }

    /// The conversation that the task belongs to.
    #[must_use]
    pub const fn context_id(&self) -> &ContextId {
        &self.0.context_id
    }

    /// Who sent the message.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.0.caller
    }

    /// Free-form remarks that came with the request. Those of the message itself are in
    /// [`message`](Self::message).
    #[must_use]
    pub const fn metadata(&self) -> Option<&JsonObject> {
        self.0.metadata.as_ref()
    }

    /// The tasks that the caller's messages point at, with their artifacts: in the order named,
    /// without those that do not exist or belong to someone else.
    ///
    /// What "make it shorter" is about, when the text was the result of another task:
    ///
    /// ```
    /// use bindu_agent::{HandlerError, Reply, Turn};
    ///
    /// async fn shorten(turn: Turn) -> Result<Reply, HandlerError> {
    ///     let results = turn.references().iter().flat_map(|task| &task.artifacts);
    ///     let mut texts = results.flat_map(|result| &result.parts).filter_map(|part| part.as_text());
    ///     match texts.next() {
    ///         Some(text) => Ok(Reply::text(text.chars().take(40).collect::<String>())),
    ///         None => Ok(Reply::input_required("What shall I shorten?")),
    ///     }
    /// }
    /// # let _ = bindu_agent::AnyHandler::new(shorten);
    /// ```
    ///
    /// In the protocol, `referenceTaskIds` of a message names them.
    #[must_use]
    pub fn references(&self) -> &[Arc<Task>] {
        &self.0.references
    }

    /// What the agent keeps for this conversation; [`State::of_agent`] leads on to what it keeps
    /// for itself. Small values under names, private to the conversation's owner and kept as
    /// long as the conversation is; [`state`](mod@crate::state) says more.
    ///
    /// ```
    /// use bindu_agent::{HandlerError, Reply, Turn};
    ///
    /// async fn count(turn: Turn) -> Result<Reply, HandlerError> {
    ///     let add = |seen: Option<u64>| seen.unwrap_or(0) + 1;
    ///     let number = turn.state().update("messages", add).await?;
    ///     Ok(Reply::text(format!("This was message {number} of our talk.")))
    /// }
    /// # let _ = bindu_agent::AnyHandler::new(count);
    /// ```
    ///
    /// A turn that was made without a store, in a test of a handler, keeps its state in memory.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.0.state
    }

    /// The same turn with another state: for tests of handlers that keep something.
    #[must_use]
    pub fn with_state(mut self, state: State) -> Self {
        self.0.state = state;
        self
    }

    /// Waits until nobody wants the answer any more: the task was cancelled, or the agent stops.
    ///
    /// An async handler need not look at this; it is dropped then.
    pub async fn cancelled(&self) {
        self.0.cancel.cancelled().await;
    }

    /// Whether nobody wants the answer any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancel.is_cancelled()
    }

    /// The signal behind [`cancelled`](Self::cancelled), to be passed on to what the handler
    /// starts.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        self.0.cancel.clone()
    }

    /// When the engine will stop waiting; `None` for never.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// The W3C `traceparent` of the request, for calls to other agents to carry on. `None` if there
    /// was none, or it is no longer known.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.0.trace.as_deref()
    }

    pub(crate) fn with_cancellation(mut self, cancel: CancellationToken) -> Self {
        self.0.cancel = cancel;
        self
    }
}

impl From<Message> for Turn {
    /// The first turn of a new task, by an anonymous caller. Ids that the message lacks are made.
    fn from(message: Message) -> Self {
        Self::new(TurnParts::new(
            message.task_id.clone().unwrap_or_else(TaskId::random),
            message.context_id.clone().unwrap_or_else(ContextId::random),
            vec![Arc::new(message)],
        ))
    }
}

impl From<&str> for Turn {
    /// The first turn of a new task: one text, by an anonymous caller.
    fn from(text: &str) -> Self {
        Message::new(Role::User, vec![Part::text(text)]).into()
    }
}

#[cfg(test)]
mod tests {
    use bindu_protocol::{Artifact, TaskState, TaskStatus, Timestamp};

    use super::*;

    fn said(role: Role, task: Option<&str>, text: &str) -> Arc<Message> {
        let mut message = Message::new(role, vec![Part::text(text)]);
        message.task_id = task.map(|task| task.parse().unwrap());
        Arc::new(message)
    }

    fn turn(messages: Vec<Arc<Message>>) -> Turn {
        Turn::new(TurnParts::new("own".parse().unwrap(), "c".parse().unwrap(), messages))
    }

    fn own(turn: &Turn) -> Vec<String> {
        turn.own_messages().iter().map(|message| message.text()).collect()
    }

    #[test]
    fn own_messages_leave_out_instructions_and_earlier_tasks() {
        let turn = turn(vec![
            said(Role::System, None, "be kind"),
            said(Role::User, Some("earlier"), "hi"),
            said(Role::Agent, Some("earlier"), "hello"),
            said(Role::User, Some("own"), "paint"),
            said(Role::Agent, Some("own"), "which colour?"),
            said(Role::User, Some("own"), "green"),
        ]);
        assert_eq!(own(&turn), ["paint", "which colour?", "green"]);
        assert!(turn.is_continuation());
        assert_eq!(turn.text(), "green");
    }

    #[test]
    fn a_new_task_in_an_old_context_is_no_continuation() {
        let turn =
            turn(vec![said(Role::User, Some("earlier"), "hi"), said(Role::User, Some("own"), "x")]);
        assert_eq!(own(&turn), ["x"]);
        assert!(!turn.is_continuation());
    }

    #[test]
    fn text_joins_the_text_parts_of_the_newest_message_only() {
        let mut message = Message::new(Role::User, vec![Part::text("two"), Part::text("words")]);
        message.parts.insert(1, Part::data(serde_json::json!({"a": 1})));
        let turn = turn(vec![said(Role::User, None, "older"), Arc::new(message)]);
        assert_eq!(turn.text(), "two words");
    }

    #[test]
    fn references_are_the_tasks_pointed_at_in_their_order() {
        let task = |id: &str| {
            let status = TaskStatus::new(TaskState::Completed, Timestamp::from_unix_micros(0));
            let artifact = Artifact::new("result", vec![Part::text(format!("of {id}"))]);
            Arc::new(Task {
                id: id.parse().unwrap(),
                context_id: "elsewhere".parse().unwrap(),
                status,
                history: Vec::new(),
                artifacts: vec![Arc::new(artifact)],
                metadata: None,
            })
        };
        let parts = TurnParts::new("own".parse().unwrap(), "c".parse().unwrap(), Vec::new());
        assert!(Turn::new(parts.clone()).references().is_empty());
        let turn = Turn::new(TurnParts { references: vec![task("b"), task("a")], ..parts });
        let texts = turn.references().iter().map(|task| task.artifacts[0].parts[0].as_text());
        assert_eq!(texts.collect::<Vec<_>>(), [Some("of b"), Some("of a")]);
    }

    #[test]
    fn a_turn_without_messages_has_an_empty_one() {
        let turn = turn(Vec::new());
        assert_eq!(turn.text(), "");
        assert!(turn.message().parts.is_empty());
        assert!(turn.own_messages().is_empty());
        assert!(!turn.is_continuation());
    }
}
