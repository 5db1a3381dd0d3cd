//! The agent's own values.

use bindu_storage::{StateChange, StateScope, StateValue, StorageError};

use crate::commit::signed;
use crate::connect::{Failure, Tries};
use crate::ids::Key;
use crate::outbox;
use crate::store::Inner;
use crate::types::{Jsonb, clean, clean_text};

/// How a scope is named in the table.
fn name(scope: &StateScope) -> String {
    match scope {
        StateScope::Agent => "agent".to_owned(),
        StateScope::Context(id) => format!("context:{}", Key::of_context(id).uuid),
    }
}

impl Inner {
    pub(super) async fn state(
        &self,
        scope: &StateScope,
        key: &str,
    ) -> Result<Option<StateValue>, StorageError> {
        const DOING: &str = "reading a value";
        let sql = self.sql.of(
            "SELECT a.value, a.version FROM {s}.bindu_agent_state a WHERE a.scope = $1 AND a.key = $2",
        );
        let rows = self.read(DOING, &sql, &[&name(scope), &clean_text(key)]).await?;
        let found = outbox::all(&rows, DOING, |row| {
            let Jsonb(text) = row.try_get(0)?;
            let version: i64 = row.try_get(1)?;
            Ok(StateValue { value: serde_json::from_str(text)?, version: version.unsigned_abs() })
        })?;
        Ok(found.into_iter().next())
    }

    pub(super) async fn state_keys(
        &self,
        scope: &StateScope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        const DOING: &str = "listing values";
        let sql = self
            .sql
            .of("SELECT a.key FROM {s}.bindu_agent_state a WHERE a.scope = $1 AND a.key > $2 \
             ORDER BY a.key LIMIT $3");
        let first = self.sql.of(
            "SELECT a.key FROM {s}.bindu_agent_state a WHERE a.scope = $1 ORDER BY a.key LIMIT $2",
        );
        let limit = signed(limit as u64);
        let rows = match after {
            Some(after) => {
                self.read(DOING, &sql, &[&name(scope), &clean_text(after), &limit]).await?
            }
            None => self.read(DOING, &first, &[&name(scope), &limit]).await?,
        };
        outbox::all(&rows, DOING, |row| Ok(row.try_get(0)?))
    }

    pub(super) async fn set_state(&self, change: StateChange) -> Result<u64, StorageError> {
        const DOING: &str = "writing a value";
        let mut tries = Tries::default();
        loop {
            match self.set_state_once(&change).await {
                Ok(result) => return result,
                // After a write from a version that may have been made, a second says nothing.
                Err(failure) if change.expected.is_some() => {
                    tries.again_if_not_done(failure, DOING).await?;
                }
                Err(failure) => tries.again(failure, DOING).await?,
            }
        }
    }

    async fn set_state_once(
        &self,
        change: &StateChange,
    ) -> Result<Result<u64, StorageError>, Failure> {
        let scope = name(&change.scope);
        let key = clean_text(&change.key);
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        // Writers of one scope go one after the other, also where there is no row yet to lock.
        let in_turn = "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))";
        tx.query(in_turn, &[&format!("bindu:{}:{scope}", self.config.schema_name())]).await?;
        if let StateScope::Context(id) = &change.scope {
            let context = Key::of_context(id);
            let there = self.sql.of("SELECT 1 FROM {s}.contexts c WHERE c.id = $1 \
                 AND c.wire_id IS NOT DISTINCT FROM $2::text FOR KEY SHARE");
            if tx.query_opt(&there, &[&context.uuid, &context.wire]).await?.is_none() {
                return Ok(Err(StorageError::NotFound));
            }
        }
        let look = self.sql.of(
            "SELECT (SELECT a.version FROM {s}.bindu_agent_state a WHERE a.scope = $1 \
             AND a.key = $2), coalesce((SELECT sum(a.bytes) FROM {s}.bindu_agent_state a \
             WHERE a.scope = $1 AND a.key <> $2), 0)::bigint",
        );
        let row = tx.query_one(&look, &[&scope, &key]).await?;
        let version: Option<i64> = row.try_get(0)?;
        let others: i64 = row.try_get(1)?;
        if change
            .expected
            .is_some_and(|expected| expected != version.unwrap_or_default().unsigned_abs())
        {
            return Ok(Err(StorageError::StateConflict));
        }
        let Some(value) = &change.value else {
            let remove =
                self.sql.of("DELETE FROM {s}.bindu_agent_state WHERE scope = $1 AND key = $2");
            tx.execute(&remove, &[&scope, &key]).await?;
            tx.commit().await?;
            return Ok(Ok(0));
        };
        let bytes = signed((change.key.len() + value.as_str().len()) as u64);
        if others.saturating_add(bytes) > signed(change.room as u64) {
            return Ok(Err(StorageError::Full { limit: change.room, unit: "bytes" }));
        }
        // One sequence for all keys: what a key had before its removal does not come again.
        let set =
            self.sql.of("INSERT INTO {s}.bindu_agent_state (scope, key, value, version, bytes) \
             VALUES ($1, $2, $3, nextval('{s}.bindu_state_version'), $4) ON CONFLICT (scope, key) \
             DO UPDATE SET value = excluded.value, version = excluded.version, \
             bytes = excluded.bytes RETURNING version");
        let json = Jsonb(clean(value.as_str().to_owned()));
        let row = tx.query_one(&set, &[&scope, &key, &json, &bytes]).await?;
        let version: i64 = row.try_get(0)?;
        tx.commit().await?;
        Ok(Ok(version.unsigned_abs()))
    }
}
