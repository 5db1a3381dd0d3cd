//! What goes out as `params`, in the spelling of each dialect.

use bindu_protocol::{
    ContextId, Dialect, Json, ListParams, PushConfig, PushConfigId, SendConfiguration, SendParams,
    TaskId, TaskPushConfig,
};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::ClientError;

/// Member names of one dialect.
struct Names {
    task: &'static str,
    context: &'static str,
    history_length: &'static str,
    output_modes: &'static str,
    push: &'static str,
    push_id: &'static str,
    /// How the methods on webhooks name the task, where they do not name it as `task` does.
    push_task: &'static str,
}

const fn names(dialect: Dialect) -> &'static Names {
    match dialect {
        Dialect::Reference => &Names {
            task: "task_id",
            context: "context_id",
            history_length: "history_length",
            output_modes: "accepted_output_modes",
            push: "push_notification_config",
            push_id: "push_notification_config_id",
            push_task: "id",
        },
        _ => &Names {
            task: "id",
            context: "contextId",
            history_length: "historyLength",
            output_modes: "acceptedOutputModes",
            push: "pushNotificationConfig",
            push_id: "pushNotificationConfigId",
            push_task: "id",
        },
    }
}

fn json<T: Serialize>(params: &T) -> Result<Json, ClientError> {
    Json::new(params).map_err(|error| ClientError::Input(error.to_string()))
}

struct Send<'a>(Dialect, &'a SendParams);

impl Serialize for Send<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, params) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("message", &dialect.view(&params.message))?;
        let configuration = Configuration(dialect, &params.configuration);
        // The reference refuses a request without it.
        if dialect == Dialect::Reference || params.configuration != SendConfiguration::default() {
            map.serialize_entry("configuration", &configuration)?;
        }
        if let Some(metadata) = &params.metadata {
            map.serialize_entry("metadata", metadata)?;
        }
        map.end()
    }
}

struct Configuration<'a>(Dialect, &'a SendConfiguration);

impl Serialize for Configuration<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(dialect, configuration) = *self;
        let names = names(dialect);
        let mut map = serializer.serialize_map(None)?;
        let modes = &configuration.accepted_output_modes;
        if dialect == Dialect::Reference || !modes.is_empty() {
            map.serialize_entry(names.output_modes, modes)?;
        }
        if let Some(blocking) = configuration.blocking {
            map.serialize_entry("blocking", &blocking)?;
        }
        if let Some(length) = configuration.history_length {
            map.serialize_entry(names.history_length, &length)?;
        }
        if let Some(push) = &configuration.push {
            map.serialize_entry(names.push, &dialect.view(push))?;
        }
        if let (Dialect::Reference, Some(long_running)) = (dialect, configuration.long_running) {
            map.serialize_entry("long_running", &long_running)?;
        }
        map.end()
    }
}

pub(crate) fn send(dialect: Dialect, params: &SendParams) -> Result<Json, ClientError> {
    json(&Send(dialect, params))
}

pub(crate) fn task(dialect: Dialect, id: &TaskId, history_length: Option<i64>) -> Json {
    let names = names(dialect);
    let mut map = Map::new();
    map.insert(names.task.into(), id.to_string().into());
    if let Some(length) = history_length {
        map.insert(names.history_length.into(), length.into());
    }
    Value::Object(map).into()
}

/// Of the methods that only the reference has, which take its spelling from anyone.
pub(crate) fn list(params: &ListParams) -> Json {
    let mut map = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    put("history_length", params.history_length.map(Value::from));
    put("context_id", params.context_id.as_ref().map(|id| id.to_string().into()));
    put("page_size", params.page_size.map(Value::from));
    put("page_token", params.page_token.clone().map(Value::from));
    Value::Object(map).into()
}

pub(crate) fn context(id: &ContextId) -> Json {
    let mut map = Map::new();
    map.insert(names(Dialect::Reference).context.into(), id.to_string().into());
    Value::Object(map).into()
}

pub(crate) fn feedback(id: &TaskId, text: &str, rating: Option<u8>) -> Json {
    let mut map = Map::new();
    map.insert(names(Dialect::Reference).task.into(), id.to_string().into());
    map.insert("feedback".into(), text.into());
    if let Some(rating) = rating {
        map.insert("rating".into(), rating.into());
    }
    Value::Object(map).into()
}

