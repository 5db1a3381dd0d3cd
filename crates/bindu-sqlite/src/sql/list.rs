//! Lists, counts, and what is stranded.

use std::str::FromStr;
use std::sync::Arc;

use bindu_protocol::{ContextId, ContextSummary, TaskId, TaskState, Timestamp};
use bindu_storage::{ContextQuery, Page, Record, StorageError, StrandedQuery, TaskQuery};
use rusqlite::{Connection, ToSql};

use super::task::{COLUMNS, Stored};
use super::{integer, number, parse, state};
use crate::failure::Failure;

/// A place in a list: when, and which of that moment.
struct Place {
    created: i64,
    id: String,
}

impl Place {
    fn cursor(&self) -> String {
        format!("{}.{}", self.created, self.id)
    }

    fn parse<Id: FromStr>(cursor: &str) -> Result<Self, StorageError> {
        let place = cursor.split_once('.').and_then(|(created, id)| {
            let created = Timestamp::from_unix_micros(created.parse().ok()?).as_unix_micros();
            id.parse::<Id>().ok()?;
            Some(Self { created, id: id.to_owned() })
        });
        place.ok_or(StorageError::BadCursor)
    }
}

pub(crate) fn tasks(
    connection: &Connection,
    query: &TaskQuery,
) -> Result<Page<Arc<Record>>, Failure> {
    let after = query.after.as_deref().map(Place::parse::<TaskId>).transpose()?;
    if query.limit == 0 {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let sql = tasks_sql(query);
    let context = query.context.as_ref().map(ToString::to_string);
    let owner = query.owner.as_ref().map(|owner| owner.name());
    // One more than asked for tells whether more follows.
    let limit = integer(query.limit).saturating_add(1);
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":limit", &limit)];
    if let Some(context) = &context {
        values.push((":context", context));
    }
    if let Some(owner) = &owner {
        values.push((":owner", owner));
    }
    if let Some(after) = &after {
        values.push((":created", &after.created));
        values.push((":id", &after.id));
    }
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(&*values, Stored::of)?.collect::<Result<Vec<_>, _>>()?;
    let more = found.len() > query.limit;
    let items: Vec<_> = found
        .into_iter()
        .take(query.limit)
        .map(|stored| stored.record(connection).map(Arc::new))
        .collect::<Result<_, _>>()?;
    let next = items.last().filter(|_| more).map(|record| {
        let created = record.created.as_unix_micros();
        Place { created, id: record.task.id.to_string() }.cursor()
    });
    Ok(Page { items, next })
}

pub(crate) fn tasks_sql(query: &TaskQuery) -> String {
    let mut conditions = Vec::new();
    if query.context.is_some() {
        conditions.push("t.context = (SELECT n FROM contexts WHERE id = :context)");
    }
    match (query.owner.is_some(), query.context.is_some()) {
        (false, _) => {}
        (true, false) => conditions.push("t.owner IS :owner"),
        // A context has one owner: the plus keeps the index of owners out of it.
        (true, true) => conditions.push("+t.owner IS :owner"),
    }
    if query.after.is_some() {
        let further = "(t.created, t.id) > (:created, :id)";
        let back = "(t.created, t.id) < (:created, :id)";
        conditions.push(if query.oldest_first { further } else { back });
    }
    let r#where = if conditions.is_empty() { "" } else { "WHERE" };
    let conditions = conditions.join(" AND ");
    let order = if query.oldest_first { "ASC" } else { "DESC" };
    format!(
        "SELECT {COLUMNS} FROM tasks t {where} {conditions}
         ORDER BY t.created {order}, t.id {order} LIMIT :limit"
    )
}

