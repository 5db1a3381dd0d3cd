//! What the reference's core was seen to answer, against ours.

use std::path::Path;

use bindu_grpc::tonic::Code;
use bindu_testkit::sdk::{Act, Core, Sdk, free_port};
use serde_json::{Value, json};

use super::{Ground, config, state, text_of};
use crate::caller::Result;

fn fixture(name: &str) -> Result<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/grpc").join(name);
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

fn cases(recorded: &Value, list: &str) -> Vec<Value> {
    let cases = recorded[list].as_array().cloned().unwrap_or_default();
    assert!(!cases.is_empty(), "{list}");
    cases
}

/// How our answers begin where they are not the reference's, and why.
fn ours(case: &str) -> Option<&'static str> {
    Some(match case {
        // The parser's message is ours.
        "empty string" | "truncated json" => "Invalid config_json: ",
        // The reference shows what went wrong inside of it.
        "json array" | "json null" | "json string" => {
            "Registration failed: config_json must be a JSON object"
        }
        "capabilities string" => "Registration failed: ConfigError: 'capabilities' must be",
        // The reference fails while it writes its log.
        "empty object" => {
            "Registration failed: ConfigError: missing required fields in the agent \
             configuration:\n- author\n- name\n- deployment.url"
        }
        _ => return None,
    })
}

