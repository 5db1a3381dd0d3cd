//! What the store has of one task.

use std::sync::Arc;

use bindu_protocol::{ContextId, Dialect, Json, Owner, TaskId, TaskState, Timestamp};

use super::log::Log;
use super::{pack, unpack, weight};
use crate::{Event, Record, StorageError, Version, Webhook};

/// A task as it is kept.
pub(super) enum Entry {
    /// As it is used.
    Live(Box<Live>),
    /// As it takes the least room: over, and small.
    Packed(Arc<Packed>),
}

/// A task as it is used.
pub(super) struct Live {
    pub(super) record: Arc<Record>,
    pub(super) log: Log,
}

/// A task and its log in a few allocations, in place of some thirty.
pub(super) struct Packed {
    pub(super) owner: Arc<Owner>,
    pub(super) context: ContextId,
    pub(super) created: Timestamp,
    pub(super) version: Version,
    pub(super) deliveries: u64,
    pub(super) webhooks: Arc<[Webhook]>,
    pub(super) attempts: u32,
    pub(super) dialect: Dialect,
    pub(super) state: TaskState,
    /// The task and the log, by `pack`.
    pub(super) bytes: Box<[u8]>,
    /// The free-form values in them, in order.
    pub(super) json: Box<[Json]>,
}

impl Packed {
    /// The record and the log.
    ///
    /// # Errors
    ///
    /// [`StorageError::Backend`] if the bytes are not what was packed.
    pub(super) fn unpack(&self, id: &TaskId) -> Result<(Arc<Record>, Vec<Event>), StorageError> {
        let (task, log) = unpack::task(id, self)?;
        let record = Record {
            task: Arc::new(task),
            owner: Owner::clone(&self.owner),
            version: self.version,
            dialect: self.dialect,
            lease: None,
            attempts: self.attempts,
            deliveries: self.deliveries,
            webhooks: Arc::clone(&self.webhooks),
            created: self.created,
        };
        Ok((Arc::new(record), log))
    }
}

/// What was found of a task, to be unpacked without the lock.
pub(super) enum Found {
    Live(Arc<Record>),
    Packed(Arc<Packed>),
}

impl Found {
    pub(super) fn record(self, id: &TaskId) -> Result<Arc<Record>, StorageError> {
        match self {
            Self::Live(record) => Ok(record),
            Self::Packed(packed) => Ok(packed.unpack(id)?.0),
        }
    }
}

impl Entry {
    pub(super) fn created(&self) -> Timestamp {
        match self {
            Self::Live(live) => live.record.created,
            Self::Packed(packed) => packed.created,
        }
    }

    /// Keeps a task in the form that suits it.
    pub(super) fn new(owner: &Arc<Owner>, record: Arc<Record>, mut log: Log) -> Self {
        let over = record.task.status.state.is_terminal() && record.lease.is_none();
        if over && let Some(packed) = pack::task(owner, &record, log.events()) {
            return Self::Packed(Arc::new(packed));
        }
        if over {
            log.close();
        }
        Self::Live(Box::new(Live { record, log }))
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self, id: &TaskId) -> usize {
        match self {
            Self::Live(live) => weight::live(&live.record, live.log.weight()),
            Self::Packed(packed) => weight::packed(id, packed),
        }
    }

    pub(super) fn state(&self) -> TaskState {
        match self {
            Self::Live(live) => live.record.task.status.state,
            Self::Packed(packed) => packed.state,
        }
    }

    pub(super) fn found(&self) -> Found {
        match self {
            Self::Live(live) => Found::Live(Arc::clone(&live.record)),
            Self::Packed(packed) => Found::Packed(Arc::clone(packed)),
        }
    }
}
