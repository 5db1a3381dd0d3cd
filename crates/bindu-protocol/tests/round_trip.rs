//! Whatever is written in a dialect is read back as it was, but for what the dialect has no words
//! for.

use std::sync::Arc;

use bindu_protocol::{
    Artifact, Content, ContextParams, Dialect, FeedbackParams, JsonObject, ListParams, Message,
    Part, PushConfig, PushParams, PushSetParams, SendParams, SendResult, StreamEvent, Task,
    TaskArtifactUpdate, TaskParams, TaskPushConfig, TaskStatus, TaskStatusUpdate, Timestamp,
};
use proptest::option::of;
use proptest::prelude::*;

use crate::model;

const DIALECTS: [Dialect; 2] = [Dialect::Reference, Dialect::V0_3];

/// What is left of a value once it was told in a dialect.
trait Told: Clone {
    fn told(&self, dialect: Dialect) -> Self;
}

fn list<T: Told>(values: &[T], dialect: Dialect) -> Vec<T> {
    values.iter().map(|value| value.told(dialect)).collect()
}

/// Metadata that came only of a mark are gone with the mark.
fn marked(metadata: Option<&JsonObject>) -> Option<JsonObject> {
    metadata.filter(|map| !map.is_empty()).cloned()
}

impl Told for Part {
    fn told(&self, _: Dialect) -> Self {
        let mut part = self.clone();
        if matches!(&part.content, Content::Data { data, .. } if !data.is_object()) {
            part.metadata = marked(part.metadata.as_ref());
        }
        part
    }
}

impl Told for Message {
    fn told(&self, dialect: Dialect) -> Self {
        Self { parts: list(&self.parts, dialect), ..self.clone() }
    }
}

impl Told for Artifact {
    fn told(&self, dialect: Dialect) -> Self {
        let mut artifact = Self { parts: list(&self.parts, dialect), ..self.clone() };
        if dialect == Dialect::V0_3 {
            (artifact.append, artifact.last_chunk) = (None, None);
        }
        artifact
    }
}

impl<T: Told> Told for Arc<T> {
    fn told(&self, dialect: Dialect) -> Self {
        Self::new(T::told(self, dialect))
    }
}

impl<T: Told> Told for Option<T> {
    fn told(&self, dialect: Dialect) -> Self {
        self.as_ref().map(|value| value.told(dialect))
    }
}

impl Told for TaskStatus {
    fn told(&self, dialect: Dialect) -> Self {
        let message = match dialect {
            Dialect::V0_3 => self.message.told(dialect),
            _ => None,
        };
        Self { message, ..self.clone() }
    }
}

/// The state goes with metadata that it may have put a mark into.
fn metadata(
    status: &TaskStatus,
    metadata: Option<&JsonObject>,
    dialect: Dialect,
) -> Option<JsonObject> {
    if dialect == Dialect::V0_3 && status.state.as_a2a() != status.state {
        marked(metadata)
    } else {
        metadata.cloned()
    }
}

impl Told for Task {
    fn told(&self, dialect: Dialect) -> Self {
        Self {
            status: self.status.told(dialect),
            history: list(&self.history, dialect),
            artifacts: list(&self.artifacts, dialect),
            metadata: metadata(&self.status, self.metadata.as_ref(), dialect),
            ..self.clone()
        }
    }
}

impl Told for TaskStatusUpdate {
    fn told(&self, dialect: Dialect) -> Self {
        Self {
            status: self.status.told(dialect),
            metadata: metadata(&self.status, self.metadata.as_ref(), dialect),
            ..self.clone()
        }
    }
}

impl Told for TaskArtifactUpdate {
    fn told(&self, dialect: Dialect) -> Self {
        Self { artifact: self.artifact.told(dialect), ..self.clone() }
    }
}

impl Told for StreamEvent {
    fn told(&self, dialect: Dialect) -> Self {
        match self {
            Self::Task(task) => Self::Task(task.told(dialect)),
            Self::Message(message) => Self::Message(message.told(dialect)),
            Self::Status(update) => Self::Status(update.told(dialect)),
            Self::Artifact(update) => Self::Artifact(update.told(dialect)),
            other => other.clone(),
        }
    }
}

impl Told for SendResult {
    fn told(&self, dialect: Dialect) -> Self {
        match self {
            Self::Task(task) => Self::Task(task.told(dialect)),
            Self::Message(message) => Self::Message(message.told(dialect)),
            other => other.clone(),
        }
    }
}

impl Told for SendParams {
    fn told(&self, dialect: Dialect) -> Self {
        let mut params = Self { message: self.message.told(dialect), ..self.clone() };
        if dialect == Dialect::V0_3 {
            params.configuration.long_running = None;
        }
        params
    }
}

