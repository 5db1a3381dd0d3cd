//! The account of payments.
//!
//! Each write carries a random name, kept in the row: when the connection is lost before the answer
//! comes, the same write is made again, and whether it was made before makes no difference.

use bindu_protocol::{Json, Owner, TaskId, Timestamp};
use bindu_storage::{
    BoxError, BoxFuture, Ledger, Opened, Page, Payment, PaymentKey, PaymentQuery, StorageError,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::PostgresStore;
use crate::commit::signed;
use crate::connect::Tries;
use crate::store::Inner;
use crate::types::{At, Verbatim, clean_text};

const COLUMNS: &str = "p.key, p.version, p.state, p.task_id, p.owner_did, p.payload, \
    p.requirements, p.receipt, p.error, p.attempts, p.expires_at, p.due_at, p.created_at, p.updated_at";

const OPEN: &str = "\
INSERT INTO {s}.bindu_payments (key, version, state, task_id, owner_did, payload, requirements, \
receipt, error, attempts, expires_at, due_at, created_at, updated_at, write_id) \
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
ON CONFLICT (key) DO NOTHING RETURNING 1";

/// From the version before, or from itself.
const ADVANCE: &str = "\
UPDATE {s}.bindu_payments SET version = $2::bigint, state = $3, task_id = $4, owner_did = $5, payload = $6, \
requirements = $7, receipt = $8, error = $9, attempts = $10, expires_at = $11, due_at = $12, \
created_at = $13, updated_at = $14, write_id = $15 \
WHERE key = $1 AND (version = $2::bigint - 1 OR (version = $2::bigint AND write_id = $15)) RETURNING 1";

/// How a row comes to have what a payment holds.
struct Written {
    key: String,
    version: i64,
    state: &'static str,
    task: String,
    owner: Option<String>,
    payload: Verbatim<String>,
    requirements: Verbatim<String>,
    receipt: Option<Verbatim<String>>,
    error: Option<String>,
    attempts: i64,
    expires: At,
    due: Option<At>,
    created: At,
    updated: At,
    name: Uuid,
}

impl Written {
    fn new(payment: &Payment, version: u64) -> Self {
        let json = |json: &Json| Verbatim(json.as_str().to_owned());
        Self {
            key: payment.key.to_string(),
            version: signed(version),
            state: payment.state.as_str(),
            task: payment.task.to_string(),
            owner: payment.owner.name().map(clean_text),
            payload: json(&payment.payload),
            requirements: json(&payment.requirements),
            receipt: payment.receipt.as_ref().map(json),
            error: payment.error.as_deref().map(clean_text),
            attempts: payment.attempts.into(),
            expires: At(payment.expires),
            due: payment.due.map(At),
            created: At(payment.created),
            updated: At(payment.updated),
            name: Uuid::new_v4(),
        }
    }

    fn params(&self) -> [&(dyn ToSql + Sync); 15] {
        [
            &self.key,
            &self.version,
            &self.state,
            &self.task,
            &self.owner,
            &self.payload,
            &self.requirements,
            &self.receipt,
            &self.error,
            &self.attempts,
            &self.expires,
            &self.due,
            &self.created,
            &self.updated,
            &self.name,
        ]
    }
}

/// A payment, from a row of [`COLUMNS`].
fn payment(row: &Row) -> Result<Payment, BoxError> {
    let json = |column: usize| -> Result<Option<Json>, BoxError> {
        let text: Option<Verbatim<&str>> = row.try_get(column)?;
        Ok(text.map(|Verbatim(text)| serde_json::from_str(text)).transpose()?)
    };
    let needed = |column: usize| json(column)?.ok_or_else(|| BoxError::from("a column is empty"));
    let At(expires) = row.try_get(10)?;
    let due: Option<At> = row.try_get(11)?;
    let At(created) = row.try_get(12)?;
    let At(updated) = row.try_get(13)?;
    Ok(Payment {
        key: row.try_get::<_, &str>(0)?.parse()?,
        version: u64::try_from(row.try_get::<_, i64>(1)?)?,
        state: row.try_get::<_, &str>(2)?.parse()?,
        task: row.try_get::<_, &str>(3)?.parse()?,
        owner: Owner::from(row.try_get::<_, Option<String>>(4)?),
        payload: needed(5)?,
        requirements: needed(6)?,
        receipt: json(7)?,
        error: row.try_get(8)?,
        attempts: u32::try_from(row.try_get::<_, i64>(9)?)?,
        expires,
        due: due.map(|At(due)| due),
        created,
        updated,
    })
}

fn cursor(payment: &Payment) -> String {
    format!("{}.{}", payment.created.as_unix_micros(), payment.key)
}

fn read_cursor(text: &str) -> Result<(At, String), StorageError> {
    let place = text.split_once('.').and_then(|(micros, key)| {
        let at = Timestamp::from_unix_micros(micros.parse().ok()?);
        let key: PaymentKey = key.parse().ok()?;
        Some((At(at), key.to_string()))
    });
    place.ok_or(StorageError::BadCursor)
}

impl Inner {
    /// The payments of a condition.
    async fn payments_where(
        &self,
        doing: &'static str,
        condition: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Payment>, StorageError> {
        let sql = format!("SELECT {COLUMNS} FROM {{s}}.bindu_payments p {condition}");
        let rows = self.read(doing, &self.sql.of(&sql), params).await?;
        let read = rows.iter().map(payment).collect::<Result<_, _>>();
        read.map_err(|source| StorageError::Backend { doing, source })
    }

    async fn payment(&self, key: &PaymentKey) -> Result<Option<Payment>, StorageError> {
        let found =
            self.payments_where("reading a payment", "WHERE p.key = $1", &[&key.as_str()]).await?;
        Ok(found.into_iter().next())
    }

    async fn open_payment(&self, payment: Payment) -> Result<Opened, StorageError> {
        const DOING: &str = "opening a payment";
        let written = Written::new(&payment, 1);
        let sql = self.sql.of(OPEN);
        // Each round is lost only to one that is withdrawn meanwhile.
        for _ in 0..8 {
            let mut tries = Tries::default();
            let rows = loop {
                match self.read_once(&sql, &written.params()).await {
                    Ok(rows) => break rows,
                    Err(failure) => tries.again(failure, DOING).await?,
                }
            };
            let is_ours =
                !rows.is_empty() || (tries.unsure && self.was_written_by(&written).await?);
            if is_ours {
                return Ok(Opened::New(Payment { version: 1, ..payment }));
            }
            if let Some(there) = self.payment(&payment.key).await? {
                return Ok(Opened::Taken(there));
            }
        }
        Err(StorageError::PaymentConflict(payment.key))
    }

    /// Whether an attempt whose answer was lost was made after all.
    async fn was_written_by(&self, written: &Written) -> Result<bool, StorageError> {
        let sql = self.sql.of("SELECT 1 FROM {s}.bindu_payments WHERE key = $1 AND write_id = $2");
        let rows = self.read("looking for a payment", &sql, &[&written.key, &written.name]).await?;
        Ok(!rows.is_empty())
    }

    async fn advance_payment(&self, payment: Payment) -> Result<Payment, StorageError> {
        let Some(next) = payment.version.checked_add(1) else {
            return Err(StorageError::PaymentConflict(payment.key));
        };
        let written = Written::new(&payment, next);
        let sql = self.sql.of(ADVANCE);
        let rows = self.read("advancing a payment", &sql, &written.params()).await?;
        if rows.is_empty() {
            return Err(StorageError::PaymentConflict(payment.key));
        }
        Ok(Payment { version: next, ..payment })
    }

    async fn withdraw_payment(&self, key: &PaymentKey, version: u64) -> Result<bool, StorageError> {
        const DOING: &str = "withdrawing a payment";
        let sql = self
            .sql
            .of("DELETE FROM {s}.bindu_payments WHERE key = $1 AND version = $2 RETURNING 1");
        let params: &[&(dyn ToSql + Sync)] = &[&key.as_str(), &signed(version)];
        let mut tries = Tries::default();
        loop {
            match self.read_once(&sql, params).await {
                Ok(rows) if !rows.is_empty() => return Ok(true),
                // An attempt whose answer was lost took it out, unless it is still there.
                Ok(_) if tries.unsure => return Ok(self.payment(key).await?.is_none()),
                Ok(_) => return Ok(false),
                Err(failure) => tries.again(failure, DOING).await?,
            }
        }
    }

    async fn list_payments(&self, query: PaymentQuery) -> Result<Page<Payment>, StorageError> {
        let after = query.after.as_deref().map(read_cursor).transpose()?;
        if query.limit == 0 {
            return Ok(Page { items: Vec::new(), next: None });
        }
        // One more than asked for tells whether more follows.
        let limit = signed(query.limit as u64).saturating_add(1);
        let state = query.state.map(bindu_storage::PaymentState::as_str);
        let mut params: Vec<&(dyn ToSql + Sync)> = vec![&limit];
        let mut conditions = Vec::new();
        if let Some(state) = &state {
            params.push(state);
            conditions.push("p.state = $2".to_owned());
        }
        if let Some((at, key)) = &after {
            params.push(at);
            params.push(key);
            let last = params.len();
            conditions.push(format!("(p.created_at, p.key) < (${}, ${last}::text)", last - 1));
        }
        let filter = if conditions.is_empty() { "" } else { "WHERE" };
        let condition = format!(
            "{filter} {} ORDER BY p.created_at DESC, p.key DESC LIMIT $1",
            conditions.join(" AND ")
        );
        let mut items = self.payments_where("listing payments", &condition, &params).await?;
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = items.last().filter(|_| more).map(cursor);
        Ok(Page { items, next })
    }
}

/// The payments are shared by all processes of the agent, and stay for good.
impl Ledger for PostgresStore {
    fn open(&self, payment: Payment) -> BoxFuture<'_, Result<Opened, StorageError>> {
        Box::pin(self.inner.open_payment(payment))
    }

    fn advance(&self, payment: Payment) -> BoxFuture<'_, Result<Payment, StorageError>> {
        Box::pin(self.inner.advance_payment(payment))
    }

    fn withdraw<'a>(
        &'a self,
        key: &'a PaymentKey,
        version: u64,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        Box::pin(self.inner.withdraw_payment(key, version))
    }

    fn payment<'a>(
        &'a self,
        key: &'a PaymentKey,
    ) -> BoxFuture<'a, Result<Option<Payment>, StorageError>> {
        Box::pin(self.inner.payment(key))
    }

    fn payments_of<'a>(
        &'a self,
        task: &'a TaskId,
    ) -> BoxFuture<'a, Result<Vec<Payment>, StorageError>> {
        Box::pin(async move {
            const DOING: &str = "reading the payments for a task";
            let condition = "WHERE p.task_id = $1 ORDER BY p.created_at, p.key";
            self.inner.payments_where(DOING, condition, &[&task.to_string()]).await
        })
    }

    fn due_payments(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Payment>, StorageError>> {
        Box::pin(async move {
            const DOING: &str = "looking for due payments";
            let condition = "WHERE p.due_at <= $1 ORDER BY p.due_at, p.key LIMIT $2";
            let params: &[&(dyn ToSql + Sync)] = &[&At(now), &signed(limit as u64)];
            self.inner.payments_where(DOING, condition, params).await
        })
    }

    fn payments(&self, query: PaymentQuery) -> BoxFuture<'_, Result<Page<Payment>, StorageError>> {
        Box::pin(self.inner.list_payments(query))
    }
}
