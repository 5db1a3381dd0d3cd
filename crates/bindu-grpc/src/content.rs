//! A conversation as an SDK is given it.
//!
//! A message becomes one text: the texts of its parts, joined by one blank. One without text is left
//! out.
//!
//! | part | text |
//! |---|---|
//! | text | the text |
//! | data | the data as compact JSON |
//! | file of `text/plain`, PDF or DOCX | its text between two marks, or why there is none |
//! | file of another type | `[Unsupported file type: …]` |
//! | file whose bytes are no base64, or no UTF-8 where they must be | `[System: Failed to decode uploaded file data]` |
//! | file without bytes | `[File reference not fetched: …]`, with its URI, else its name |
//!
//! Base64 is read leniently, as senders of the reference rely on: characters outside of the
//! alphabet are skipped.

mod base64;

use std::borrow::Cow;

use bindu_agent::Turn;
use bindu_protocol::{Content, File, Json, Message, Part, Role};

use crate::documents::{DocumentError, Documents, Kind};
use crate::proto::{ChatMessage, HandleRequest};

/// Writes conversations as requests. A clone is the same one.
///
/// ```
/// use bindu_agent::Turn;
/// use bindu_grpc::content::Transcriber;
/// use bindu_grpc::documents::{Config, Documents};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let transcriber = Transcriber::new(Documents::new(Config::default()));
/// let request = transcriber.request(&Turn::from("hello")).await;
/// assert_eq!(request.messages[0].role, "user");
/// assert_eq!(request.messages[0].content, "hello");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Transcriber {
    documents: Documents,
}

impl Transcriber {
    /// Writes files with what `documents` reads in them.
    #[must_use]
    pub const fn new(documents: Documents) -> Self {
        Self { documents }
    }

    /// The turn as a request: all its messages in order, and its ids.
    ///
    /// Takes as long as the documents in it take to be read; see
    /// [`Config::timeout`](crate::documents::Config::timeout). What has been read once is kept.
    pub async fn request(&self, turn: &Turn) -> HandleRequest {
        let mut messages = Vec::with_capacity(turn.messages().len());
        for message in turn.messages() {
            let content = self.text(message).await;
            if !content.is_empty() {
                messages.push(ChatMessage { role: role(message.role).into(), content });
            }
        }
        HandleRequest {
            messages,
            task_id: turn.task_id().to_string(),
            context_id: turn.context_id().to_string(),
        }
    }

    async fn text(&self, message: &Message) -> String {
        let mut text = String::new();
        for part in &message.parts {
            let part = self.part(part).await;
            if !text.is_empty() && !part.is_empty() {
                text.push(' ');
            }
            text.push_str(&part);
        }
        text
    }

    async fn part<'a>(&self, part: &'a Part) -> Cow<'a, str> {
        match &part.content {
            Content::Text(text) => text.into(),
            Content::Data { data, .. } => compact(data),
            Content::File { file, .. } => self.file(file).await.into(),
            // Whatever part comes next, an SDK that does not know it has no use for it.
            _ => "".into(),
        }
    }

    async fn file(&self, file: &File) -> String {
        let Some(bytes) = file.bytes.as_deref().filter(|bytes| !bytes.is_empty()) else {
            let filled = |name: &'_ &String| !name.is_empty();
            let name = file.uri.as_ref().filter(filled).or(file.name.as_ref().filter(filled));
            let name = name.map_or("unknown", String::as_str);
            return format!("[File reference not fetched: {name}]");
        };
        let media_type = file.mime_type.as_deref().unwrap_or_default();
        let Some(kind) = Kind::of(media_type) else {
            return format!("[Unsupported file type: {media_type}]");
        };
        let Some(bytes) = base64::decode(bytes) else { return UNDECODABLE.to_owned() };
        match self.documents.text(kind, bytes).await {
            Ok(text) => framed(&text),
            Err(DocumentError::NotText) => UNDECODABLE.to_owned(),
            Err(error) => {
                tracing::info!(%error, ?kind, "a document has no text");
                framed(match kind {
                    Kind::Docx => "[Error: Could not parse DOCX content]",
                    _ => "[Error: Could not parse PDF content]",
                })
            }
        }
    }
}

const UNDECODABLE: &str = "[System: Failed to decode uploaded file data]";

fn framed(text: &str) -> String {
    format!("--- Document Uploaded ---\n{text}\n--- End of Document ---")
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Agent => "assistant",
        Role::System => "system",
        Role::User => "user",
    }
}

/// The data without blanks between its members; as it came if it cannot be read.
fn compact(data: &Json) -> Cow<'_, str> {
    let text = data.as_str();
    // Reading a number and writing it again may change it: only blanks are dropped.
    if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        without_blanks(text).into()
    } else {
        text.into()
    }
}

/// Valid JSON without blanks outside of its strings.
fn without_blanks(text: &str) -> String {
    let mut in_string = false;
    let mut is_escaped = false;
    let is_kept = |&character: &char| {
        if !in_string {
            in_string = character == '"';
            return !character.is_ascii_whitespace();
        }
        in_string = is_escaped || character != '"';
        is_escaped = !is_escaped && character == '\\';
        true
    };
    text.chars().filter(is_kept).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn data_are_compact_and_otherwise_as_they_came() {
        let data: Json =
            serde_json::from_str("{ \"b\" : 1.50,\n \"a\": [ \"x \\\" y \\\\\" , 1e999 ] }")
                .unwrap();
        assert_eq!(compact(&data), r#"{"b":1.50,"a":["x \" y \\",1e999]}"#);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ \"\\\\a-z\n\u{e9}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ \"a-c]{0,3}", inner, 0..4)
                    .prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn without_blanks_is_what_serde_writes(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(without_blanks(&pretty), value.to_string());
        }
    }
}
