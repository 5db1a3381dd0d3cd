//! Deleting tasks and contexts. What hangs on a task goes by cascade.

use std::collections::BTreeSet;

use bindu_protocol::{ContextId, Owner, TaskId, TaskState, Timestamp};
use bindu_storage::StorageError;
use rusqlite::{Connection, OptionalExtension as _};

use super::{integer, list, parse, state};
use crate::failure::Failure;
use crate::writer::Transaction;

/// At most so many tasks go in one write, so that others do not wait for long.
const STRETCH: usize = 100;

pub(crate) fn context(
    transaction: &Transaction<'_>,
    id: &ContextId,
    owner: &Owner,
) -> Result<Vec<TaskId>, Failure> {
    let connection = transaction.connection;
    let mut statement =
        connection.prepare_cached("SELECT n FROM contexts WHERE id = ?1 AND owner IS ?2")?;
    let found: Option<i64> =
        id.with_str(|id| statement.query_row((id, owner.name()), |row| row.get(0))).optional()?;
    let n = found.ok_or(StorageError::NotFound)?;
    let ids = list::tasks_of(connection, n)?;
    let mut statement =
        connection.prepare_cached("SELECT n, state FROM tasks WHERE context = ?1")?;
    let tasks: Vec<(i64, String)> = statement
        .query_map([n], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let tasks: Vec<(i64, TaskState)> = tasks
        .into_iter()
        .map(|(n, name)| Ok((n, state(&name)?)))
        .collect::<Result<_, Failure>>()?;
    let under_way = |state: TaskState| matches!(state, TaskState::Submitted | TaskState::Working);
    if tasks.iter().any(|(_, state)| under_way(*state)) {
        return Err(StorageError::Busy(id.clone()).into());
    }
    for (n, state) in tasks {
        delete(transaction, n, state)?;
    }
    for id in &ids {
        transaction.written(id, None);
    }
    delete_context(connection, n)?;
    Ok(ids)
}

/// Deletes the oldest tasks that are over, at most one stretch of them, and says how many went.
pub(crate) fn old(
    transaction: &Transaction<'_>,
    before: Timestamp,
    limit: usize,
) -> Result<usize, Failure> {
    let connection = transaction.connection;
    let found: Vec<(i64, String, String, i64)> = connection
        .prepare_cached(&old_sql())?
        .query_map((before.as_unix_micros(), integer(limit.min(STRETCH))), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut contexts = BTreeSet::new();
    for (n, id, name, context) in &found {
        delete(transaction, *n, state(name)?)?;
        transaction.written(&parse(id)?, None);
        contexts.insert(*context);
    }
    // A context is as old as its first task, and lives as long as its last: only these can be left
    // without any.
    for context in contexts {
        let left = connection
            .prepare_cached("SELECT 1 FROM tasks WHERE context = ?1 LIMIT 1")?
            .query_row([context], |_| Ok(()))
            .optional()?;
        if left.is_none() {
            delete_context(connection, context)?;
        }
    }
    Ok(found.len())
}

/// How many tasks [`old`] deletes at once.
pub(crate) const fn stretch() -> usize {
    STRETCH
}

pub(crate) fn old_sql() -> String {
    let over: Vec<String> = TaskState::ALL
        .into_iter()
        .filter(|state| state.is_terminal())
        .map(|state| format!("'{state}'"))
        .collect();
    let over = over.join(", ");
    format!(
        "SELECT n, id, state, context FROM tasks WHERE created < ?1 AND state IN ({over})
         ORDER BY created, id LIMIT ?2"
    )
}

fn delete(transaction: &Transaction<'_>, n: i64, state: TaskState) -> Result<(), Failure> {
    transaction.connection.prepare_cached("DELETE FROM tasks WHERE n = ?1")?.execute([n])?;
    transaction.moved(state, -1);
    Ok(())
}

fn delete_context(connection: &Connection, n: i64) -> Result<(), Failure> {
    state::forget(connection, n)?;
    connection.prepare_cached("DELETE FROM contexts WHERE n = ?1")?.execute([n])?;
    Ok(())
}
