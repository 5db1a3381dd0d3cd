//! Outbox entries as rows.

use bindu_protocol::PushConfig;
use bindu_storage::{
    Delivery, OutboxBody, OutboxEntry, OutboxId, OutboxKind, StorageError, Version, Webhook,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::codec;
use crate::connect::Failure;
use crate::ids::{Key, task_id};
use crate::row;
use crate::types::{At, Jsonb, clean, clean_text};

pub(crate) const RUN: &str = "run";

pub(crate) fn kind(kind: OutboxKind) -> &'static str {
    match kind {
        OutboxKind::Deliver => "deliver",
        _ => RUN,
    }
}

/// What names a webhook within its task.
pub(crate) fn config_id(webhook: &Webhook) -> String {
    webhook.config.id.as_ref().map(|id| id.with_str(clean_text)).unwrap_or_default()
}

/// What is in an entry beside what its columns say.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The task's id, if that is not its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<String>,
    /// The context's id, if that is not its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<String>,
    /// The `traceparent` of what caused a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<String>,
    /// Where a delivery goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dialect: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    /// The text to send: as a text, since a signature covers each of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

impl Payload {
    /// That of a job.
    pub(crate) fn of_run(
        task: Option<String>,
        context: Option<String>,
        trace: Option<String>,
    ) -> Self {
        Self { task, context, trace, ..Self::default() }
    }
}

/// An entry's payload as the server takes it.
pub(crate) fn payload(
    body: &OutboxBody,
    task: &Key,
    context: &Key,
) -> Result<String, serde_json::Error> {
    let mut payload = Payload { task: task.wire.clone(), ..Payload::default() };
    match body {
        OutboxBody::Run { .. } => {
            if task.wire.is_none() && context.wire.is_none() {
                return Ok("{}".to_owned());
            }
            payload.context.clone_from(&context.wire);
        }
        OutboxBody::Deliver(Delivery { webhook, event_id, sequence, body }) => {
            payload.config = Some(RawValue::from_string(codec::write_config(&webhook.config)?)?);
            payload.config_id = Some(config_id(webhook));
            payload.dialect = Some(webhook.dialect.to_string());
            payload.event_id = Some(*event_id);
            payload.sequence = Some(*sequence);
            payload.body = Some(String::from_utf8_lossy(body).into_owned());
        }
        _ => return Err(serde::ser::Error::custom("an outbox entry of a kind that is not known")),
    }
    serde_json::to_string(&payload).map(clean)
}

/// Reads a row of `id, task_id, payload, attempts, next_at, version, kind`.
pub(crate) fn entry(row: &Row) -> Result<OutboxEntry, Failure> {
    let Jsonb(text) = row.try_get(2)?;
    let payload: Payload = serde_json::from_str(text)?;
    let At(next) = row.try_get(4)?;
    let task = task_id(row.try_get(1)?, payload.task.as_deref());
    let body = if row.try_get::<_, &str>(6)? == RUN {
        let version: Option<i64> = row.try_get(5)?;
        OutboxBody::Run { version: Version(version.unwrap_or_default().unsigned_abs()) }
    } else {
        OutboxBody::Deliver(delivery(payload)?)
    };
    Ok(OutboxEntry {
        id: OutboxId(row.try_get::<_, i64>(0)?.unsigned_abs()),
        task,
        body,
        attempts: row::count(Some(row.try_get(3)?)),
        next,
    })
}

fn delivery(payload: Payload) -> Result<Delivery, Failure> {
    let lacks = || <serde_json::Error as serde::de::Error>::custom("a delivery lacks a member");
    let config = payload.config.ok_or_else(lacks)?;
    let config: PushConfig = codec::read_config(config.get())?;
    Ok(Delivery {
        webhook: Webhook { config, dialect: row::dialect(payload.dialect.as_deref()) },
        event_id: payload.event_id.ok_or_else(lacks)?,
        sequence: payload.sequence.ok_or_else(lacks)?,
        body: payload.body.ok_or_else(lacks)?.into_bytes().into(),
    })
}

/// An id as the table has it.
pub(crate) fn number(id: OutboxId) -> i64 {
    crate::commit::signed(id.0)
}

/// Reads rows into what they stand for.
pub(crate) fn all<T>(
    rows: &[Row],
    doing: &'static str,
    read: impl Fn(&Row) -> Result<T, Failure>,
) -> Result<Vec<T>, StorageError> {
    rows.iter().map(read).collect::<Result<_, _>>().map_err(|failure| failure.storage(doing))
}
