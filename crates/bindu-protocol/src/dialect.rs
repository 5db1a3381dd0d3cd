//! Which dialect a request speaks.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A way of writing the same model on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Dialect {
    /// The Python reference's: snake_case results, bare stream events, errors by HTTP status.
    #[serde(rename = "reference")]
    Reference,
    /// A2A 0.3: camelCase, stream events in JSON-RPC responses, errors with HTTP 200.
    #[serde(rename = "0.3")]
    V0_3,
}

/// How the dialect of a request is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DialectPolicy {
    /// By the request's own marks.
    #[default]
    Auto,
    /// Strictly A2A; the reference's dialect is not spoken.
    A2a,
    /// Always the reference's.
    Reference,
}

impl FromStr for DialectPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        match text {
            "auto" => Ok(Self::Auto),
            "a2a" => Ok(Self::A2a),
            "reference" => Ok(Self::Reference),
            _ => Err(UnknownPolicy),
        }
    }
}

/// The text names no [`DialectPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a dialect must be auto, a2a or reference")]
pub struct UnknownPolicy;

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reference => "reference",
            Self::V0_3 => "0.3",
        })
    }
}

/// What a request's own marks say, before anything is known of the task it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// Certainly this dialect.
    Certain(Dialect),
    /// Reads the same in both dialects: as the task was begun, so it is spoken of; and where the
    /// task is unknown, as the method says: see [`Marks::of`].
    OfTask,
}

impl Marks {
    /// Looks at a method and its parameters.
    ///
    /// The reference's dialect shows by a snake_case key among the request's own members (not
    /// inside free-form maps), by a method that only the reference has, or by `taskId` where A2A
    /// 0.3 has `id` and the other way round. `message/send` and `message/stream` in camelCase with
    /// a `taskId` look alike in both, and so do `list` and `delete` of push configurations.
    #[must_use]
    pub fn of(policy: DialectPolicy, method: &str, params: &str) -> Self {
        match policy {
            DialectPolicy::A2a => return Self::Certain(Dialect::V0_3),
            DialectPolicy::Reference => return Self::Certain(Dialect::Reference),
            DialectPolicy::Auto => {}
        }
        let reference = Self::Certain(Dialect::Reference);
        if matches!(method, "tasks/list" | "tasks/feedback" | "contexts/list" | "contexts/clear") {
            return reference;
        }
        if params.contains('_') && serde_json::from_str::<Snake>(params).is_ok_and(|snake| snake.0)
        {
            return reference;
        }
        match method {
            "message/send" | "message/stream" => Self::OfTask,
            "tasks/get" | "tasks/cancel" | "tasks/pushNotificationConfig/get" => {
                match serde_json::from_str::<Has>(params) {
                    Ok(Has { id: false, task_id: true }) => reference,
                    _ => Self::Certain(Dialect::V0_3),
                }
            }
            "tasks/pushNotificationConfig/set" => match serde_json::from_str::<Has>(params) {
                Ok(Has { id: true, task_id: false }) => reference,
                _ => Self::Certain(Dialect::V0_3),
            },
            "tasks/pushNotificationConfig/list" | "tasks/pushNotificationConfig/delete" => {
                Self::OfTask
            }
            _ => Self::Certain(Dialect::V0_3),
        }
    }
}

/// Which ids the parameters' top level has.
#[derive(Default)]
struct Has {
    id: bool,
    task_id: bool,
}

impl<'de> Deserialize<'de> for Has {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HasVisitor;
        impl<'de> Visitor<'de> for HasVisitor {
            type Value = Has;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Has, A::Error> {
                let mut has = Has::default();
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    // What is null is not there.
                    let is_there = map.next_value::<Option<IgnoredAny>>()?.is_some();
                    match &*key {
                        "id" => has.id = is_there,
                        "taskId" => has.task_id = is_there,
                        _ => {}
                    }
                }
                Ok(has)
            }
        }
        deserializer.deserialize_map(HasVisitor)
    }
}

/// Whether any typed object below has a key in snake_case.
struct Snake(bool);

impl<'de> Deserialize<'de> for Snake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SnakeVisitor)
    }
}

struct SnakeVisitor;

impl<'de> Visitor<'de> for SnakeVisitor {
    type Value = Snake;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Snake, A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &*key {
                "context_id"
                | "task_id"
                | "message_id"
                | "reference_task_ids"
                | "accepted_output_modes"
                | "history_length"
                | "push_notification_config"
                | "push_notification_config_id"
                | "long_running"
                | "artifact_id"
                | "bearer_format"
                | "open_id_connect_url" => {
                    found = true;
                    map.next_value::<IgnoredAny>()?;
                }
                "message"
                | "parts"
                | "file"
                | "configuration"
                | "pushNotificationConfig"
                | "authentication" => found |= map.next_value::<Snake>()?.0,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Snake(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Snake, A::Error> {
        let mut found = false;
        while let Some(element) = seq.next_element::<Snake>()? {
            found |= element.0;
        }
        Ok(Snake(found))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Snake, E> {
        Ok(Snake(false))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Snake, E> {
        Ok(Snake(false))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Snake, E> {
        Ok(Snake(false))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Snake, E> {
        Ok(Snake(false))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Snake, E> {
        Ok(Snake(false))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Snake, E> {
        Ok(Snake(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(method: &str, params: &str) -> Marks {
        Marks::of(DialectPolicy::Auto, method, params)
    }

    #[test]
    fn a_snake_case_member_marks_the_reference() {
        let reference = Marks::Certain(Dialect::Reference);
        assert_eq!(auto("message/send", r#"{"message":{"message_id":"a"}}"#), reference);
        assert_eq!(auto("tasks/resubscribe", r#"{"id":"a","history_length":1}"#), reference);
    }

    #[test]
    fn free_form_maps_mark_nothing() {
        let params = r#"{"message":{"messageId":"a","metadata":{"task_id":1},
            "parts":[{"kind":"data","data":{"context_id":1}}]},"metadata":{"task_id":2}}"#;
        assert_eq!(auto("message/send", params), Marks::OfTask);
    }

    #[test]
    fn ids_where_the_other_dialect_has_them_mark_too() {
        let reference = Marks::Certain(Dialect::Reference);
        let v0_3 = Marks::Certain(Dialect::V0_3);
        assert_eq!(auto("tasks/get", r#"{"taskId":"a"}"#), reference);
        assert_eq!(auto("tasks/get", r#"{"id":"a"}"#), v0_3);
        assert_eq!(auto("tasks/pushNotificationConfig/set", r#"{"id":"a"}"#), reference);
        assert_eq!(auto("tasks/pushNotificationConfig/set", r#"{"taskId":"a"}"#), v0_3);
        assert_eq!(auto("tasks/list", "{}"), reference);
        assert_eq!(auto("tasks/get", r#"{"id":null,"taskId":"a"}"#), reference);
    }

    #[test]
    fn a_policy_beats_the_marks() {
        let snake = r#"{"task_id":"a"}"#;
        assert_eq!(
            Marks::of(DialectPolicy::A2a, "tasks/list", snake),
            Marks::Certain(Dialect::V0_3)
        );
        assert_eq!(
            Marks::of(DialectPolicy::Reference, "tasks/get", r#"{"id":"a"}"#),
            Marks::Certain(Dialect::Reference)
        );
    }
}
