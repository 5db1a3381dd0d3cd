//! What a handler answers.

use bindu_protocol::{Content, Json, JsonObject, Part, TaskState};
use futures_core::Stream;

use crate::{Chunk, ChunkStream, HandlerError};

/// The name of an artifact that the handler gave none.
pub const RESULT_NAME: &str = "result";

/// A handler's answer.
///
/// ```
/// use bindu_agent::Reply;
/// use bindu_protocol::Part;
/// use serde_json::json;
///
/// let text = Reply::text("42");
/// let table = Reply::data(json!({"rows": 3, "columns": ["a", "b"]}));
/// let both = Reply::text("three rows").with_artifact("table", vec![Part::data(json!({"rows": 3}))]);
/// let question = Reply::input_required("Which colour?");
/// # let _ = (text, table, both, question);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply {
    /// The work is done; the task is completed.
    Completed(Completed),
    /// The task waits for its caller, whose next message is a new turn of the same task. Made by
    /// [`input_required`](Self::input_required), [`auth_required`](Self::auth_required) and
    /// [`payment_required`](Self::payment_required).
    #[non_exhaustive]
    Paused {
        /// `InputRequired`, `AuthRequired` or `PaymentRequired`.
        state: TaskState,
        /// What the agent says: its question.
        message: Vec<Part>,
        /// What of the task's metadata changes; see [`with_metadata`](Self::with_metadata).
        metadata: Option<JsonObject>,
        /// Free-form remarks of that message.
        remarks: Option<JsonObject>,
    },
    /// The task is over without a result. Made by [`failed`](Self::failed) and
    /// [`rejected`](Self::rejected).
    #[non_exhaustive]
    Ended {
        /// `Failed` or `Rejected`.
        state: TaskState,
        /// What the caller is told.
        reason: String,
        /// What of the task's metadata changes; see [`with_metadata`](Self::with_metadata).
        metadata: Option<JsonObject>,
        /// Free-form remarks of what the caller is told.
        remarks: Option<JsonObject>,
    },
    /// The answer comes piece by piece.
    Stream(ChunkStream),
}

/// The result of a task that is done.
///
/// The constructors of [`Reply`] make the usual ones; this is for full control:
///
/// ```
/// use bindu_agent::{ArtifactDraft, Completed, Reply};
/// use bindu_protocol::Part;
///
/// let reply = Reply::from(Completed {
///     message: vec![Part::text("see the report")],
///     artifacts: vec![ArtifactDraft {
///         description: Some("Sales of last week".into()),
///         ..ArtifactDraft::new("report", vec![Part::text("…")])
///     }],
///     ..Completed::default()
/// });
/// # let _ = reply;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completed {
    /// What the agent says; joins the task's history.
    pub message: Vec<Part>,
    /// What came out, in order.
    pub artifacts: Vec<ArtifactDraft>,
    /// What of the task's metadata changes; see [`Reply::with_metadata`].
    pub metadata: Option<JsonObject>,
    /// Free-form remarks of the message.
    pub remarks: Option<JsonObject>,
}

/// An artifact before the engine gives it an id and signs it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArtifactDraft {
    /// A short name; [`RESULT_NAME`] unless the handler chose one.
    pub name: Option<String>,
    /// What it is.
    pub description: Option<String>,
    /// What it holds.
    pub parts: Vec<Part>,
    /// Free-form remarks.
    pub metadata: Option<JsonObject>,
}

impl ArtifactDraft {
    /// An artifact with a name.
    #[must_use]
    pub fn new(name: impl Into<String>, parts: Vec<Part>) -> Self {
        Self { name: Some(name.into()), parts, ..Self::default() }
    }
}

impl Completed {
    /// One artifact, and in the history something that may differ from it.
    pub(crate) fn with_result(message: Vec<Part>, result: Vec<Part>) -> Self {
        let artifacts = vec![ArtifactDraft::new(RESULT_NAME, result)];
        Self { message, artifacts, ..Self::default() }
    }
}

