//! Rows that name no owner, and giving them one.

use bindu_storage::StorageError;
use deadpool_postgres::Pool;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::commit::signed;
use crate::connect::{self, Failure, Tries};
use crate::sql::Sql;
use crate::{PostgresConfig, PostgresError, check};

const DOING: &str = "naming the owner";

/// How long a name the tables hold, in characters.
const LONGEST: usize = 255;

/// How many rows are meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnerCounts {
    /// Of the contexts.
    pub contexts: u64,
    /// Of the tasks.
    pub tasks: u64,
}

/// Counts the contexts and tasks that name no owner: those made while callers were anonymous, and
/// all that the reference made before it knew of owners.
///
/// # Errors
///
/// [`PostgresError::Layout`] if the tables are not [up to date](crate::migrate);
/// [`PostgresError::OtherAgent`]; [`PostgresError::Url`]; [`PostgresError::Backend`].
pub async fn ownerless(config: &PostgresConfig) -> Result<OwnerCounts, PostgresError> {
    let backfill = Backfill::start(config).await?;
    let contexts = backfill.count("contexts").await?;
    Ok(OwnerCounts { contexts, tasks: backfill.count("tasks").await? })
}

/// Gives the contexts and tasks that name no owner to `owner`, at most `batch` rows a transaction,
/// and says how many they were. Rows that name one are left alone, so it may be run again.
///
/// From then on nobody but `owner` is told of them. Contexts come first: no task of nobody can
/// join one that is done. A process that serves the agent meanwhile finds the new owner whenever it
/// reads a row; what anonymous callers begin meanwhile may be theirs or `owner`'s.
///
/// # Errors
///
/// As [`ownerless`]; [`PostgresError::Backend`] also if `owner` is empty or longer than 255
/// characters. What was done until then stays done.
///
/// ```no_run
/// # async fn run() -> Result<(), bindu_postgres::PostgresError> {
/// use bindu_postgres::{PostgresConfig, backfill_owner};
///
/// let config = PostgresConfig {
///     did: Some("did:bindu:alice:agent1:abc123".to_owned()),
///     ..PostgresConfig::new("postgresql://localhost/agents")
/// };
/// let given = backfill_owner(&config, "did:bindu:bob:client:def456", 500).await?;
/// println!("{} tasks have an owner now", given.tasks);
/// # Ok(())
/// # }
/// ```
pub async fn backfill_owner(
    config: &PostgresConfig,
    owner: &str,
    batch: usize,
) -> Result<OwnerCounts, PostgresError> {
    if owner.is_empty() || owner.chars().count() > LONGEST {
        let why = format!("an owner's name has 1 to {LONGEST} characters");
        return Err(PostgresError::Backend { doing: DOING, source: why.into() });
    }
    let backfill = Backfill::start(config).await?;
    let batch = signed(batch.max(1) as u64);
    let contexts = backfill.all(Kind::Contexts, owner, batch).await?;
    Ok(OwnerCounts { contexts, tasks: backfill.all(Kind::Tasks, owner, batch).await? })
}

#[derive(Clone, Copy)]
enum Kind {
    Contexts,
    Tasks,
}

struct Backfill {
    pool: Pool,
    sql: Sql,
}

impl Backfill {
    /// Looks whether the tables are as they should be, and whose.
    async fn start(config: &PostgresConfig) -> Result<Self, PostgresError> {
        let found = check(config).await?;
        if !found.is_current() {
            let (schema, problems) = (found.schema, found.problems);
            return Err(PostgresError::Layout { schema, problems });
        }
        if let (Some(theirs), Some(ours)) = (found.did, &config.did)
            && theirs != *ours
        {
            let (schema, expected) = (found.schema, ours.clone());
            return Err(PostgresError::OtherAgent { schema, found: theirs, expected });
        }
        let pool = connect::pool(config, config.driver()?, 1)?;
        Ok(Self { pool, sql: Sql::new(&config.schema_name()) })
    }

    async fn count(&self, table: &str) -> Result<u64, PostgresError> {
        let sql =
            self.sql.of(&format!("SELECT count(*) FROM {{s}}.{table} WHERE owner_did IS NULL"));
        let mut tries = Tries::default();
        loop {
            let counted = async {
                let client = connect::client(&self.pool).await?;
                let row = client.query_one(&sql, &[]).await?;
                Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
            };
            match counted.await {
                Ok(count) => return Ok(count),
                Err(failure) => tries.again(failure, DOING).await.map_err(ended)?,
            }
        }
    }

    /// Batch after batch, until no row is left.
    async fn all(&self, kind: Kind, owner: &str, batch: i64) -> Result<u64, PostgresError> {
        let mut total = 0;
        let mut tries = Tries::default();
        loop {
            match self.some(kind, owner, batch).await {
                Ok(0) => return Ok(total),
                Ok(given) => {
                    total += given;
                    tries = Tries::default();
                }
                // A batch that was done after all names its owner, and is not found again.
                Err(failure) => tries.again(failure, DOING).await.map_err(ended)?,
            }
        }
    }

    async fn some(&self, kind: Kind, owner: &str, batch: i64) -> Result<u64, Failure> {
        let (table, in_step) = match kind {
            Kind::Contexts => ("contexts", "false"),
            Kind::Tasks => ("tasks", "coalesce(logged_at = updated_at, false)"),
        };
        let mut client = connect::client(&self.pool).await?;
        let tx = client.transaction().await?;
        let find = self.sql.of(&format!(
            "SELECT id, {in_step} FROM {{s}}.{table} WHERE owner_did IS NULL \
             ORDER BY created_at, id LIMIT $1 FOR UPDATE"
        ));
        let rows = tx.query(&find, &[&batch]).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
        let give =
            self.sql.of(&format!("UPDATE {{s}}.{table} SET owner_did = $2 WHERE id = ANY($1)"));
        let params: [&(dyn ToSql + Sync); 2] = [&ids, &owner];
        let given = tx.execute(&give, &params).await?;
        let logged: Vec<Uuid> =
            rows.iter().filter(|row| row.get(1)).map(|row| row.get(0)).collect();
        if !logged.is_empty() {
            // A trigger of older tables moves `updated_at`. What the log held it still holds.
            let keep =
                self.sql.of("UPDATE {s}.tasks SET logged_at = updated_at WHERE id = ANY($1) \
                 AND logged_at IS DISTINCT FROM updated_at");
            tx.execute(&keep, &[&logged]).await?;
        }
        tx.commit().await?;
        Ok(given)
    }
}

fn ended(error: StorageError) -> PostgresError {
    match error {
        StorageError::Backend { doing, source } => PostgresError::Backend { doing, source },
        error => PostgresError::Backend { doing: DOING, source: error.into() },
    }
}
