//! What an agent keeps between turns: small values under names, for a conversation and for itself.
//!
//! [`Turn::state`](crate::Turn::state) is the conversation's state,
//! [`of_agent`](State::of_agent) leads from there to the agent's own. A value is anything that
//! serde can write as JSON and read again:
//!
//! ```
//! use bindu_agent::{HandlerError, Reply, Turn};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Deserialize, Serialize)]
//! struct Order {
//!     dishes: Vec<String>,
//! }
//!
//! async fn wait_at_table(turn: Turn) -> Result<Reply, HandlerError> {
//!     if &*turn.text() == "the bill" {
//!         let order: Order = turn.state().get("order").await?.unwrap_or_default();
//!         turn.state().remove("order").await?;
//!         return Ok(Reply::text(order.dishes.join(", ")));
//!     }
//!     let add = |order: Option<Order>| {
//!         let mut order = order.unwrap_or_default();
//!         order.dishes.push(turn.text().into_owned());
//!         order
//!     };
//!     let order = turn.state().update("order", add).await?;
//!     Ok(Reply::input_required(format!("{} dishes so far. Anything else?", order.dishes.len())))
//! }
//! # let _ = bindu_agent::AnyHandler::new(wait_at_table);
//! ```
//!
//! - A conversation belongs to one caller, so its state is private to that caller; it goes when the
//!   conversation is deleted. The agent's own state is seen by the turns of all callers: what one
//!   of them said does not belong there.
//! - A write counts at once, and stays if the handler fails afterwards. Since a turn may be handled
//!   again after a crash, what must happen once per message is written under the message's id, or
//!   holds the id.
//! - The limits: a key takes 1 to [`MAX_KEY`] bytes and holds no control characters, a value takes
//!   [`MAX_VALUE`] bytes as JSON, all keys and values of a scope together take [`Scope::room`].
//!   Larger things belong into artifacts or a database of one's own.
//! - Values come back as JSON has them: a float that is no number as null, and where a backend
//!   cannot keep U+0000 in a text, as U+FFFD.
//!
//! A [`blocking`](fn@crate::blocking) handler waits on its thread, which belongs to the runtime:
//!
//! ```
//! use bindu_agent::{Reply, Turn, blocking};
//! use tokio::runtime::Handle;
//!
//! let greet = blocking(|turn: Turn| {
//!     let name: Option<String> = Handle::current().block_on(turn.state().get("name"))?;
//!     Ok(Reply::text(format!("Hello, {}", name.as_deref().unwrap_or("stranger"))))
//! });
//! # let _ = bindu_agent::AnyHandler::new(greet);
//! ```
//!
//! Whoever runs handlers brings a [`StateStore`]; [`conformance`] says whether it keeps the rules.

pub mod conformance;
mod error;
mod memory;
mod store;

pub use error::StateError;
pub use memory::MemoryState;
pub use store::{MAX_KEY, MAX_VALUE, Scope, StateStore, Versioned, Write};

use std::sync::Arc;

use bindu_protocol::Json;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How often [`State::update`] tries. Each time it loses, another writer has won: this many
/// writers at once on one key is what it takes to make it give up.
const ATTEMPTS: usize = 128;

/// The state of a conversation, or of the agent. A clone is the same state.
#[derive(Clone, Debug)]
pub struct State {
    store: Arc<dyn StateStore>,
    scope: Scope,
}

impl State {
    /// The state of the conversation that `store` is for.
    pub fn new(store: impl StateStore) -> Self {
        Self { store: Arc::new(store), scope: Scope::Context }
    }

    /// The state of a conversation that is kept in memory, and nowhere else: for tests.
    ///
    /// For several conversations of one agent, see [`MemoryState`].
    #[must_use]
    pub fn in_memory() -> Self {
        Self::new(MemoryState::default())
    }

