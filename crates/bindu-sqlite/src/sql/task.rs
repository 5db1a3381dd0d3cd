//! Reading tasks and their logs.

use std::sync::Arc;

use bindu_protocol::{ContextId, Owner, Task, TaskId, Timestamp};
use bindu_storage::{Event, EventBody, Lease, Record, RunId, Version};
use rusqlite::{Connection, OptionalExtension as _, Row};
use uuid::Uuid;

use super::{dialect, integer, number, parse};
use crate::failure::Failure;
use crate::json;

/// The columns that [`Stored::of`] reads, of `tasks t`.
pub(crate) const COLUMNS: &str = "
    t.n, t.id, t.context_id, t.owner, t.created, t.version, t.dialect, t.attempts,
    t.deliveries, t.lease_run, t.lease_until, t.webhooks, t.body_at, t.body";

/// A task's row as it is read, before the row is let go.
pub(crate) struct Stored {
    n: i64,
    id: String,
    context: String,
    owner: Option<String>,
    created: i64,
    version: i64,
    dialect: String,
    attempts: i64,
    deliveries: i64,
    lease_run: Option<[u8; 16]>,
    lease_until: Option<i64>,
    webhooks: Option<String>,
    body_at: i64,
    body: Option<String>,
}

impl Stored {
    pub(crate) fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            n: row.get(0)?,
            id: row.get(1)?,
            context: row.get(2)?,
            owner: row.get(3)?,
            created: row.get(4)?,
            version: row.get(5)?,
            dialect: row.get(6)?,
            attempts: row.get(7)?,
            deliveries: row.get(8)?,
            lease_run: row.get(9)?,
            lease_until: row.get(10)?,
            webhooks: row.get(11)?,
            body_at: row.get(12)?,
            body: row.get(13)?,
        })
    }

    pub(crate) fn record(self, connection: &Connection) -> Result<Record, Failure> {
        let id: TaskId = parse(&self.id)?;
        let context: ContextId = parse(&self.context)?;
        Ok(Record {
            task: self.task(connection, &id, &context)?,
            owner: Owner::from(self.owner),
            version: Version(number(self.version)?),
            dialect: dialect(&self.dialect)?,
            lease: lease(self.lease_run, self.lease_until),
            attempts: number(self.attempts)?,
            deliveries: number(self.deliveries)?,
            webhooks: json::read_webhooks(self.webhooks.as_deref())?.into(),
            created: Timestamp::from_unix_micros(self.created),
        })
    }

    /// The task as of the body, and what came after it.
    fn task(
        &self,
        connection: &Connection,
        id: &TaskId,
        context: &ContextId,
    ) -> Result<Arc<Task>, Failure> {
        let large: Option<String> = match &self.body {
            Some(_) => None,
            None if self.body_at == 0 => None,
            None => connection
                .prepare_cached("SELECT body FROM bodies WHERE task = ?1")?
                .query_row([self.n], |row| row.get(0))
                .map(Some)?,
        };
        let body = self.body.as_ref().or(large.as_ref());
        let mut task = body
            .map(|body| json::read_task(id.clone(), context.clone(), body).map(Arc::new))
            .transpose()?;
        if self.body_at != self.version {
            let mut statement = connection.prepare_cached(
                "SELECT body FROM events WHERE task = ?1 AND seq > ?2 ORDER BY seq",
            )?;
            let mut rows = statement.query((self.n, self.body_at))?;
            while let Some(row) = rows.next()? {
                let text = row.get_ref(0)?.as_str().map_err(Failure::stored)?;
                if json::is_chunk(text) {
                    continue;
                }
                match (json::read_event(id, context, text)?, &mut task) {
                    (EventBody::Snapshot(whole), task) => *task = Some(whole),
                    (event, Some(task)) => event.apply(Arc::make_mut(task)),
                    (_, None) => break,
                }
            }
        }
        task.ok_or_else(|| Failure::stored("a task's log does not begin with the task"))
    }
}

pub(crate) fn lease(run: Option<[u8; 16]>, until: Option<i64>) -> Option<Lease> {
    let run = RunId(Uuid::from_bytes(run?));
    Some(Lease { run, until: Timestamp::from_unix_micros(until?) })
}

pub(crate) fn load(connection: &Connection, id: &TaskId) -> Result<Option<Record>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM tasks t WHERE t.id = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let stored = id.with_str(|id| statement.query_row([id], Stored::of)).optional()?;
    stored.map(|stored| stored.record(connection)).transpose()
}

pub(crate) fn events(
    connection: &Connection,
    id: &TaskId,
    after: u64,
    limit: usize,
) -> Result<Vec<Event>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT n, context_id FROM tasks WHERE id = ?1")?;
    let found: Option<(i64, String)> = id
        .with_str(|id| statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))))
        .optional()?;
    let Some((n, context)) = found else { return Ok(Vec::new()) };
    let context: ContextId = parse(&context)?;
    let mut statement = connection.prepare_cached(
        "SELECT seq, at, body FROM events WHERE task = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let mut rows = statement.query((n, integer(after), integer(limit)))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let text = row.get_ref(2)?.as_str().map_err(Failure::stored)?;
        events.push(Event {
            seq: number(row.get(0)?)?,
            at: Timestamp::from_unix_micros(row.get(1)?),
            body: json::read_event(id, &context, text)?,
        });
    }
    Ok(events)
}
