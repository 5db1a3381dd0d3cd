//! What is taken from peers that spell differently, leave out, repeat or add.

use bindu_protocol::{
    AgentCard, AgentKind, ApiKeyLocation, Artifact, Context, ContextParams, FeedbackParams,
    IdentityProvider, ListParams, Message, Part, PushConfig, PushParams, Role, SecurityScheme,
    SendConfiguration, SendParams, SendResult, StreamEvent, Task, TaskParams, TaskState,
    TaskStatusUpdate, TrustLevel,
};
use serde::de::DeserializeOwned;
use serde_json::json;

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn refused<T: DeserializeOwned>(text: &str) -> String {
    match serde_json::from_str::<T>(text) {
        Ok(_) => panic!("taken: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_key_may_be_in_either_spelling_and_camel_wins() {
    let mixed = r#"{"message_id":"m","contextId":"c","task_id":"t","role":"user","parts":[]}"#;
    let message: Message = read(mixed);
    assert_eq!(message.context_id.unwrap().to_string(), "c");
    assert_eq!(message.task_id.unwrap().to_string(), "t");
    for text in [
        r#"{"messageId":"camel","message_id":"snake","role":"user","parts":[]}"#,
        r#"{"message_id":"snake","messageId":"camel","role":"user","parts":[]}"#,
    ] {
        assert_eq!(read::<Message>(text).id.to_string(), "camel");
    }
    for text in [
        r#"{"context_id":"snake","role":"r","createdAt":"2026-01-01T00:00:00Z",
            "updated_at":"2026-01-01T00:00:00Z","contextId":"camel"}"#,
        r#"{"contextId":"camel","context_id":"snake","role":"r","kind":"context",
            "created_at":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z"}"#,
    ] {
        assert_eq!(read::<Context>(text).context_id.to_string(), "camel");
    }
}

#[test]
fn of_a_repeated_key_the_last_counts() {
    let text = r#"{"id":"a","historyLength":1,"id":"b","historyLength":2}"#;
    let params: TaskParams = read(text);
    assert_eq!((params.id.to_string(), params.history_length), ("b".to_owned(), Some(2)));
    let text = r#"{"name":"a","url":"u","name":"b","protocolVersion":"1","protocolVersion":"2"}"#;
    let card: AgentCard = read(text);
    assert_eq!((card.name.as_str(), card.protocol_version.as_str()), ("b", "2"));
}

#[test]
fn null_is_absent() {
    let params: SendParams = read(
        r#"{"message":{"messageId":"m","contextId":null,"taskId":null,"referenceTaskIds":null,
            "kind":null,"metadata":null,"role":"user","extensions":null,
            "parts":[{"kind":"text","text":"hi","metadata":null,"embeddings":null,"file":null}]},
            "configuration":null,"metadata":null}"#,
    );
    assert_eq!(params.configuration, SendConfiguration::default());
    assert_eq!(params.message.metadata, None);
    assert_eq!(params.message.parts, [Part::text("hi")]);
    assert!(
        refused::<Message>(r#"{"messageId":null,"role":"user","parts":[]}"#)
            .contains("messageId: is required")
    );
    let card: AgentCard = read(
        r#"{"name":"a","url":"u","skills":null,"capabilities":null,"additionalInterfaces":null,
            "security":null,"securitySchemes":null,"provider":null,"description":null,"id":null}"#,
    );
    assert!(card.skills.is_empty() && card.security_schemes.is_empty() && card.id.is_none());
}

