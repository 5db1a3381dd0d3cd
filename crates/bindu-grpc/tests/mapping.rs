//! Turns go out, and answers come back, as recorded: save where we do better, which is said here.

use std::sync::Arc;

use bindu_agent::{Completed, Reply, Turn, TurnParts};
use bindu_grpc::content::Transcriber;
use bindu_grpc::documents::{Config, Documents};
use bindu_grpc::outcome;
use bindu_grpc::proto::{ChatMessage, HandleRequest, HandleResponse};
use bindu_protocol::{Content, File, JsonObject, Message, Part, Role};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};

use crate::contract::{fixture, unhex};

fn turn(messages: Vec<Message>) -> Turn {
    let messages = messages.into_iter().map(Arc::new).collect();
    Turn::new(TurnParts::new("t-1".parse().unwrap(), "c-1".parse().unwrap(), messages))
}

fn said(role: Role, text: &str) -> Message {
    Message::new(role, vec![Part::text(text)])
}

async fn request(messages: Vec<Message>) -> HandleRequest {
    let transcriber = Transcriber::new(Documents::new(Config::default()));
    transcriber.request(&turn(messages)).await
}

async fn contents(parts: Vec<Part>) -> Vec<String> {
    let request = request(vec![Message::new(Role::User, parts)]).await;
    request.messages.into_iter().map(|message| message.content).collect()
}

/// The newest recorded request, with the ids that ours always have.
fn recorded(case: &Value) -> HandleRequest {
    let request = case["handle_requests"].as_array().unwrap().last().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let messages = request["messages"].as_array().unwrap().iter();
    let messages = messages.map(|message| ChatMessage {
        role: text(&message["role"]),
        content: text(&message["content"]),
    });
    HandleRequest { messages: messages.collect(), task_id: "t-1".into(), context_id: "c-1".into() }
}

/// What was said before, where the recording shows only what came of it.
fn story(case: &str) -> Vec<Message> {
    let system = "<the system prompt of the prompt spec: 2940 bytes, sha256 \
                  e07b72158082f6872da198e42cd23abc6beb7088e155d8ee358b7e7a67c420c8>";
    let story: &[(Role, &str)] = match case {
        "system message on (default)" => &[(Role::System, system), (Role::User, "hi")],
        "follow-up on input-required" => {
            &[(Role::User, "ask"), (Role::Agent, "Which?"), (Role::User, "green")]
        }
        "enable_context_based_history, second task in one context" => {
            &[(Role::User, "first"), (Role::Agent, "Echo: first"), (Role::User, "second")]
        }
        "referenceTaskIds" => {
            &[(Role::User, "orig"), (Role::Agent, "Echo: orig"), (Role::User, "refine")]
        }
        "client message with role agent" => &[(Role::Agent, "as agent")],
        other => panic!("it is not known what was said in {other:?}"),
    };
    story.iter().map(|(role, text)| said(*role, text)).collect()
}

