//! State in memory: for tests of handlers.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bindu_protocol::Json;

use crate::BoxFuture;
use crate::state::{Scope, StateError, StateStore, Versioned, Write};

/// Keeps the state of one conversation and of its agent in memory, with the limits of a real one.
/// A clone is the same state.
///
/// For tests of handlers that keep something: a turn that was made without a store gets one of
/// these of its own.
///
/// ```
/// use bindu_agent::Turn;
/// use bindu_agent::state::{MemoryState, State};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bindu_agent::state::StateError> {
/// let ann = MemoryState::default();
/// let bob = ann.another_conversation();
///
/// let turn = Turn::from("I am Ann").with_state(State::new(ann));
/// turn.state().set("name", "Ann").await?;
/// turn.state().of_agent().set("guests", &1).await?;
///
/// let turn = Turn::from("who am I?").with_state(State::new(bob));
/// assert_eq!(turn.state().get::<String>("name").await?, None);
/// assert_eq!(turn.state().of_agent().get("guests").await?, Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryState {
    agent: Arc<Mutex<Values>>,
    context: Arc<Mutex<Values>>,
}

#[derive(Default)]
struct Values {
    by_key: BTreeMap<String, Versioned<Json>>,
    /// What all keys and values take.
    bytes: usize,
    /// The last version given, of all keys: so that none is ever given twice.
    last: u64,
}

impl MemoryState {
    /// Another conversation of the same agent, with nothing kept for it yet.
    #[must_use]
    pub fn another_conversation(&self) -> Self {
        Self { agent: Arc::clone(&self.agent), context: Arc::default() }
    }

    fn values(&self, scope: Scope) -> MutexGuard<'_, Values> {
        let values = match scope {
            Scope::Agent => &self.agent,
            Scope::Context => &self.context,
        };
        // Nothing below panics half way through a change.
        values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Values {
    fn set(&mut self, scope: Scope, write: Write) -> Result<u64, StateError> {
        let Write { key, value, expected } = write;
        let present = self.by_key.get(&key);
        let version = present.map_or(0, |present| present.version);
        if expected.is_some_and(|expected| expected != version) {
            return Err(StateError::Changed { key });
        }
        let bytes = |value: &Json| key.len() + value.as_str().len();
        let others = self.bytes - present.map_or(0, |present| bytes(&present.value));
        let after = others + value.as_ref().map_or(0, bytes);
        if value.is_some() && after > scope.room() {
            return Err(StateError::Full { scope, limit: scope.room() });
        }
        self.bytes = after;
        self.last += 1;
        let Some(value) = value else {
            self.by_key.remove(&key);
            return Ok(0);
        };
        self.by_key.insert(key, Versioned { value, version: self.last });
        Ok(self.last)
    }
}

impl StateStore for MemoryState {
    fn get<'a>(
        &'a self,
        scope: Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Versioned<Json>>, StateError>> {
        Box::pin(async move { Ok(self.values(scope).by_key.get(key).cloned()) })
    }

    fn set(&self, scope: Scope, write: Write) -> BoxFuture<'_, Result<u64, StateError>> {
        Box::pin(async move { self.values(scope).set(scope, write) })
    }

    fn keys<'a>(
        &'a self,
        scope: Scope,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StateError>> {
        Box::pin(async move {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let values = self.values(scope);
            let keys = values.by_key.range::<str, _>((from, Bound::Unbounded));
            Ok(keys.take(limit).map(|(key, _)| key.clone()).collect())
        })
    }
}

impl fmt::Debug for MemoryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryState").finish_non_exhaustive()
    }
}
