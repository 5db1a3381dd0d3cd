//! Parts: the pieces that messages and artifacts are made of.

use serde::{Deserialize, Deserializer};

use crate::view::WRAPPED_KEY;
use crate::wire::{LaxFloat, missing, wire};
use crate::{Json, JsonObject};

/// One piece of a message or an artifact.
///
/// ```
/// # use bindu_protocol::{Content, Part};
/// let part: Part = serde_json::from_str(r#"{"kind": "text", "text": "hello"}"#)?;
/// assert_eq!(part, Part::text("hello"));
/// assert!(matches!(part.content, Content::Text(_)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What the part holds.
    pub content: Content,
    /// Free-form remarks; a signature is one of them.
    pub metadata: Option<JsonObject>,
    /// An embedding vector that came along.
    pub embeddings: Option<Box<[f64]>>,
    /// Members that no A2A part has, kept for a part that a handler made.
    pub extra: Option<JsonObject>,
}

/// What a part holds; the wire's `kind`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// Plain text.
    Text(String),
    /// A file, by its bytes or by where it is.
    File {
        /// The file, boxed: most parts are texts, and need not be as large as a file.
        file: Box<File>,
        /// Text beside the file. Plain A2A has none; the reference's parts do.
        text: Option<String>,
    },
    /// Structured data: an object in A2A 0.3, any JSON value in 1.0.
    Data {
        /// The data.
        data: Json,
        /// Text beside the data, as for a file.
        text: Option<String>,
    },
}

/// A file in a part: at least one of `bytes` and `uri` is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// The content in base64, not checked here.
    pub bytes: Option<String>,
    /// Where the content is.
    pub uri: Option<String>,
    /// The media type, such as `text/csv`.
    pub mime_type: Option<String>,
    /// The file's name.
    pub name: Option<String>,
    /// An embedding vector that came along.
    pub embeddings: Option<Box<[f64]>>,
}

impl Part {
    /// A text part.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Content::Text(text.into()).into()
    }

    /// A data part.
    #[must_use]
    pub fn data(data: impl Into<Json>) -> Self {
        Content::Data { data: data.into(), text: None }.into()
    }

    /// A file part.
    #[must_use]
    pub fn file(file: File) -> Self {
        Content::File { file: Box::new(file), text: None }.into()
    }

    /// The text of a text part.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The file of a file part.
    #[must_use]
    pub fn as_file(&self) -> Option<&File> {
        match &self.content {
            Content::File { file, .. } => Some(file),
            _ => None,
        }
    }

    /// The data of a data part.
    #[must_use]
    pub fn as_data(&self) -> Option<&Json> {
        match &self.content {
            Content::Data { data, .. } => Some(data),
            _ => None,
        }
    }
}

impl From<Content> for Part {
    fn from(content: Content) -> Self {
        Self { content, metadata: None, embeddings: None, extra: None }
    }
}

impl From<JsonObject> for Json {
    fn from(object: JsonObject) -> Self {
        object.into_json()
    }
}

wire! {
    PartWire {
        kind: Kind = "kind";
        text: String = "text";
        file: File = "file";
        data: JsonObject = "data";
        metadata: JsonObject = "metadata";
        embeddings: Vec<LaxFloat> = "embeddings";
    }
}

wire! {
    FileWire {
        bytes: String = "bytes";
        uri: String = "uri";
        mime_type: String = "mimeType" | "mime_type";
        name: String = "name";
        embeddings: Vec<LaxFloat> = "embeddings";
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Text,
    File,
    Data,
}

fn vector(values: Option<Vec<LaxFloat>>) -> Option<Box<[f64]>> {
    values.map(|values| values.into_iter().map(|value| value.0).collect())
}

/// Undoes what [`View`](crate::View) does to data that are no object: A2A 0.3 has none such, so
/// they go out as `{"value": …}` with a mark in the metadata.
fn unwrapped(data: JsonObject, metadata: &mut Option<JsonObject>) -> Json {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped {
        value: Json,
    }
    let Some(map) = metadata.as_ref().filter(|map| map.as_str().contains(WRAPPED_KEY)) else {
        return data.into_json();
    };
    match data.parse() {
        Ok(Wrapped { value })
            if !value.is_object() && map.get(WRAPPED_KEY) == Some(true.into()) =>
        {
            *metadata = Some(map.without(WRAPPED_KEY)).filter(|map| !map.is_empty());
            value
        }
        _ => data.into_json(),
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = PartWire::deserialize(deserializer)?;
        let mut metadata = wire.metadata;
        let content = match wire.kind.ok_or_else(|| missing("kind"))? {
            Kind::Text => Content::Text(wire.text.ok_or_else(|| missing("text"))?),
            Kind::File => Content::File {
                file: Box::new(wire.file.ok_or_else(|| missing("file"))?),
                text: wire.text,
            },
            Kind::Data => {
                let data = wire.data.ok_or_else(|| missing("data"))?;
                let data = unwrapped(data, &mut metadata);
                Content::Data { data, text: wire.text }
            }
        };
        Ok(Self { content, metadata, embeddings: vector(wire.embeddings), extra: None })
    }
}

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = FileWire::deserialize(deserializer)?;
        if wire.bytes.is_none() && wire.uri.is_none() {
            return Err(serde::de::Error::custom("bytes or uri is required"));
        }
        Ok(Self {
            bytes: wire.bytes,
            uri: wire.uri,
            mime_type: wire.mime_type,
            name: wire.name,
            embeddings: vector(wire.embeddings),
        })
    }
}
