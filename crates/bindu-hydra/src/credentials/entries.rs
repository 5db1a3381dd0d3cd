use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The members of the file, in its order: existing readers take the first. A map of
/// `serde_json` would sort them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Entries(Vec<(String, Value)>);

impl Entries {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// Puts a value where one of this name is, or at the end.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        match self.0.iter_mut().find(|(found, _)| found == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Removes a value. Returns whether there was one.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(found, _)| found != name);
        self.0.len() < before
    }
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                // Of two members of one name, the last counts.
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    entries.set(&name, value);
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn setting_one_keeps_the_others_and_their_order(
            names in prop::collection::vec("[a-z:]{0,4}", 0..8),
            ours in "[a-z:]{0,4}",
        ) {
            let mut before = Entries::default();
            for (number, name) in names.iter().enumerate() {
                before.set(name, json!(number));
            }
            let text = serde_json::to_string_pretty(&before).unwrap();
            let mut after: Entries = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&before, &after);

            after.set(&ours, json!("ours"));
            prop_assert_eq!(after.get(&ours), Some(&json!("ours")));
            let others = |entries: &Entries| -> Vec<_> {
                entries.0.iter().filter(|(name, _)| *name != ours).cloned().collect()
            };
            prop_assert_eq!(others(&before), others(&after));
        }
    }
}
