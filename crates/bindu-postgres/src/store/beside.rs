//! What is kept beside a task: feedback, webhooks, the outbox, keys seen before.

use bindu_protocol::{JsonObject, PushConfigId, TaskId, Timestamp};
use bindu_storage::{Feedback, OutboxId, StorageError, Webhook};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::Error;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::codec;
use crate::connect::{Failure, Tries};
use crate::ids::Key;
use crate::outbox;
use crate::store::Inner;
use crate::types::{At, Jsonb, clean, clean_text};

/// An opinion as the reference keeps it.
#[derive(Serialize, Deserialize)]
struct Opinion {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
    #[serde(default)]
    feedback: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rating: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<JsonObject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
}

fn unwritable(doing: &'static str) -> impl Fn(Error) -> StorageError {
    move |error| StorageError::Backend { doing, source: error.into() }
}

/// Keys longer than an index takes well are kept as what they hash to.
const LONGEST_KEY: usize = 256;

impl Inner {
    pub(super) async fn add_feedback(
        &self,
        id: &TaskId,
        feedback: Feedback,
    ) -> Result<(), StorageError> {
        const DOING: &str = "keeping feedback";
        let key = Key::of_task(id);
        let opinion = Opinion {
            task_id: Some(id.to_string()),
            feedback: Some(feedback.text),
            rating: feedback.rating,
            metadata: feedback.metadata,
            timestamp: Some(feedback.at),
        };
        let json = serde_json::to_string(&opinion).map(clean).map_err(unwritable(DOING))?;
        let sql =
            self.sql.of("INSERT INTO {s}.task_feedback (task_id, feedback_data, created_at) \
             SELECT t.id, $3, $4 FROM {s}.tasks t WHERE t.id = $1 \
             AND t.wire_id IS NOT DISTINCT FROM $2::text RETURNING 1");
        let params: &[&(dyn ToSql + Sync)] =
            &[&key.uuid, &key.wire, &Jsonb(json), &At(feedback.at)];
        let mut tries = Tries::default();
        loop {
            match self.read_once(&sql, params).await {
                Ok(rows) if rows.is_empty() => return Err(StorageError::NotFound),
                Ok(_) => return Ok(()),
                // The task went while the opinion came.
                Err(failure) if failure.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => {
                    return Err(StorageError::NotFound);
                }
                // Given twice it would be two opinions.
                Err(failure) => tries.again_if_not_done(failure, DOING).await?,
            }
        }
    }

    pub(super) async fn feedback(&self, id: &TaskId) -> Result<Vec<Feedback>, StorageError> {
        const DOING: &str = "reading feedback";
        let sql = self.sql.of(
            "SELECT f.feedback_data, f.created_at FROM {s}.task_feedback f WHERE f.task_id = $1 \
             ORDER BY f.id",
        );
        let rows = self.read(DOING, &sql, &[&Key::of_task(id).uuid]).await?;
        outbox::all(&rows, DOING, |row| {
            let Jsonb(text) = row.try_get(0)?;
            let At(created) = row.try_get(1)?;
            let opinion: Opinion = serde_json::from_str(text)?;
            Ok(Feedback {
                text: opinion.feedback.unwrap_or_default(),
                rating: opinion.rating,
                metadata: opinion.metadata,
                at: opinion.timestamp.unwrap_or(created),
            })
        })
    }

    pub(super) async fn set_webhook(
        &self,
        id: &TaskId,
        webhook: Webhook,
    ) -> Result<(), StorageError> {
        const DOING: &str = "setting a webhook";
        let key = Key::of_task(id);
        let config = codec::write_config(&webhook.config).map_err(unwritable(DOING))?;
        let mut tries = Tries::default();
        loop {
            match self.write_webhook(&key, &webhook, &config).await {
                Ok(true) => {
                    self.ear.changed(id, false);
                    return Ok(());
                }
                Ok(false) => return Err(StorageError::NotFound),
                Err(failure) => tries.again(failure, DOING).await?,
            }
        }
    }