pub(crate) fn contexts(
    connection: &Connection,
    query: &ContextQuery,
) -> Result<Page<ContextSummary>, Failure> {
    let after = query.after.as_deref().map(Place::parse::<ContextId>).transpose()?;
    if query.limit == 0 {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let sql = contexts_sql(query.owner.is_some(), after.is_some());
    let owner = query.owner.as_ref().map(|owner| owner.name());
    let limit = integer(query.limit).saturating_add(1);
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":limit", &limit)];
    if let Some(owner) = &owner {
        values.push((":owner", owner));
    }
    if let Some(after) = &after {
        values.push((":created", &after.created));
        values.push((":id", &after.id));
    }
    let mut statement = connection.prepare_cached(&sql)?;
    let found: Vec<(i64, Place)> = statement
        .query_map(&*values, |row| {
            Ok((row.get(0)?, Place { created: row.get(1)?, id: row.get(2)? }))
        })?
        .collect::<Result<_, _>>()?;
    let more = found.len() > query.limit;
    let next = more.then(|| found.get(query.limit - 1)).flatten();
    let next = next.map(|(_, place)| place.cursor());
    let items = found
        .iter()
        .take(query.limit)
        .map(|(n, place)| {
            let task_ids = tasks_of(connection, *n)?;
            let context_id = parse(&place.id)?;
            Ok(ContextSummary { context_id, task_count: task_ids.len(), task_ids })
        })
        .collect::<Result<_, Failure>>()?;
    Ok(Page { items, next })
}

pub(crate) fn contexts_sql(owner: bool, after: bool) -> String {
    let mut conditions = Vec::new();
    if owner {
        conditions.push("owner IS :owner");
    }
    if after {
        conditions.push("(created, id) < (:created, :id)");
    }
    let r#where = if conditions.is_empty() { "" } else { "WHERE" };
    let conditions = conditions.join(" AND ");
    format!(
        "SELECT n, created, id FROM contexts {where} {conditions}
         ORDER BY created DESC, id DESC LIMIT :limit"
    )
}

pub(crate) const TASKS_OF: &str = "SELECT id FROM tasks WHERE context = ?1 ORDER BY created, id";

/// The tasks of a context, oldest first.
pub(crate) fn tasks_of(connection: &Connection, context: i64) -> Result<Vec<TaskId>, Failure> {
    let mut statement = connection.prepare_cached(TASKS_OF)?;
    let mut rows = statement.query([context])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(parse(row.get_ref(0)?.as_str().map_err(Failure::stored)?)?);
    }
    Ok(ids)
}

pub(crate) fn count(connection: &Connection) -> Result<Vec<(TaskState, u64)>, Failure> {
    let mut statement =
        connection.prepare_cached("SELECT name, value FROM counters WHERE value > 0")?;
    let mut rows = statement.query([])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str().map_err(Failure::stored)?;
        // Other counters have names that no state has.
        if let Ok(state) = state(name) {
            counts.push((state, number(row.get(1)?)?));
        }
    }
    Ok(counts)
}

/// One stretch of the index for each reason; together they are few.
pub(crate) const STRANDED: &str = "
    SELECT n FROM (
        SELECT * FROM (SELECT n, since, id FROM tasks WHERE open = 0 AND since < :queued
            ORDER BY since, id LIMIT :limit)
        UNION ALL
        SELECT * FROM (SELECT n, since, id FROM tasks WHERE open = 1 AND since < :unleased
            ORDER BY since, id LIMIT :limit)
        UNION ALL
        SELECT * FROM (SELECT n, since, id FROM tasks WHERE open = 2 AND since < :now
            ORDER BY since, id LIMIT :limit)
    ) ORDER BY since, id LIMIT :limit";

pub(crate) fn stranded(
    connection: &Connection,
    query: StrandedQuery,
) -> Result<Vec<Arc<Record>>, Failure> {
    let numbers: Vec<i64> = connection
        .prepare_cached(STRANDED)?
        .query_map(
            rusqlite::named_params! {
                ":queued": query.queued_before.as_unix_micros(),
                // Nothing is less than null.
                ":unleased": query.unleased_before.map(Timestamp::as_unix_micros),
                ":now": query.now.as_unix_micros(),
                ":limit": integer(query.limit),
            },
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    let sql = format!("SELECT {COLUMNS} FROM tasks t WHERE t.n = ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let records = numbers.into_iter().map(|n| {
        let stored = statement.query_row([n], Stored::of)?;
        stored.record(connection).map(Arc::new)
    });
    records.collect()
}
