//! The end of contexts and tasks.

use bindu_protocol::{ContextId, Owner, TaskId, Timestamp};
use bindu_storage::StorageError;
use uuid::Uuid;

use crate::commit::signed;
use crate::connect::{Failure, Tries};
use crate::ids::{Key, task_id};
use crate::row;
use crate::store::Inner;
use crate::types::At;

enum Cleared {
    Gone(Vec<TaskId>),
    NotThere,
    Busy,
}

impl Inner {
    pub(super) async fn clear_context(
        &self,
        id: &ContextId,
        owner: &Owner,
    ) -> Result<Vec<TaskId>, StorageError> {
        const DOING: &str = "clearing a context";
        let key = Key::of_context(id);
        let mut tries = Tries::default();
        let mut doomed = None;
        let ids = loop {
            match self.clear(&key, owner, &mut doomed).await {
                Ok(Cleared::Gone(ids)) => break ids,
                // Gone by an attempt whose answer was lost.
                Ok(Cleared::NotThere) if tries.unsure && doomed.is_some() => {
                    break doomed.unwrap_or_default();
                }
                Ok(Cleared::NotThere) => return Err(StorageError::NotFound),
                Ok(Cleared::Busy) => return Err(StorageError::Busy(id.clone())),
                Err(failure) => tries.again(failure, DOING).await?,
            }
        };
        for task in &ids {
            self.ear.changed(task, false);
        }
        Ok(ids)
    }

    async fn clear(
        &self,
        key: &Key,
        owner: &Owner,
        doomed: &mut Option<Vec<TaskId>>,
    ) -> Result<Cleared, Failure> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        // From here on no task joins the context, and none of its tasks changes.
        let lock = self.sql.of("SELECT c.owner_did::text FROM {s}.contexts c WHERE c.id = $1 \
             AND c.wire_id IS NOT DISTINCT FROM $2::text FOR UPDATE");
        let found = tx.query_opt(&lock, &[&key.uuid, &key.wire]).await?;
        match found {
            Some(context) if row::owner(context.get(0)) == *owner => {}
            _ => return Ok(Cleared::NotThere),
        }
        let tasks = self
            .sql
            .of("SELECT t.id, t.wire_id, t.state IN ('submitted', 'working') FROM {s}.tasks t \
             WHERE t.context_id = $1 ORDER BY t.created_at, t.id FOR UPDATE");
        let rows = tx.query(&tasks, &[&key.uuid]).await?;
        if rows.iter().any(|row| row.get(2)) {
            return Ok(Cleared::Busy);
        }
        let ids: Vec<_> = rows.iter().map(|row| task_id(row.get(0), row.get(1))).collect();
        for delete in [
            "DELETE FROM {s}.tasks WHERE context_id = $1",
            "DELETE FROM {s}.contexts WHERE id = $1",
        ] {
            tx.execute(&self.sql.of(delete), &[&key.uuid]).await?;
        }
        *doomed = Some(ids.clone());
        tx.commit().await?;
        Ok(Cleared::Gone(ids))
    }

    pub(super) async fn prune(&self, before: Timestamp, limit: usize) -> Result<u64, StorageError> {
        const DOING: &str = "pruning old tasks";
        let mut tries = Tries::default();
        loop {
            match self.prune_once(At(before), signed(limit as u64)).await {
                Ok(gone) => return Ok(gone),
                Err(failure) => tries.again(failure, DOING).await?,
            }
        }
    }

    async fn prune_once(&self, before: At, limit: i64) -> Result<u64, Failure> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let tasks = self.sql.of(
            "DELETE FROM {s}.tasks WHERE id = ANY(ARRAY(SELECT t.id FROM {s}.tasks t \
             WHERE t.created_at < $1 AND t.state IN ('completed', 'failed', 'canceled', 'rejected', \
             'negotiation-bid-lost') ORDER BY t.created_at, t.id LIMIT $2 FOR UPDATE SKIP LOCKED))",
        );
        let gone = tx.execute(&tasks, &[&before, &limit]).await?;
        // Locked first and looked at again after: a task may have joined one in the meantime, and
        // would go with it.
        let lock = self.sql.of("SELECT c.id FROM {s}.contexts c WHERE c.created_at < $1 \
             AND NOT EXISTS (SELECT FROM {s}.tasks t WHERE t.context_id = c.id) \
             ORDER BY c.created_at, c.id LIMIT $2 FOR UPDATE SKIP LOCKED");
        let rows = tx.query(&lock, &[&before, &limit]).await?;
        if !rows.is_empty() {
            let keys: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
            let contexts = self.sql.of("DELETE FROM {s}.contexts c WHERE c.id = ANY($1) \
                 AND NOT EXISTS (SELECT FROM {s}.tasks t WHERE t.context_id = c.id)");
            tx.execute(&contexts, &[&keys]).await?;
        }
        let letters = self.sql.of("DELETE FROM {s}.bindu_outbox WHERE done_at < $1");
        tx.execute(&letters, &[&before]).await?;
        tx.commit().await?;
        Ok(gone)
    }
}