#[test]
fn unknown_members_are_dropped_at_every_level() {
    let plain = r#"{"messageId":"m","role":"user","parts":[{"kind":"text","text":"a"}]}"#;
    let more = r#"{"x":1,"messageId":"m","role":"user","y_z":{"a":[]},
        "parts":[{"kind":"text","x":null,"text":"a","type":"file"}]}"#;
    assert_eq!(read::<Message>(plain), read::<Message>(more));
    let text = r#"{"kind":"file","file":{"uri":"u","mime":"x","sizeBytes":1e999},"file_id":7}"#;
    assert_eq!(read::<Part>(text).as_file().unwrap().uri.as_deref(), Some("u"));
    assert_eq!(read::<ListParams>(r#"{"length":5}"#), ListParams::default());
}

#[test]
fn free_form_maps_keep_their_spelling() {
    let text = r#"{"kind":"data","data":{"task_id":1,"taskId":2,"x":null},"metadata":{"a_b":{"contextId":1}}}"#;
    let part: Part = read(text);
    assert_eq!(part.as_data().unwrap().as_str(), r#"{"task_id":1,"taskId":2,"x":null}"#);
    assert_eq!(part.metadata.unwrap().as_str(), r#"{"a_b":{"contextId":1}}"#);
}

#[test]
fn integers_and_booleans_are_taken_as_python_would() {
    for (given, expected) in [
        ("5", 5),
        ("5.0", 5),
        ("\"5\"", 5),
        ("true", 1),
        ("-3", -3),
        ("18446744073709551615", i64::MAX),
    ] {
        let params: TaskParams = read(&format!(r#"{{"id":"t","historyLength":{given}}}"#));
        assert_eq!(params.history_length, Some(expected), "{given}");
    }
    for wrong in ["1.5", "\"five\"", "\"\"", "[]", "{}"] {
        let error = refused::<TaskParams>(&format!(r#"{{"id":"t","history_length":{wrong}}}"#));
        assert!(error.starts_with("historyLength: "), "{error}");
    }
    for given in ["true", "1", "\"true\"", "\"YES\"", "\"on\"", "\"y\"", "\"t\"", "\"1\""] {
        let text = format!(r#"{{"blocking":{given}}}"#);
        assert_eq!(read::<SendConfiguration>(&text).blocking, Some(true), "{given}");
    }
    for given in ["false", "0", "\"False\"", "\"no\"", "\"off\"", "\"n\"", "\"f\"", "\"0\""] {
        let text = format!(r#"{{"blocking":{given}}}"#);
        assert_eq!(read::<SendConfiguration>(&text).blocking, Some(false), "{given}");
    }
    for wrong in ["2", "-1", "\"maybe\"", "[]", "0.5"] {
        refused::<SendConfiguration>(&format!(r#"{{"blocking":{wrong}}}"#));
    }
}

#[test]
fn embeddings_are_finite_numbers() {
    let part: Part = read(r#"{"kind":"text","text":"a","embeddings":[1,"2.5",-0.5]}"#);
    assert_eq!(part.embeddings.as_deref(), Some(&[1.0, 2.5, -0.5][..]));
    for wrong in ["\"nan\"", "\"inf\"", "true", "\"x\"", "[1]"] {
        refused::<Part>(&format!(r#"{{"kind":"text","text":"a","embeddings":[{wrong}]}}"#));
    }
}

#[test]
fn ids_are_opaque_and_bounded() {
    let id = |text: &str| serde_json::from_value::<TaskParams>(json!({ "id": text }));
    for good in ["x", "0", " a b ", "urn:uuid:1", &"ä".repeat(128), "\u{2028}"] {
        assert_eq!(id(good).unwrap().id.to_string(), good);
    }
    for bad in ["", "a\nb", "\u{7f}", "\u{0}", "\u{85}", &"a".repeat(129)] {
        assert!(id(bad).unwrap_err().to_string().starts_with("id: "), "{bad:?}");
    }
    refused::<TaskParams>(r#"{"id":7}"#);
}

#[test]
fn a_task_may_be_named_by_either_member() {
    for text in [r#"{"id":"t"}"#, r#"{"taskId":"t"}"#, r#"{"task_id":"t"}"#] {
        assert_eq!(read::<TaskParams>(text).id.to_string(), "t");
        assert_eq!(read::<PushParams>(text).task_id.to_string(), "t");
    }
    assert!(refused::<TaskParams>("{}").contains("id: is required"));
    assert!(refused::<ContextParams>(r#"{"id":"c"}"#).contains("contextId: is required"));
}

#[test]
fn words_of_an_enumeration_are_those_and_no_others() {
    fn check<T: DeserializeOwned>(good: &[&str], bad: &[&str]) {
        for word in good {
            read::<T>(&format!("\"{word}\""));
        }
        for word in bad {
            refused::<T>(&format!("\"{word}\""));
        }
        refused::<T>("1");
    }
    check::<Role>(&["user", "agent", "system"], &["assistant", "User", ""]);
    check::<AgentKind>(&["agent", "team", "workflow"], &["swarm", "Agent"]);
    check::<IdentityProvider>(&["hydra", "custom"], &["keycloak", "azure_ad", "okta", "auth0"]);
    check::<ApiKeyLocation>(&["query", "header", "cookie"], &["body", "Header"]);
    check::<TrustLevel>(
        &[
            "super_admin",
            "admin",
            "manager",
            "operator",
            "editor",
            "analyst",
            "auditor",
            "support",
            "viewer",
            "guest",
        ],
        &["superadmin", "super-admin", "root"],
    );
    let order: Vec<TrustLevel> = read(
        r#"["guest","viewer","support","auditor","analyst","editor","operator","manager","admin","super_admin"]"#,
    );
    assert!(order.is_sorted());
    for level in ["1", "2"] {
        read::<bindu_protocol::DebugLevel>(level);
    }
    for level in ["0", "3", "-1", "256", "\"1\""] {
        refused::<bindu_protocol::DebugLevel>(level);
    }
}

#[test]
fn a_part_must_say_its_kind_and_hold_what_it_says() {
    for (text, reason) in [
        (r#"{"text":"a"}"#, "kind: is required"),
        (r#"{"type":"text","text":"a"}"#, "kind: is required"),
        (r#"{"kind":"image","text":"a"}"#, "kind: unknown variant"),
        (r#"{"kind":"text"}"#, "text: is required"),
        (r#"{"kind":"text","text":1}"#, "text: invalid type"),
        (r#"{"kind":"file"}"#, "file: is required"),
        (r#"{"kind":"file","file":{"name":"n"}}"#, "file: bytes or uri is required"),
        (r#"{"kind":"data"}"#, "data: is required"),
        (r#"{"kind":"data","data":[]}"#, "data: expected an object"),
    ] {
        let error = refused::<Part>(text);
        assert!(error.starts_with(reason), "{text}: {error}");
    }
    let text = r#"{"message":{"messageId":"m","role":"robot","parts":[]}}"#;
    assert!(refused::<SendParams>(text).starts_with("message.role: unknown variant"));
    assert!(refused::<PushConfig>(r#"{"id":"a"}"#).starts_with("url: is required"));
    let text = r#"{"taskId":"t","feedback":"f","rating":6}"#;
    assert!(refused::<FeedbackParams>(text).starts_with("rating: must be from 1 to 5"));
}

#[test]
fn an_object_of_another_kind_is_refused() {
    let task = |kind: &str| {
        format!(r#"{{{kind}"id":"t","context_id":"c","status":{{"state":"working"}}}}"#)
    };
    read::<Task>(&task(""));
    read::<Task>(&task(r#""kind":"task","#));
    assert!(refused::<Task>(&task(r#""kind":"message","#)).contains("kind: expected task"));
    refused::<TaskStatusUpdate>(&task(r#""kind":"task","task_id":"t","#));
    refused::<Message>(r#"{"kind":"task","messageId":"m","role":"user","parts":[]}"#);
    assert!(refused::<StreamEvent>(&task("")).contains("kind: is required"));
    assert!(refused::<StreamEvent>(&task(r#""kind":"cat","#)).contains("no stream event"));
    let update = r#"{"kind":"status-update","taskId":"t","contextId":"c","final":true,
        "status":{"state":"completed"}}"#;
    assert!(refused::<SendResult>(update).contains("kind: expected task or message"));
}

#[test]
fn a_state_of_bindu_comes_back_out_of_the_metadata() {
    let read = |state: &str, metadata: &str| {
        let text = format!(
            r#"{{"kind":"status-update","taskId":"t","contextId":"c","final":false,
                "status":{{"state":"{state}"}},"metadata":{metadata}}}"#
        );
        let update: TaskStatusUpdate = read(&text);
        (update.status.state, update.metadata.map(|map| map.as_str().to_owned()))
    };
    let own = r#"{"bindu.state":"payment-required"}"#;
    assert_eq!(read("input-required", own), (TaskState::PaymentRequired, None));
    let more = r#"{"a": 1e999, "bindu.state":"suspended"}"#;
    let rest = Some(r#"{"a":1e999}"#.to_owned());
    // Where it does not go with the state shown, it is somebody's metadata.
    assert_eq!(read("completed", own), (TaskState::Completed, Some(own.to_owned())));
    for other in [
        r#"{"bindu.state":"working"}"#,
        r#"{"bindu.state":"nowhere"}"#,
        r#"{"bindu.state":1}"#,
        r#"{"x":"bindu.state"}"#,
    ] {
        assert_eq!(read("working", other), (TaskState::Working, Some(other.to_owned())));
    }
    assert_eq!(read("working", more), (TaskState::Suspended, rest));
}

#[test]
fn data_that_had_to_be_wrapped_are_unwrapped() {
    let data = |data: &str, metadata: &str| {
        let part: Part = read(&format!(r#"{{"kind":"data","data":{data},"metadata":{metadata}}}"#));
        (part.as_data().unwrap().as_str().to_owned(), part.metadata.map(|m| m.as_str().to_owned()))
    };
    let mark = r#"{"data_part_compat":true}"#;
    assert_eq!(data(r#"{"value":[1, 2]}"#, mark), ("[1, 2]".to_owned(), None));
    for (kept, metadata) in [
        (r#"{"value":[1]}"#, r#"{"data_part_compat":false}"#),
        (r#"{"value":[1],"more":1}"#, mark),
        (r#"{"value":{}}"#, mark),
        (r"{}", mark),
    ] {
        assert_eq!(data(kept, metadata), (kept.to_owned(), Some(metadata.to_owned())));
    }
}

#[test]
fn an_artifact_update_may_carry_its_marks_inside() {
    let text = r#"{"kind":"artifact-update","task_id":"t","context_id":"c",
        "artifact":{"artifact_id":"a","parts":[],"append":true,"last_chunk":"yes"}}"#;
    let StreamEvent::Artifact(update) = read(text) else { panic!("another event") };
    assert!(update.append && update.last_chunk);
    let artifact: Artifact = read(r#"{"artifactId":"a"}"#);
    assert!(artifact.parts.is_empty() && artifact.append.is_none());
}

#[test]
fn a_security_scheme_has_what_its_type_needs() {
    for (text, reason) in [
        ("{}", "type: is required"),
        (r#"{"type":"basic"}"#, "type: unknown variant"),
        (r#"{"type":"http"}"#, "scheme: is required"),
        (r#"{"type":"apiKey","name":"k"}"#, "in: is required"),
        (r#"{"type":"apiKey","name":"k","in":"body"}"#, "in: unknown variant"),
        (r#"{"type":"oauth2","flows":[]}"#, "flows: expected an object"),
        (r#"{"type":"openIdConnect"}"#, "openIdConnectUrl: is required"),
    ] {
        let error = refused::<SecurityScheme>(text);
        assert!(error.starts_with(reason), "{text}: {error}");
    }
    for text in [
        r#"{"type":"apiKey","name":"k","in_":"cookie"}"#,
        r#"{"type":"apiKey","name":"k","in":"cookie","in_":"query"}"#,
    ] {
        let scheme: SecurityScheme = read(text);
        let SecurityScheme::ApiKey { location, .. } = scheme else { panic!("{text}") };
        assert_eq!(location, ApiKeyLocation::Cookie);
    }
}

#[test]
fn a_card_names_what_is_wrong_in_it() {
    let card = |more: &str| format!(r#"{{"name":"a","url":"u",{more}}}"#);
    for (more, reason) in [
        (r#""skills":[{"id":"s"}]"#, "skills: missing field `name`"),
        (
            r#""capabilities":{"push_notifications":3}"#,
            "capabilities.pushNotifications: invalid type",
        ),
        (
            r#""agent_trust":{"identityProvider":"okta"}"#,
            "agentTrust.identityProvider: unknown variant",
        ),
    ] {
        let error = refused::<AgentCard>(&card(more));
        assert!(error.starts_with(reason), "{error}");
    }
    // A card of the reference, and one of plain A2A, as they are.
    let reference: AgentCard = read(&card(
        r#""id":"6e0f1f7c-7c37-4c7e-8f6d-1f1f5a3b3f10","protocolVersion":"1.0.0","kind":"agent",
        "skills":[{"id":"s","name":"S","documentationPath":"/agent/skills/s"}],
        "capabilities":{"extensions":[{"uri":"did:bindu:a:b:c","params":{"agent_name":"b"}}]}"#,
    ));
    assert_eq!(reference.did(), Some("did:bindu:a:b:c"));
    assert_eq!(reference.skills[0].tags, None);
}
