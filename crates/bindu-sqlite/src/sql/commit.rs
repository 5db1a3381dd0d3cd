//! The one write of a task.

use std::sync::Arc;

use bindu_protocol::{TaskState, Timestamp};
use bindu_storage::{
    Birth, Change, Committed, Event, EventBody, Hold, Lease, Once, OutboxBody, Record,
    StorageError, Version, Webhook,
};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::{dialect, integer, number, outbox, owner_key, parse, state, task};
use crate::failure::Failure;
use crate::json;
use crate::writer::Transaction;

/// A log of at most so many bytes is small: its task's body lies in the task's row, and every
/// change writes it.
const SMALL: i64 = 8192;

/// Keys that ended, and that each new key takes away: more than one, so that they become fewer.
const KEYS_AWAY: i64 = 3;

/// What is known of a task before a change.
struct Before {
    n: i64,
    state: TaskState,
    record: Partial,
    same_context: bool,
    log_bytes: i64,
    body_bytes: i64,
}

/// A record without its task, which a change brings.
struct Partial {
    owner: bindu_protocol::Owner,
    version: u64,
    dialect: bindu_protocol::Dialect,
    lease: Option<Lease>,
    attempts: u32,
    deliveries: u64,
    webhooks: Arc<[Webhook]>,
    created: Timestamp,
}

pub(crate) fn commit(transaction: &Transaction<'_>, change: &Change) -> Result<Committed, Failure> {
    let connection = transaction.connection;
    // First everything that may refuse, then everything that writes.
    let before = Before::find(connection, change)?;
    let lease = next_lease(change, before.as_ref().map(|before| &before.record))?;
    if before.as_ref().is_some_and(|before| !before.same_context) {
        return Err(Failure::misuse("a task stays in its context"));
    }
    if let Some(once) = &change.once {
        check_once(connection, once, change.at)?;
    }
    let texts: Vec<String> =
        change.events.iter().map(json::write_event).collect::<Result<_, _>>()?;
    let added: i64 = texts.iter().map(|text| integer(text.len())).sum();
    let mut partial = match &before {
        Some(before) => before.record.clone(),
        None => Partial::born(change)?,
    };
    let first = partial.version + 1;
    partial.version += change.events.len() as u64;
    partial.lease = lease;
    if matches!(change.hold, Hold::Claim(_)) {
        partial.attempts = partial.attempts.saturating_add(1);
    }
    for body in &change.outbox {
        if let OutboxBody::Deliver(delivery) = body {
            partial.deliveries = partial.deliveries.max(delivery.sequence);
        }
    }
    let n = match &before {
        Some(before) => {
            advance(connection, change, &partial, before, added)?;
            transaction.moved(before.state, -1);
            before.n
        }
        None => create(connection, change, &partial, added)?,
    };
    transaction.moved(change.task.status.state, 1);
    let events: Arc<[Event]> = change
        .events
        .iter()
        .zip(first..)
        .map(|(body, seq)| Event { seq, at: change.at, body: body.clone() })
        .collect();
    let mut statement = connection
        .prepare_cached("INSERT INTO events (task, seq, at, body) VALUES (?1, ?2, ?3, ?4)")?;
    for (event, text) in events.iter().zip(&texts) {
        statement.execute((n, integer(event.seq), change.at.as_unix_micros(), text))?;
    }
    let outbox = change
        .outbox
        .iter()
        .map(|body| outbox::push(connection, n, body, change.at))
        .collect::<Result<_, _>>()?;
    if let Some(once) = &change.once {
        keep_once(connection, once, n, change.at)?;
    }
    let record = Arc::new(partial.record(change));
    transaction.written(&change.task.id, Some(Arc::clone(&record)));
    Ok(Committed { record, events, outbox })
}

impl Before {
    fn find(connection: &Connection, change: &Change) -> Result<Option<Self>, Failure> {
        let mut statement = connection.prepare_cached(
            "SELECT t.n, t.state, t.owner, t.version, t.dialect, t.lease_run, t.lease_until,
                    t.attempts, t.deliveries, t.webhooks, t.created, t.log_bytes, t.body_bytes,
                    t.context_id
             FROM tasks t WHERE t.id = ?1",
        )?;
        change.task.id.with_str(|id| {
            let mut rows = statement.query([id])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let context = row.get_ref(13)?.as_str().map_err(Failure::stored)?;
            let webhooks = row.get_ref(9)?.as_str_or_null().map_err(Failure::stored)?;
            Ok(Some(Self {
                n: row.get(0)?,
                state: state(row.get_ref(1)?.as_str().map_err(Failure::stored)?)?,
                record: Partial {
                    owner: row.get::<_, Option<String>>(2)?.into(),
                    version: number(row.get(3)?)?,
                    dialect: dialect(row.get_ref(4)?.as_str().map_err(Failure::stored)?)?,
                    lease: task::lease(row.get(5)?, row.get(6)?),
                    attempts: number(row.get(7)?)?,
                    deliveries: number(row.get(8)?)?,
                    webhooks: json::read_webhooks(webhooks)?.into(),
                    created: Timestamp::from_unix_micros(row.get(10)?),
                },
                same_context: change.task.context_id.with_str(|own| own == context),
                log_bytes: row.get(11)?,
                body_bytes: row.get(12)?,
            }))
        })
    }
}

