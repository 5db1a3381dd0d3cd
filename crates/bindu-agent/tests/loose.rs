//! Loosely typed results, as recorded from agents written in Python and from SDKs.

use bindu_agent::loose::{self, Loose};
use bindu_agent::{Completed, Reply};
use bindu_protocol::{Dialect, Part};
use serde_json::{Value, json};

fn shown(parts: &[Part]) -> Value {
    serde_json::to_value(Dialect::Reference.view(parts)).unwrap()
}

/// What the reply says of the task: its state, the parts that join the history, and those of the
/// one artifact.
fn outcome(reply: Reply) -> Value {
    match reply {
        Reply::Completed(Completed { message, artifacts, .. }) => {
            let [artifact] = &artifacts[..] else { panic!("one artifact, not {artifacts:?}") };
            assert_eq!(artifact.name.as_deref(), Some("result"));
            json!(["completed", shown(&message), shown(&artifact.parts)])
        }
        Reply::Paused { state, message, metadata: None, .. } => {
            json!([state.as_str(), shown(&message)])
        }
        Reply::Paused { state, message, metadata: Some(metadata), .. } => {
            json!([state.as_str(), shown(&message), metadata])
        }
        Reply::Ended { state, reason, .. } => json!([state.as_str(), reason]),
        other => panic!("never a {other:?}"),
    }
}

fn of(value: Value) -> Value {
    outcome(loose::reply(value))
}

fn text(text: &str) -> Value {
    let parts = json!([{"kind": "text", "text": text}]);
    json!(["completed", parts, parts])
}

/// A result that is data: an empty text beside it in the history, wrapped in the artifact.
fn data(value: &Value) -> Value {
    json!([
        "completed",
        [{"kind": "data", "data": value, "text": ""}],
        [{"kind": "data", "data": {"result": value}}],
    ])
}

#[test]
fn scalars_become_text() {
    assert_eq!(of(json!("ok")), text("ok"));
    assert_eq!(of(json!("")), text(""));
    assert_eq!(of(json!(42)), text("42"));
    assert_eq!(of(json!(1.5)), text("1.5"));
    assert_eq!(of(json!(true)), text("True"));
    assert_eq!(of(json!(null)), text(""));
}

#[test]
fn of_a_generator_the_last_value_counts() {
    assert_eq!(
        outcome(loose::reply(Loose::Generator(vec!["one".into(), "two".into()]))),
        text("two")
    );
    assert_eq!(outcome(loose::reply(Loose::Generator(Vec::new()))), text(""));
    let asks = vec!["thinking".into(), json!({"state": "input-required", "prompt": "more?"})];
    assert_eq!(
        outcome(loose::reply(Loose::Generator(asks))),
        json!(["input-required", [{"kind": "text", "text": "more?"}]])
    );
}

#[test]
fn of_a_list_the_last_element_counts() {
    assert_eq!(of(json!(["a", "b", "c"])), text("c"));
    assert_eq!(of(json!([{"a": 1}, {"b": 2}])), data(&json!({"b": 2})));
    assert_eq!(of(json!([])), text("[]"));
    let messages = json!([
        {"role": "assistant", "content": "first"},
        {"role": "assistant", "content": "last: x"},
    ]);
    assert_eq!(of(messages), text("last: x"));
}

#[test]
fn a_content_is_taken_out_once() {
    assert_eq!(of(json!({"content": "from content", "other": 1})), text("from content"));
    assert_eq!(
        of(json!({"content": {"content": "x"}})),
        data(&json!({"content": "x"})),
        "a content inside a content is data"
    );
    assert_eq!(
        of(json!({"content": ["a", "b"]})),
        json!([
            "completed",
            [{"kind": "text", "text": "a"}, {"kind": "text", "text": "b"}],
            [{"kind": "text", "text": "a\nb"}],
        ])
    );
    assert_eq!(
        of(json!({"content": ["a", {"b": 1}, 2, null]})),
        json!([
            "completed",
            [
                {"kind": "text", "text": "a"},
                {"kind": "data", "data": {"b": 1}, "text": ""},
                {"kind": "text", "text": "2"},
                {"kind": "text", "text": "None"},
            ],
            [{"kind": "data", "data": {"result": ["a", {"b": 1}, 2, null]}}],
        ])
    );
}

