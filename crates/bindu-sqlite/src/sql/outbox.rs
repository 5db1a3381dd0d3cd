//! What is still to be done.

use bindu_protocol::{TaskId, Timestamp};
use bindu_storage::{
    Delivery, OutboxBody, OutboxEntry, OutboxId, OutboxKind, OutboxQuery, Version,
};
use bytes::Bytes;
use rusqlite::{Connection, ToSql, named_params};
use uuid::Uuid;

use super::{integer, number, parse};
use crate::failure::Failure;
use crate::json;

/// An entry's kind as it is stored.
fn code(kind: OutboxKind) -> Result<i64, Failure> {
    match kind {
        OutboxKind::Run => Ok(0),
        OutboxKind::Deliver => Ok(1),
        _ => Err(Failure::unknown("an outbox entry")),
    }
}

pub(crate) fn push(
    connection: &Connection,
    task: i64,
    body: &OutboxBody,
    next: Timestamp,
) -> Result<OutboxId, Failure> {
    let kind = code(body.kind())?;
    let next = next.as_unix_micros();
    let id = match body {
        OutboxBody::Run { version } => connection
            .prepare_cached(
                "INSERT INTO outbox (task, kind, next, attempts, version) VALUES (?1, ?2, ?3, 0, ?4)",
            )?
            .insert((task, kind, next, integer(version.0)))?,
        OutboxBody::Deliver(delivery) => connection
            .prepare_cached(
                "INSERT INTO outbox
                    (task, kind, next, attempts, hook_id, hook, event, sequence, payload)
                 VALUES (:task, :kind, :next, 0, :hook_id, :hook, :event, :sequence, :payload)",
            )?
            .insert(named_params! {
                ":task": task,
                ":kind": kind,
                ":next": next,
                ":hook_id": delivery.webhook.config.id.as_ref().map(ToString::to_string),
                ":hook": json::write_webhook(&delivery.webhook)?,
                ":event": delivery.event_id.into_bytes(),
                ":sequence": integer(delivery.sequence),
                ":payload": &delivery.body[..],
            })?,
        _ => return Err(Failure::unknown("an outbox entry")),
    };
    Ok(OutboxId(number(id)?))
}

/// The ids are found first, by an index alone; only those that are read are fetched whole.
pub(crate) fn sql(task: bool, due: bool) -> String {
    let due = if due { "AND next <= :due" } else { "" };
    let entries = if task {
        // The plus leaves the choice of the index to the task.
        format!("task = (SELECT n FROM tasks WHERE id = :task) AND +kind = :kind {due}")
    } else {
        format!("kind = :kind {due}")
    };
    format!(
        "SELECT o.id, t.id, o.attempts, o.next, o.kind, o.version, o.hook, o.event, o.sequence,
            o.payload
         FROM (SELECT id FROM outbox WHERE {entries} ORDER BY id LIMIT :limit) AS found
         CROSS JOIN outbox o ON o.id = found.id CROSS JOIN tasks t ON t.n = o.task ORDER BY o.id"
    )
}

pub(crate) fn read(
    connection: &Connection,
    query: &OutboxQuery,
) -> Result<Vec<OutboxEntry>, Failure> {
    let kind = code(query.kind)?;
    let limit = integer(query.limit);
    let task = query.task.as_ref().map(TaskId::to_string);
    let due = query.due.map(Timestamp::as_unix_micros);
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":kind", &kind), (":limit", &limit)];
    if let Some(task) = &task {
        values.push((":task", task));
    }
    if let Some(due) = &due {
        values.push((":due", due));
    }
    let mut statement = connection.prepare_cached(&sql(task.is_some(), due.is_some()))?;
    let mut rows = statement.query(&*values)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let text = |column| row.get_ref(column)?.as_str().map_err(Failure::stored);
        let body = match row.get(4)? {
            0_i64 => OutboxBody::Run { version: Version(number(row.get(5)?)?) },
            1 => OutboxBody::Deliver(Delivery {
                webhook: json::read_webhook(text(6)?)?,
                event_id: Uuid::from_bytes(row.get(7)?),
                sequence: number(row.get(8)?)?,
                body: Bytes::from(row.get::<_, Vec<u8>>(9)?),
            }),
            _ => return Err(Failure::unknown("an outbox entry")),
        };
        entries.push(OutboxEntry {
            id: OutboxId(number(row.get(0)?)?),
            task: parse(text(1)?)?,
            body,
            attempts: number(row.get(2)?)?,
            next: Timestamp::from_unix_micros(row.get(3)?),
        });
    }
    Ok(entries)
}

pub(crate) fn take(
    connection: &Connection,
    id: OutboxId,
    attempts: u32,
    until: Timestamp,
) -> Result<bool, Failure> {
    let taken = connection
        .prepare_cached(
            "UPDATE outbox SET attempts = attempts + 1, next = ?3 WHERE id = ?1 AND attempts = ?2",
        )?
        .execute((integer(id.0), attempts, until.as_unix_micros()))?;
    Ok(taken > 0)
}

pub(crate) fn done(connection: &Connection, id: OutboxId) -> Result<(), Failure> {
    connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?.execute([integer(id.0)])?;
    Ok(())
}

pub(crate) fn retry(connection: &Connection, id: OutboxId, next: Timestamp) -> Result<(), Failure> {
    connection
        .prepare_cached("UPDATE outbox SET next = ?2 WHERE id = ?1")?
        .execute((integer(id.0), next.as_unix_micros()))?;
    Ok(())
}

/// Forgets what was to be sent to one webhook of a task.
pub(crate) fn forget(connection: &Connection, task: i64, hook: &str) -> Result<(), Failure> {
    connection
        .prepare_cached("DELETE FROM outbox WHERE task = ?1 AND hook_id = ?2")?
        .execute((task, hook))?;
    Ok(())
}