impl Told for PushSetParams {
    fn told(&self, dialect: Dialect) -> Self {
        let long_running = self.long_running.filter(|_| dialect == Dialect::Reference);
        Self { long_running, ..self.clone() }
    }
}

macro_rules! told_whole {
    ($($name:ty),*) => {$(
        impl Told for $name {
            fn told(&self, _: Dialect) -> Self {
                self.clone()
            }
        }
    )*};
}
told_whole!(
    PushConfig,
    TaskPushConfig,
    TaskParams,
    ListParams,
    FeedbackParams,
    ContextParams,
    PushParams
);

macro_rules! round_trips {
    ($($name:ident: $type:ty = $strategy:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]
            $(
                #[test]
                fn $name(value in $strategy) {
                    for dialect in DIALECTS {
                        let text = serde_json::to_string(&dialect.view(&value)).unwrap();
                        let read: $type = serde_json::from_str(&text)
                            .map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?;
                        prop_assert_eq!(&read, &value.told(dialect), "{} as {}", text, dialect);
                        // What was read once is settled: written again, it is the same text.
                        let again = serde_json::to_string(&dialect.view(&read)).unwrap();
                        prop_assert_eq!(&again, &text);
                    }
                }
            )*
        }
    };
}

round_trips! {
    a_part: Part = model::part();
    a_message: Message = model::message();
    an_artifact: Artifact = model::artifact();
    a_task: Task = model::task();
    a_status_update: TaskStatusUpdate = model::status_update();
    an_artifact_update: TaskArtifactUpdate = model::artifact_update();
    a_stream_event: StreamEvent = prop_oneof![
        model::task().prop_map(|task| StreamEvent::Task(Arc::new(task))),
        model::message().prop_map(|message| StreamEvent::Message(Arc::new(message))),
        model::status_update().prop_map(StreamEvent::Status),
        model::artifact_update().prop_map(StreamEvent::Artifact),
    ];
    a_send_result: SendResult = prop_oneof![
        model::task().prop_map(|task| SendResult::Task(Arc::new(task))),
        model::message().prop_map(|message| SendResult::Message(Arc::new(message))),
    ];
    a_push_config: PushConfig = model::push_config();
    a_task_push_config: TaskPushConfig = model::task_push_config();
    send_params: SendParams = (model::message(), model::configuration(), model::metadata())
        .prop_map(|(message, configuration, metadata)| SendParams { message, configuration, metadata });
    task_params: TaskParams = (model::id(), of(any::<i64>()), model::metadata())
        .prop_map(|(id, history_length, metadata)| TaskParams { id, history_length, metadata });
    list_params: ListParams =
        (of(any::<i64>()), of(model::id()), of(any::<i64>()), of(any::<String>()), model::metadata())
            .prop_map(|(history_length, context_id, page_size, page_token, metadata)| ListParams {
                history_length, context_id, page_size, page_token, metadata,
            });
    feedback_params: FeedbackParams =
        (model::id(), any::<String>(), of(1_i64..=5), model::metadata())
            .prop_map(|(id, feedback, rating, metadata)| FeedbackParams { id, feedback, rating, metadata });
    context_params: ContextParams = (model::id(), model::metadata())
        .prop_map(|(id, metadata)| ContextParams { id, metadata });
    push_set_params: PushSetParams = (model::id(), model::push_config(), of(any::<bool>()))
        .prop_map(|(task_id, config, long_running)| PushSetParams { task_id, config, long_running });
    push_params: PushParams = (model::id(), of(model::id()), model::metadata())
        .prop_map(|(task_id, config_id, metadata)| PushParams { task_id, config_id, metadata });
}

proptest! {
    #[test]
    fn a_timestamp_is_read_back_to_the_microsecond(at in model::timestamp()) {
        let text = at.to_string();
        prop_assert_eq!(text.parse::<Timestamp>().unwrap(), at);
        prop_assert!(matches!(text.len(), 25 | 32), "{}", text);
    }

    #[test]
    fn an_object_keeps_what_is_put_into_it(
        pairs in proptest::collection::vec(("[a-c]", any::<i32>()), 0..8),
    ) {
        let mut object = JsonObject::empty();
        let mut expected = std::collections::BTreeMap::new();
        for (key, value) in &pairs {
            object = object.with(key, *value);
            expected.insert(key.clone(), *value);
        }
        prop_assert_eq!(object.parse::<std::collections::BTreeMap<String, i32>>().unwrap(), expected.clone());
        for key in expected.keys() {
            let less = object.without(key);
            prop_assert_eq!(less.get(key), None);
            prop_assert_eq!(less.to_map().len(), expected.len() - 1);
        }
    }
}
