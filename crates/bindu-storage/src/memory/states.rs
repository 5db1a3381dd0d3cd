//! What the agent keeps for itself.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use bindu_protocol::{ContextId, Json};

use crate::{StateChange, StateScope, StateValue, StorageError};

/// What a value takes beside its texts.
const VALUE: usize = 96;

/// The values of every scope.
#[derive(Default)]
pub(super) struct States {
    scopes: HashMap<StateScope, Scope>,
    /// The last version given, of all keys: so that none is ever given twice.
    last: u64,
    weight: usize,
}

#[derive(Default)]
struct Scope {
    values: BTreeMap<String, StateValue>,
    /// The bytes of all keys and values.
    bytes: usize,
}

/// The bytes of a key and its value.
fn bytes(key: &str, value: &Json) -> usize {
    key.len() + value.as_str().len()
}

impl States {
    /// About how many bytes the values take.
    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    /// About how many of them are the contexts'.
    pub(super) fn of_contexts(&self) -> usize {
        let agent = self.scopes.get(&StateScope::Agent);
        self.weight - agent.map_or(0, |scope| scope.bytes + scope.values.len() * VALUE)
    }

    pub(super) fn get(&self, scope: &StateScope, key: &str) -> Option<&StateValue> {
        self.scopes.get(scope)?.values.get(key)
    }

    /// How many bytes more a change takes, if nothing of its own speaks against it.
    pub(super) fn check(&self, change: &StateChange) -> Result<usize, StorageError> {
        let scope = self.scopes.get(&change.scope);
        let present = scope.and_then(|scope| scope.values.get(&change.key));
        let version = present.map_or(0, |present| present.version);
        if change.expected.is_some_and(|expected| expected != version) {
            return Err(StorageError::StateConflict);
        }
        let Some(value) = &change.value else { return Ok(0) };
        let before = present.map_or(0, |present| bytes(&change.key, &present.value));
        let after = bytes(&change.key, value);
        let others = scope.map_or(0, |scope| scope.bytes) - before;
        if others + after > change.room {
            return Err(StorageError::Full { limit: change.room, unit: "bytes" });
        }
        Ok((after + VALUE).saturating_sub(before))
    }

    /// Makes a change that was checked.
    pub(super) fn write(&mut self, change: StateChange) -> u64 {
        self.last += 1;
        let version = self.last;
        let scope = self.scopes.entry(change.scope.clone()).or_default();
        if let Some(old) = scope.values.remove(&change.key) {
            scope.bytes -= bytes(&change.key, &old.value);
            self.weight -= bytes(&change.key, &old.value) + VALUE;
        }
        if let Some(value) = change.value {
            scope.bytes += bytes(&change.key, &value);
            self.weight += bytes(&change.key, &value) + VALUE;
            scope.values.insert(change.key, StateValue { value, version });
            return version;
        }
        if scope.values.is_empty() {
            self.scopes.remove(&change.scope);
        }
        0
    }

    pub(super) fn keys(
        &self,
        scope: &StateScope,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<String> {
        let Some(scope) = self.scopes.get(scope) else { return Vec::new() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = scope.values.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key);
        keys.take(limit).cloned().collect()
    }

    /// Forgets everything about a context.
    pub(super) fn remove_context(&mut self, context: &ContextId) {
        if let Some(scope) = self.scopes.remove(&StateScope::Context(context.clone())) {
            self.weight -= scope.bytes + scope.values.len() * VALUE;
        }
    }
}
