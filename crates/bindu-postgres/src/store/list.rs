//! Lists and counts.

use std::sync::Arc;

use bindu_protocol::{ContextSummary, Owner, TaskState, Timestamp};
use bindu_storage::{
    ContextQuery, OutboxEntry, OutboxQuery, Page, Record, StorageError, StrandedQuery, TaskQuery,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::commit::signed;
use crate::ids::{Key, context_id, task_id};
use crate::outbox;
use crate::row;
use crate::store::Inner;
use crate::types::At;

/// Where a page ended: the creation and the key of its last row.
#[derive(Clone, Copy)]
struct Cursor(At, Uuid);

impl Cursor {
    fn read(text: &str) -> Result<Self, StorageError> {
        let place = text.split_once('.').and_then(|(micros, key)| {
            let at = Timestamp::from_unix_micros(micros.parse().ok()?);
            Some(Self(At(at), Uuid::try_parse(key).ok()?))
        });
        place.ok_or(StorageError::BadCursor)
    }

    fn write(at: Timestamp, key: Uuid) -> String {
        format!("{}.{}", at.as_unix_micros(), key.simple())
    }
}

/// The conditions and the order of a list, with their parameters.
#[derive(Default)]
struct Terms {
    conditions: Vec<String>,
    params: Vec<Box<dyn ToSql + Sync + Send>>,
    order: String,
}

impl Terms {
    fn new(
        owner: Option<&Owner>,
        after: Option<&str>,
        oldest_first: bool,
        limit: usize,
    ) -> Result<Self, StorageError> {
        let mut terms = Self::default();
        let way = if oldest_first { "ASC" } else { "DESC" };
        // One more than asked for tells whether more follows.
        terms.params.push(Box::new(signed(limit as u64).saturating_add(1)));
        if let Some(owner) = owner {
            // The first term is the index's, the second tells nobody from an owner without a name.
            // Not `IS NOT DISTINCT FROM`: the planner takes hardly any row to pass that, and then
            // sorts all of them instead of reading the end of the index.
            let condition = match owner.name() {
                None => "coalesce(t.owner_did::text, '') = '' AND t.owner_did IS NULL".to_owned(),
                Some("") => "coalesce(t.owner_did::text, '') = '' AND t.owner_did = ''".to_owned(),
                Some(name) => {
                    let name = terms.param(name.to_owned());
                    format!("coalesce(t.owner_did::text, '') = ${name}::text")
                }
            };
            terms.conditions.push(condition);
        }
        terms.order = format!("t.created_at {way}, t.id {way}");
        if let Some(text) = after {
            let Cursor(at, key) = Cursor::read(text)?;
            let (at, key) = (terms.param(at), terms.param(key));
            let sign = if oldest_first { '>' } else { '<' };
            terms.conditions.push(format!("(t.created_at, t.id) {sign} (${at}, ${key}::uuid)"));
        }
        Ok(terms)
    }

    fn param(&mut self, value: impl ToSql + Sync + Send + 'static) -> usize {
        self.params.push(Box::new(value));
        self.params.len()
    }

    async fn read(
        &self,
        inner: &Inner,
        doing: &'static str,
        select: &str,
    ) -> Result<Vec<Row>, StorageError> {
        let and = self.conditions.join(" AND ");
        let filter = if and.is_empty() { String::new() } else { format!(" WHERE {and}") };
        let sql = inner.sql.of(&format!("{select}{filter} ORDER BY {} LIMIT $1", self.order));
        let params: Vec<_> =
            self.params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
        inner.read(doing, &sql, &params).await
    }
}

/// The rows of a page, and where it ended if more follow.
fn page<T>(mut items: Vec<(T, Timestamp, Uuid)>, limit: usize) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more).map(|(_, at, key)| Cursor::write(*at, *key));
    Page { items: items.into_iter().map(|(item, ..)| item).collect(), next: last }
}

