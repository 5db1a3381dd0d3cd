//! What an SDK answers, as a [`Reply`].
//!
//! | state | reply |
//! |---|---|
//! | none, `completed` | done, with the text `content` |
//! | `input-required`, `auth-required` | paused, with `prompt`, else `content`, else the state as data |
//! | `payment-required` | as `input-required` |
//! | `failed`, `rejected` | the end, with `content`, else `prompt` as the reason |
//! | any other | failed, naming the state |
//!
//! A content that as a whole is a JSON object with a state is heard as [`loose`] does. What is in
//! `metadata` is put on the agent's message and, as `handler`, into the task's metadata; a `state`,
//! `prompt` or `content` in there is left out.

mod chunks;

use bindu_agent::loose::{self, Loose};
use bindu_agent::{Completed, Reply};
use bindu_protocol::JsonObject;
use serde_json::{Map, Value};

pub use self::chunks::{MAX_STREAMED, stream};
use crate::proto::HandleResponse;

/// Where remarks are in a task's metadata.
pub const METADATA_KEY: &str = "handler";

/// Names that have fields of their own and are not heard as remarks.
const FIELDS: [&str; 3] = ["state", "prompt", "content"];

/// The most that is shown of a state that nobody knows, in characters.
const SHOWN_STATE: usize = 64;

/// Turns an answer into a reply.
///
/// ```
/// use bindu_agent::Reply;
/// use bindu_grpc::outcome;
/// use bindu_grpc::proto::HandleResponse;
///
/// let asked = outcome::reply(HandleResponse {
///     state: "input-required".into(),
///     content: "Which colour?".into(),
///     ..HandleResponse::default()
/// });
/// assert!(matches!(asked, Reply::Paused { .. }));
/// ```
#[must_use]
pub fn reply(response: HandleResponse) -> Reply {
    let HandleResponse { content, state, prompt, is_final: _, metadata } = response;
    let remarks = metadata.into_iter().filter(|(name, _)| !FIELDS.contains(&name.as_str()));
    let remarks: Map<String, Value> = remarks.map(|(name, text)| (name, text.into())).collect();
    let reply = match state.as_str() {
        "" => loose::reply(Value::String(content)),
        "completed" => Reply::text(content),
        "input-required" | "payment-required" | "auth-required" => {
            match first_filled([prompt, content]) {
                Some(prompt) if state == "auth-required" => Reply::auth_required(prompt),
                Some(prompt) => Reply::input_required(prompt),
                None => wordless(state, &remarks),
            }
        }
        "failed" => Reply::failed(reason([content, prompt])),
        "rejected" => Reply::rejected(reason([content, prompt])),
        unknown => Reply::failed(format!(
            "the handler answered with a state that is not known: {}",
            shown(unknown)
        )),
    };
    with_remarks(reply, remarks)
}

/// A pause without a word: all that is known is shown as data.
fn wordless(state: String, remarks: &Map<String, Value>) -> Reply {
    let mut whole = Map::from_iter([("state".to_owned(), state.into())]);
    whole.extend(remarks.clone());
    loose::reply(Loose::Value(whole.into()))
}

fn reason(texts: [String; 2]) -> String {
    first_filled(texts).unwrap_or_else(|| "no reason was given".to_owned())
}

fn first_filled(texts: [String; 2]) -> Option<String> {
    texts.into_iter().find(|text| !text.is_empty())
}

/// A word from outside, short and in one line.
fn shown(word: &str) -> String {
    let start: String = word.chars().take(SHOWN_STATE).collect();
    let dots = if start.len() < word.len() { "…" } else { "" };
    format!("`{}{dots}`", start.escape_debug())
}

fn with_remarks(reply: Reply, remarks: Map<String, Value>) -> Reply {
    if remarks.is_empty() {
        return reply;
    }
    let metadata = match &reply {
        Reply::Completed(Completed { metadata, .. })
        | Reply::Paused { metadata, .. }
        | Reply::Ended { metadata, .. } => metadata.clone(),
        _ => None,
    };
    let metadata = metadata.unwrap_or_else(JsonObject::empty).with(METADATA_KEY, remarks.clone());
    reply.with_metadata(metadata).with_remarks(remarks.into())
}