impl Clone for Partial {
    fn clone(&self) -> Self {
        Self { owner: self.owner.clone(), webhooks: Arc::clone(&self.webhooks), ..*self }
    }
}

impl Partial {
    fn born(change: &Change) -> Result<Self, Failure> {
        let Some(Birth { owner, dialect, webhooks }) = &change.birth else {
            return Err(Failure::misuse("a new task needs an owner"));
        };
        if !matches!(change.events.first(), Some(EventBody::Snapshot(_))) {
            return Err(Failure::misuse("a new task's log begins with a snapshot"));
        }
        Ok(Self {
            owner: owner.clone(),
            version: 0,
            dialect: *dialect,
            lease: None,
            attempts: 0,
            deliveries: 0,
            webhooks: webhooks.as_slice().into(),
            created: change.at,
        })
    }

    fn record(self, change: &Change) -> Record {
        Record {
            task: Arc::clone(&change.task),
            owner: self.owner,
            version: Version(self.version),
            dialect: self.dialect,
            lease: self.lease,
            attempts: self.attempts,
            deliveries: self.deliveries,
            webhooks: self.webhooks,
            created: self.created,
        }
    }

    /// What the task waits for, and since or until when: see the table.
    fn open(&self, change: &Change) -> (Option<i64>, Option<i64>) {
        let status = &change.task.status;
        let since = status.timestamp.unwrap_or(self.created);
        let (kind, time) = match (status.state, self.lease) {
            (TaskState::Submitted | TaskState::Resumed, _) => (0, since),
            (TaskState::Working, None) => (1, since),
            (TaskState::Working, Some(lease)) => (2, lease.until),
            _ => return (None, None),
        };
        (Some(kind), Some(time.as_unix_micros()))
    }
}

/// The lease after a change, if the change may be made of this version by this writer.
fn next_lease(change: &Change, before: Option<&Partial>) -> Result<Option<Lease>, StorageError> {
    let id = &change.task.id;
    let held = before.and_then(|before| before.lease);
    // That the run is over says more than that the version is old: it is the reason.
    if let Hold::Keep(run) | Hold::Release(run) = change.hold
        && held.is_none_or(|held| held.run != run)
    {
        return Err(StorageError::LeaseLost(id.clone()));
    }
    if before.map(|before| Version(before.version)) != change.expected {
        return Err(StorageError::Conflict(id.clone()));
    }
    match change.hold {
        Hold::Outside if change.task.status.state == TaskState::Working => Ok(held),
        Hold::Outside | Hold::Release(_) => Ok(None),
        Hold::Keep(_) => Ok(held),
        Hold::Claim(lease) => match held {
            Some(held) if held.run != lease.run && held.until > change.at => {
                Err(StorageError::Conflict(id.clone()))
            }
            _ => Ok(Some(lease)),
        },
    }
}

fn check_once(connection: &Connection, once: &Once, at: Timestamp) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT t.id FROM once o JOIN tasks t ON t.n = o.task
         WHERE o.message = ?1 AND o.owner = ?2 AND o.until > ?3",
    )?;
    let made: Option<String> = once
        .message
        .with_str(|message| {
            let key = (message, owner_key(&once.owner), at.as_unix_micros());
            statement.query_row(key, |row| row.get(0))
        })
        .optional()?;
    match made {
        Some(id) => Err(StorageError::Repeated(parse(&id)?).into()),
        None => Ok(()),
    }
}

fn keep_once(connection: &Connection, once: &Once, n: i64, at: Timestamp) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "DELETE FROM once WHERE (message, owner) IN
             (SELECT message, owner FROM once WHERE until <= ?1 ORDER BY until LIMIT ?2)",
        )?
        .execute((at.as_unix_micros(), KEYS_AWAY))?;
    let mut statement = connection.prepare_cached(
        "INSERT OR REPLACE INTO once (message, owner, task, until) VALUES (?1, ?2, ?3, ?4)",
    )?;
    once.message.with_str(|message| {
        statement.execute((message, owner_key(&once.owner), n, once.until.as_unix_micros()))
    })?;
    Ok(())
}

