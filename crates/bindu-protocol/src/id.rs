//! Opaque ids: kept and echoed exactly as they came.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

/// The longest id that is accepted, in characters.
pub const MAX_ID_CHARS: usize = 128;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text was empty.
    #[error("an id must not be empty")]
    Empty,
    /// The text was longer than [`MAX_ID_CHARS`].
    #[error("an id has at most {MAX_ID_CHARS} characters")]
    TooLong,
    /// The text held a control character.
    #[error("an id must not hold control characters")]
    Control,
}

/// The text of an id. A canonical UUID, by far the most frequent, takes no allocation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Text {
    Uuid(Uuid),
    Other(Box<str>),
}

impl Text {
    fn parse(text: &str) -> Result<Self, IdError> {
        if let Some(uuid) = canonical_uuid(text) {
            return Ok(Self::Uuid(uuid));
        }
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > MAX_ID_CHARS && text.chars().count() > MAX_ID_CHARS {
            return Err(IdError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(IdError::Control);
        }
        Ok(Self::Other(text.into()))
    }

    fn with<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Uuid(uuid) => read(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Self::Other(text) => read(text),
        }
    }
}

/// Only the form that is printed again byte for byte counts: lower case, hyphenated.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 36 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let uuid = Uuid::try_parse(text).ok()?;
    (text.as_bytes()[8] == b'-').then_some(uuid)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// One to [`MAX_ID_CHARS`] characters without control characters, compared and
        /// echoed byte for byte. Parsing is the only way in; a new one is a random UUID.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Text);

        impl $name {
            /// Makes a new random id, a version 4 UUID.
            #[must_use]
            pub fn random() -> Self {
                Self(Text::Uuid(Uuid::new_v4()))
            }

            /// The UUID, if the id is the canonical text of one.
            #[must_use]
            pub fn as_uuid(&self) -> Option<Uuid> {
                match &self.0 {
                    Text::Uuid(uuid) => Some(*uuid),
                    Text::Other(_) => None,
                }
            }

            /// Lends the text to `read`.
            pub fn with_str<R>(&self, read: impl FnOnce(&str) -> R) -> R {
                self.0.with(read)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Text::parse(text).map(Self)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;

            fn try_from(text: &str) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(Text::Uuid(uuid))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.with(|text| f.pad(text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.with(|text| write!(f, "{}({text})", stringify!($name)))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.with(|text| serializer.serialize_str(text))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(TextVisitor).map(Self)
            }
        }
    )*};
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Text::parse(text).map_err(E::custom)
    }
}

ids! {
    /// Names a task.
    ///
    /// ```
    /// # use bindu_protocol::TaskId;
    /// let id: TaskId = "order-17".parse()?;
    /// assert_eq!(id.to_string(), "order-17");
    /// assert!("".parse::<TaskId>().is_err());
    /// # Ok::<(), bindu_protocol::IdError>(())
    /// ```
    TaskId;
    /// Names a context, the conversation that tasks belong to.
    ContextId;
    /// Names a message; the sender chooses it, and a repeat is recognised by it.
    MessageId;
    /// Names an artifact within its task.
    ArtifactId;
    /// Names one of a task's webhook configurations.
    PushConfigId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_echoed_byte_for_byte() {
        for text in [
            "x",
            "0b0cf6f4-6a86-4a39-a1e0-c5f0a7d9c8b1",
            "0B0CF6F4-6A86-4A39-A1E0-C5F0A7D9C8B1",
            "{0b0cf6f4-6a86-4a39-a1e0-c5f0a7d9c8b1}",
            "0b0cf6f46a864a39a1e0c5f0a7d9c8b1",
            "Größe 7",
        ] {
            assert_eq!(text.parse::<TaskId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn ids_are_bounded_and_printable() {
        assert_eq!("".parse::<TaskId>(), Err(IdError::Empty));
        assert_eq!("a\u{0}".parse::<TaskId>(), Err(IdError::Control));
        assert!("é".repeat(128).parse::<TaskId>().is_ok());
        assert_eq!("é".repeat(129).parse::<TaskId>(), Err(IdError::TooLong));
    }
}
