//! Messages and artifacts with all that was stored of them.
//!
//! A peer's part has the members of A2A only, and the model's reading drops any other. A part that a
//! handler made may have more, and they were written.

use std::fmt;
use std::sync::Arc;

use bindu_protocol::{Artifact, JsonObject, Message, Part};
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A value and the further members of its parts.
pub(super) struct Stored<T>(pub(super) T);

pub(super) fn into_arcs<T>(list: Vec<Stored<T>>) -> Vec<Arc<T>> {
    list.into_iter().map(|Stored(value)| Arc::new(value)).collect()
}

trait HasParts: DeserializeOwned {
    fn parts(&mut self) -> &mut [Part];
}

impl HasParts for Message {
    fn parts(&mut self) -> &mut [Part] {
        &mut self.parts
    }
}

impl HasParts for Artifact {
    fn parts(&mut self) -> &mut [Part] {
        &mut self.parts
    }
}

impl<'de, T: HasParts> Deserialize<'de> for Stored<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let mut value: T = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        let found: Parts = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        for (part, extra) in value.parts().iter_mut().zip(found.parts.unwrap_or_default().0) {
            part.extra = extra;
        }
        Ok(Self(value))
    }
}

#[derive(Deserialize)]
struct Parts {
    parts: Option<Extras>,
}

/// What each part of a list has beyond the members of A2A.
#[derive(Default)]
struct Extras(Vec<Option<JsonObject>>);

impl<'de> Deserialize<'de> for Extras {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Extras;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of parts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Extras, A::Error> {
                let mut extras = Vec::new();
                while let Some(Extra(extra)) = seq.next_element()? {
                    extras.push(extra);
                }
                Ok(Extras(extras))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

struct Extra(Option<JsonObject>);

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Extra;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Extra, A::Error> {
                let mut extra: Option<JsonObject> = None;
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    if let "kind" | "text" | "file" | "data" | "metadata" | "embeddings" = &*key {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        let value: serde_json::Value = map.next_value()?;
                        let object = extra.take().unwrap_or_else(JsonObject::empty);
                        extra = Some(object.with(&key, value));
                    }
                }
                Ok(Extra(extra))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
