//! The one write of a task: one statement, one round trip, all or nothing.
//!
//! Every write is made from a version and carries a random name of its own. So a write whose answer
//! was lost can be made again: if it was made the first time, the second finds its own name.

use std::sync::Arc;

use bindu_protocol::{Owner, TaskId, TaskState};
use bindu_storage::{
    Change, Committed, Event, EventBody, Hold, Lease, OutboxBody, OutboxId, Record, StorageError,
    Version, Webhook,
};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::codec;
use crate::connect::{Failure, Tries};
use crate::ids::Key;
use crate::outbox;
use crate::row::{self, Found};
use crate::store::Inner;
use crate::types::{At, Jsonb, clean_text};

const DOING: &str = "committing a change";

/// How often a write is made again because another got between its parts.
const RACES: u32 = 8;

/// A change as the statements take it.
struct Write {
    key: Key,
    context: Key,
    state: &'static str,
    since: At,
    history: Option<Jsonb<String>>,
    /// Whether history and artifacts take the place of what is there.
    whole: bool,
    artifacts: Option<Jsonb<String>>,
    metadata: Option<Jsonb<String>>,
    said: Option<Jsonb<String>>,
    at: At,
    events: Vec<Jsonb<String>>,
    kinds: Vec<&'static str>,
    payloads: Vec<Jsonb<String>>,
    versions: Vec<Option<i64>>,
    deliveries: i64,
    name: Uuid,
    fence: Option<String>,
    claim: Option<Lease>,
    /// Whether a lease stays as it is.
    keep: bool,
    once: Option<(String, String, At)>,
}

/// How a key names its owner: nobody is not the owner without a name.
fn owner_key(owner: &Owner) -> String {
    owner.name().map_or_else(|| "-".to_owned(), |name| format!("+{}", clean_text(name)))
}

impl Write {
    fn new(change: &Change) -> Result<Self, serde_json::Error> {
        let task = &change.task;
        let key = Key::of_task(&task.id);
        let context = Key::of_context(&task.context_id);
        let whole = change.events.iter().any(|event| matches!(event, EventBody::Snapshot(_)));
        let (history, artifacts, metadata) =
            if whole { everything(change)? } else { additions(change)? };
        let said = task.status.message.as_deref();
        let said = said.map(codec::write_message).transpose()?.map(Jsonb);
        let events = change.events.iter().map(codec::write_event).map(|json| json.map(Jsonb));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let bodies = change.outbox.iter().map(|body| outbox::payload(body, &key, &context));
        let payloads = bodies.map(|json| json.map(Jsonb)).collect::<Result<Vec<_>, _>>()?;
        let versions = change.outbox.iter().map(|body| match body {
            OutboxBody::Run { version } => Some(signed(version.0)),
            _ => None,
        });
        let numbers = change.outbox.iter().map(|body| match body {
            OutboxBody::Deliver(delivery) => signed(delivery.sequence),
            _ => 0,
        });
        let (fence, claim, keep) = match change.hold {
            Hold::Outside => (None, None, task.status.state == TaskState::Working),
            Hold::Claim(lease) => (None, Some(lease), false),
            Hold::Keep(run) => (Some(run.0.to_string()), None, true),
            Hold::Release(run) => (Some(run.0.to_string()), None, false),
        };
        let once = change.once.as_ref().map(|once| {
            let message = once.message.with_str(clean_text);
            (owner_key(&once.owner), message, At(once.until))
        });
        Ok(Self {
            state: task.status.state.as_str(),
            since: At(task.status.timestamp.unwrap_or(change.at)),
            history,
            whole,
            artifacts,
            metadata,
            said,
            at: At(change.at),
            events,
            kinds: change.outbox.iter().map(|body| outbox::kind(body.kind())).collect(),
            payloads,
            versions: versions.collect(),
            deliveries: numbers.max().unwrap_or_default(),
            name: Uuid::new_v4(),
            fence,
            claim,
            keep,
            once,
            key,
            context,
        })
    }