/// The number of the row of the task's context, which is made if it is not there.
fn context(connection: &Connection, change: &Change, owner: Option<&str>) -> Result<i64, Failure> {
    let id = &change.task.context_id;
    let mut statement = connection.prepare_cached("SELECT n, owner FROM contexts WHERE id = ?1")?;
    let found: Option<(i64, Option<String>)> = id
        .with_str(|id| statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))))
        .optional()?;
    match found {
        Some((n, other)) if other.as_deref() == owner => Ok(n),
        Some(_) => Err(StorageError::NotOwner(id.clone()).into()),
        None => {
            let mut statement = connection
                .prepare_cached("INSERT INTO contexts (id, owner, created) VALUES (?1, ?2, ?3)")?;
            let n = id.with_str(|id| statement.insert((id, owner, change.at.as_unix_micros())))?;
            Ok(n)
        }
    }
}

fn create(
    connection: &Connection,
    change: &Change,
    partial: &Partial,
    log_bytes: i64,
) -> Result<i64, Failure> {
    let webhooks = json::write_webhooks(&partial.webhooks)?;
    // That of a large task is its first event, and need not be written twice.
    let body = (log_bytes <= SMALL).then(|| json::write_task(&change.task)).transpose()?;
    let owner = partial.owner.name();
    let context = context(connection, change, owner)?;
    let (open, since) = partial.open(change);
    let mut statement = connection.prepare_cached(
        "INSERT INTO tasks (id, context, context_id, owner, state, created, version, dialect, attempts,
            deliveries, lease_run, lease_until, open, since, webhooks, log_bytes, body_bytes,
            body_at, body)
         VALUES (:id, :context, :context_id, :owner, :state, :created, :version, :dialect, :attempts,
            :deliveries, :lease_run, :lease_until, :open, :since, :webhooks, :log_bytes,
            :log_bytes, :body_at, :body)",
    )?;
    Ok(change.task.id.with_str(|id| {
        statement.insert(named_params! {
            ":id": id,
            ":context": context,
            ":context_id": change.task.context_id.to_string(),
            ":owner": owner,
            ":state": change.task.status.state.as_str(),
            ":created": partial.created.as_unix_micros(),
            ":version": integer(partial.version),
            ":dialect": partial.dialect.to_string(),
            ":attempts": partial.attempts,
            ":deliveries": integer(partial.deliveries),
            ":lease_run": partial.lease.map(|lease| lease.run.0.into_bytes()),
            ":lease_until": partial.lease.map(|lease| lease.until.as_unix_micros()),
            ":open": open,
            ":since": since,
            ":webhooks": webhooks,
            ":log_bytes": log_bytes,
            ":body_at": if body.is_some() { integer(partial.version) } else { 0 },
            ":body": body,
        })
    })?)
}

fn advance(
    connection: &Connection,
    change: &Change,
    partial: &Partial,
    before: &Before,
    added: i64,
) -> Result<(), Failure> {
    let log_bytes = before.log_bytes.saturating_add(added);
    let small = log_bytes <= SMALL;
    let body = (small || log_bytes >= before.body_bytes.saturating_mul(2))
        .then(|| json::write_task(&change.task))
        .transpose()?;
    let written = body.is_some();
    let (here, elsewhere) = if small { (body, None) } else { (None, body) };
    let (open, since) = partial.open(change);
    connection
        .prepare_cached(
            "UPDATE tasks SET state = :state, version = :version, attempts = :attempts,
                deliveries = :deliveries, lease_run = :lease_run, lease_until = :lease_until,
                open = :open, since = :since, log_bytes = :log_bytes,
                body_bytes = iif(:written, :log_bytes, body_bytes),
                body_at = iif(:written, :version, body_at), body = iif(:written, :body, body)
             WHERE n = :n",
        )?
        .execute(named_params! {
            ":n": before.n,
            ":state": change.task.status.state.as_str(),
            ":version": integer(partial.version),
            ":attempts": partial.attempts,
            ":deliveries": integer(partial.deliveries),
            ":lease_run": partial.lease.map(|lease| lease.run.0.into_bytes()),
            ":lease_until": partial.lease.map(|lease| lease.until.as_unix_micros()),
            ":open": open,
            ":since": since,
            ":log_bytes": log_bytes,
            ":written": written,
            ":body": here,
        })?;
    if let Some(body) = elsewhere {
        connection
            .prepare_cached("INSERT OR REPLACE INTO bodies (task, body) VALUES (?1, ?2)")?
            .execute((before.n, body))?;
    }
    Ok(())
}
