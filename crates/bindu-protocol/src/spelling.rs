//! Derived types that are read in both spellings of every key.
//!
//! The rules are those of `wire`: camelCase wins over snake_case, of a repeated key the last one
//! counts, unknown keys are skipped, `null` reads as absent. Where `wire` is for what every request
//! holds, this is for types that are read seldom: it gathers the members first, renames them to
//! camelCase, and hands them to the derived code.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::wire::at;

/// The members of an object, named in camelCase, each once, none `null`.
pub(crate) struct Members(Vec<Member>);

struct Member {
    name: String,
    value: Box<RawValue>,
    by_camel: bool,
}

impl Members {
    pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }

    pub(crate) fn access(&self) -> Access<'_> {
        Access { rest: self.0.iter(), value: None }
    }

    fn set(&mut self, key: &str, value: Box<RawValue>) {
        let name = camel(key);
        let by_camel = name == key;
        match self.0.iter_mut().find(|member| member.name == name) {
            Some(known) if by_camel || !known.by_camel => {
                known.value = value;
                known.by_camel = by_camel;
            }
            Some(_) => {}
            None => self.0.push(Member { name: name.into_owned(), value, by_camel }),
        }
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members(Vec::new());
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            members.set(&key, map.next_value()?);
        }
        members.0.retain(|member| member.value.get() != "null");
        Ok(members)
    }
}

/// Gives the members to derived code, and puts their names in front of its errors.
pub(crate) struct Access<'a> {
    rest: std::slice::Iter<'a, Member>,
    value: Option<&'a Member>,
}

impl<'a> MapAccess<'a> for Access<'a> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        self.value = self.rest.next();
        match self.value {
            Some(member) => seed.deserialize(StrDeserializer::new(&member.name)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        let member = self.value.expect("a value is asked for after its key");
        seed.deserialize(&*member.value).map_err(|error| at(&member.name, &error))
    }
}

/// `history_length` as `historyLength`; `in_`, which is how the reference spells `in`, as `in`.
fn camel(key: &str) -> Cow<'_, str> {
    if !key.contains('_') {
        return Cow::Borrowed(key);
    }
    let mut words = key.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    Cow::Owned(name)
}

/// Implements `Deserialize` in both spellings, and `Serialize` as derived, for types that derive
/// both with `#[serde(remote = "Self")]` and name their members in camelCase when read.
macro_rules! two_spellings {
    ($($name:ty),* $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let members = $crate::spelling::Members::read(deserializer)?;
                let access = serde::de::value::MapAccessDeserializer::new(members.access());
                // The derived function, which the attribute made an inherent one.
                <$name>::deserialize(access).map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$name>::serialize(self, serializer)
            }
        }
    )*};
}
pub(crate) use two_spellings;

#[cfg(test)]
mod tests {
    use super::camel;

    #[test]
    fn names_are_spelled_as_the_reference_makes_its_aliases() {
        for (snake, expected) in [
            ("url", "url"),
            ("protocol_version", "protocolVersion"),
            ("open_id_connect_url", "openIdConnectUrl"),
            ("agentdns_url", "agentdnsUrl"),
            ("in_", "in"),
            ("bearerFormat", "bearerFormat"),
        ] {
            assert_eq!(camel(snake), expected);
        }
    }
}