    /// The number of the first of the change's events.
    fn first(expected: Option<Version>) -> u64 {
        expected.map_or(1, |version| version.0 + 1)
    }
}

type Lists = (Option<Jsonb<String>>, Option<Jsonb<String>>, Option<Jsonb<String>>);

/// The lists as they are after the change.
fn everything(change: &Change) -> Result<Lists, serde_json::Error> {
    let task = &change.task;
    let metadata = task.metadata.as_ref().map_or_else(|| "{}".to_owned(), codec::object);
    Ok((
        Some(Jsonb(codec::write_history(&task.history)?)),
        Some(Jsonb(codec::write_artifacts(&task.artifacts)?)),
        Some(Jsonb(metadata)),
    ))
}

/// What the change adds to the lists; metadata whole, if they changed.
fn additions(change: &Change) -> Result<Lists, serde_json::Error> {
    let mut history = Vec::new();
    let mut artifacts = Vec::new();
    let mut metadata = None;
    for event in &change.events {
        match event {
            EventBody::Message(message) => history.push(Arc::clone(message)),
            EventBody::Status(status) => history.extend(status.message.clone()),
            EventBody::Artifact { artifact, .. } => artifacts.push(Arc::clone(artifact)),
            EventBody::Metadata(_) => {
                metadata = change.task.metadata.as_ref().map(|map| Jsonb(codec::object(map)));
            }
            _ => {}
        }
    }
    let history = Some(history).filter(|list| !list.is_empty());
    let artifacts = Some(artifacts).filter(|list| !list.is_empty());
    Ok((
        history.as_deref().map(codec::write_history).transpose()?.map(Jsonb),
        artifacts.as_deref().map(codec::write_artifacts).transpose()?.map(Jsonb),
        metadata,
    ))
}

pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A change that no store can make sense of.
fn misuse(what: &'static str) -> StorageError {
    StorageError::Backend { doing: "checking a change", source: what.into() }
}

fn numbered(change: &Change) -> Arc<[Event]> {
    let numbers = Write::first(change.expected)..;
    let events = change.events.iter().cloned().zip(numbers);
    events.map(|(body, seq)| Event { seq, at: change.at, body }).collect()
}

fn outbox_ids(ids: Option<Vec<i64>>) -> Vec<OutboxId> {
    ids.unwrap_or_default().into_iter().map(|id| OutboxId(id.unsigned_abs())).collect()
}

/// What there is to say about a write that was not made.
enum Verdict {
    /// It was made after all, by an attempt whose answer was lost.
    Made(Box<Found>),
    Refused(StorageError),
    /// Something got in between; now it may be made.
    Again,
}

impl Inner {
    pub(crate) async fn commit(&self, change: Change) -> Result<Committed, StorageError> {
        let write = Write::new(&change)
            .map_err(|error| StorageError::Backend { doing: DOING, source: error.into() })?;
        let wakes = write.kinds.contains(&outbox::RUN);
        // Tells others also if this future is dropped: the server may be making the change then.
        let mut announcement = self.announce(&change.task.id, wakes);
        let result = if change.expected.is_none() {
            self.create(&change, &write).await
        } else {
            self.advance(&change, &write).await
        };
        match &result {
            Ok(_) => {
                if change.once.is_some() {
                    self.count_key(change.at);
                }
            }
            Err(StorageError::Backend { .. }) => {}
            Err(_) => announcement.withdraw(),
        }
        result
    }

