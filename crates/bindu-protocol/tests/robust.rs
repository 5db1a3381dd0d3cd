//! Nothing a stranger sends makes a reader panic, and what is taken once is taken again.

use bindu_protocol::{
    AgentCard, ContextParams, Dialect, DialectPolicy, FeedbackParams, ListParams, MAX_DEPTH, Marks,
    Message, Part, PushParams, PushSetParams, Request, SecurityScheme, SendParams, StreamEvent,
    Task, TaskParams, is_nested_deeper, method,
};
use proptest::prelude::*;
use serde::de::DeserializeOwned;

use crate::model;

fn read_all(text: &str) {
    fn read<T: DeserializeOwned>(text: &str) {
        let _: Result<T, _> = serde_json::from_str(text);
    }
    read::<SendParams>(text);
    read::<TaskParams>(text);
    read::<ListParams>(text);
    read::<FeedbackParams>(text);
    read::<ContextParams>(text);
    read::<PushSetParams>(text);
    read::<PushParams>(text);
    read::<StreamEvent>(text);
    read::<Task>(text);
    read::<Part>(text);
    read::<AgentCard>(text);
    read::<SecurityScheme>(text);
    for name in method::ALL {
        for policy in [DialectPolicy::Auto, DialectPolicy::A2a, DialectPolicy::Reference] {
            let marks = Marks::of(policy, name, text);
            match policy {
                DialectPolicy::A2a => assert_eq!(marks, Marks::Certain(Dialect::V0_3)),
                DialectPolicy::Reference => assert_eq!(marks, Marks::Certain(Dialect::Reference)),
                DialectPolicy::Auto => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_request_or_an_error(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        match Request::parse(&body) {
            Ok(request) => read_all(request.params),
            Err(error) => prop_assert!(matches!(error.code.0, -32700 | -32600 | -32602)),
        }
        if let Ok(text) = std::str::from_utf8(&body) {
            read_all(text);
        }
    }

    /// Nearly a request: words of the protocol and brackets in any order.
    #[test]
    fn any_words_are_read_or_refused(words in proptest::collection::vec(word(), 0..60)) {
        let text = words.concat();
        let _ = Request::parse(text.as_bytes());
        read_all(&text);
    }

    /// A real message with a few bytes changed, gone or too many.
    #[test]
    fn a_damaged_message_is_read_or_refused(
        message in model::message(),
        dialect in prop_oneof![Just(Dialect::Reference), Just(Dialect::V0_3)],
        damage in proptest::collection::vec((any::<prop::sample::Index>(), 0..3, word()), 1..4),
    ) {
        let view = dialect.view(&message);
        let mut text = format!(r#"{{"message":{}}}"#, serde_json::to_string(&view).unwrap());
        for (at, kind, word) in damage {
            let at = at.index(text.len());
            let at = (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            match kind {
                0 => text.truncate(at),
                1 => text.insert_str(at, word),
                _ => drop(text.pop()),
            }
            if text.is_empty() {
                break;
            }
        }
        read_all(&text);
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"message/send","params":{text}}}"#);
        let _ = Request::parse(body.as_bytes());
    }

    /// The depth that is measured before parsing is the depth there is.
    #[test]
    fn depth_is_measured_by_brackets_outside_strings(
        depth in 0_usize..200,
        noise in "[a-z\\[\\]{}\"\\\\]{0,20}",
    ) {
        let text = serde_json::Value::from(noise).to_string();
        let text = format!("{}{text}{}", "[".repeat(depth), "]".repeat(depth));
        prop_assert_eq!(is_nested_deeper(text.as_bytes(), MAX_DEPTH), depth > MAX_DEPTH);
    }
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\u0000",
        "\\ud800",
        "null",
        "true",
        "1e999",
        "-0",
        "1.5",
        "\"\"",
        "\"kind\":",
        "\"text\"",
        "\"parts\":[",
        "\"message\":{",
        "\"message_id\":",
        "\"messageId\":\"m\",",
        "\"role\":\"user\",",
        "\"taskId\":",
        "\"id\":\"x\",",
        "\"params\":{",
        "\"jsonrpc\":\"2.0\",",
        "\"method\":\"tasks/get\",",
        "\"metadata\":{",
        "\"bindu.state\":",
        "\"data_part_compat\":true",
        "\"data\":{\"value\":",
        "\"status\":{\"state\":\"working\"},",
        "\"historyLength\":",
        "\"type\":\"http\",",
        "\"final\":",
        "\u{fffd}",
        " ",
        "\n",
    ])
}

#[test]
fn a_value_nested_to_the_limit_can_be_read_and_one_deeper_is_refused() {
    let body = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"message/send","params":{{"message":{{"messageId":"m",
            "role":"user","parts":[{{"kind":"data","data":{{"a":{open}{close}}}}}]}}}}}}"#
        )
    };
    // Six levels are the request's own.
    let deepest = body(MAX_DEPTH - 6);
    let request = Request::parse(deepest.as_bytes()).unwrap();
    let params: SendParams = serde_json::from_str(request.params).unwrap();
    assert_ne!(params.message.parts[0].as_data().unwrap().to_value(), serde_json::Value::Null);
    let error = Request::parse(body(MAX_DEPTH - 5).as_bytes()).unwrap_err();
    assert_eq!(error.reason, "nested deeper than 128 levels");
}

#[test]
fn values_that_no_tree_can_hold_equal_only_themselves() {
    let data = |data: &str| -> Message {
        let text = format!(
            r#"{{"messageId":"m","role":"user","parts":[{{"kind":"data","data":{data}}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(data(r#"{"a": 1, "b": 2}"#), data(r#"{"b":2,"a":1}"#));
    assert_ne!(data(r#"{"a":1e999}"#), data(r#"{"b":1e999}"#));
    assert_eq!(data(r#"{"a":1e999}"#), data(r#"{"a":1e999}"#));
    let text = serde_json::to_string(&Dialect::Reference.view(&data(r#"{"a":1e999}"#))).unwrap();
    assert!(text.contains("1e999"));
}