    /// Sets a webhook, and shows it to the reference, which keeps one: the newest. Says whether the
    /// task is there.
    async fn write_webhook(
        &self,
        key: &Key,
        webhook: &Webhook,
        config: &str,
    ) -> Result<bool, Failure> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let mark = self.sql.of("UPDATE {s}.tasks t SET has_webhooks = true WHERE t.id = $1 \
             AND t.wire_id IS NOT DISTINCT FROM $2::text");
        if tx.execute(&mark, &[&key.uuid, &key.wire]).await? == 0 {
            return Ok(false);
        }
        self.adopt_webhook(&tx, key).await?;
        let set =
            self.sql.of("INSERT INTO {s}.bindu_webhooks (task_id, config_id, config, dialect) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (task_id, config_id) \
             DO UPDATE SET config = excluded.config, dialect = excluded.dialect");
        let (name, dialect) = (outbox::config_id(webhook), webhook.dialect.to_string());
        tx.execute(&set, &[&key.uuid, &name, &Jsonb(config), &dialect]).await?;
        let show =
            self.sql.of("INSERT INTO {s}.webhook_configs (task_id, config) VALUES ($1, $2) \
             ON CONFLICT (task_id) DO UPDATE SET config = excluded.config, updated_at = now()");
        tx.execute(&show, &[&key.uuid, &Jsonb(config)]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes the reference's webhook of a task among ours.
    async fn adopt_webhook(
        &self,
        tx: &deadpool_postgres::Transaction<'_>,
        key: &Key,
    ) -> Result<(), Failure> {
        let adopt =
            self.sql.of("INSERT INTO {s}.bindu_webhooks (task_id, config_id, config, dialect) \
             SELECT c.task_id, c.config->>'id', c.config, 'reference' FROM {s}.webhook_configs c \
             WHERE c.task_id = $1 AND c.config->>'id' IS NOT NULL ON CONFLICT DO NOTHING");
        tx.execute(&adopt, &[&key.uuid]).await?;
        Ok(())
    }

    pub(super) async fn remove_webhook(
        &self,
        id: &TaskId,
        config: &PushConfigId,
    ) -> Result<bool, StorageError> {
        const DOING: &str = "removing a webhook";
        let key = Key::of_task(id);
        let name = config.with_str(clean_text);
        let mut tries = Tries::default();
        loop {
            match self.delete_webhook(&key, &name).await {
                Ok(removed) => return Ok(removed || tries.unsure),
                Err(failure) => tries.again(failure, DOING).await?,
            }
        }
    }

    async fn delete_webhook(&self, key: &Key, name: &str) -> Result<bool, Failure> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        // Other writers of this task's webhooks wait for the row.
        let lock = self.sql.of(
            "SELECT 1 FROM {s}.tasks t WHERE t.id = $1 AND t.wire_id IS NOT DISTINCT FROM $2::text \
             FOR NO KEY UPDATE",
        );
        if tx.query_opt(&lock, &[&key.uuid, &key.wire]).await?.is_none() {
            return Ok(false);
        }
        self.adopt_webhook(&tx, key).await?;
        let remove =
            self.sql.of("DELETE FROM {s}.bindu_webhooks WHERE task_id = $1 AND config_id = $2");
        if tx.execute(&remove, &[&key.uuid, &name]).await? == 0 {
            return Ok(false);
        }
        let forget =
            self.sql.of("DELETE FROM {s}.bindu_outbox WHERE task_id = $1 AND kind = 'deliver' \
             AND payload->>'config_id' = $2::text");
        tx.execute(&forget, &[&key.uuid, &name]).await?;
        let hide = self.sql.of("DELETE FROM {s}.webhook_configs WHERE task_id = $1");
        tx.execute(&hide, &[&key.uuid]).await?;
        let show = self
            .sql
            .of("INSERT INTO {s}.webhook_configs (task_id, config) SELECT task_id, config \
             FROM {s}.bindu_webhooks WHERE task_id = $1 ORDER BY position DESC LIMIT 1");
        tx.execute(&show, &[&key.uuid]).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub(super) async fn outbox_take(
        &self,
        id: OutboxId,
        attempts: u32,
        until: Timestamp,
    ) -> Result<bool, StorageError> {
        const DOING: &str = "taking an outbox entry";
        let sql = self.sql.of(
            "UPDATE {s}.bindu_outbox SET attempts = attempts + 1, next_at = $3, write_id = $4 \
             WHERE id = $1 AND done_at IS NULL AND (attempts = $2 OR write_id = $4) RETURNING 1",
        );
        let Ok(attempts) = i32::try_from(attempts) else { return Ok(false) };
        let name = Uuid::new_v4();
        let number = outbox::number(id);
        let params: &[&(dyn ToSql + Sync)] = &[&number, &attempts, &At(until), &name];
        let taken = self.sql.of("SELECT 1 FROM {s}.bindu_outbox WHERE id = $1 AND write_id = $2");
        let mut tries = Tries::default();
        loop {
            // An attempt whose answer was lost shows by its name.
            let made = if tries.unsure {
                self.read_once(&taken, &[&number, &name]).await
            } else {
                Ok(Vec::new())
            };
            match made {
                Ok(rows) if !rows.is_empty() => return Ok(true),
                Ok(_) => match self.read_once(&sql, params).await {
                    Ok(rows) => return Ok(!rows.is_empty()),
                    Err(failure) => tries.again(failure, DOING).await?,
                },
                Err(failure) => tries.again(failure, DOING).await?,
            }
        }
    }

    pub(super) async fn first(
        &self,
        key: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StorageError> {
        let kept = kept_key(key);
        let sql = self.sql.of(
            "INSERT INTO {s}.bindu_replay AS r (key, until, claim) VALUES ($1, $2, $4) \
             ON CONFLICT (key) DO UPDATE SET until = excluded.until, claim = excluded.claim \
             WHERE r.until <= $3 OR r.claim = $4 RETURNING 1",
        );
        let params: &[&(dyn ToSql + Sync)] = &[&kept, &At(until), &At(now), &Uuid::new_v4()];
        let rows = self.read("remembering a key", &sql, params).await?;
        self.count_key(now);
        Ok(!rows.is_empty())
    }

    pub(super) async fn forget(&self, key: &str) -> Result<(), StorageError> {
        let sql = self.sql.of("DELETE FROM {s}.bindu_replay WHERE key = $1");
        self.read("forgetting a key", &sql, &[&kept_key(key)]).await?;
        Ok(())
    }
}

/// A key of the replay guard as the table has it.
fn kept_key(key: &str) -> String {
    if key.len() > LONGEST_KEY {
        let hash = digest(&SHA256, key.as_bytes());
        hash.as_ref().iter().fold("sha256:".to_owned(), |mut text, byte| {
            use std::fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        })
    } else {
        // Told apart from what another key hashes to.
        format!("={}", clean_text(key))
    }
}