    async fn create(&self, change: &Change, write: &Write) -> Result<Committed, StorageError> {
        let id = &change.task.id;
        if write.fence.is_some() {
            return Err(StorageError::LeaseLost(id.clone()));
        }
        let Some(birth) = &change.birth else {
            return Err(misuse("a new task needs an owner"));
        };
        if !matches!(change.events.first(), Some(EventBody::Snapshot(_))) {
            return Err(misuse("a new task's log begins with a snapshot"));
        }
        let hooks = Hooks::new(&birth.webhooks)
            .map_err(|error| StorageError::Backend { doing: DOING, source: error.into() })?;
        let dialect = birth.dialect.to_string();
        let mut tries = Tries::default();
        for _ in 0..RACES {
            let row = match self.send_creation(write, birth.owner.name(), &dialect, &hooks).await {
                Ok(row) => row,
                Err(failure) => {
                    if !stands_against(&failure) {
                        tries.again(failure, DOING).await?;
                        continue;
                    }
                    None
                }
            };
            let made = Record {
                task: Arc::clone(&change.task),
                owner: birth.owner.clone(),
                version: Version(change.events.len() as u64),
                dialect: birth.dialect,
                lease: write.claim,
                attempts: u32::from(write.claim.is_some()),
                deliveries: write.deliveries.unsigned_abs(),
                webhooks: birth.webhooks.clone().into(),
                created: change.at,
            };
            if let Some(outbox) = row {
                let record = Arc::new(made);
                return Ok(Committed { record, events: numbered(change), outbox });
            }
            match self.why_not_created(change, write, &birth.owner).await? {
                Verdict::Made(_) => return self.made(change, write, made).await,
                Verdict::Refused(why) => return Err(why),
                Verdict::Again => {}
            }
        }
        Err(StorageError::Conflict(id.clone()))
    }

    /// The ids of the outbox entries if the task was made, `None` if something stood against it.
    async fn send_creation(
        &self,
        write: &Write,
        owner: Option<&str>,
        dialect: &str,
        hooks: &Hooks,
    ) -> Result<Option<Vec<OutboxId>>, Failure> {
        let client = self.client().await?;
        let statement = client.prepare_cached(&self.sql.create).await?;
        let none = (None, None, None);
        let (once_owner, message, until) =
            write.once.as_ref().map_or(none, |(owner, message, until)| {
                (Some(owner.as_str()), Some(message.as_str()), Some(*until))
            });
        let run = write.claim.map(|lease| lease.run.0.to_string());
        let row = client
            .query_one(
                &statement,
                &[
                    &write.key.uuid,
                    &write.key.wire,
                    &write.context.uuid,
                    &write.context.wire,
                    &owner,
                    &write.state,
                    &write.since,
                    &write.history,
                    &write.artifacts,
                    &write.metadata,
                    &write.said,
                    &write.at,
                    &signed(write.events.len() as u64),
                    &dialect,
                    &run,
                    &write.claim.map(|lease| At(lease.until)),
                    &i32::from(write.claim.is_some()),
                    &write.deliveries,
                    &write.name,
                    &write.events,
                    &write.kinds,
                    &write.payloads,
                    &write.versions,
                    &once_owner,
                    &message,
                    &until,
                    &hooks.ids,
                    &hooks.configs,
                    &hooks.dialects,
                ],
            )
            .await?;
        let born: bool = row.try_get(0)?;
        Ok(if born { Some(outbox_ids(row.try_get(2)?)) } else { None })
    }

    async fn why_not_created(
        &self,
        change: &Change,
        write: &Write,
        owner: &Owner,
    ) -> Result<Verdict, StorageError> {
        let id = &change.task.id;
        // By its key alone: an id whose key another id has cannot be stored either.
        if let Some(found) = self.look(&write.key, true).await? {
            return if self.is_ours(&found, change, write).await? {
                Ok(Verdict::Made(Box::new(found)))
            } else {
                Ok(Verdict::Refused(StorageError::Conflict(id.clone())))
            };
        }
        if let Some(first) = self.used_by(write).await? {
            return Ok(Verdict::Refused(StorageError::Repeated(first)));
        }
        let sql =
            self.sql.of("SELECT c.owner_did::text, c.wire_id FROM {s}.contexts c WHERE c.id = $1");
        let rows = self.read(DOING, &sql, &[&write.context.uuid]).await?;
        let Some(row) = rows.first() else { return Ok(Verdict::Again) };
        let theirs = row::owner(row.get(0));
        let wire: Option<String> = row.get(1);
        Ok(if theirs == *owner && wire == write.context.wire {
            Verdict::Again
        } else {
            Verdict::Refused(StorageError::NotOwner(change.task.context_id.clone()))
        })
    }

