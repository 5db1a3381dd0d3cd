//! The account of payments.

use bindu_protocol::{Json, Owner, TaskId, Timestamp};
use bindu_storage::{Opened, Page, Payment, PaymentKey, PaymentQuery, StorageError};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};

use super::{integer, number, parse};
use crate::failure::Failure;
use crate::json;

const COLUMNS: &str = "key, version, state, task, owner, payload, requirements, receipt, error, \
     attempts, expires, due, created, updated";

/// Payments, by a condition.
pub(crate) fn select(condition: &str) -> String {
    format!("SELECT {COLUMNS} FROM payments {condition}")
}

pub(crate) const OF_TASK: &str = "WHERE task = ?1 ORDER BY created, key";

pub(crate) const DUE: &str = "WHERE due <= ?1 ORDER BY due, key LIMIT ?2";

/// A row as it is, before its values are understood.
struct Stored {
    texts: [String; 5],
    owner: Option<String>,
    receipt: Option<String>,
    error: Option<String>,
    numbers: [i64; 5],
    due: Option<i64>,
}

impl Stored {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            texts: [row.get(0)?, row.get(2)?, row.get(3)?, row.get(5)?, row.get(6)?],
            owner: row.get(4)?,
            receipt: row.get(7)?,
            error: row.get(8)?,
            numbers: [row.get(1)?, row.get(9)?, row.get(10)?, row.get(12)?, row.get(13)?],
            due: row.get(11)?,
        })
    }

    fn payment(self) -> Result<Payment, Failure> {
        let [key, state, task, payload, requirements] = &self.texts;
        let [version, attempts, expires, created, updated] = self.numbers;
        let receipt = self.receipt.as_deref().map(json::read_json).transpose()?;
        Ok(Payment {
            key: parse(key)?,
            version: number(version)?,
            state: parse(state)?,
            task: parse(task)?,
            owner: Owner::from(self.owner),
            payload: json::read_json(payload)?,
            requirements: json::read_json(requirements)?,
            receipt,
            error: self.error,
            attempts: number(attempts)?,
            expires: Timestamp::from_unix_micros(expires),
            due: self.due.map(Timestamp::from_unix_micros),
            created: Timestamp::from_unix_micros(created),
            updated: Timestamp::from_unix_micros(updated),
        })
    }
}

/// The values of a payment's row, in the order of [`COLUMNS`].
fn values(payment: &Payment, version: i64) -> [Value; 14] {
    let text = |text: &str| Value::from(text.to_owned());
    [
        text(payment.key.as_str()),
        version.into(),
        text(payment.state.as_str()),
        payment.task.with_str(text),
        payment.owner.name().map(str::to_owned).into(),
        text(payment.payload.as_str()),
        text(payment.requirements.as_str()),
        payment.receipt.as_ref().map(|receipt: &Json| receipt.as_str().to_owned()).into(),
        payment.error.clone().into(),
        i64::from(payment.attempts).into(),
        payment.expires.as_unix_micros().into(),
        payment.due.map(Timestamp::as_unix_micros).into(),
        payment.created.as_unix_micros().into(),
        payment.updated.as_unix_micros().into(),
    ]
}

pub(crate) fn open(connection: &Connection, payment: &Payment) -> Result<Opened, Failure> {
    if let Some(there) = find(connection, &payment.key)? {
        return Ok(Opened::Taken(there));
    }
    let insert = format!(
        "INSERT INTO payments ({COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    );
    connection.prepare_cached(&insert)?.execute(rusqlite::params_from_iter(values(payment, 1)))?;
    Ok(Opened::New(Payment { version: 1, ..payment.clone() }))
}

pub(crate) fn advance(connection: &Connection, payment: &Payment) -> Result<Payment, Failure> {
    let conflict = || Failure::from(StorageError::PaymentConflict(payment.key.clone()));
    let next = payment.version.checked_add(1).ok_or_else(conflict)?;
    let update = format!(
        "UPDATE payments SET ({COLUMNS})
         = (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         WHERE key = ?1 AND version = ?2 - 1"
    );
    let made = connection
        .prepare_cached(&update)?
        .execute(rusqlite::params_from_iter(values(payment, integer(next))))?;
    if made == 0 {
        return Err(conflict());
    }
    Ok(Payment { version: next, ..payment.clone() })
}

pub(crate) fn withdraw(
    connection: &Connection,
    key: &PaymentKey,
    version: u64,
) -> Result<bool, Failure> {
    let gone = connection
        .prepare_cached("DELETE FROM payments WHERE key = ?1 AND version = ?2")?
        .execute((key.as_str(), integer(version)))?;
    Ok(gone > 0)
}

pub(crate) fn find(connection: &Connection, key: &PaymentKey) -> Result<Option<Payment>, Failure> {
    let found = connection
        .prepare_cached(&select("WHERE key = ?1"))?
        .query_row([key.as_str()], Stored::of)
        .optional()?;
    found.map(Stored::payment).transpose()
}

pub(crate) fn of_task(connection: &Connection, task: &TaskId) -> Result<Vec<Payment>, Failure> {
    task.with_str(|task| all(connection, &select(OF_TASK), &[&task]))
}

pub(crate) fn due(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Payment>, Failure> {
    all(connection, &select(DUE), &[&now.as_unix_micros(), &integer(limit)])
}

fn all(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> Result<Vec<Payment>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(values, Stored::of)?;
    found.map(|stored| stored?.payment()).collect()
}

pub(crate) fn list_sql(query: &PaymentQuery) -> String {
    let conditions = match (query.state.is_some(), query.after.is_some()) {
        (false, false) => "",
        (true, false) => "WHERE state = ?2",
        (false, true) => "WHERE (created, key) < (?2, ?3)",
        (true, true) => "WHERE state = ?2 AND (created, key) < (?3, ?4)",
    };
    select(&format!("{conditions} ORDER BY created DESC, key DESC LIMIT ?1"))
}

pub(crate) fn list(
    connection: &Connection,
    query: &PaymentQuery,
) -> Result<Page<Payment>, Failure> {
    let after = query.after.as_deref().map(parse_cursor).transpose()?;
    if query.limit == 0 {
        return Ok(Page { items: Vec::new(), next: None });
    }
    // One more than asked for tells whether more follows.
    let limit = integer(query.limit).saturating_add(1);
    let state = query.state.map(bindu_storage::PaymentState::as_str);
    let mut values: Vec<&dyn ToSql> = vec![&limit];
    if let Some(state) = &state {
        values.push(state);
    }
    if let Some((created, key)) = &after {
        values.push(created);
        values.push(key);
    }
    let mut items = all(connection, &list_sql(query), &values)?;
    let more = items.len() > query.limit;
    items.truncate(query.limit);
    let next = items
        .last()
        .filter(|_| more)
        .map(|payment| format!("{}.{}", payment.created.as_unix_micros(), payment.key));
    Ok(Page { items, next })
}

fn parse_cursor(text: &str) -> Result<(i64, String), StorageError> {
    let place = text.split_once('.').and_then(|(created, key)| {
        let created = Timestamp::from_unix_micros(created.parse().ok()?).as_unix_micros();
        let key: PaymentKey = key.parse().ok()?;
        Some((created, key.to_string()))
    });
    place.ok_or(StorageError::BadCursor)
}
