//! What is kept beside a task: its lease, feedback and webhooks; and the keys of the replay guard.

use bindu_protocol::{PushConfigId, TaskId, Timestamp};
use bindu_storage::{Feedback, RunId, StorageError, Webhook};
use rusqlite::{Connection, OptionalExtension as _};

use super::{outbox, task_number};
use crate::failure::Failure;
use crate::json;
use crate::writer::Transaction;

/// Keys that ended, and that each new key takes away: more than one, so that they become fewer.
const KEYS_AWAY: i64 = 3;

pub(crate) fn renew(
    transaction: &Transaction<'_>,
    id: &TaskId,
    run: RunId,
    until: Timestamp,
) -> Result<(), Failure> {
    let mut statement = transaction.connection.prepare_cached(
        "UPDATE tasks SET lease_until = ?3, since = iif(open = 2, ?3, since)
         WHERE id = ?1 AND lease_run = ?2",
    )?;
    let renewed =
        id.with_str(|id| statement.execute((id, run.0.into_bytes(), until.as_unix_micros())))?;
    if renewed == 0 {
        return Err(StorageError::LeaseLost(id.clone()).into());
    }
    transaction.written(id, None);
    Ok(())
}

pub(crate) fn add_feedback(
    connection: &Connection,
    id: &TaskId,
    feedback: &Feedback,
) -> Result<(), Failure> {
    let body = json::write_feedback(feedback)?;
    let n = task_number(connection, id)?.ok_or(StorageError::NotFound)?;
    connection
        .prepare_cached("INSERT INTO feedback (task, at, body) VALUES (?1, ?2, ?3)")?
        .execute((n, feedback.at.as_unix_micros(), body))?;
    Ok(())
}

pub(crate) fn feedback(connection: &Connection, id: &TaskId) -> Result<Vec<Feedback>, Failure> {
    let Some(n) = task_number(connection, id)? else { return Ok(Vec::new()) };
    let mut statement =
        connection.prepare_cached("SELECT at, body FROM feedback WHERE task = ?1 ORDER BY n")?;
    let mut rows = statement.query([n])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let at = Timestamp::from_unix_micros(row.get(0)?);
        let text = row.get_ref(1)?.as_str().map_err(Failure::stored)?;
        found.push(json::read_feedback(at, text)?);
    }
    Ok(found)
}

/// A task's row and webhooks.
fn webhooks(connection: &Connection, id: &TaskId) -> Result<Option<(i64, Vec<Webhook>)>, Failure> {
    let mut statement = connection.prepare_cached("SELECT n, webhooks FROM tasks WHERE id = ?1")?;
    let found: Option<(i64, Option<String>)> = id
        .with_str(|id| statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))))
        .optional()?;
    found.map(|(n, text)| Ok((n, json::read_webhooks(text.as_deref())?))).transpose()
}

fn keep_webhooks(
    transaction: &Transaction<'_>,
    id: &TaskId,
    n: i64,
    webhooks: &[Webhook],
) -> Result<(), Failure> {
    let text = json::write_webhooks(webhooks)?;
    transaction
        .connection
        .prepare_cached("UPDATE tasks SET webhooks = ?2 WHERE n = ?1")?
        .execute((n, text))?;
    transaction.written(id, None);
    Ok(())
}

pub(crate) fn set_webhook(
    transaction: &Transaction<'_>,
    id: &TaskId,
    webhook: &Webhook,
) -> Result<(), Failure> {
    let found = webhooks(transaction.connection, id)?;
    let (n, mut webhooks) = found.ok_or(StorageError::NotFound)?;
    match webhooks.iter_mut().find(|other| other.config.id == webhook.config.id) {
        Some(other) => *other = webhook.clone(),
        None => webhooks.push(webhook.clone()),
    }
    keep_webhooks(transaction, id, n, &webhooks)
}

pub(crate) fn remove_webhook(
    transaction: &Transaction<'_>,
    id: &TaskId,
    config: &PushConfigId,
) -> Result<bool, Failure> {
    let Some((n, mut webhooks)) = webhooks(transaction.connection, id)? else { return Ok(false) };
    let before = webhooks.len();
    webhooks.retain(|webhook| webhook.config.id.as_ref() != Some(config));
    if webhooks.len() == before {
        return Ok(false);
    }
    keep_webhooks(transaction, id, n, &webhooks)?;
    config.with_str(|config| outbox::forget(transaction.connection, n, config))?;
    Ok(true)
}

/// Whether a key of the replay guard is new.
pub(crate) fn first(
    connection: &Connection,
    key: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, Failure> {
    let new = connection
        .prepare_cached(
            "INSERT INTO replay (key, until) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET until = excluded.until WHERE until <= ?3",
        )?
        .execute((key, until.as_unix_micros(), now.as_unix_micros()))?;
    if new == 0 {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "DELETE FROM replay WHERE key IN
             (SELECT key FROM replay WHERE until <= ?1 ORDER BY until LIMIT ?2)",
        )?
        .execute((now.as_unix_micros(), KEYS_AWAY))?;
    Ok(true)
}

/// Takes a key of the replay guard away, if it is there.
pub(crate) fn forget(connection: &Connection, key: &str) -> Result<(), Failure> {
    connection.prepare_cached("DELETE FROM replay WHERE key = ?1")?.execute([key])?;
    Ok(())
}