    /// The task that used the change's key, if it is still there.
    async fn used_by(&self, write: &Write) -> Result<Option<TaskId>, StorageError> {
        let Some((owner, message, _)) = &write.once else { return Ok(None) };
        let sql = self.sql.of(
            "SELECT x.id, x.wire_id FROM {s}.bindu_once o JOIN {s}.tasks x ON x.id = o.task_id \
             AND x.created_at = o.created_at WHERE o.owner = $1 AND o.message = $2 AND o.until > $3",
        );
        let rows = self.read(DOING, &sql, &[owner, message, &write.at]).await?;
        Ok(rows.first().map(|row| crate::ids::task_id(row.get(0), row.get(1))))
    }

    async fn advance(&self, change: &Change, write: &Write) -> Result<Committed, StorageError> {
        let mut tries = Tries::default();
        for _ in 0..RACES {
            match self.send_advance(change, write).await {
                Ok(Some(row)) => {
                    return committed(change, &row).map_err(|failure| failure.storage(DOING));
                }
                Ok(None) => {}
                Err(failure) if stands_against(&failure) => {}
                Err(failure) => {
                    tries.again(failure, DOING).await?;
                    continue;
                }
            }
            match self.why_not_advanced(change, write).await? {
                Verdict::Made(found) => return self.made(change, write, found.record).await,
                Verdict::Refused(why) => return Err(why),
                Verdict::Again => {}
            }
        }
        Err(StorageError::Conflict(change.task.id.clone()))
    }

    async fn send_advance(&self, change: &Change, write: &Write) -> Result<Option<Row>, Failure> {
        let client = self.client().await?;
        let run = write.claim.map(|lease| lease.run.0.to_string());
        let until = write.claim.map(|lease| At(lease.until));
        let expected = signed(change.expected.unwrap_or_default().0);
        let number = signed(write.events.len() as u64);
        let mut params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = vec![
            &write.key.uuid,
            &write.key.wire,
            &expected,
            &write.state,
            &write.since,
            &write.history,
            &write.whole,
            &write.artifacts,
            &write.metadata,
            &write.said,
            &write.at,
            &number,
            &write.fence,
            &run,
            &until,
            &write.keep,
            &write.deliveries,
            &write.name,
            &write.events,
            &write.kinds,
            &write.payloads,
            &write.versions,
            &write.context.uuid,
        ];
        let statement = if let Some((owner, message, until)) = &write.once {
            params.extend([owner as &(dyn tokio_postgres::types::ToSql + Sync), message, until]);
            client.prepare_cached(&self.sql.advance_once).await?
        } else {
            client.prepare_cached(&self.sql.advance).await?
        };
        Ok(client.query_opt(&statement, &params).await?)
    }

    async fn why_not_advanced(
        &self,
        change: &Change,
        write: &Write,
    ) -> Result<Verdict, StorageError> {
        let id = &change.task.id;
        let lost = || Verdict::Refused(StorageError::LeaseLost(id.clone()));
        let conflict = || Verdict::Refused(StorageError::Conflict(id.clone()));
        // Enters into the log what another program wrote: after it, the version is another.
        let Some(found) = self.find(&write.key).await? else {
            return Ok(if write.fence.is_some() { lost() } else { conflict() });
        };
        if self.is_ours(&found, change, write).await? {
            return Ok(Verdict::Made(Box::new(found)));
        }
        let record = &found.record;
        if let Hold::Keep(run) | Hold::Release(run) = change.hold
            && record.lease.is_none_or(|lease| lease.run != run)
        {
            return Ok(lost());
        }
        if Some(record.version) != change.expected {
            return Ok(conflict());
        }
        if let (Hold::Claim(wanted), Some(held)) = (change.hold, record.lease)
            && held.run != wanted.run
            && held.until > change.at
        {
            return Ok(conflict());
        }
        if found.context != write.context.uuid {
            return Ok(Verdict::Refused(misuse("a task stays in its context")));
        }
        if let Some(first) = self.used_by(write).await? {
            return Ok(Verdict::Refused(StorageError::Repeated(first)));
        }
        Ok(Verdict::Again)
    }