#[tokio::test]
async fn turns_become_the_recorded_requests() {
    for case in fixture("handle_request")["cases"].as_array().unwrap() {
        let name = case["case"].as_str().unwrap();
        let messages = match case.get("parts") {
            Some(parts) if !name.starts_with("system message") => {
                vec![Message::new(Role::User, serde_json::from_value(parts.clone()).unwrap())]
            }
            _ => story(name),
        };
        let mut expected = recorded(case);
        // The reference drops data.
        match name {
            "text + data" => expected.messages[0].content = r#"hi {"a":1}"#.into(),
            "data only" | "data with text" => {
                expected.messages =
                    vec![ChatMessage { role: "user".into(), content: r#"{"a":1}"#.into() }];
            }
            _ => {}
        }
        assert_eq!(request(messages).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_message_without_text_is_left_out() {
    let nothing = Message::new(Role::Agent, vec![Part::text(""), Part::text("")]);
    let request = request(vec![said(Role::User, "a"), nothing, said(Role::User, "b")]).await;
    let contents: Vec<_> = request.messages.iter().map(|message| &*message.content).collect();
    assert_eq!(contents, ["a", "b"]);
}

#[tokio::test]
async fn a_file_without_a_program_to_read_it_says_so_in_its_place() {
    let pdf = File {
        bytes: Some("JVBERi0xLjQ=".into()),
        mime_type: Some("application/pdf".into()),
        ..File::default()
    };
    let parts = vec![Part::text("see"), Part::file(pdf), Part::text("and say")];
    let expected = "see --- Document Uploaded ---\n[Error: Could not parse PDF content]\n\
                    --- End of Document --- and say";
    assert_eq!(contents(parts).await, [expected]);
}

/// A reply as the recording shows a task: its state, what the agent says, and what came out.
#[derive(Debug, PartialEq)]
struct Seen {
    state: String,
    message: Vec<Part>,
    artifact: Option<Vec<Part>>,
}

fn seen(reply: Reply) -> Seen {
    let state = |state| {
        let Ok(Value::String(state)) = serde_json::to_value(state) else { panic!("{state:?}") };
        state
    };
    match reply {
        Reply::Completed(Completed { message, mut artifacts, .. }) => {
            assert_eq!(artifacts.len(), 1);
            let artifact = artifacts.pop().map(|artifact| artifact.parts);
            Seen { state: "completed".into(), message, artifact }
        }
        Reply::Paused { state: paused, message, .. } => {
            Seen { state: state(paused), message, artifact: None }
        }
        Reply::Ended { state: ended, reason, .. } => {
            Seen { state: state(ended), message: vec![Part::text(reason)], artifact: None }
        }
        other => panic!("expected a whole reply, got {other:?}"),
    }
}

fn recorded_task(result: &Value) -> Seen {
    let parts = |parts: &Value| -> Vec<Part> { serde_json::from_value(parts.clone()).unwrap() };
    let artifact = result["artifacts"].get(0).map(|artifact| {
        let mut parts = parts(&artifact["parts"]);
        for part in &mut parts {
            part.metadata = None;
        }
        parts
    });
    let state = result["state"].as_str().unwrap().to_owned();
    Seen { state, message: parts(&result["agent_parts"][0]), artifact }
}

/// What we make of answers that the reference gets wrong.
fn ours(case: &str) -> Option<Seen> {
    let text = |text: &str| vec![Part::text(text)];
    let (state, said) = match case {
        // What has a field of its own is not heard in the remarks.
        "metadata overrides state" => ("input-required", "Which?"),
        // A question without a prompt is its text.
        "input-required + content" => ("input-required", "text"),
        "state completed" => ("completed", "text"),
        "state failed" => ("failed", "text"),
        "state rejected" => ("rejected", "no"),
        "state working" => {
            ("failed", "the handler answered with a state that is not known: `working`")
        }
        "state bogus" => ("failed", "the handler answered with a state that is not known: `bogus`"),
        // A text that merely quotes a state is a text.
        "content embeds JSON state" => {
            ("completed", r#"Sure. {"state":"input-required","prompt":"From text?"} ok"#)
        }
        _ => return None,
    };
    let artifact = (state == "completed").then(|| text(said));
    Some(Seen { state: state.into(), message: text(said), artifact })
}

#[test]
fn answers_become_the_recorded_tasks() {
    let mut differ = 0;
    for case in fixture("handle_response")["cases"].as_array().unwrap() {
        let name = case["case"].as_str().unwrap();
        let bytes = unhex(case["response_hex"].as_str().unwrap());
        let ours = ours(name);
        differ += usize::from(ours.is_some());
        let expected = ours.unwrap_or_else(|| recorded_task(&case["result"]));
        let reply = outcome::reply(HandleResponse::decode(&*bytes).unwrap());
        assert_eq!(seen(reply), expected, "{name}");
    }
    assert_eq!(differ, 8);
}

fn answer(state: &str, content: &str, prompt: &str, metadata: &[(&str, &str)]) -> HandleResponse {
    let metadata = metadata.iter().map(|(name, text)| ((*name).into(), (*text).into()));
    HandleResponse {
        content: content.into(),
        state: state.into(),
        prompt: prompt.into(),
        is_final: true,
        metadata: metadata.collect(),
    }
}

/// Remarks of the message, and metadata of the task.
fn notes(reply: Reply) -> (Option<JsonObject>, Option<JsonObject>) {
    match reply {
        Reply::Completed(Completed { remarks, metadata, .. })
        | Reply::Paused { remarks, metadata, .. }
        | Reply::Ended { remarks, metadata, .. } => (remarks, metadata),
        other => panic!("expected a whole reply, got {other:?}"),
    }
}

#[test]
fn remarks_are_on_the_message_and_in_the_task_however_it_ends() {
    let extra = [("model", "small"), ("state", "completed"), ("prompt", "x"), ("content", "y")];
    for state in ["", "completed", "input-required", "auth-required", "failed", "rejected", "odd"] {
        let (remarks, metadata) = notes(outcome::reply(answer(state, "text", "why", &extra)));
        let remarks = remarks.map(|remarks| remarks.to_map());
        assert_eq!(remarks.map(Value::from), Some(json!({"model": "small"})), "{state}");
        let metadata = metadata.map(|metadata| metadata.to_map());
        let expected = json!({"handler": {"model": "small"}});
        assert_eq!(metadata.map(Value::from), Some(expected), "{state}");
    }
    let none = notes(outcome::reply(answer("", "text", "", &[("state", "failed")])));
    assert_eq!(none, (None, None));
}

#[test]
fn terms_of_payment_stay_beside_remarks() {
    let text = r#"{"state": "payment-required", "prompt": "Pay", "amount": "1"}"#;
    let (_, metadata) = notes(outcome::reply(answer("", text, "", &[("model", "small")])));
    let metadata = metadata.unwrap();
    assert_eq!(metadata.get("amount"), Some("1".into()));
    assert_eq!(metadata.get("handler"), Some(json!({"model": "small"})));
}

#[test]
fn whoever_ends_without_a_word_is_given_some() {
    let reason = |state, content, prompt| match outcome::reply(answer(state, content, prompt, &[]))
    {
        Reply::Ended { reason, .. } => reason,
        other => panic!("expected an end, got {other:?}"),
    };
    assert_eq!(reason("failed", "", ""), "no reason was given");
    assert_eq!(reason("rejected", "", "why"), "why");
    let long = "long\n".repeat(1000);
    let reason = reason(&long, "", "");
    assert!(reason.len() < 200 && !reason.contains('\n'), "{reason:?}");
}

/// Text that is likely to mean something to somebody.
fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just(String::new()),
        Just("input-required".to_owned()),
        Just("completed".to_owned()),
        Just("{\"state\": \"failed\"".to_owned()),
        r#"\{"state": ?("input-required"|"payment-required"|"failed"|1|null|\[\])(, "prompt": ?(""|"x"|\{\}|\{"prompt": \[\]\}))?\}"#,
        Just("[".repeat(4000)),
        Just(format!("{{\"state\":{}", "[".repeat(4000))),
    ]
}

fn odd_answer() -> impl Strategy<Value = HandleResponse> {
    let metadata = prop::collection::btree_map(odd_text(), odd_text(), 0..4);
    let fields = (odd_text(), odd_text(), odd_text(), any::<bool>(), metadata);
    fields.prop_map(|(content, state, prompt, is_final, metadata)| HandleResponse {
        content,
        state,
        prompt,
        is_final,
        metadata,
    })
}

fn odd_part() -> impl Strategy<Value = Part> {
    let maybe = || prop::option::of(odd_text());
    let media_type =
        prop_oneof![Just("text/plain".to_owned()), Just("application/pdf".to_owned()), odd_text(),];
    let bytes = prop::option::of(prop_oneof![odd_text(), "[A-Za-z0-9+/]{0,40}={0,2}"]);
    let file = (bytes, maybe(), prop::option::of(media_type), maybe());
    prop_oneof![
        odd_text().prop_map(Part::text),
        (odd_text(), maybe()).prop_map(|(data, text)| {
            Content::Data { data: Value::from(data).into(), text }.into()
        }),
        file.prop_map(|(bytes, uri, mime_type, name)| {
            Part::file(File { bytes, uri, mime_type, name, embeddings: None })
        }),
    ]
}

proptest! {
    #[test]
    fn no_answer_is_too_odd(answer in odd_answer()) {
        let sent: usize = answer.encoded_len();
        let said = match outcome::reply(answer) {
            Reply::Completed(done) => {
                prop_assert_eq!(done.artifacts.len(), 1);
                done.message
            }
            Reply::Paused { message, .. } => message,
            Reply::Ended { reason, .. } => vec![Part::text(reason)],
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert!(!said.is_empty());
        let texts = said.iter().filter_map(Part::as_text);
        // Nothing grows much: the most is a state that is shown with its odd characters escaped.
        prop_assert!(texts.map(str::len).sum::<usize>() <= sent + 1024);
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(answer) = HandleResponse::decode(&*bytes) {
            let _ = outcome::reply(answer);
        }
    }

    #[test]
    fn no_part_is_too_odd(parts in prop::collection::vec(odd_part(), 0..5)) {
        let sent: usize = parts.iter().map(|part| format!("{part:?}").len() + 128).sum();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let contents = runtime.block_on(contents(parts));
        prop_assert!(contents.len() <= 1);
        for content in contents {
            prop_assert!(!content.is_empty() && content.len() <= sent, "{content:?}");
        }
    }
}
