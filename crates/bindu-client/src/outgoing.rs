use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bindu_protocol::{
    ContextId, File, JsonObject, Message, Part, PushConfig, Role, SendConfiguration, SendParams,
    TaskId,
};

/// A message on its way out, and how it is to be handled.
///
/// A string is one; so are parts and a whole [`Message`]. The message's id is made here, once:
/// however often it has to be sent, the receiver can see that it is the same.
///
/// ```
/// use bindu_client::Outgoing;
///
/// let question = Outgoing::text("what is in here?")
///     .and_file("report.csv", "text/csv", b"a,b\n1,2\n")
///     .blocking(true);
/// assert_eq!(question.params().message.parts.len(), 2);
///
/// let short: Outgoing = "hello".into();
/// assert_eq!(short.params().message.text(), "hello");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    params: SendParams,
}

impl Outgoing {
    /// A message of one text part.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::parts(vec![Part::text(text)])
    }

    /// A message of these parts.
    #[must_use]
    pub fn parts(parts: Vec<Part>) -> Self {
        Message::new(Role::User, parts).into()
    }

    /// Adds a part.
    #[must_use]
    pub fn and(mut self, part: Part) -> Self {
        self.params.message.parts.push(part);
        self
    }

    /// Adds a file by its content.
    #[must_use]
    pub fn and_file(
        self,
        name: impl Into<String>,
        mime_type: impl Into<String>,
        content: &[u8],
    ) -> Self {
        self.and(Part::file(File {
            bytes: Some(STANDARD.encode(content)),
            mime_type: Some(mime_type.into()),
            name: Some(name.into()),
            ..File::default()
        }))
    }

    /// Continues a task, which must be waiting for its caller.
    #[must_use]
    pub fn task(mut self, id: TaskId) -> Self {
        self.params.message.task_id = Some(id);
        self
    }

    /// Belongs to a conversation.
    #[must_use]
    pub fn context(mut self, id: ContextId) -> Self {
        self.params.message.context_id = Some(id);
        self
    }

    /// Points at an earlier task.
    #[must_use]
    pub fn reference(mut self, id: TaskId) -> Self {
        self.params.message.reference_task_ids.push(id);
        self
    }

    /// Whether the answer is to wait for the outcome. Unset, A2A 0.3 waits and the
    /// reference does not; how long at most is the agent's choice.
    #[must_use]
    pub const fn blocking(mut self, blocking: bool) -> Self {
        self.params.configuration.blocking = Some(blocking);
        self
    }

    /// At most so many of the latest messages in the answer.
    #[must_use]
    pub const fn history_length(mut self, length: i64) -> Self {
        self.params.configuration.history_length = Some(length);
        self
    }

    /// Media types that the caller understands; none means any.
    #[must_use]
    pub fn accept(mut self, mime_type: impl Into<String>) -> Self {
        self.params.configuration.accepted_output_modes.push(mime_type.into());
        self
    }

    /// Where the agent is to post the task's changes.
    #[must_use]
    pub fn push(mut self, config: PushConfig) -> Self {
        self.params.configuration.push = Some(config);
        self
    }

    /// Free-form remarks on the message.
    #[must_use]
    pub fn metadata(mut self, metadata: JsonObject) -> Self {
        self.params.message.metadata = Some(metadata);
        self
    }

    /// The parameters of `message/send` that this becomes.
    #[must_use]
    pub const fn params(&self) -> &SendParams {
        &self.params
    }

    pub(crate) const fn params_mut(&mut self) -> &mut SendParams {
        &mut self.params
    }
}

impl From<SendParams> for Outgoing {
    fn from(params: SendParams) -> Self {
        Self { params }
    }
}

impl From<Message> for Outgoing {
    fn from(message: Message) -> Self {
        Self {
            params: SendParams {
                message,
                configuration: SendConfiguration::default(),
                metadata: None,
            },
        }
    }
}

impl From<Part> for Outgoing {
    fn from(part: Part) -> Self {
        Self::parts(vec![part])
    }
}

impl From<Vec<Part>> for Outgoing {
    fn from(parts: Vec<Part>) -> Self {
        Self::parts(parts)
    }
}

impl From<&str> for Outgoing {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<Cow<'_, str>> for Outgoing {
    fn from(text: Cow<'_, str>) -> Self {
        Self::text(text)
    }
}

impl From<String> for Outgoing {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}