    /// Whether the change is in the log already, under its own name.
    async fn is_ours(
        &self,
        found: &Found,
        change: &Change,
        write: &Write,
    ) -> Result<bool, StorageError> {
        if found.last_write == Some(write.name) {
            return Ok(true);
        }
        let sql = self
            .sql
            .of("SELECT 1 FROM {s}.bindu_events WHERE task_id = $1 AND seq = $2 AND write_id = $3");
        let seq = signed(Write::first(change.expected));
        Ok(!self.read(DOING, &sql, &[&found.key, &seq, &write.name]).await?.is_empty())
    }

    /// What to answer for a change that an earlier attempt made.
    async fn made(
        &self,
        change: &Change,
        write: &Write,
        record: Record,
    ) -> Result<Committed, StorageError> {
        let sql = self
            .sql
            .of("SELECT array_agg(id ORDER BY id) FROM {s}.bindu_outbox WHERE task_id = $1 \
             AND write_id = $2");
        let rows = self.read(DOING, &sql, &[&write.key.uuid, &write.name]).await?;
        let ids = rows.first().and_then(|row| row.get(0));
        let lease = match change.hold {
            Hold::Claim(lease) => Some(lease),
            _ if write.keep => record.lease,
            _ => None,
        };
        let version = Version(Write::first(change.expected) - 1 + change.events.len() as u64);
        let record = Record { task: Arc::clone(&change.task), version, lease, ..record };
        Ok(Committed {
            record: Arc::new(record),
            events: numbered(change),
            outbox: outbox_ids(ids),
        })
    }
}

/// Webhooks as the statements take them.
struct Hooks {
    ids: Vec<String>,
    configs: Vec<Jsonb<String>>,
    dialects: Vec<String>,
}

impl Hooks {
    fn new(webhooks: &[Webhook]) -> Result<Self, serde_json::Error> {
        let configs = webhooks.iter().map(|hook| codec::write_config(&hook.config).map(Jsonb));
        Ok(Self {
            ids: webhooks.iter().map(outbox::config_id).collect(),
            configs: configs.collect::<Result<_, _>>()?,
            dialects: webhooks.iter().map(|hook| hook.dialect.to_string()).collect(),
        })
    }
}

/// Whether the failure is one of a rule of the tables, by which they say that the task, the key or
/// the context is not what it was when the statement began.
fn stands_against(failure: &Failure) -> bool {
    match failure.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => failure.constraint() == Some("tasks_pkey"),
        Some(&SqlState::FOREIGN_KEY_VIOLATION) => true,
        Some(&SqlState::NOT_NULL_VIOLATION) => failure.column() == Some("until"),
        _ => false,
    }
}

/// What an advance answers.
fn committed(change: &Change, row: &Row) -> Result<Committed, Failure> {
    let version = Version(Write::first(change.expected) - 1 + change.events.len() as u64);
    let At(created) = row.try_get(6)?;
    let record = Record {
        task: Arc::clone(&change.task),
        owner: row::owner(row.try_get(0)?),
        version,
        dialect: row::dialect(row.try_get(1)?),
        lease: row::lease(row.try_get(2)?, row.try_get(3)?),
        attempts: row::count(row.try_get(4)?),
        deliveries: row.try_get::<_, Option<i64>>(5)?.unwrap_or_default().unsigned_abs(),
        webhooks: row::webhooks(row, 8)?,
        created,
    };
    Ok(Committed {
        record: Arc::new(record),
        events: numbered(change),
        outbox: outbox_ids(row.try_get(7)?),
    })
}
