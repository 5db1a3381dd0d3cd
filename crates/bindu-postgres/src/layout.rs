//! The tables: how they are made, brought up to date and looked at.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::schema::quoted;
use crate::{PostgresConfig, PostgresError};

/// The version of the tables that this crate makes. Later versions only add to it.
pub const LAYOUT_VERSION: u32 = 2;

/// What was found in a database, without changing it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayoutReport {
    /// The schema that was looked at.
    pub schema: String,
    /// Whether it is there.
    pub exists: bool,
    /// The version of our tables in it; `None` if we never opened it.
    pub version: Option<u32>,
    /// Whose it is, as far as it says.
    pub did: Option<String>,
    /// What keeps us from using it. What a migration mends is here too, so an old database has some
    /// and is fine.
    pub problems: Vec<String>,
    /// How many tasks it has.
    pub tasks: u64,
    /// How many tasks lie in `public`, if this is another schema. The reference puts tasks there by
    /// mistake once it has lost a connection's settings; they may be this agent's or another's.
    pub stray_tasks: u64,
}

impl LayoutReport {
    /// Whether the tables can be used as they are.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.exists && self.problems.is_empty() && self.version >= Some(LAYOUT_VERSION)
    }
}

/// Makes the schema and its tables, or adds what is missing to those that are there. Nothing that is
/// there is changed or taken away. Several processes may do so at once; one does the work.
///
/// # Errors
///
/// [`PostgresError::OtherAgent`] if the schema is another agent's; [`PostgresError::Layout`] if
/// the tables are of another kind; [`PostgresError::Url`]; [`PostgresError::Backend`].
pub async fn migrate(config: &PostgresConfig) -> Result<LayoutReport, PostgresError> {
    let mut client = connect(config).await?;
    bring_up_to_date(&mut client, config).await?;
    inspect(&client, config).await
}

/// Looks at the tables without changing anything.
///
/// # Errors
///
/// [`PostgresError::Url`]; [`PostgresError::Backend`].
pub async fn check(config: &PostgresConfig) -> Result<LayoutReport, PostgresError> {
    let client = connect(config).await?;
    inspect(&client, config).await
}

fn failed(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> PostgresError {
    move |error| PostgresError::Backend { doing, source: error.into() }
}

/// How long the server may take to greet us, beside taking the connection.
const GREETING: Duration = Duration::from_secs(5);

/// A connection of its own.
async fn connect(config: &PostgresConfig) -> Result<Client, PostgresError> {
    let driver = config.driver()?;
    let patience = config.connect_timeout + GREETING;
    // The driver bounds how long the connection takes, not how long the server then is silent.
    let connected = timeout(patience, driver.connect(NoTls)).await;
    let (client, connection) = connected
        .map_err(|_| PostgresError::Backend {
            doing: "connecting",
            source: format!("no answer within {patience:?}").into(),
        })?
        .map_err(failed("connecting"))?;
    // Ends when the client is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended");
        }
    });
    Ok(client)
}

async fn bring_up_to_date(
    client: &mut Client,
    config: &PostgresConfig,
) -> Result<(), PostgresError> {
    let doing = "migrating the tables";
    let before = inspect(client, config).await?;
    refuse_others(&before, config)?;
    if before.is_current() && (before.did == config.did || config.did.is_none()) {
        return Ok(());
    }
    let schema = config.schema_name();
    let tx = client.transaction().await.map_err(failed(doing))?;
    tx.batch_execute("SET LOCAL statement_timeout = 0").await.map_err(failed(doing))?;
    tx.query("SELECT pg_advisory_xact_lock(hashtextextended('bindu:' || $1::text, 0))", &[&schema])
        .await
        .map_err(failed(doing))?;
    // Not CREATE IF NOT EXISTS alone: that asks for a right that a schema's user need not have.
    let there = tx
        .query_opt("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", &[&schema])
        .await
        .map_err(failed(doing))?;
    if there.is_none() {
        let create = format!("CREATE SCHEMA {}", quoted(&schema));
        tx.batch_execute(&create).await.map_err(failed(doing))?;
    }
    let ddl = include_str!("layout.sql").replace("{s}", &quoted(&schema).replace('\'', "''"));
    tx.batch_execute(&ddl).await.map_err(failed(doing))?;
    let meta = format!("{}.bindu_meta", quoted(&schema));
    tx.execute(
        &format!(
            "INSERT INTO {meta} (key, value) VALUES ('version', $1) ON CONFLICT (key) \
             DO UPDATE SET value = greatest(bindu_meta.value::int, excluded.value::int)::text"
        ),
        &[&LAYOUT_VERSION.to_string()],
    )
    .await
    .map_err(failed(doing))?;
    if let Some(did) = &config.did {
        let holder = tx
            .query_one(
                &format!(
                    "INSERT INTO {meta} (key, value) VALUES ('did', $1) ON CONFLICT (key) \
                     DO UPDATE SET value = bindu_meta.value RETURNING value"
                ),
                &[did],
            )
            .await
            .map_err(failed(doing))?;
        let report = LayoutReport { did: holder.get(0), schema, ..LayoutReport::default() };
        refuse_others(&report, config)?;
    }
    tx.commit().await.map_err(failed(doing))?;
    let after = inspect(client, config).await?;
    if after.is_current() {
        Ok(())
    } else {
        Err(PostgresError::Layout { schema: after.schema, problems: after.problems })
    }
}

