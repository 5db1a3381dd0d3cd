//! What a handler is given.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bindu_protocol::{Caller, ContextId, JsonObject, Message, Part, Role, Task, TaskId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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
    /// Cancelled when nobody wants the answer any more.
    pub cancel: CancellationToken,
    /// When the engine will stop waiting; `None` for never.
    pub deadline: Option<Instant>,
}

impl TurnParts {
    /// A turn of an anonymous caller, without remarks, references or a deadline.
    #[must_use]
    pub fn new(task_id: TaskId, context_id: ContextId, messages: Vec<Arc<Message>>) -> Self {
        Self {
            messages,
            task_id,
            context_id,
            caller: Caller::anonymous(),
            metadata: None,
            references: Vec::new(),
            cancel: CancellationToken::new(),
            deadline: None,
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
    #[must_use]
    pub fn references(&self) -> &[Arc<Task>] {
        &self.0.references
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
    fn a_turn_without_messages_has_an_empty_one() {
        let turn = turn(Vec::new());
        assert_eq!(turn.text(), "");
        assert!(turn.message().parts.is_empty());
        assert!(turn.own_messages().is_empty());
        assert!(!turn.is_continuation());
    }
}
