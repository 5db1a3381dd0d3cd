//! Parameters of the JSON-RPC methods.
//!
//! They are read from either dialect, and written in one by [`Dialect::view`](crate::Dialect::view).

use serde::{Deserialize, Deserializer};

use crate::wire::{LaxBool, LaxInt, missing, wire};
use crate::{ContextId, JsonObject, Message, PushConfig, PushConfigId, TaskId};

/// Of `message/send` and `message/stream`.
#[derive(Clone, Debug, PartialEq)]
pub struct SendParams {
    /// The message.
    pub message: Message,
    /// How it is to be handled.
    pub configuration: SendConfiguration,
    /// Free-form remarks on the request.
    pub metadata: Option<JsonObject>,
}

/// How a message is to be handled; every member may be absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SendConfiguration {
    /// Media types that the caller understands.
    pub accepted_output_modes: Vec<String>,
    /// Whether to wait for the outcome; absent, the dialect decides.
    pub blocking: Option<bool>,
    /// At most so many of the latest messages in the answer; absent or below 1, all.
    pub history_length: Option<i64>,
    /// Where to post the task's changes.
    pub push: Option<PushConfig>,
    /// Whether the webhook must survive a restart. Ours always do.
    pub long_running: Option<bool>,
}

/// Of `tasks/get` and `tasks/resubscribe`, and of every method that names a task and no more.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskParams {
    /// The task.
    pub id: TaskId,
    /// As in [`SendConfiguration`].
    pub history_length: Option<i64>,
    /// Free-form remarks on the request.
    pub metadata: Option<JsonObject>,
}

/// Of `tasks/list` and `contexts/list`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListParams {
    /// Of `tasks/list`: as in [`SendConfiguration`], for each task. Of `contexts/list`: at most so
    /// many contexts.
    pub history_length: Option<i64>,
    /// Only the tasks of this context (ours).
    pub context_id: Option<ContextId>,
    /// At most so many tasks or contexts (ours); absent, as many as the server allows.
    pub page_size: Option<i64>,
    /// Where the page before ended (ours).
    pub page_token: Option<String>,
    /// Free-form remarks on the request.
    pub metadata: Option<JsonObject>,
}

/// Of `tasks/feedback`.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedbackParams {
    /// The task that the feedback is on.
    pub id: TaskId,
    /// What the caller says.
    pub feedback: String,
    /// From 1 to 5.
    pub rating: Option<i64>,
    /// Free-form remarks.
    pub metadata: Option<JsonObject>,
}

/// Of `contexts/clear`.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextParams {
    /// The context.
    pub id: ContextId,
    /// Free-form remarks on the request.
    pub metadata: Option<JsonObject>,
}

/// Of `tasks/pushNotificationConfig/set`.
#[derive(Clone, Debug, PartialEq)]
pub struct PushSetParams {
    /// The task.
    pub task_id: TaskId,
    /// The configuration.
    pub config: PushConfig,
    /// As in [`SendConfiguration`].
    pub long_running: Option<bool>,
}

/// Of `tasks/pushNotificationConfig/get`, `list` and `delete`.
#[derive(Clone, Debug, PartialEq)]
pub struct PushParams {
    /// The task.
    pub task_id: TaskId,
    /// The configuration; absent in `list`, optional in `get`.
    pub config_id: Option<PushConfigId>,
    /// Free-form remarks on the request.
    pub metadata: Option<JsonObject>,
}

wire! {
    SendWire {
        message: Message = "message";
        configuration: SendConfiguration = "configuration";
        metadata: JsonObject = "metadata";
    }
}

wire! {
    ConfigurationWire {
        accepted_output_modes: Vec<String> = "acceptedOutputModes" | "accepted_output_modes";
        blocking: LaxBool = "blocking";
        history_length: LaxInt = "historyLength" | "history_length";
        push: PushConfig = "pushNotificationConfig" | "push_notification_config";
        long_running: LaxBool = "longRunning" | "long_running";
    }
}