impl Reply {
    /// Done, with a text: as what the agent says, and as the artifact `result`.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::part(Part::text(text))
    }

    /// Done, with one part, as for [`text`](Self::text).
    #[must_use]
    pub fn part(part: Part) -> Self {
        Self::parts(vec![part])
    }

    /// Done, with several parts, which make one artifact.
    #[must_use]
    pub fn parts(parts: Vec<Part>) -> Self {
        Self::artifact(RESULT_NAME, parts)
    }

    /// Done, with structured data: the artifact `result` has one data part, which is the value
    /// itself. For a type that implements `Serialize` there is [`Json::new`].
    ///
    /// ```
    /// # use bindu_agent::Reply;
    /// use bindu_protocol::Json;
    ///
    /// #[derive(serde::Serialize)]
    /// struct Statistics { mean: f64 }
    ///
    /// let reply = Reply::data(Json::new(&Statistics { mean: 1.5 })?);
    /// # let _ = reply;
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// Better an object than a list or a number: A2A 0.3 has objects only, so its callers get
    /// anything else wrapped as `{"value": …}`.
    #[must_use]
    pub fn data(data: impl Into<Json>) -> Self {
        let data = data.into();
        Completed::with_result(vec![said_data(data.clone())], vec![Part::data(data)]).into()
    }

    /// Done, with an artifact of this name; what the agent says are the same parts.
    #[must_use]
    pub fn artifact(name: impl Into<String>, parts: Vec<Part>) -> Self {
        let message = parts.clone();
        let artifacts = vec![ArtifactDraft::new(name, parts)];
        Completed { message, artifacts, ..Completed::default() }.into()
    }

    /// Adds an artifact to a reply that is done; any other has none, and stays as it is.
    #[must_use]
    pub fn with_artifact(mut self, name: impl Into<String>, parts: Vec<Part>) -> Self {
        if let Self::Completed(done) = &mut self {
            done.artifacts.push(ArtifactDraft::new(name, parts));
        }
        self
    }

    /// Asks the caller something. Their next message brings a new turn of the same task, with all
    /// that was said before.
    #[must_use]
    pub fn input_required(prompt: impl Into<String>) -> Self {
        Self::paused(TaskState::InputRequired, prompt)
    }

    /// Asks the caller to sign in somewhere first.
    #[must_use]
    pub fn auth_required(prompt: impl Into<String>) -> Self {
        Self::paused(TaskState::AuthRequired, prompt)
    }

    /// Asks the caller to pay first.
    #[must_use]
    pub fn payment_required(prompt: impl Into<String>) -> Self {
        Self::paused(TaskState::PaymentRequired, prompt)
    }

    fn paused(state: TaskState, prompt: impl Into<String>) -> Self {
        Self::Paused { state, message: vec![Part::text(prompt)], metadata: None, remarks: None }
    }

    /// Says what of the task's metadata changes, such as where to sign in: members are replaced
    /// one by one. A stream stays as it is; the reply that ends it may have metadata.
    #[must_use]
    pub fn with_metadata(mut self, members: JsonObject) -> Self {
        match &mut self {
            Self::Completed(Completed { metadata, .. })
            | Self::Paused { metadata, .. }
            | Self::Ended { metadata, .. } => *metadata = Some(members),
            Self::Stream(_) => {}
        }
        self
    }

    /// Puts remarks on what the agent says: its message's metadata. A stream stays as it is.
    ///
    /// ```
    /// # use bindu_agent::Reply;
    /// let model: bindu_protocol::JsonObject = serde_json::from_str(r#"{"model": "small-1"}"#)?;
    /// let reply = Reply::text("42").with_remarks(model);
    /// # let _ = reply;
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn with_remarks(mut self, said: JsonObject) -> Self {
        match &mut self {
            Self::Completed(Completed { remarks, .. })
            | Self::Paused { remarks, .. }
            | Self::Ended { remarks, .. } => *remarks = Some(said),
            Self::Stream(_) => {}
        }
        self
    }

    /// The work went wrong, and this is what the caller is told. An error that the handler
    /// returns ends the task in the same state, with the engine's own words before the text.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::ended(TaskState::Failed, reason)
    }

    /// The agent declines the work, and this is why.
    #[must_use]
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::ended(TaskState::Rejected, reason)
    }

    fn ended(state: TaskState, reason: impl Into<String>) -> Self {
        Self::Ended { state, reason: reason.into(), metadata: None, remarks: None }
    }

    /// An answer that comes piece by piece, and reaches the caller as it is made. What is stored
    /// at the end is all of it, joined as [`Collected`](crate::Collected) does.
    ///
    /// ```
    /// use bindu_agent::{Chunk, Reply};
    /// use futures_util::stream;
    ///
    /// let words = ["one ", "two ", "three"];
    /// let reply = Reply::stream(stream::iter(words.map(|word| Ok(Chunk::from(word)))));
    /// # let _ = reply;
    /// ```
    #[must_use]
    pub fn stream(
        chunks: impl Stream<Item = Result<Chunk, HandlerError>> + Send + 'static,
    ) -> Self {
        Self::Stream(ChunkStream::new(chunks))
    }
}

/// Data as it stands in a history: the reference puts an empty text beside it, and its clients
/// look for that.
pub(crate) fn said_data(data: Json) -> Part {
    Content::Data { data, text: Some(String::new()) }.into()
}

impl From<Completed> for Reply {
    fn from(done: Completed) -> Self {
        Self::Completed(done)
    }
}

impl From<String> for Reply {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&str> for Reply {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(reply: Reply) -> Completed {
        match reply {
            Reply::Completed(done) => done,
            other => panic!("expected a completed reply, got {other:?}"),
        }
    }

    #[test]
    fn a_text_is_said_and_is_the_artifact() {
        let done = completed("hi".into());
        assert_eq!(done.message, [Part::text("hi")]);
        assert_eq!(done.artifacts, [ArtifactDraft::new("result", vec![Part::text("hi")])]);
    }

    #[test]
    fn data_is_the_artifact_itself_and_has_an_empty_text_in_the_history() {
        let done = completed(Reply::data(json!({"a": 1})));
        assert_eq!(done.artifacts[0].parts, [Part::data(json!({"a": 1}))]);
        assert!(matches!(
            &done.message[0].content,
            Content::Data { text: Some(text), .. } if text.is_empty()
        ));
    }

    #[test]
    fn artifacts_are_added_in_order() {
        let done = completed(Reply::text("sum").with_artifact("table", vec![Part::text("1,2")]));
        let names: Vec<_> = done.artifacts.iter().map(|draft| draft.name.as_deref()).collect();
        assert_eq!(names, [Some("result"), Some("table")]);
        assert_eq!(done.message, [Part::text("sum")]);
    }

    #[test]
    fn a_pause_carries_its_remarks() {
        let remarks: JsonObject = serde_json::from_str(r#"{"service": "paintshop"}"#).unwrap();
        match Reply::auth_required("sign in").with_metadata(remarks.clone()) {
            Reply::Paused { state, message, metadata, .. } => {
                assert_eq!(state, TaskState::AuthRequired);
                assert_eq!(message, [Part::text("sign in")]);
                assert_eq!(metadata, Some(remarks));
            }
            other => panic!("expected a pause, got {other:?}"),
        }
    }
}