#[test]
fn other_dictionaries_become_data() {
    let value = json!({
        "answer": 42, "label": "x", "nested": {"ok": true, "ratio": 0.5, "none": null},
        "items": [1, "two", false],
    });
    assert_eq!(of(value.clone()), data(&value));
}

#[test]
fn dictionaries_that_are_parts_become_those_parts() {
    let file = json!({
        "kind": "file", "text": "",
        "file": {"bytes": "aGVsbG8gZmlsZQ==", "mimeType": "text/plain", "name": "note.txt"},
    });
    assert_eq!(of(file.clone()), json!(["completed", [file], [file]]));
    let part = json!({"kind": "data", "data": {"z": 1}});
    assert_eq!(of(part.clone()), json!(["completed", [part], [part]]));
    let odd = json!({"kind": "text", "text": "x", "file": 3, "colour": "red"});
    assert_eq!(of(odd.clone()), json!(["completed", [odd], [odd]]));
}

#[test]
fn dictionaries_that_only_look_like_parts_are_data() {
    for value in [
        json!({"kind": "text", "text": 5}),
        json!({"kind": "file", "file": {"name": "no content"}}),
        json!({"kind": "data", "data": [1]}),
        json!({"kind": "data"}),
        json!({"kind": "video", "video": "x"}),
    ] {
        assert_eq!(of(value.clone()), data(&value));
    }
}

#[test]
fn lists_of_parts_and_strings_are_kept_whole() {
    let part = json!({"kind": "data", "data": {"z": 1}});
    let both = json!([{"kind": "text", "text": "see"}, part]);
    assert_eq!(of(json!(["see", part])), json!(["completed", both, both]));
    assert_eq!(of(json!({"content": ["see", part]})), json!(["completed", both, both]));
}

#[test]
fn a_state_pauses_the_task() {
    assert_eq!(
        of(json!({"state": "input-required", "prompt": "Which colour?"})),
        json!(["input-required", [{"kind": "text", "text": "Which colour?"}]])
    );
    let signing_in = json!({
        "state": "auth-required", "prompt": "Please sign in", "auth_type": "oauth2",
        "service": "paintshop",
    });
    assert_eq!(
        of(signing_in),
        json!(["auth-required", [{"kind": "text", "text": "Please sign in"}]])
    );
    assert_eq!(
        of(json!({"state": "input-required", "prompt": {"prompt": "inner?", "x": 1}})),
        json!(["input-required", [{"kind": "text", "text": "inner?"}]])
    );
    assert_eq!(
        of(json!({"state": "input-required", "prompt": {"choices": [1]}})),
        json!(["input-required", [{"kind": "data", "data": {"choices": [1]}, "text": ""}]])
    );
}

#[test]
fn a_string_that_is_a_state_as_a_whole_pauses_the_task() {
    let asked = json!(["input-required", [{"kind": "text", "text": "Which one?"}]]);
    let object = r#"{"state": "input-required", "prompt": "Which one?"}"#;
    assert_eq!(of(object.into()), asked);
    assert_eq!(of(format!("\n  {object}\n").into()), asked);
    assert_eq!(of(format!("```json\n{object}\n```").into()), asked);
    assert_eq!(of(format!("```\n{object}```\n").into()), asked);

    let without = r#"{"state": "input-required", "x": 1}"#;
    assert_eq!(of(without.into()), json!(["input-required", [{"kind": "text", "text": without}]]));
}

#[test]
fn prose_that_quotes_a_state_stays_text() {
    let object = r#"{"state": "input-required", "prompt": "From text?"}"#;
    for quoted in [
        format!("Sure. {object} ok"),
        format!("Sure.\n```json\n{object}\n```"),
        format!("```json\n{object}\n```\n```\n{object}\n```"),
        format!("{object}{object}"),
        format!("[{object}]"),
        r#"{"a":1}"#.to_owned(),
        "```".to_owned(),
        "```\n```".to_owned(),
    ] {
        assert_eq!(of(quoted.clone().into()), text(&quoted));
    }
}

