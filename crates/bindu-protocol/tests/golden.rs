//! The golden files of `fixtures/protocol`, read and written again.
//!
//! `cargo xtask fixtures` writes them from the code; here the readers have to understand all that
//! is in them.

use std::fmt::Debug;
use std::path::PathBuf;

use bindu_protocol::{
    AgentCard, AgentIdentity, Answer, Artifact, Code, Context, ContextParams, ContextSummary,
    Dialect, ExecutionRequest, ExecutionResponse, FeedbackParams, ListParams, Message,
    NegotiationContext, NegotiationSessionStatus, Part, PushAuthentication, PushConfig, PushParams,
    PushSetParams, Request, Response, SendParams, SendResult, Skill, StreamEvent, Task,
    TaskArtifactUpdate, TaskParams, TaskPushConfig, TaskState, TaskStatusUpdate, method,
};
use serde::{Serialize, de::DeserializeOwned};

const DIALECTS: [Dialect; 2] = [Dialect::Reference, Dialect::V0_3];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/protocol")
}

fn file(name: &str) -> String {
    let path = folder().join(format!("{name}.json"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn written<T: Serialize>(value: &T) -> String {
    serde_json::to_string_pretty(value).expect("a model is JSON") + "\n"
}

fn check<T: Serialize + DeserializeOwned>(name: &str) {
    assert_eq!(written(&read::<T>(name)), file(name), "{name}");
}

/// Reads each dialect's file, writes it again, and hands back what was read.
macro_rules! both {
    ($name:literal, $type:ty) => {
        DIALECTS.map(|dialect| {
            let name = format!("{}.{dialect}", $name);
            let value: $type = read(&name);
            assert_eq!(written(&dialect.view(&value)), file(&name), "{name}");
            value
        })
    };
}

fn same<T: PartialEq + Debug>([reference, v0_3]: [T; 2]) {
    assert_eq!(reference, v0_3, "the dialects tell the same");
}

#[test]
fn tasks_and_their_parts_are_read_and_written_in_both_dialects() {
    same(both!("parts", Vec<Part>));
    same(both!("message", Message));
    same(both!("artifact", Artifact));
    same(both!("task", Task));
    same(both!("task-of-bindu-state", Task));
    same(both!("status-update", TaskStatusUpdate));
    same(both!("artifact-update", TaskArtifactUpdate));
    same(both!("send-result", SendResult));
    let [reference, v0_3] = both!("stream-events", Vec<StreamEvent>);
    assert_eq!(reference[..4], v0_3[..4]);
    let [StreamEvent::Status(reference), StreamEvent::Status(v0_3)] = [&reference[4], &v0_3[4]]
    else {
        panic!("the last event is a status");
    };
    assert!(reference.status.message.is_none(), "the reference has the question in the history");
    assert_eq!(v0_3.status.message.as_ref().unwrap().text(), "Which file?");
}

#[test]
fn parameters_are_read_and_written_in_both_dialects() {
    same(both!("push-config", PushConfig));
    same(both!("task-push-config", TaskPushConfig));
    same(both!("send-params", SendParams));
    same(both!("task-params", TaskParams));
    same(both!("list-params", ListParams));
    same(both!("feedback-params", FeedbackParams));
    same(both!("context-params", ContextParams));
    same(both!("push-set-params", PushSetParams));
    same(both!("push-params", PushParams));
}

#[test]
fn envelopes_are_read_whatever_they_hold() {
    for dialect in DIALECTS {
        let text = file(&format!("request.{dialect}"));
        let request = Request::parse(text.as_bytes()).unwrap();
        assert_eq!((&*request.method, request.id.as_json()), (method::TASKS_GET, "\"r-1\""));
        let params: TaskParams = serde_json::from_str(request.params).unwrap();
        assert_eq!(params.id, read::<Task>("task.reference").id);

        let name = format!("response.{dialect}");
        let answer: Answer = read(&name);
        let task: Task = answer.outcome.unwrap().parse().unwrap();
        let again = Response { id: &answer.id, outcome: Ok(dialect.view(&task)) };
        assert_eq!(written(&again), file(&name));
    }
    let answer: Answer = read("error-response");
    let error = answer.outcome.unwrap_err();
    assert_eq!(error.code, Code::INVALID_PARAMS);
    let again = Response::<()> { id: &answer.id, outcome: Err(&error) };
    assert_eq!(written(&again), file("error-response"));
}

#[test]
fn types_with_one_spelling_are_read_and_written() {
    check::<AgentCard>("agent-card");
    check::<Skill>("skill");
    check::<PushAuthentication>("push-authentication");
    check::<Context>("context");
    check::<ContextSummary>("context-summary");
    check::<NegotiationContext>("negotiation-context");
    check::<Vec<NegotiationSessionStatus>>("negotiation-session-statuses");
    check::<ExecutionRequest>("execution-request");
    check::<ExecutionResponse>("execution-response");
    check::<AgentIdentity>("agent-identity");
    check::<Vec<TaskState>>("states");
    assert_eq!(read::<Vec<(Code, String)>>("codes").len(), Code::ALL.len());
}

/// A file that no test above reads would only seem to be checked.
#[test]
fn every_golden_file_is_read_here() {
    let code = include_str!("golden.rs");
    for entry in folder().read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.split('.').next().unwrap();
        let named = [format!("\"{stem}\""), format!("\"{stem}.")];
        let is_read = named.iter().any(|name| code.contains(name));
        assert!(is_read, "{name} is read by no test");
    }
}

/// Deliveries to webhooks are read one by one: the question in one has no id, as no A2A message has.
#[test]
fn notifications_are_stream_events_with_a_number() {
    let all: Vec<serde_json::Value> = read("notifications.reference");
    for (index, notification) in all.iter().enumerate() {
        assert_eq!(notification["sequence"], index + 1);
        assert!(notification["event_id"].is_string());
    }
    for notification in &all[..2] {
        let event: StreamEvent = serde_json::from_value(notification.clone()).unwrap();
        assert!(matches!(event, StreamEvent::Status(_) | StreamEvent::Artifact(_)));
    }
    assert_eq!(all[2]["status"]["message"]["parts"][0]["text"], "Which file?");
}