    /// The agent's own state, which all its conversations share.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), bindu_agent::state::StateError> {
    /// # let turn = bindu_agent::Turn::from("hello");
    /// let agent = turn.state().of_agent();
    /// let visitors = agent.update("visitors", |seen: Option<u64>| seen.unwrap_or(0) + 1).await?;
    /// assert_eq!(visitors, 1);
    /// assert_eq!(turn.state().get::<u64>("visitors").await?, None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn of_agent(&self) -> Self {
        Self { store: Arc::clone(&self.store), scope: Scope::Agent }
    }

    /// Whose state this is.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Reads a value; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`StateError::Unreadable`] if the value is not a `T`; [`StateError::BadKey`];
    /// [`StateError::Backend`] if the store cannot be reached.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StateError> {
        Ok(self.read(key).await?.value)
    }

    /// Reads a value and its version, to write it with [`set_if`](Self::set_if) afterwards. The
    /// version is 0 if there is no value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn read<T: DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Versioned<Option<T>>, StateError> {
        check(key)?;
        let Some(stored) = self.store.get(self.scope, key).await? else {
            return Ok(Versioned { value: None, version: 0 });
        };
        match stored.value.parse() {
            Ok(value) => Ok(Versioned { value: Some(value), version: stored.version }),
            Err(error) => Err(StateError::Unreadable { key: key.to_owned(), source: error.into() }),
        }
    }

    /// Writes a value, whatever was there, and says its version.
    ///
    /// Of two turns that read a value and then set it, one overwrites the other's: to change a
    /// value there is [`update`](Self::update).
    ///
    /// # Errors
    ///
    /// * [`StateError::Unwritable`], [`TooLarge`](StateError::TooLarge): the value is not JSON, or
    ///   takes more than [`MAX_VALUE`] bytes.
    /// * [`StateError::Full`]: the scope has no room for it.
    /// * [`StateError::BadKey`]: no value can have such a key.
    ///
    /// In all of these nothing is written. Also [`StateError::Gone`] if the conversation was
    /// deleted, and [`StateError::Backend`] if the store cannot be reached; the value may be
    /// written then.
    pub async fn set<T>(&self, key: &str, value: &T) -> Result<u64, StateError>
    where
        T: Serialize + Sync + ?Sized,
    {
        let value = encode(key, value)?;
        self.write(key, Some(value), None).await
    }

    /// Writes a value if the key is at `version`, and says its new version. With 0, there must be
    /// no value.
    ///
    /// Versions of a key grow and never come again, not even after a removal.
    ///
    /// ```
    /// # use bindu_agent::state::{State, StateError};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), StateError> {
    /// # let state = State::in_memory();
    /// let price = state.read::<u32>("price").await?;
    /// state.set_if("price", &price.value.map_or(100, |price| price / 2), price.version).await?;
    ///
    /// // Whoever read the price before this, and has not seen it, is told so.
    /// let late = state.set_if("price", &1, price.version).await;
    /// assert!(matches!(late, Err(StateError::Changed { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StateError::Changed`] if the key is at another version; nothing is written. Else as
    /// [`set`](Self::set).
    pub async fn set_if<T>(&self, key: &str, value: &T, version: u64) -> Result<u64, StateError>
    where
        T: Serialize + Sync + ?Sized,
    {
        let value = encode(key, value)?;
        self.write(key, Some(value), Some(version)).await
    }

    /// Removes a value. One that is not there is no error.
    ///
    /// # Errors
    ///
    /// [`StateError::BadKey`], [`StateError::Gone`], [`StateError::Backend`], as
    /// [`set`](Self::set).
    pub async fn remove(&self, key: &str) -> Result<(), StateError> {
        self.write(key, None, None).await.map(|_| ())
    }

    /// Removes a value if the key is at `version`.
    ///
    /// # Errors
    ///
    /// [`StateError::Changed`] if the key is at another version; nothing is removed. Else as
    /// [`remove`](Self::remove).
    pub async fn remove_if(&self, key: &str, version: u64) -> Result<(), StateError> {
        self.write(key, None, Some(version)).await.map(|_| ())
    }

    /// Changes a value, and says what it is now. `None` stands for a value that is not there.
    ///
    /// Where several turns change one value at once, each sees the change of the one before: none
    /// is lost. `change` is called again when another writer came first, so it should do nothing
    /// but make the new value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get) and [`set`](Self::set). [`StateError::Changed`] only if other writers
    /// came first more than a hundred times.
    pub async fn update<T, F>(&self, key: &str, mut change: F) -> Result<T, StateError>
    where
        T: Serialize + DeserializeOwned + Send,
        F: FnMut(Option<T>) -> T + Send,
    {
        let mut attempt = 1;
        loop {
            let Versioned { value, version } = self.read(key).await?;
            let new = change(value);
            let value = encode(key, &new)?;
            match self.write(key, Some(value), Some(version)).await {
                Ok(_) => return Ok(new),
                Err(StateError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Lists keys in the order of their bytes: those after `after`, at most `limit`.
    ///
    /// ```
    /// # use bindu_agent::state::{State, StateError};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), StateError> {
    /// # let state = State::in_memory();
    /// for city in ["Rome", "Oslo", "Bern"] {
    ///     state.set(city, &true).await?;
    /// }
    /// let first = state.keys(None, 2).await?;
    /// assert_eq!(first, ["Bern", "Oslo"]);
    /// assert_eq!(state.keys(first.last().map(String::as_str), 2).await?, ["Rome"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StateError::BadKey`] if no value can have the key `after`; [`StateError::Backend`] if the
    /// store cannot be reached.
    pub async fn keys(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StateError> {
        if let Some(after) = after {
            check(after)?;
        }
        self.store.keys(self.scope, after, limit).await
    }

    async fn write(
        &self,
        key: &str,
        value: Option<Json>,
        expected: Option<u64>,
    ) -> Result<u64, StateError> {
        check(key)?;
        let bytes = value.as_ref().map_or(0, |value| value.as_str().len());
        if bytes > MAX_VALUE {
            return Err(StateError::TooLarge { key: key.to_owned(), bytes, limit: MAX_VALUE });
        }
        self.store.set(self.scope, Write { key: key.to_owned(), value, expected }).await
    }
}

fn check(key: &str) -> Result<(), StateError> {
    if key.is_empty() || key.len() > MAX_KEY || key.chars().any(char::is_control) {
        // A key of any length may have come from a stranger; its beginning tells which it is.
        return Err(StateError::BadKey { key: key.chars().take(MAX_KEY / 4).collect() });
    }
    Ok(())
}

fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Json, StateError> {
    Json::new(value)
        .map_err(|error| StateError::Unwritable { key: key.to_owned(), source: error.into() })
}