#[test]
fn a_price_is_asked_as_a_question_and_its_terms_are_kept() {
    let terms = json!({"state": "payment-required", "prompt": "Pay", "amount": 3});
    assert_eq!(
        of(terms.clone()),
        json!(["input-required", [{"kind": "text", "text": "Pay"}], terms])
    );
    let silent = json!({"state": "payment-required", "amount": 3});
    assert_eq!(
        of(silent.clone()),
        json!(["input-required", [{"kind": "data", "data": silent, "text": ""}]])
    );
}

#[test]
fn a_handler_may_say_that_it_failed() {
    assert_eq!(
        of(json!({"state": "failed", "prompt": "p", "content": "c"})),
        json!(["failed", "p"])
    );
    assert_eq!(of(json!({"state": "rejected", "content": "no"})), json!(["rejected", "no"]));
    assert_eq!(of(json!({"state": "rejected", "reason": "no"})), json!(["rejected", "no"]));
    assert_eq!(
        of(json!({"state": "failed", "error": {"code": 1}})),
        json!(["failed", "{'code': 1}"])
    );
    assert_eq!(of(r#"{"state": "failed"}"#.into()), json!(["failed", "no reason was given"]));
}

#[test]
fn any_other_state_is_data() {
    for state in [json!("done"), json!("completed"), json!("working"), json!(7), json!(null)] {
        let value = json!({"state": state, "content": "text", "prompt": "other"});
        assert_eq!(of(value.clone()), data(&value));
    }
    let as_text = r#"{"state": "completed"}"#;
    assert_eq!(of(as_text.into()), text(as_text));
}

/// What an SDK's `HandleResponse` becomes: content, state, prompt, metadata.
fn sdk(content: &str, state: &str, prompt: &str, metadata: &[(&str, &str)]) -> Value {
    let metadata = metadata.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    outcome(loose::reply(Loose::response(content, state, prompt, metadata)))
}

#[test]
fn without_a_state_only_the_content_of_a_response_counts() {
    assert_eq!(sdk("answer", "", "", &[]), text("answer"));
    assert_eq!(sdk("answer", "", "p?", &[("a", "1"), ("state", "input-required")]), text("answer"));
    assert_eq!(sdk("", "", "p?", &[]), text(""));
    assert_eq!(sdk(r#"{"a":1}"#, "", "", &[]), text(r#"{"a":1}"#));
    assert_eq!(
        sdk(r#"{"state":"input-required","prompt":"From text?"}"#, "", "", &[]),
        json!(["input-required", [{"kind": "text", "text": "From text?"}]])
    );
}

#[test]
fn the_state_of_a_response_pauses_the_task() {
    let which = json!(["input-required", [{"kind": "text", "text": "Which?"}]]);
    assert_eq!(sdk("", "input-required", "Which?", &[]), which);
    assert_eq!(sdk("text", "input-required", "Which?", &[]), which);
    assert_eq!(sdk("", "input-required", "Which?", &[("a", "1")]), which);
    let paused = |state: &str, members: Value| json!([state, [{"kind": "data", "data": members, "text": ""}]]);
    assert_eq!(
        sdk("text", "input-required", "", &[]),
        paused("input-required", json!({"state": "input-required", "content": "text"}))
    );
    assert_eq!(
        sdk("", "input-required", "", &[]),
        paused("input-required", json!({"state": "input-required"}))
    );
    assert_eq!(
        sdk("", "auth-required", "", &[]),
        paused("auth-required", json!({"state": "auth-required"}))
    );
    assert_eq!(
        sdk("", "payment-required", "Pay", &[]),
        json!([
            "input-required",
            [{"kind": "text", "text": "Pay"}],
            {"state": "payment-required", "prompt": "Pay"},
        ])
    );
}

#[test]
fn other_states_of_a_response_are_data_or_the_end() {
    for state in ["completed", "working", "bogus"] {
        assert_eq!(sdk("text", state, "", &[]), data(&json!({"state": state, "content": "text"})));
    }
    assert_eq!(
        sdk("", "input-required", "Which?", &[("prompt", "other"), ("state", "completed")]),
        data(&json!({"state": "completed", "prompt": "other"})),
        "metadata has the last word"
    );
    assert_eq!(sdk("text", "failed", "p", &[]), json!(["failed", "p"]));
    assert_eq!(sdk("no", "rejected", "", &[]), json!(["rejected", "no"]));
}
