//! What holds for any input.

use bindu_agent::loose::{self, Loose};
use bindu_agent::skills::{Skill, SkillSet};
use bindu_agent::{Chunk, Collected, Reply};
use bindu_protocol::{Dialect, Part, TaskState};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any JSON, with the members that mean something more often than chance would have them.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        prop::sample::select(vec!["input-required", "payment-required", "failed", "text", "data"])
            .prop_map(Value::from),
        Just(json!({"state": "auth-required"}).to_string().into()),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "state",
            "prompt",
            "content",
            "kind",
            "text",
            "file",
            "data",
            "bytes",
            "name",
            "description",
            "id",
            "tags",
            "assessment",
            "keywords",
            "metadata",
        ])
        .prop_map(str::to_owned),
        "[a-z]{0,3}",
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(name.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_chunk() -> impl Strategy<Value = Chunk> {
    prop_oneof![
        "[a-z]{0,4}".prop_map(Chunk::Text),
        vec("[a-z]{0,4}".prop_map(Part::text), 0..3).prop_map(Chunk::Parts),
    ]
}

/// YAML made of pieces that a parser finds hard.
fn yaml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "---\n",
            "...\n",
            "name: n\n",
            "description: d\n",
            "tags: ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            "&a ",
            "*a ",
            "<<: ",
            "? ",
            ": ",
            "|\n",
            ">\n",
            "'",
            "\"",
            "#",
            "!!binary ",
            "!x ",
            "\n",
            "\r\n",
            "  ",
            "\t",
            "\u{feff}",
            "%YAML 1.2\n",
            "0x1F",
            "1e999",
            ".nan",
            "~",
        ])
        .prop_map(str::to_owned),
        ".{0,8}",
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn check(skill: Skill) -> Result<(), TestCaseError> {
    let id = skill.id.clone();
    prop_assert!(!id.is_empty() && !id.contains('/'), "id {id:?}");
    let skills = SkillSet::new(vec![skill]).map_err(|e| TestCaseError::fail(e.to_string()))?;
    let skill = skills.find(&id);
    prop_assert!(skill.is_some());
    let detail = skill.map(|skill| skill.detail("http://a.example"));
    prop_assert!(serde_json::to_string(&detail).is_ok());
    Ok(())
}

proptest! {
    #[test]
    fn any_result_becomes_a_reply_that_can_be_written(value in any_json()) {
        let parts = match loose::reply(Loose::Value(value)) {
            Reply::Completed(done) => {
                prop_assert_eq!(done.artifacts.len(), 1);
                prop_assert!(!done.artifacts[0].parts.is_empty());
                done.message
            }
            Reply::Paused { state, message, .. } => {
                prop_assert!(matches!(state, TaskState::InputRequired | TaskState::AuthRequired));
                message
            }
            Reply::Ended { state, reason, .. } => {
                prop_assert!(matches!(state, TaskState::Failed | TaskState::Rejected));
                prop_assert!(!reason.is_empty());
                return Ok(());
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert!(!parts.is_empty());
        prop_assert!(serde_json::to_string(&Dialect::Reference.view(&parts[..])).is_ok());
    }

    #[test]
    fn a_text_without_braces_is_kept_byte_for_byte(text in "[^{}]*") {
        match loose::reply(Value::from(text.clone())) {
            Reply::Completed(done) => prop_assert_eq!(done.message, [Part::text(text)]),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }

    #[test]
    fn collected_parts_hold_all_text_in_order(chunks in vec(any_chunk(), 0..12)) {
        let mut collected = Collected::default();
        let mut all = String::new();
        for chunk in &chunks {
            match chunk {
                Chunk::Text(text) => all.push_str(text),
                Chunk::Parts(parts) => parts.iter().filter_map(Part::as_text).for_each(|t| all.push_str(t)),
                _ => {}
            }
            collected.push(chunk);
        }
        let parts = collected.into_parts();
        let joined: String = parts.iter().filter_map(Part::as_text).collect();
        prop_assert_eq!(joined, all);
        let explicit: usize = chunks.iter().map(|c| if let Chunk::Parts(p) = c { p.len() } else { 0 }).sum();
        prop_assert!(parts.len() <= 2 * explicit + 1);
    }

    #[test]
    fn any_text_is_a_skill_or_an_error(text in ".*") {
        let _ = Skill::parse_yaml(&text);
        let _ = Skill::parse_markdown(&format!("---\n{text}"));
    }

    #[test]
    fn anything_like_yaml_is_a_skill_or_an_error(text in yaml_like()) {
        for text in [text.clone(), format!("name: n\ndescription: d\n{text}")] {
            if let Ok(skill) = Skill::parse_yaml(&text) {
                check(skill)?;
            }
            if let Ok(skill) = Skill::parse_markdown(&format!("---\n{text}\n---\n")) {
                check(skill)?;
            }
        }
    }

    #[test]
    fn any_object_is_a_skill_or_an_error(value in any_json()) {
        let mut named = value.clone();
        if let Some(map) = named.as_object_mut() {
            map.insert("name".into(), "n".into());
            map.insert("description".into(), "d".into());
        }
        for value in [value, named] {
            if let Ok(skill) = Skill::from_value(value) {
                check(skill)?;
            }
        }
    }
}
