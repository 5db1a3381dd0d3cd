//! Names of the JSON-RPC methods.

/// Sends a message; answers with the task.
pub const MESSAGE_SEND: &str = "message/send";
/// Sends a message; answers with a stream of events.
pub const MESSAGE_STREAM: &str = "message/stream";
/// Reads a task.
pub const TASKS_GET: &str = "tasks/get";
/// Reads all of the caller's tasks (Bindu).
pub const TASKS_LIST: &str = "tasks/list";
/// Ends a task.
pub const TASKS_CANCEL: &str = "tasks/cancel";
/// Leaves an opinion on a task (Bindu).
pub const TASKS_FEEDBACK: &str = "tasks/feedback";
/// Streams the further events of a task.
pub const TASKS_RESUBSCRIBE: &str = "tasks/resubscribe";
/// Reads all of the caller's contexts (Bindu).
pub const CONTEXTS_LIST: &str = "contexts/list";
/// Deletes a context and its tasks (Bindu).
pub const CONTEXTS_CLEAR: &str = "contexts/clear";
/// Adds or replaces a webhook of a task.
pub const PUSH_SET: &str = "tasks/pushNotificationConfig/set";
/// Reads one webhook of a task.
pub const PUSH_GET: &str = "tasks/pushNotificationConfig/get";
/// Reads all webhooks of a task.
pub const PUSH_LIST: &str = "tasks/pushNotificationConfig/list";
/// Removes a webhook of a task.
pub const PUSH_DELETE: &str = "tasks/pushNotificationConfig/delete";
/// Reads the card that only signed-in callers see.
pub const EXTENDED_CARD: &str = "agent/getAuthenticatedExtendedCard";

/// Every method of A2A 0.3 and Bindu.
pub const ALL: &[&str] = &[
    MESSAGE_SEND,
    MESSAGE_STREAM,
    TASKS_GET,
    TASKS_LIST,
    TASKS_CANCEL,
    TASKS_FEEDBACK,
    TASKS_RESUBSCRIBE,
    CONTEXTS_LIST,
    CONTEXTS_CLEAR,
    PUSH_SET,
    PUSH_GET,
    PUSH_LIST,
    PUSH_DELETE,
    EXTENDED_CARD,
];
