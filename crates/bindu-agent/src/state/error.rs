//! Why a value was not read or written.

use crate::state::{MAX_KEY, Scope};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a value was not read or written. Each says what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// No value can have such a key.
    #[error("{key:?} is not a valid key: use 1 to {MAX_KEY} bytes without control characters")]
    BadKey {
        /// The beginning of the key.
        key: String,
    },
    /// The value is larger than one may be.
    #[error("the value of {key:?} takes {bytes} bytes, more than {limit}: split it, or keep less")]
    TooLarge {
        /// The key.
        key: String,
        /// How many bytes the value takes as JSON.
        bytes: usize,
        /// How many it may take.
        limit: usize,
    },
    /// There is no room for the value.
    #[error("the state of the {scope} is full, {limit} bytes: remove what is no longer needed")]
    Full {
        /// Whose state.
        scope: Scope,
        /// How many bytes all its keys and values may take together.
        limit: usize,
    },
    /// The key is not at the version that the write was made from.
    #[error("{key:?} was changed by another writer: read it again, or use update")]
    Changed {
        /// The key.
        key: String,
    },
    /// The value is there, but of another type than asked for.
    #[error("the value of {key:?} is of another type: read it as what was written, or remove it")]
    Unreadable {
        /// The key.
        key: String,
        /// What does not fit.
        source: BoxError,
    },
    /// The value cannot be written as JSON: a map's keys are no strings, for example.
    #[error("the new value of {key:?} cannot be written as JSON: give it another type")]
    Unwritable {
        /// The key.
        key: String,
        /// What is in the way.
        source: BoxError,
    },
    /// The conversation was deleted, and its state with it.
    #[error("the conversation is not there any more: nothing can be kept for it")]
    Gone,
    /// The store failed; the same call may succeed later. What was to be written may be written.
    #[error("the state's store failed while {doing}: try again later")]
    Backend {
        /// What was under way: "reading a value".
        doing: &'static str,
        /// The store's own error.
        source: BoxError,
    },
}