#[tokio::test]
async fn wrong_registrations_are_told_what_is_wrong() -> Result {
    let ground = Ground::new(&[]).await?;
    for case in cases(&fixture("register.json")?, "errors") {
        let name = case["case"].as_str().unwrap_or_default();
        let config = case["config_json"].as_str().unwrap_or_default().to_owned();
        if name == "deployment without expose" {
            continue; // accepted: the TypeScript type has it optional
        }
        let answer = ground.core.register_with(config, Vec::new(), "localhost:9").await?;
        assert!(!answer.success, "{name}");
        let expected = case["response"]["error"].as_str().unwrap_or_default();
        match ours(name) {
            Some(begins) => assert!(answer.error.starts_with(begins), "{name}: {}", answer.error),
            None => assert_eq!(answer.error, expected, "{name}"),
        }
        assert!(answer.agent_id.is_empty() && answer.did.is_empty(), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn registrations_get_the_recorded_identity() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    for case in cases(&fixture("register.json")?, "successes") {
        let name = case["case"].as_str().unwrap_or_default();
        let text = case["config_json"].as_str().unwrap_or_default();
        let mut config: Value = serde_json::from_str(text)?;
        // The recorded ports are not ours to take.
        let url = config["deployment"]["url"].as_str().unwrap_or_default().to_owned();
        let recorded = url.rsplit(':').next().unwrap_or_default();
        let recorded: String = recorded.chars().take_while(char::is_ascii_digit).collect();
        let port = free_port().to_string();
        config["deployment"]["url"] = url.replace(&recorded, &port).into();
        let callback = match name {
            "empty callback" => String::new(),
            "nonsense callback" => "not an address".to_owned(),
            _ => sdk.address().to_string(),
        };
        let answer = ground.core.register(&config, &callback).await?;
        let refused = match name {
            "empty callback" | "nonsense callback" => Some("grpc_callback_address"),
            "name with path traversal" | "name with slash" => Some("'/'"),
            _ => None,
        };
        if let Some(word) = refused {
            assert!(!answer.success && answer.error.contains(word), "{name}: {answer:?}");
            continue;
        }
        assert!(answer.success, "{name}: {}", answer.error);
        let expected = &case["response"];
        assert_eq!(answer.agent_id, expected["agent_id"], "{name}");
        assert_eq!(answer.did, expected["did"], "{name}");
        let url = expected["agent_url"].as_str().unwrap_or_default().replace(&recorded, &port);
        assert_eq!(answer.agent_url, url, "{name}");
        // The same author and name come again, at another address each time.
        assert!(ground.core.unregister(&answer.agent_id, None).await?.success, "{name}");
    }
    // Whatever a name is, nothing is written beside the agents' own directories.
    let beside: Vec<_> = std::fs::read_dir(ground.directory.path())?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    assert_eq!(beside, [".bindu"]);
    Ok(())
}

#[tokio::test]
async fn heartbeats_and_goodbyes_are_answered_as_recorded() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("lives", &sdk).await?;
    let recorded = fixture("lifecycle.json")?;
    let theirs = "7fd91de7-af5e-42c3-f4e0-f4a0731e50e4";
    for case in cases(&recorded, "cases") {
        let name = case["case"].as_str().unwrap_or_default();
        let id = case["request"]["agent_id"].as_str().unwrap_or_default();
        let id = id.replace(theirs, agent.id());
        let id = id.replace(&theirs.to_uppercase(), &agent.id().to_uppercase());
        let expected = &case["response"];
        if name.starts_with("heartbeat") {
            let answer = ground.core.heartbeat(&id).await?;
            assert_eq!(answer.acknowledged, expected["acknowledged"], "{name}");
            assert!(answer.server_timestamp > 1_700_000_000_000, "{name}");
        } else {
            let answer = ground.core.unregister(&id, None).await?;
            assert_eq!(answer.success, expected["success"], "{name}");
            let error = expected["error"].as_str().unwrap_or_default();
            assert_eq!(answer.error, error.replace(theirs, agent.id()), "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn each_status_of_a_handler_fails_the_task_once() -> Result {
    let ground = Ground::new(&[("GRPC__HANDLER_TIMEOUT", "5")]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("fails", &sdk).await?;
    let codes = (1..=16).map(Code::from).filter(|code| *code != Code::Unimplemented);
    for code in codes {
        let before = sdk.count();
        let details = format!("detail {code:?}");
        sdk.set(Act::Fail(code, details.clone()));
        let id = agent.caller.begin("go").await?;
        let task = agent.settled(&id).await?;
        assert_eq!(state(&task), "failed", "{code:?}");
        let text = text_of(&task);
        assert!(text.starts_with("Task execution failed: "), "{text}");
        assert!(text.contains(&details), "{text}");
        assert!(task["artifacts"].as_array().is_none_or(Vec::is_empty), "{code:?}");
        assert_eq!(sdk.count() - before, 1, "{code:?}");
    }
    Ok(())
}

#[tokio::test]
async fn answers_end_tasks_as_recorded() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("answers", &sdk).await?;
    for case in cases(&fixture("handle_response.json")?, "cases") {
        let name = case["case"].as_str().unwrap_or_default();
        let said = &case["response"];
        let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
        let metadata: std::collections::BTreeMap<String, String> =
            serde_json::from_value(said["metadata"].clone())?;
        sdk.set(Act::Answer(bindu_grpc::proto::HandleResponse {
            content: text("content"),
            state: text("state"),
            prompt: text("prompt"),
            is_final: true,
            metadata: metadata.clone().into_iter().collect(),
        }));
        let id = agent.caller.begin("go").await?;
        let task = agent.settled(&id).await?;
        // Where ours is better: what a handler says is what happens.
        let (expected, words) = match name {
            "input-required + content" => ("input-required", Some("text")),
            "metadata overrides state" => ("input-required", Some("Which?")),
            "state completed" => ("completed", Some("text")),
            "state failed" => ("failed", Some("text")),
            "state rejected" => ("rejected", Some("no")),
            "state working" | "state bogus" => ("failed", None),
            "content embeds JSON state" => ("completed", None),
            _ => {
                let parts = &case["result"]["agent_parts"][0][0];
                (case["result"]["state"].as_str().unwrap_or_default(), parts["text"].as_str())
            }
        };
        assert_eq!(state(&task), super::known(expected), "{name}: {task}");
        if let Some(words) = words {
            assert_eq!(text_of(&task), words, "{name}");
        }
        let kept = metadata.iter().filter(|(key, _)| !matches!(key.as_str(), "state" | "prompt"));
        for (key, value) in kept {
            assert_eq!(task["metadata"]["handler"][key], *value, "{name}: {task}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn messages_over_the_limit_and_noise_are_refused_by_status() -> Result {
    let ground = Ground::new(&[("GRPC__MAX_MESSAGE_LENGTH", "65536")]).await?;
    let sdk = Sdk::start().await;
    let mut long = config("long", free_port());
    long["description"] = "x".repeat(100_000).into();
    let refused = ground.core.register(&long, &sdk.address().to_string()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_core_with_a_token_asks_for_it() -> Result {
    let ground = Ground::new(&[("GRPC__AUTH_TOKEN", "open sesame")]).await?;
    let sdk = Sdk::start().await;
    let callback = sdk.address().to_string();
    let config = config("locked", free_port());
    let strangers = [ground.core.clone(), Core::at(ground.sidecar.local_addr()).await?.token("no")];
    for stranger in strangers {
        let refused = stranger.register(&config, &callback).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        let refused = stranger.unregister("x", None).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    }
    let known = ground.core.clone().token("open sesame");
    assert!(known.register(&config, &callback).await?.success);
    Ok(())
}

#[tokio::test]
async fn skills_are_shown_with_what_their_files_say() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let skill = |name: &str, raw_content: &str| bindu_grpc::proto::SkillDefinition {
        name: name.to_owned(),
        raw_content: raw_content.to_owned(),
        ..Default::default()
    };
    let file = "id: full-v1\nname: full\ndescription: All of it\nexamples:\n  - hi\n";
    let skills =
        vec![skill("bare", ""), skill("full", file), skill("md", "---\nname: md\n---\n# x\n")];
    let config = config("skilled", free_port());
    let callback = sdk.address().to_string();
    let answer = ground.core.register_with(config.to_string(), skills, &callback).await?;
    let caller = crate::caller::Caller::at(&answer.agent_url);
    let get = async |path: &str| -> Result<Value> {
        let (status, body) = caller.get(path).await?;
        assert!(status.is_success(), "{path}: {status}");
        Ok(serde_json::from_slice(&body)?)
    };
    let card = get("/.well-known/agent.json").await?;
    let names: Vec<_> =
        card["skills"].as_array().into_iter().flatten().map(|it| &it["name"]).collect();
    assert_eq!(names, ["bare", "full", "md"]);
    let listed = get("/agent/skills").await?;
    assert_eq!(listed["total"], 3);
    assert_eq!(listed["skills"][1]["id"], "full-v1");
    for path in ["/agent/skills/full", "/agent/skills/full-v1"] {
        let shown = get(path).await?;
        assert_eq!(shown["examples"], json!(["hi"]), "{path}");
        assert_eq!(shown["has_documentation"], true, "{path}");
    }
    let (status, documentation) = caller.get("/agent/skills/full/documentation").await?;
    assert!(status.is_success());
    assert_eq!(documentation, file);

    let twice = vec![skill("a", ""), skill("a", "")];
    let refused = ground.core.register_with(config.to_string(), twice, &callback).await?;
    assert!(refused.error.contains("two skills named"), "{}", refused.error);
    Ok(())
}