pub(crate) fn push_set(
    dialect: Dialect,
    task_id: &TaskId,
    config: PushConfig,
) -> Result<Json, ClientError> {
    json(&dialect.view(&TaskPushConfig { task_id: task_id.clone(), config }))
}

pub(crate) fn push_get(dialect: Dialect, task: &TaskId, config: Option<&PushConfigId>) -> Json {
    let names = names(dialect);
    let mut map = Map::new();
    map.insert(names.task.into(), task.to_string().into());
    if let Some(config) = config {
        map.insert(names.push_id.into(), config.to_string().into());
    }
    Value::Object(map).into()
}

pub(crate) fn push(dialect: Dialect, task: &TaskId, config: Option<&PushConfigId>) -> Json {
    let names = names(dialect);
    let mut map = Map::new();
    map.insert(names.push_task.into(), task.to_string().into());
    if let Some(config) = config {
        map.insert(names.push_id.into(), config.to_string().into());
    }
    Value::Object(map).into()
}

#[cfg(test)]
mod tests {
    use bindu_protocol::{Message, Part, Role};

    use super::*;

    fn params() -> SendParams {
        let mut message = Message::new(Role::User, vec![Part::text("hi")]);
        message.id = "m".parse().unwrap();
        SendParams { message, configuration: SendConfiguration::default(), metadata: None }
    }

    #[test]
    fn the_reference_always_gets_a_configuration() {
        assert_eq!(
            send(Dialect::Reference, &params()).unwrap().as_str(),
            concat!(
                r#"{"message":{"message_id":"m","kind":"message","#,
                r#""parts":[{"kind":"text","text":"hi"}],"role":"user"},"#,
                r#""configuration":{"accepted_output_modes":[]}}"#
            )
        );
        assert_eq!(
            send(Dialect::V0_3, &params()).unwrap().as_str(),
            concat!(
                r#"{"message":{"messageId":"m","kind":"message","#,
                r#""parts":[{"kind":"text","text":"hi"}],"role":"user"}}"#
            )
        );
    }

    #[test]
    fn a_configuration_is_spelled_as_its_dialect_has_it() {
        let mut params = params();
        params.configuration = SendConfiguration {
            accepted_output_modes: vec!["text/plain".to_owned()],
            blocking: Some(true),
            history_length: Some(3),
            push: Some(PushConfig {
                id: Some("p".parse().unwrap()),
                url: "http://here/".to_owned(),
                token: None,
                authentication: None,
            }),
            long_running: None,
        };
        let sent = send(Dialect::V0_3, &params).unwrap().to_value();
        assert_eq!(
            sent["configuration"],
            serde_json::json!({
                "acceptedOutputModes": ["text/plain"], "blocking": true, "historyLength": 3,
                "pushNotificationConfig": {"id": "p", "url": "http://here/"},
            })
        );
        let sent = send(Dialect::Reference, &params).unwrap().to_value();
        assert_eq!(
            sent["configuration"],
            serde_json::json!({
                "accepted_output_modes": ["text/plain"], "blocking": true, "history_length": 3,
                "push_notification_config": {"id": "p", "url": "http://here/"},
            })
        );
    }

    #[test]
    fn tasks_are_named_as_each_method_wants() {
        let id = "t".parse().unwrap();
        let config = "c".parse().unwrap();
        assert_eq!(task(Dialect::V0_3, &id, Some(1)).as_str(), r#"{"historyLength":1,"id":"t"}"#);
        assert_eq!(task(Dialect::Reference, &id, None).as_str(), r#"{"task_id":"t"}"#);
        assert_eq!(
            push(Dialect::Reference, &id, Some(&config)).as_str(),
            r#"{"id":"t","push_notification_config_id":"c"}"#
        );
        assert_eq!(push_get(Dialect::Reference, &id, None).as_str(), r#"{"task_id":"t"}"#);
        assert_eq!(
            push_get(Dialect::V0_3, &id, Some(&config)).as_str(),
            r#"{"id":"t","pushNotificationConfigId":"c"}"#
        );
    }
}
