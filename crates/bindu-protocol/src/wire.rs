//! Reading objects whose keys come in two spellings.
//!
//! Every typed object on the wire may be spelled in camelCase or in snake_case, key by key. If
//! both spellings of one key are there, camelCase wins; of a repeated key the last one counts;
//! unknown keys are skipped; `null` reads as absent. `serde`'s own `alias` refuses the first two.

/// One member while its object is read.
pub(crate) struct Slot<T> {
    value: Option<T>,
    by_camel: bool,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { value: None, by_camel: false }
    }
}

impl<T> Slot<T> {
    pub(crate) fn set(&mut self, value: Option<T>, is_camel: bool) {
        if is_camel || !self.by_camel {
            self.value = value;
            self.by_camel = is_camel;
        }
    }

    pub(crate) fn take(self) -> Option<T> {
        self.value
    }
}

/// Declares a struct of optional members and its two-spelling `Deserialize`.
macro_rules! wire {
    ($(#[$meta:meta])* $name:ident { $($field:ident : $ty:ty = $camel:literal $(| $snake:literal)* ;)* }) => {
        $(#[$meta])*
        #[derive(Default)]
        pub(crate) struct $name { $(pub(crate) $field: Option<$ty>,)* }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[allow(non_camel_case_types, reason = "the variants are named after the fields")]
                enum Key { $($field(bool),)* Unknown }

                struct KeyVisitor;
                impl serde::de::Visitor<'_> for KeyVisitor {
                    type Value = Key;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a member name")
                    }
                    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Key, E> {
                        Ok(match key {
                            $($camel => Key::$field(true), $($snake => Key::$field(false),)*)*
                            _ => Key::Unknown,
                        })
                    }
                }
                impl<'de> serde::Deserialize<'de> for Key {
                    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                        deserializer.deserialize_identifier(KeyVisitor)
                    }
                }

                #[derive(Default)]
                struct Slots { $($field: $crate::wire::Slot<$ty>,)* }

                struct ObjectVisitor;
                impl<'de> serde::de::Visitor<'de> for ObjectVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut slots = Slots::default();
                        while let Some(key) = map.next_key::<Key>()? {
                            match key {
                                $(Key::$field(is_camel) => slots.$field.set(
                                    map.next_value::<Option<$ty>>()
                                        .map_err(|error| $crate::wire::at::<A::Error>($camel, &error))?,
                                    is_camel,
                                ),)*
                                Key::Unknown => { map.next_value::<serde::de::IgnoredAny>()?; }
                            }
                        }
                        Ok($name { $($field: slots.$field.take(),)* })
                    }
                }
                deserializer.deserialize_map(ObjectVisitor)
            }
        }
    };
}
pub(crate) use wire;

/// Puts a member's name in front of what is wrong inside it: `message.role: ...`.
pub(crate) fn at<E: serde::de::Error>(key: &str, error: &impl std::fmt::Display) -> E {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let is_path = text.split_once(": ").is_some_and(|(head, _)| {
        head.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '[' | ']'))
    });
    E::custom(if is_path { format!("{key}.{text}") } else { format!("{key}: {text}") })
}

/// What is said of a member that must be there.
pub(crate) fn missing<E: serde::de::Error>(key: &str) -> E {
    E::custom(format_args!("{key}: is required"))
}

/// An integer as the reference takes it: `5`, `5.0`, `"5"`, and booleans as 0 and 1.
#[derive(Clone, Copy)]
pub(crate) struct LaxInt(pub(crate) i64);

/// A boolean as the reference takes it: also 0, 1 and the usual words.
#[derive(Clone, Copy)]
pub(crate) struct LaxBool(pub(crate) bool);

impl<'de> serde::Deserialize<'de> for LaxInt {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl serde::de::Visitor<'_> for V {
            type Value = LaxInt;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an integer")
            }
            fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<LaxInt, E> {
                Ok(LaxInt(v))
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<LaxInt, E> {
                Ok(LaxInt(i64::try_from(v).unwrap_or(i64::MAX)))
            }
            fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<LaxInt, E> {
                Ok(LaxInt(i64::from(v)))
            }
            fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<LaxInt, E> {
                #[allow(clippy::cast_possible_truncation, reason = "a float-to-int cast saturates")]
                if v.fract() == 0.0 {
                    Ok(LaxInt(v as i64))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(v), &self))
                }
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<LaxInt, E> {
                v.trim()
                    .parse()
                    .map(LaxInt)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Str(v), &self))
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> serde::Deserialize<'de> for LaxBool {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl serde::de::Visitor<'_> for V {
            type Value = LaxBool;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true or false")
            }
            fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<LaxBool, E> {
                Ok(LaxBool(v))
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<LaxBool, E> {
                match v {
                    0 | 1 => Ok(LaxBool(v == 1)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(v), &self)),
                }
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<LaxBool, E> {
                match v.to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "y" | "t" | "1" => Ok(LaxBool(true)),
                    "false" | "no" | "off" | "n" | "f" | "0" => Ok(LaxBool(false)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(v), &self)),
                }
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// A number, or the text of one.
#[derive(Clone, Copy)]
pub(crate) struct LaxFloat(pub(crate) f64);

impl<'de> serde::Deserialize<'de> for LaxFloat {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(f64),
            Text(String),
        }
        let number = match Either::deserialize(deserializer)? {
            Either::Number(number) => Some(number),
            Either::Text(text) => text.trim().parse().ok(),
        };
        number
            .filter(|number: &f64| number.is_finite())
            .map(LaxFloat)
            .ok_or_else(|| serde::de::Error::custom("expected a finite number"))
    }
}
