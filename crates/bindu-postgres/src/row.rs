//! Rows as records.

use std::sync::Arc;

use bindu_protocol::{Dialect, Owner, PushConfig, Task, TaskState, TaskStatus};
use bindu_storage::{Lease, Record, RunId, Version, Webhook};
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::codec;
use crate::connect::Failure;
use crate::ids::{context_id, task_id};
use crate::types::{At, Jsonb};

/// A task as it lies in the table.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Record,
    pub(crate) key: Uuid,
    pub(crate) context: Uuid,
    /// The state of the row before a foreign write is counted in.
    pub(crate) stored_version: i64,
    pub(crate) updated: At,
    /// Another program wrote it since, and the log does not know.
    pub(crate) foreign: bool,
    pub(crate) last_write: Option<Uuid>,
}

/// Reads the columns that the statements call `{record}`. A record that another program wrote has
/// the version that it gets once the log knows.
pub(crate) fn record(row: &Row) -> Result<Found, Failure> {
    let key: Uuid = row.try_get(0)?;
    let context: Uuid = row.try_get(2)?;
    let state: &str = row.try_get(4)?;
    let At(since) = row.try_get(5)?;
    let Jsonb(history) = row.try_get(6)?;
    let artifacts: Option<Jsonb<&str>> = row.try_get(7)?;
    let metadata: Option<Jsonb<&str>> = row.try_get(8)?;
    let said: Option<Jsonb<&str>> = row.try_get(9)?;
    let updated: At = row.try_get(18)?;
    let logged: Option<At> = row.try_get(19)?;
    let foreign = logged != Some(updated);
    let state = state_of(state);
    let task = Task {
        id: task_id(key, row.try_get(1)?),
        context_id: context_id(context, row.try_get(3)?),
        status: TaskStatus {
            state,
            timestamp: Some(since),
            // What was said of the state before is not said of this one.
            message: said
                .filter(|_| !foreign)
                .map(|Jsonb(text)| codec::read_message(text))
                .transpose()?,
        },
        history: codec::read_history(history)?,
        artifacts: artifacts
            .map(|Jsonb(text)| codec::read_artifacts(text))
            .transpose()?
            .unwrap_or_default(),
        metadata: metadata.map(|Jsonb(text)| codec::read_metadata(text)).transpose()?.flatten(),
    };
    let stored_version = row.try_get::<_, Option<i64>>(11)?.unwrap_or_default();
    let lease = lease(row.try_get(13)?, row.try_get(14)?);
    let At(created) = row.try_get(17)?;
    let record = Record {
        task: Arc::new(task),
        owner: owner(row.try_get(10)?),
        version: Version(stored_version.unsigned_abs() + u64::from(foreign)),
        dialect: dialect(row.try_get(12)?),
        lease: lease.filter(|_| !foreign || state == TaskState::Working),
        attempts: count(row.try_get(15)?),
        deliveries: row.try_get::<_, Option<i64>>(16)?.unwrap_or_default().unsigned_abs(),
        webhooks: webhooks(row, 21)?,
        created,
    };
    Ok(Found {
        record,
        key,
        context,
        stored_version,
        updated,
        foreign,
        last_write: row.try_get(20)?,
    })
}

/// The webhooks of the columns that the statements call `{hooks}`.
pub(crate) fn webhooks(row: &Row, first: usize) -> Result<Arc<[Webhook]>, Failure> {
    #[derive(Deserialize)]
    struct Hook<'a> {
        #[serde(borrow)]
        config: &'a RawValue,
        dialect: String,
    }
    let ours: Option<Jsonb<&str>> = row.try_get(first)?;
    let theirs: Option<Jsonb<&str>> = row.try_get(first + 1)?;
    if ours.is_none() && theirs.is_none() {
        return Ok(Arc::from([]));
    }
    let mut hooks = Vec::new();
    if let Some(Jsonb(text)) = ours {
        for hook in serde_json::from_str::<Vec<Hook<'_>>>(text)? {
            let config = codec::read_config(hook.config.get())?;
            hooks.push(Webhook { config, dialect: dialect(Some(&hook.dialect)) });
        }
    }
    if let Some(Jsonb(text)) = theirs {
        let config: PushConfig = codec::read_config(text)?;
        if config.id.is_some() && hooks.iter().all(|hook| hook.config.id != config.id) {
            hooks.push(Webhook { config, dialect: Dialect::Reference });
        }
    }
    Ok(hooks.into())
}

/// A state that no model has is one that we do not know.
pub(crate) fn state_of(text: &str) -> TaskState {
    let read = TaskState::deserialize(StrDeserializer::<serde_json::Error>::new(text));
    read.unwrap_or(TaskState::Unknown)
}

pub(crate) fn owner(name: Option<String>) -> Owner {
    Owner::from(name)
}

pub(crate) fn lease(run: Option<&str>, until: Option<At>) -> Option<Lease> {
    let run = RunId(run?.parse().ok()?);
    Some(Lease { run, until: until?.0 })
}

pub(crate) fn dialect(name: Option<&str>) -> Dialect {
    let Some(name) = name else { return Dialect::Reference };
    let read = Dialect::deserialize(StrDeserializer::<serde_json::Error>::new(name));
    read.unwrap_or(Dialect::Reference)
}

pub(crate) fn count(number: Option<i32>) -> u32 {
    number.unwrap_or_default().unsigned_abs()
}
