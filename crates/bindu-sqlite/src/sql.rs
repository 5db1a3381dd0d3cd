//! What is read and written, as SQL.

pub(crate) mod beside;
pub(crate) mod commit;
pub(crate) mod list;
pub(crate) mod outbox;
pub(crate) mod payment;
pub(crate) mod remove;
pub(crate) mod state;
pub(crate) mod task;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use bindu_protocol::{Dialect, Owner, TaskId, TaskState};
use bindu_storage::BoxError;
use rusqlite::{Connection, OptionalExtension as _};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as WordError, StrDeserializer};

use crate::failure::Failure;

/// A number of ours as `SQLite`'s: what is too large is more than a file can hold.
pub(crate) fn integer(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A number of `SQLite`'s that we wrote.
pub(crate) fn number<T: TryFrom<i64>>(integer: i64) -> Result<T, Failure>
where
    T::Error: Into<BoxError>,
{
    T::try_from(integer).map_err(Failure::stored)
}

pub(crate) fn parse<T: FromStr>(text: &str) -> Result<T, Failure>
where
    T::Err: Into<BoxError>,
{
    text.parse().map_err(Failure::stored)
}

pub(crate) fn state(name: &str) -> Result<TaskState, Failure> {
    let word: StrDeserializer<'_, WordError> = name.into_deserializer();
    TaskState::deserialize(word).map_err(Failure::stored)
}

pub(crate) fn dialect(name: &str) -> Result<Dialect, Failure> {
    let word: StrDeserializer<'_, WordError> = name.into_deserializer();
    Dialect::deserialize(word).map_err(Failure::stored)
}

/// An owner where it is part of a key: a key may not be null.
pub(crate) fn owner_key(owner: &Owner) -> String {
    owner.name().map_or_else(String::new, |name| format!(":{name}"))
}

/// The number of a task's row.
pub(crate) fn task_number(connection: &Connection, id: &TaskId) -> Result<Option<i64>, Failure> {
    let mut statement = connection.prepare_cached("SELECT n FROM tasks WHERE id = ?1")?;
    Ok(id.with_str(|id| statement.query_row([id], |row| row.get(0))).optional()?)
}