impl Inner {
    pub(super) async fn tasks(&self, query: TaskQuery) -> Result<Page<Arc<Record>>, StorageError> {
        const DOING: &str = "listing tasks";
        let mut terms = Terms::new(
            query.owner.as_ref(),
            query.after.as_deref(),
            query.oldest_first,
            query.limit,
        )?;
        if let Some(context) = &query.context {
            let key = Key::of_context(context);
            let (uuid, wire) = (terms.param(key.uuid), terms.param(key.wire));
            terms.conditions.push(format!(
                "t.context_id = ${uuid} AND t.context_wire_id IS NOT DISTINCT FROM ${wire}::text"
            ));
        }
        if query.limit == 0 {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let rows = terms.read(self, DOING, "SELECT {record} FROM {s}.tasks t").await?;
        let items = outbox::all(&rows, DOING, |row| {
            let found = row::record(row)?;
            let created = found.record.created;
            Ok((Arc::new(found.record), created, found.key))
        })?;
        Ok(page(items, query.limit))
    }

    pub(super) async fn contexts(
        &self,
        query: ContextQuery,
    ) -> Result<Page<ContextSummary>, StorageError> {
        const DOING: &str = "listing contexts";
        let terms = Terms::new(query.owner.as_ref(), query.after.as_deref(), false, query.limit)?;
        if query.limit == 0 {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let select = "SELECT t.id, t.wire_id, t.created_at, \
             ARRAY(SELECT x.id FROM {s}.tasks x WHERE x.context_id = t.id ORDER BY x.created_at, x.id), \
             ARRAY(SELECT x.wire_id FROM {s}.tasks x WHERE x.context_id = t.id \
             ORDER BY x.created_at, x.id) FROM {s}.contexts t";
        let rows = terms.read(self, DOING, select).await?;
        let items = outbox::all(&rows, DOING, |row| {
            let key: Uuid = row.try_get(0)?;
            let At(created) = row.try_get(2)?;
            let keys: Vec<Uuid> = row.try_get(3)?;
            let wires: Vec<Option<String>> = row.try_get(4)?;
            let ids = keys.into_iter().zip(wires);
            let task_ids: Vec<_> = ids.map(|(key, wire)| task_id(key, wire.as_deref())).collect();
            let summary = ContextSummary {
                context_id: context_id(key, row.try_get(1)?),
                task_count: task_ids.len(),
                task_ids,
            };
            Ok((summary, created, key))
        })?;
        Ok(page(items, query.limit))
    }

    pub(super) async fn count(&self) -> Result<Vec<(TaskState, u64)>, StorageError> {
        const DOING: &str = "counting tasks";
        let sql = self.sql.of("SELECT t.state::text, count(*) FROM {s}.tasks t GROUP BY t.state");
        let rows = self.read(DOING, &sql, &[]).await?;
        outbox::all(&rows, DOING, |row| {
            Ok((row::state_of(row.try_get(0)?), row.try_get::<_, i64>(1)?.unsigned_abs()))
        })
    }

    pub(super) async fn stranded(
        &self,
        query: StrandedQuery,
    ) -> Result<Vec<Arc<Record>>, StorageError> {
        const DOING: &str = "looking for stranded tasks";
        let params: &[&(dyn ToSql + Sync)] = &[
            &At(query.now),
            &At(query.queued_before),
            &query.unleased_before.map(At),
            &signed(query.limit as u64),
        ];
        let rows = self.read(DOING, &self.sql.stranded, params).await?;
        outbox::all(&rows, DOING, |row| Ok(Arc::new(row::record(row)?.record)))
    }

    pub(super) async fn outbox(
        &self,
        query: OutboxQuery,
    ) -> Result<Vec<OutboxEntry>, StorageError> {
        const DOING: &str = "reading the outbox";
        let kind = outbox::kind(query.kind);
        let due = query.due.map(At);
        let limit = signed(query.limit as u64);
        let rows = if let Some(task) = &query.task {
            let key = Key::of_task(task).uuid;
            self.read(DOING, &self.sql.outbox_of_task, &[&kind, &due, &limit, &key]).await?
        } else {
            self.read(DOING, &self.sql.outbox, &[&kind, &due, &limit]).await?
        };
        outbox::all(&rows, DOING, outbox::entry)
    }
}
