//! The seam to whatever keeps the values.

use std::fmt;

use bindu_protocol::Json;

use crate::BoxFuture;
use crate::state::StateError;

/// How many bytes a key may take.
pub const MAX_KEY: usize = 256;

/// How many bytes a value may take as JSON: 64 KiB.
pub const MAX_VALUE: usize = 64 * 1024;

/// Keeps the values of one conversation and of its agent.
///
/// [`State`](crate::state::State) asks for valid keys and for values within [`MAX_VALUE`] only. A
/// future may be dropped at any point: what was asked for then happens wholly or not at all.
pub trait StateStore: fmt::Debug + Send + Sync + 'static {
    /// Reads a value; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`StateError::Backend`] if the values cannot be reached.
    fn get<'a>(
        &'a self,
        scope: Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Versioned<Json>>, StateError>>;

    /// Writes or removes a value, and says its new version: 0 when removed. Of several writes that
    /// expect one version, only one is made.
    ///
    /// # Errors
    ///
    /// * [`StateError::Changed`]: the value is not at `write.expected`.
    /// * [`StateError::Full`]: the scope would hold more than its [`room`](Scope::room). What is
    ///   removed is never refused.
    /// * [`StateError::Gone`]: the conversation was deleted.
    ///
    /// In all of these nothing is written. Else as [`get`](Self::get).
    fn set(&self, scope: Scope, write: Write) -> BoxFuture<'_, Result<u64, StateError>>;

    /// Lists keys in the order of their bytes: those after `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    fn keys<'a>(
        &'a self,
        scope: Scope,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StateError>>;
}

/// Whose state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The agent's, in all its conversations.
    Agent,
    /// One conversation's.
    Context,
}

impl Scope {
    /// How many bytes all keys and values may take together: 16 MiB for the agent, 1 MiB for a
    /// conversation.
    #[must_use]
    pub const fn room(self) -> usize {
        match self {
            Self::Agent => 16 * 1024 * 1024,
            Self::Context => 1024 * 1024,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Context => "conversation",
        })
    }
}

/// A value and how new it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// Grows with every write of the key, its removal included; 0 only where there is no value.
    pub version: u64,
}

/// One write.
#[derive(Clone, Debug)]
pub struct Write {
    /// The name of the value.
    pub key: String,
    /// The new value; `None` removes it.
    pub value: Option<Json>,
    /// The version that the write was made from, 0 for a value that must not be there; without it
    /// the write is made whatever is there.
    pub expected: Option<u64>,
}
