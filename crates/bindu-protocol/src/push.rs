//! Webhook configurations of a task.

use serde::{Deserialize, Deserializer};

use crate::wire::{missing, wire};
use crate::{JsonObject, PushConfigId, TaskId};

/// Where to post a task's changes.
#[derive(Clone, PartialEq)]
pub struct PushConfig {
    /// Names the configuration within its task; made by the server if the caller gave none.
    pub id: Option<PushConfigId>,
    /// Where to post to: an `http` or `https` URL.
    pub url: String,
    /// Sent back with every delivery, so that the receiver knows it is meant.
    pub token: Option<String>,
    /// How the receiver wants us to sign in. Kept and echoed, never used.
    pub authentication: Option<JsonObject>,
}

impl std::fmt::Debug for PushConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushConfig")
            .field("id", &self.id)
            .field("url", &self.url)
            .field("token", &self.token.as_ref().map(|_| "[redacted]"))
            .finish_non_exhaustive()
    }
}

/// A configuration and the task it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskPushConfig {
    /// The task.
    pub task_id: TaskId,
    /// The configuration.
    pub config: PushConfig,
}

wire! {
    PushConfigWire {
        id: PushConfigId = "id";
        url: String = "url";
        token: String = "token";
        authentication: JsonObject = "authentication";
    }
}

wire! {
    TaskPushConfigWire {
        id: TaskId = "id";
        task_id: TaskId = "taskId" | "task_id";
        config: PushConfig = "pushNotificationConfig" | "push_notification_config";
    }
}

impl<'de> Deserialize<'de> for PushConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = PushConfigWire::deserialize(deserializer)?;
        Ok(Self {
            id: wire.id,
            url: wire.url.ok_or_else(|| missing("url"))?,
            token: wire.token,
            authentication: wire.authentication,
        })
    }
}

impl<'de> Deserialize<'de> for TaskPushConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = TaskPushConfigWire::deserialize(deserializer)?;
        Ok(Self {
            task_id: wire.task_id.or(wire.id).ok_or_else(|| missing("taskId"))?,
            config: wire.config.ok_or_else(|| missing("pushNotificationConfig"))?,
        })
    }
}