wire! {
    TaskWire {
        id: TaskId = "id";
        task_id: TaskId = "taskId" | "task_id";
        history_length: LaxInt = "historyLength" | "history_length";
        metadata: JsonObject = "metadata";
        feedback: String = "feedback";
        rating: LaxInt = "rating";
        context_id: ContextId = "contextId" | "context_id";
        config: PushConfig = "pushNotificationConfig" | "push_notification_config";
        config_id: PushConfigId = "pushNotificationConfigId" | "push_notification_config_id";
        page_size: LaxInt = "pageSize" | "page_size";
        page_token: String = "pageToken" | "page_token";
        long_running: LaxBool = "longRunning" | "long_running";
    }
}

impl TaskWire {
    /// `id` and `taskId` are the same to us, whichever of them a method's own schema has.
    fn task<E: serde::de::Error>(id: Option<TaskId>, task_id: Option<TaskId>) -> Result<TaskId, E> {
        task_id.or(id).ok_or_else(|| missing("id"))
    }
}

impl<'de> Deserialize<'de> for SendConfiguration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = ConfigurationWire::deserialize(deserializer)?;
        Ok(Self {
            accepted_output_modes: wire.accepted_output_modes.unwrap_or_default(),
            blocking: wire.blocking.map(|blocking| blocking.0),
            history_length: wire.history_length.map(|length| length.0),
            push: wire.push,
            long_running: wire.long_running.map(|long| long.0),
        })
    }
}

impl<'de> Deserialize<'de> for SendParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = SendWire::deserialize(deserializer)?;
        Ok(Self {
            message: wire.message.ok_or_else(|| missing("message"))?,
            configuration: wire.configuration.unwrap_or_default(),
            metadata: wire.metadata,
        })
    }
}

impl<'de> Deserialize<'de> for TaskParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = TaskWire::deserialize(deserializer)?;
        Ok(Self {
            id: TaskWire::task(wire.id, wire.task_id)?,
            history_length: wire.history_length.map(|length| length.0),
            metadata: wire.metadata,
        })
    }
}

impl<'de> Deserialize<'de> for ListParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = TaskWire::deserialize(deserializer)?;
        Ok(Self {
            history_length: wire.history_length.map(|length| length.0),
            context_id: wire.context_id,
            page_size: wire.page_size.map(|size| size.0),
            page_token: wire.page_token,
            metadata: wire.metadata,
        })
    }
}

impl<'de> Deserialize<'de> for FeedbackParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = TaskWire::deserialize(deserializer)?;
        let rating = wire.rating.map(|rating| rating.0);
        if rating.is_some_and(|rating| !(1..=5).contains(&rating)) {
            return Err(serde::de::Error::custom("rating: must be from 1 to 5"));
        }
        Ok(Self {
            id: TaskWire::task(wire.id, wire.task_id)?,
            feedback: wire.feedback.ok_or_else(|| missing("feedback"))?,
            rating,
            metadata: wire.metadata,
        })
    }
}

impl<'de> Deserialize<'de> for ContextParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = TaskWire::deserialize(deserializer)?;
        Ok(Self {
            id: wire.context_id.ok_or_else(|| missing("contextId"))?,
            metadata: wire.metadata,
        })
    }
}

impl<'de> Deserialize<'de> for PushSetParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = TaskWire::deserialize(deserializer)?;
        Ok(Self {
            task_id: TaskWire::task(wire.id, wire.task_id)?,
            config: wire.config.ok_or_else(|| missing("pushNotificationConfig"))?,
            long_running: wire.long_running.map(|long| long.0),
        })
    }
}

impl<'de> Deserialize<'de> for PushParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = TaskWire::deserialize(deserializer)?;
        Ok(Self {
            task_id: TaskWire::task(wire.id, wire.task_id)?,
            config_id: wire.config_id,
            metadata: wire.metadata,
        })
    }
}
