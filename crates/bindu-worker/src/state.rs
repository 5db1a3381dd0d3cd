//! The state that a handler sees, in the store that keeps its tasks.
//!
//! [`of`] makes what [`Turn::state`](bindu_agent::Turn::state) is, for a task's context, on any
//! [`Storage`]. A worker does so by itself for every turn; whoever runs a handler otherwise may do
//! the same:
//!
//! ```
//! use std::sync::Arc;
//!
//! use bindu_agent::{Turn, TurnParts};
//! use bindu_storage::{MemoryStore, Storage};
//! use bindu_worker::state;
//!
//! # fn main() -> Result<(), bindu_protocol::IdError> {
//! let storage: Arc<dyn Storage> = Arc::new(MemoryStore::default());
//! let context = "c-1".parse()?;
//! let turn = Turn::new(TurnParts {
//!     state: state::of(&storage, &context),
//!     ..TurnParts::new("t-1".parse()?, context, Vec::new())
//! });
//! # let _ = turn;
//! # Ok(())
//! # }
//! ```
//!
//! A context belongs to one owner in the store, and a task's context is its owner's: so a
//! conversation's state is seen by the tasks of that owner only, without anything being checked
//! here.

use std::sync::Arc;

use bindu_agent::BoxFuture;
use bindu_agent::state::{Scope, State, StateError, StateStore, Versioned, Write};
use bindu_protocol::{ContextId, Json};
use bindu_storage::{StateChange, StateScope, Storage, StorageError};

/// The state of a context, and from there that of the agent, in `storage`.
///
/// The store must be one agent's alone: whoever shares it shares the agent's own state.
#[must_use]
pub fn of(storage: &Arc<dyn Storage>, context: &ContextId) -> State {
    let (storage, context) = (Arc::clone(storage), StateScope::Context(context.clone()));
    State::new(Stored { storage, context })
}

/// One context's part of a store, and the agent's.
#[derive(Debug)]
struct Stored {
    storage: Arc<dyn Storage>,
    context: StateScope,
}

impl Stored {
    const fn scope(&self, scope: Scope) -> &StateScope {
        match scope {
            Scope::Agent => &StateScope::Agent,
            Scope::Context => &self.context,
        }
    }
}

impl StateStore for Stored {
    fn get<'a>(
        &'a self,
        scope: Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Versioned<Json>>, StateError>> {
        Box::pin(async move {
            let stored = self.storage.state(self.scope(scope), key).await;
            let stored = stored.map_err(|error| failed("reading a value", error))?;
            Ok(stored.map(|stored| Versioned { value: stored.value, version: stored.version }))
        })
    }

    fn set(&self, scope: Scope, write: Write) -> BoxFuture<'_, Result<u64, StateError>> {
        Box::pin(async move {
            let Write { key, value, expected } = write;
            let change = StateChange {
                scope: self.scope(scope).clone(),
                key: key.clone(),
                value,
                expected,
                room: scope.room(),
            };
            self.storage.set_state(change).await.map_err(|error| match error {
                StorageError::StateConflict => StateError::Changed { key },
                StorageError::NotFound => StateError::Gone,
                // A store that is full of other things is no matter of this state.
                StorageError::Full { limit, unit: "bytes" } if limit == scope.room() => {
                    StateError::Full { scope, limit }
                }
                error => failed("writing a value", error),
            })
        })
    }

    fn keys<'a>(
        &'a self,
        scope: Scope,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StateError>> {
        Box::pin(async move {
            let keys = self.storage.state_keys(self.scope(scope), after, limit).await;
            keys.map_err(|error| failed("listing keys", error))
        })
    }
}

fn failed(doing: &'static str, error: StorageError) -> StateError {
    StateError::Backend { doing, source: error.into() }
}
