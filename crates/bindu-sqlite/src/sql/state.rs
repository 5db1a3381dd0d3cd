//! What the agent keeps for itself.

use bindu_storage::{StateChange, StateScope, StateValue, StorageError};
use rusqlite::{Connection, OptionalExtension as _};

use super::{integer, number};
use crate::failure::Failure;
use crate::json;

/// The scope of the agent; those of contexts have the numbers of their rows, from 1.
const AGENT: i64 = 0;

/// The number of a scope, if its context is there.
fn number_of(connection: &Connection, scope: &StateScope) -> Result<Option<i64>, Failure> {
    let StateScope::Context(context) = scope else { return Ok(Some(AGENT)) };
    let mut statement = connection.prepare_cached("SELECT n FROM contexts WHERE id = ?1")?;
    Ok(context.with_str(|id| statement.query_row([id], |row| row.get(0))).optional()?)
}

pub(crate) fn get(
    connection: &Connection,
    scope: &StateScope,
    key: &str,
) -> Result<Option<StateValue>, Failure> {
    let Some(scope) = number_of(connection, scope)? else { return Ok(None) };
    let found: Option<(i64, String)> = connection
        .prepare_cached("SELECT version, value FROM state WHERE scope = ?1 AND key = ?2")?
        .query_row((scope, key), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let value = found.map(|(version, value)| {
        Ok(StateValue { value: json::read_json(&value)?, version: number(version)? })
    });
    value.transpose()
}

pub(crate) fn keys(
    connection: &Connection,
    scope: &StateScope,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let Some(scope) = number_of(connection, scope)? else { return Ok(Vec::new()) };
    // Texts are compared byte by byte, and the empty one comes first; it is a key as well.
    let mut statement = connection.prepare_cached(
        "SELECT key FROM state WHERE scope = ?1 AND (?2 IS NULL OR key > ?2)
         ORDER BY key LIMIT ?3",
    )?;
    let keys = statement.query_map((scope, after, integer(limit)), |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

pub(crate) fn set(connection: &Connection, change: &StateChange) -> Result<u64, Failure> {
    let scope = number_of(connection, &change.scope)?.ok_or(StorageError::NotFound)?;
    let key = change.key.as_str();
    let present: Option<(i64, i64)> = connection
        .prepare_cached("SELECT version, bytes FROM state WHERE scope = ?1 AND key = ?2")?
        .query_row((scope, key), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (version, before) = present.unwrap_or_default();
    if change.expected.is_some_and(|expected| integer(expected) != version) {
        return Err(StorageError::StateConflict.into());
    }
    let Some(value) = &change.value else {
        if present.is_some() {
            connection
                .prepare_cached("DELETE FROM state WHERE scope = ?1 AND key = ?2")?
                .execute((scope, key))?;
            add_bytes(connection, scope, -before)?;
        }
        return Ok(0);
    };
    let value = value.as_str();
    let after = integer(key.len() + value.len());
    let held: Option<i64> = connection
        .prepare_cached("SELECT bytes FROM state_room WHERE scope = ?1")?
        .query_row([scope], |row| row.get(0))
        .optional()?;
    if held.unwrap_or(0) - before + after > integer(change.room) {
        return Err(StorageError::Full { limit: change.room, unit: "bytes" }.into());
    }
    // One count for all keys: a version is never given again, whatever was removed meanwhile.
    let version: i64 = connection
        .prepare_cached(
            "INSERT INTO counters (name, value) VALUES ('state version', 1)
             ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        )?
        .query_row([], |row| row.get(0))?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO state (scope, key, version, bytes, value)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((scope, key, version, after, value))?;
    add_bytes(connection, scope, after - before)?;
    number(version)
}

fn add_bytes(connection: &Connection, scope: i64, bytes: i64) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO state_room (scope, bytes) VALUES (?1, ?2)
             ON CONFLICT (scope) DO UPDATE SET bytes = bytes + ?2",
        )?
        .execute((scope, bytes))?;
    Ok(())
}

/// Forgets the state of a context.
pub(crate) fn forget(connection: &Connection, scope: i64) -> Result<(), Failure> {
    connection.prepare_cached("DELETE FROM state WHERE scope = ?1")?.execute([scope])?;
    connection.prepare_cached("DELETE FROM state_room WHERE scope = ?1")?.execute([scope])?;
    Ok(())
}
