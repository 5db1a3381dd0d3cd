//! Ids of the wire, and the UUIDs that the tables are keyed by.

use bindu_protocol::{ContextId, TaskId};
use uuid::Uuid;

/// Under which ids that are no UUID get one. Never to be changed: rows are found by it.
pub(crate) const NAMESPACE: Uuid = Uuid::from_u128(0x5f1d_5a36_9d0e_4b0c_8a57_1f3e_64b1_c0de);

/// A row's key, and the id itself where that is not the key's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) uuid: Uuid,
    pub(crate) wire: Option<String>,
}

impl Key {
    pub(crate) fn of_task(id: &TaskId) -> Self {
        Self::new(id.as_uuid(), || id.to_string())
    }

    pub(crate) fn of_context(id: &ContextId) -> Self {
        Self::new(id.as_uuid(), || id.to_string())
    }

    fn new(uuid: Option<Uuid>, text: impl FnOnce() -> String) -> Self {
        if let Some(uuid) = uuid {
            return Self { uuid, wire: None };
        }
        let text = text();
        Self { uuid: Uuid::new_v5(&NAMESPACE, text.as_bytes()), wire: Some(text) }
    }
}

/// The task of a row. A text that is no id cannot be there, as only ids are written.
pub(crate) fn task_id(uuid: Uuid, wire: Option<&str>) -> TaskId {
    wire.and_then(|text| text.parse().ok()).unwrap_or_else(|| TaskId::from(uuid))
}

/// The context of a row.
pub(crate) fn context_id(uuid: Uuid, wire: Option<&str>) -> ContextId {
    wire.and_then(|text| text.parse().ok()).unwrap_or_else(|| ContextId::from(uuid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_key() {
        for text in [
            "x",
            "X",
            "6f9619ff-8b86-4011-b42d-00cf4fc964ff",
            "6F9619FF-8B86-4011-B42D-00CF4FC964FF",
        ] {
            let id: TaskId = text.parse().unwrap();
            let key = Key::of_task(&id);
            assert_eq!(task_id(key.uuid, key.wire.as_deref()), id);
            assert_eq!(key.wire.is_none(), id.as_uuid().is_some());
        }
    }
}