fn refuse_others(found: &LayoutReport, config: &PostgresConfig) -> Result<(), PostgresError> {
    match (&found.did, &config.did) {
        (Some(theirs), Some(ours)) if theirs != ours => Err(PostgresError::OtherAgent {
            schema: found.schema.clone(),
            found: theirs.clone(),
            expected: ours.clone(),
        }),
        _ => Ok(()),
    }
}

/// The columns that we read or write, and what they are.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("contexts", "id", "uuid"),
    ("contexts", "owner_did", "character varying"),
    ("contexts", "context_data", "jsonb"),
    ("contexts", "message_history", "jsonb"),
    ("contexts", "created_at", "timestamp with time zone"),
    ("contexts", "updated_at", "timestamp with time zone"),
    ("contexts", "wire_id", "text"),
    ("tasks", "id", "uuid"),
    ("tasks", "context_id", "uuid"),
    ("tasks", "owner_did", "character varying"),
    ("tasks", "kind", "character varying"),
    ("tasks", "state", "character varying"),
    ("tasks", "state_timestamp", "timestamp with time zone"),
    ("tasks", "history", "jsonb"),
    ("tasks", "artifacts", "jsonb"),
    ("tasks", "metadata", "jsonb"),
    ("tasks", "created_at", "timestamp with time zone"),
    ("tasks", "updated_at", "timestamp with time zone"),
    ("tasks", "version", "bigint"),
    ("tasks", "logged_at", "timestamp with time zone"),
    ("tasks", "lease_owner", "text"),
    ("tasks", "last_write", "uuid"),
    ("task_feedback", "id", "integer"),
    ("task_feedback", "task_id", "uuid"),
    ("task_feedback", "feedback_data", "jsonb"),
    ("webhook_configs", "task_id", "uuid"),
    ("webhook_configs", "config", "jsonb"),
    ("bindu_events", "event", "jsonb"),
    ("bindu_outbox", "payload", "jsonb"),
    ("bindu_webhooks", "config", "jsonb"),
    ("bindu_once", "until", "timestamp with time zone"),
    ("bindu_agent_state", "value", "jsonb"),
    ("bindu_replay", "until", "timestamp with time zone"),
    ("bindu_payments", "version", "bigint"),
    ("bindu_payments", "payload", "json"),
    ("bindu_payments", "due_at", "timestamp with time zone"),
    ("bindu_payments", "write_id", "uuid"),
];

async fn inspect(client: &Client, config: &PostgresConfig) -> Result<LayoutReport, PostgresError> {
    let doing = "looking at the tables";
    let schema = config.schema_name();
    let mut report = LayoutReport { schema: schema.clone(), ..LayoutReport::default() };
    let rows = client
        .query(
            "SELECT table_name::text, column_name::text, data_type::text \
             FROM information_schema.columns WHERE table_schema = $1::text",
            &[&schema],
        )
        .await
        .map_err(failed(doing))?;
    let found: HashSet<(String, String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let has_table = |name: &str| found.iter().any(|(table, ..)| table == name);
    report.exists = has_table("tasks");
    for (table, column, kind) in COLUMNS {
        let of_column =
            found.iter().find(|(in_table, name, _)| in_table == table && name == column);
        match of_column {
            Some((_, _, other)) if other != kind => {
                report.problems.push(format!("{table}.{column} is {other}, not {kind}"));
            }
            Some(_) => {}
            None => report.problems.push(format!("{table}.{column} is missing")),
        }
    }
    if has_table("bindu_meta") {
        let meta = format!("SELECT key, value FROM {}.bindu_meta", quoted(&schema));
        for row in client.query(&meta, &[]).await.map_err(failed(doing))? {
            let value: String = row.get(1);
            match row.get(0) {
                "version" => report.version = value.parse().ok(),
                "did" => report.did = Some(value),
                _ => {}
            }
        }
    }
    if report.exists {
        report.tasks = count(client, &format!("{}.tasks", quoted(&schema))).await?;
    }
    if schema != "public" {
        let stray = client
            .query_one("SELECT to_regclass('public.tasks') IS NOT NULL", &[])
            .await
            .map_err(failed(doing))?;
        if stray.get(0) {
            report.stray_tasks = count(client, "public.tasks").await?;
        }
    }
    Ok(report)
}

/// About how many rows: what the server knows by heart, or a count while that is little.
async fn count(client: &Client, table: &str) -> Result<u64, PostgresError> {
    let sql = format!(
        "SELECT CASE WHEN reltuples > 100000 THEN reltuples::bigint \
         ELSE (SELECT count(*) FROM {table}) END \
         FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text)"
    );
    let row = client.query_one(&sql, &[&table]).await.map_err(failed("counting tasks"))?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}
