//! The configuration as a whole, and with the settings.

use serde_json::json;

use super::*;
use crate::settings::{Settings, StorageBackend};

fn minimal() -> serde_json::Value {
    json!({
        "author": "ann@example.com",
        "name": "echo",
        "deployment": {"url": "http://localhost:3773"}
    })
}

/// The smallest configuration with one more key.
fn with(key: &str, value: serde_json::Value) -> serde_json::Value {
    let mut config = minimal();
    config[key] = value;
    config
}

fn problems(value: &serde_json::Value) -> Vec<String> {
    let error = AgentConfig::from_value(value).expect_err("a refusal");
    error.problems().iter().map(ToString::to_string).collect()
}

fn resolved(config: &AgentConfig, variables: &[(&str, &str)]) -> Result<Resolved, ConfigError> {
    Resolved::new(config, &Settings::from_vars(variables.iter().copied())?)
}

#[test]
fn the_smallest_configuration_has_the_defaults() -> Result<(), ConfigError> {
    let read = AgentConfig::from_value(&minimal())?;
    let made = AgentConfig::new("ann@example.com", "echo");
    assert_eq!(format!("{read:?}"), format!("{made:?}"));
    assert_eq!(read.description, "A Bindu agent");
    assert_eq!((read.num_history_sessions, read.debug_level), (10, 1));
    assert!(!read.deployment.expose && read.enable_system_message);
    Ok(())
}

#[test]
fn a_whole_configuration_is_read() -> Result<(), ConfigError> {
    let config = AgentConfig::from_value(&json!({
        "author": "ann@example.com",
        "name": "echo",
        "id": "5c2ad81e-3163-48b9-e4c8-f8388ac92826",
        "description": "Says it again",
        "version": "2.0",
        "deployment": {
            "url": "https://echo.example.com", "expose": true, "protocol_version": "0.3.0",
            "cors_origins": ["https://app.example.com"], "proxy_urls": [], "openapi_schema": null
        },
        "recreate_keys": true,
        "key_password": "env:KEY_PASSWORD",
        "skills": ["skills/echo", {"name": "inline", "description": "d"}],
        "private_skills": ["skills/secret"],
        "allowed_dids": ["did:key:z1"],
        "capabilities": {
            "push_notifications": true, "streaming": true, "negotiation": true,
            "extensions": [{"uri": "https://example.com/ext", "other": 1}]
        },
        "agent_trust": {"identity_provider": "custom"},
        "kind": "team",
        "debug_mode": true, "debug_level": 2, "monitoring": true, "telemetry": false,
        "num_history_sessions": 0,
        "enable_system_message": false,
        "enable_context_based_history": true,
        "documentation_url": "https://example.com",
        "extra_metadata": {"team": "a"},
        "execution_cost": [{"amount": 0.01, "pay_to_address": "0xabc"}, {"amount": "0.02 USDC"}],
        "storage": {"type": "postgres", "database_url": "postgres://a:hunter2@b"},
        "scheduler": {"type": "redis", "redis_url": "redis://:hunter2@b"},
        "sentry": {"enabled": true, "dsn": "https://hunter2@s"},
        "auth": {"enabled": true, "provider": "hydra", "admin_url": "https://h", "timeout": 1.5},
        "vault": {"enabled": true, "url": "http://v", "token": "hunter2"},
        "negotiation": {"embedding_api_key": "hunter2"},
        "global_webhook_url": "https://hook.example.com",
        "global_webhook_token": "hunter2",
        "oltp_endpoint": "env:COLLECTOR",
        "oltp_headers": {"authorization": "hunter2"},
        "oltp_batch_max_queue_size": 1
    }))?;
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(config.skills.len(), 2);
    assert!(matches!(&config.skills[0], SkillSource::Path(path) if path.ends_with("echo")));
    assert_eq!(config.capabilities.extensions[0].uri, "https://example.com/ext");
    assert_eq!(config.execution_cost[0].amount, "0.01");
    assert_eq!(config.execution_cost[1].network, None);
    let storage = config.storage.as_ref().expect("storage");
    assert_eq!(storage.backend, StorageBackend::Postgres);
    assert!(storage.url.is_some());
    assert_eq!(config.oltp.batch_max_queue_size, Some(1));
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    Ok(())
}

#[test]
fn missing_keys_are_listed_together_with_an_example() {
    for (value, key) in [
        (json!({"author": "a", "name": "b"}), "'deployment.url'"),
        (json!({"author": "a", "name": "b", "deployment": {"url": " "}}), "'deployment.url'"),
        (json!({"author": null, "name": "b", "deployment": {"url": "http://a"}}), "'author'"),
        (json!({"author": "a", "name": "", "deployment": {"url": "http://a"}}), "'name'"),
    ] {
        let expected =
            format!("{key} is a required field in the agent configuration and must not be blank");
        assert_eq!(problems(&value), [expected]);
    }
    let all = problems(&json!({}));
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].starts_with("'author', 'name', 'deployment.url' are required"), "{all:?}");
    let example = &all[0][all[0].find('{').expect("an example")..];
    assert!(AgentConfig::from_json(example).is_ok(), "{example}");
}

#[test]
fn every_wrong_key_is_named_with_what_is_allowed() {
    for (key, value, expected) in [
        ("deployment", json!("http://a"), "'deployment' must be an object, not a string"),
        ("author", json!(1), "'author' must be a string, not a number"),
        ("id", json!("x"), "'id' must be a UUID, not a string"),
        ("recreate_keys", json!("yes"), "'recreate_keys' must be true or false, not a string"),
        ("key_password", json!(["hunter2"]), "'key_password' must be a string, not a list"),
        ("debug_level", json!(3), "'debug_level' must be 1 or 2, not a number"),
        (
            "num_history_sessions",
            json!(-1),
            "'num_history_sessions' must be a whole number, 0 or more, not a negative number",
        ),
        ("kind", json!("robot"), "'kind' must be one of: agent, team, workflow, not a string"),
        (
            "execution_cost",
            json!([]),
            "'execution_cost' must not be an empty list; leave it out for no cost",
        ),
        ("execution_cost", json!([1]), "'execution_cost' must be an object or a list of objects"),
        (
            "execution_cost",
            json!({"pay_to_address": "0x"}),
            "'execution_cost.amount' is required when execution_cost is configured",
        ),
        (
            "execution_cost",
            json!([{"amount": "1"}]),
            "'execution_cost.pay_to_address' is required in the first entry of execution_cost",
        ),
        (
            "storage",
            json!({"type": "paper"}),
            "'storage.type' is \"paper\", must be one of: memory, sqlite, postgres",
        ),
        (
            "auth",
            json!({"enabled": true, "provider": "auth0"}),
            "'auth.provider' is the unknown auth provider \"auth0\"; supported providers: hydra",
        ),
        (
            "auth",
            json!({"enabled": true, "admin_url": "ftp://h"}),
            "'auth.admin_url' has the scheme \"ftp\", use http or https",
        ),
        (
            "oltp_headers",
            json!({"a": 1}),
            "'oltp_headers' must be an object of strings, not an object",
        ),
        ("skills", json!("skills"), "'skills' must be a list, not a string"),
        (
            "capabilities",
            json!({"streaming": "true"}),
            "'capabilities.streaming' must be true or false, not a string",
        ),
    ] {
        assert_eq!(problems(&with(key, value)), [expected]);
    }
    let star = with("deployment", json!({"url": "http://a", "cors_origins": ["*"]}));
    assert!(problems(&star)[0].starts_with("'deployment.cors_origins' must not hold \"*\""));
    let port = with("deployment", json!({"url": "http://a:99999"}));
    assert_eq!(
        problems(&port),
        ["'deployment.url' has a port that is not a number from 0 to 65535"]
    );
    assert!(problems(&json!([1]))[0].contains("must be an object, not a list"));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let mut config = with("debug_level", json!(3));
    config["name"] = json!("");
    config["kind"] = json!(1);
    let keys: Vec<String> = AgentConfig::from_value(&config)
        .expect_err("a refusal")
        .problems()
        .iter()
        .map(|problem| problem.key().to_owned())
        .collect();
    assert_eq!(keys, ["'name'", "'debug_level'", "'kind'"]);
}

#[test]
fn keys_that_nobody_reads_are_reported() -> Result<(), ConfigError> {
    let mut value = with("descripton", json!("x"));
    value["colour"] = json!("blue");
    value["capabilities"] = json!({"push_notification": true});
    value["skills"] = json!([7]);
    let config = AgentConfig::from_value(&value)?;
    assert_eq!(
        config.warnings,
        [
            "'skills[0]' is a number, not a path or an object, and is left out",
            "'capabilities.push_notification' is not a key of the agent configuration, did you \
             mean 'capabilities.push_notifications'?",
            "'colour' is not a key of the agent configuration and has no effect",
            "'descripton' is not a key of the agent configuration, did you mean 'description'?",
        ]
    );
    assert_eq!(resolved(&config, &[])?.warnings, config.warnings);
    Ok(())
}

#[test]
fn a_configuration_can_come_from_a_file_or_serde() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("agent.json");
    assert!(matches!(AgentConfig::from_file(&path), Err(ConfigError::Read { .. })));
    std::fs::write(&path, "{")?;
    assert!(matches!(AgentConfig::from_file(&path), Err(ConfigError::Json { .. })));
    std::fs::write(&path, minimal().to_string())?;
    assert_eq!(AgentConfig::from_file(&path)?.name, "echo");
    let config: AgentConfig = serde_json::from_value(minimal())?;
    assert_eq!(config.author, "ann@example.com");
    assert!(serde_json::from_str::<AgentConfig>("{}").is_err());
    Ok(())
}

#[test]
fn the_configuration_wins_over_the_environment() -> Result<(), ConfigError> {
    let mut config = AgentConfig::new("a", "b");
    config.storage = Some(StorageConfig { backend: StorageBackend::Memory, url: None });
    config.telemetry = Some(false);
    config.oltp.service_name = Some("ours".into());
    config.auth = Some(AuthConfig { enabled: false, ..AuthConfig::default() });
    config.global_webhook_url = Some("https://ours.example.com/".into());
    let resolved = resolved(
        &config,
        &[
            ("STORAGE_TYPE", "postgres"),
            ("TELEMETRY_ENABLED", "true"),
            ("OLTP_SERVICE_NAME", "theirs"),
            ("OLTP_SERVICE_VERSION", "3"),
            ("AUTH__ENABLED", "true"),
            ("WEBHOOK_URL", "https://theirs.example.com"),
            ("WEBHOOK_TOKEN", "theirs"),
        ],
    )?;
    assert_eq!(resolved.storage, StorageBackend::Memory);
    assert!(!resolved.telemetry.enabled);
    assert_eq!(resolved.telemetry.service_name.as_deref(), Some("ours"));
    assert_eq!(resolved.telemetry.service_version, "3");
    let webhook = resolved.webhook.expect("a webhook");
    assert_eq!(webhook.url.as_str(), "https://ours.example.com/");
    assert_eq!(webhook.token, None, "without push notifications the environment is not asked");
    Ok(())
}

#[test]
fn the_webhook_of_the_environment_needs_push_notifications() -> Result<(), ConfigError> {
    let variables = [("WEBHOOK_URL", "https://hook.example.com"), ("WEBHOOK_TOKEN", "t")];
    let mut config = AgentConfig::new("a", "b");
    assert_eq!(resolved(&config, &variables)?.webhook, None);
    config.capabilities.push_notifications = true;
    let webhook = resolved(&config, &variables)?.webhook.expect("a webhook");
    assert_eq!(webhook.token.as_ref().map(crate::settings::Secret::reveal), Some("t"));
    let refused = resolved(&config, &[("WEBHOOK_URL", "hook")]).expect_err("a refusal");
    assert!(refused.to_string().starts_with("WEBHOOK_URL has no scheme"), "{refused}");
    Ok(())
}

#[test]
fn what_this_build_lacks_stops_the_start() {
    let plain = AgentConfig::new("a", "b");
    let expected =
        "VAULT__ENABLED is on, but a key in Vault needs the `vault` feature, not in this build";
    let refused = resolved(&plain, &[("VAULT__ENABLED", "1")]).expect_err("a refusal");
    assert_eq!(refused.to_string(), expected);
    let sidecar = resolved(&plain, &[("GRPC__ENABLED", "1")]).map(drop);
    let needs = "GRPC__ENABLED is on, but the gRPC server needs the `grpc` feature";
    let is_refused = sidecar.is_err_and(|error| error.to_string().starts_with(needs));
    assert_eq!(is_refused, !cfg!(feature = "grpc"));
    let mut config = plain;
    config.execution_cost = vec![ExecutionCost {
        amount: "1".into(),
        token: Some("USDC".into()),
        network: Some("base".into()),
        pay_to_address: Some("0x".into()),
    }];
    let error = resolved(&config, &[]).expect_err("a refusal");
    let keys: Vec<&str> = error.problems().iter().map(Problem::key).collect();
    assert_eq!(keys, ["'execution_cost'"]);
    config.execution_cost[0].pay_to_address =
        Some("0xa11ce0000000000000000000000000000000a11c".into());
    assert_eq!(resolved(&config, &[]).is_ok(), cfg!(feature = "x402"));
}

#[cfg(feature = "x402")]
#[test]
fn what_a_task_costs_is_checked_before_anything_starts() {
    let cost = |amount: &str, token: Option<&str>, network: Option<&str>| {
        let mut config = AgentConfig::new("ann@example.com", "paid");
        config.execution_cost = vec![ExecutionCost {
            amount: amount.into(),
            token: token.map(Into::into),
            network: network.map(Into::into),
            pay_to_address: Some("0xa11ce0000000000000000000000000000000a11c".into()),
        }];
        config
    };
    for good in [
        cost("0.01", Some("USDC"), Some("base-sepolia")),
        cost("$0.01", None, None),
        cost("2 USDC", None, Some("skale-europa")),
        cost("1", None, Some("eip155:137")),
        cost("1", None, Some("ethereum-sepolia")),
    ] {
        assert!(resolved(&good, &[]).is_ok(), "{:?}", good.execution_cost);
    }
    for (bad, says) in [
        (cost("0.0000001", None, None), "0"),
        (cost("0.0001", Some("ETH"), Some("ethereum")), "ETH"),
        (cost("1", None, Some("nowhere")), "base-sepolia"),
        (cost("1e3", None, None), "1e3"),
    ] {
        let error = resolved(&bad, &[]).expect_err("a refusal").to_string();
        assert!(error.contains("'execution_cost'") && error.contains(says), "{error}");
    }
    let networks =
        r#"{"mine": {"caip2": "eip155:5", "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e"}}"#;
    let own = cost("1", None, Some("mine"));
    assert!(resolved(&own, &[("X402__EXTRA_NETWORKS", networks)]).is_ok());
    assert!(resolved(&own, &[]).is_err());
    let bad = resolved(&own, &[("X402__EXTRA_NETWORKS", r#"{"mine": {"caip2": "solana:1"}}"#)]);
    assert!(bad.expect_err("a refusal").to_string().contains("X402__EXTRA_NETWORKS"));
}

#[test]
fn locks_need_their_feature_and_what_they_are_made_with() -> Result<(), ConfigError> {
    let plain = AgentConfig::new("a", "b");
    let told = |config: &AgentConfig, variables: &[(&str, &str)]| match resolved(config, variables)
    {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    let (hydra, mtls) = (cfg!(feature = "hydra"), cfg!(feature = "mtls"));
    let said = told(&plain, &[("AUTH__ENABLED", "true")]);
    assert_eq!(said.contains("authentication needs the `hydra` feature"), !hydra, "{said}");
    let said = told(&plain, &[("AUTH__ENABLED", "true"), ("MTLS__ENABLED", "true")]);
    assert_eq!(said.contains("TLS needs the `mtls` feature"), !mtls, "{said}");
    let said = told(&plain, &[("MTLS__ENABLED", "true")]);
    assert!(said.contains("so AUTH__ENABLED must be too"), "{said}");
    let said = told(&plain, &[("MTLS__ENABLED", "true"), ("MTLS__CERT_FILE", "c")]);
    assert!(said.contains("MTLS__KEY_FILE and MTLS__CA_FILE: set all three"), "{said}");
    let said = told(&plain, &[("MTLS__ENABLED", "true"), ("MTLS__MODE", "off")]);
    assert_eq!(said, "", "switched off");
    let said = told(&plain, &[("AUTH__ENABLED", "true"), ("AUTH__PROVIDER", "auth0")]);
    assert!(said.contains("Unknown authentication provider: 'auth0'"), "{said}");
    let said = told(&plain, &[("AUTH__ENABLED", "true"), ("HYDRA__ADMIN_URL", "hydra")]);
    assert!(said.contains("HYDRA__ADMIN_URL has no scheme"), "{said}");
    let mut misspelt = plain.clone();
    for (level, expected) in [
        (json!({ "tasks/cancel": "operater" }), "must be an object of trust levels"),
        (json!({ "tasks/cancle": "operator" }), "which is no method"),
        (json!({ "tasks/cancel": "operator" }), ""),
    ] {
        let serde_json::Value::Object(trust) = json!({ "allowed_operations": level }) else {
            panic!()
        };
        misspelt.agent_trust = Some(trust);
        let said = told(&misspelt, &[]);
        assert_eq!(said.is_empty(), expected.is_empty(), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let strict = [("AUTH__ENABLED", "true"), ("AUTH__SIGNATURE_MAX_AGE", "301")];
    let refused = Settings::from_vars(strict).expect_err("a refusal").to_string();
    assert!(refused.contains("must be at most 300 seconds"), "{refused}");
    if !hydra {
        return Ok(());
    }
    // What the developer wrote wins.
    let mut config = plain;
    config.auth = Some(AuthConfig {
        enabled: true,
        admin_url: Some("http://ours:4445/".into()),
        ..AuthConfig::default()
    });
    let variables =
        [("HYDRA__ADMIN_URL", "http://theirs:4445"), ("HYDRA__PUBLIC_URL", "http://theirs:4444/")];
    let resolved = resolved(&config, &variables)?;
    assert!(resolved.auth);
    assert_eq!(resolved.hydra.admin_url, "http://ours:4445");
    assert_eq!(resolved.hydra.public_url, "http://theirs:4444");
    Ok(())
}

#[test]
fn a_backend_needs_its_feature_and_its_address() -> Result<(), ConfigError> {
    let plain = AgentConfig::new("a", "b");
    let told = |variables: &[(&str, &str)]| match resolved(&plain, variables) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    for (backend, form, is_there) in [
        ("postgres", "postgresql://user:password@host/name", cfg!(feature = "postgres")),
        ("sqlite", "sqlite:path/of/the/file", cfg!(feature = "sqlite")),
    ] {
        let said = told(&[("STORAGE_TYPE", backend)]);
        let needs = format!("needs the `{backend}` feature, not in this build");
        assert_eq!(said.contains(&needs), !is_there, "{said}");
        let address = format!("DATABASE_URL must be set, for example to {form}");
        assert!(said.contains(&address), "{said}");
        let said = told(&[("STORAGE_TYPE", backend), ("DATABASE_URL", form)]);
        assert_eq!(said.is_empty(), is_there, "{said}");
    }
    let said = told(&[("SCHEDULER_TYPE", "redis")]);
    assert!(said.contains("REDIS_URL must be set, for example to redis://host:6379"), "{said}");
    let said = told(&[("SCHEDULER_TYPE", "postgres")]);
    assert!(said.contains("so STORAGE_TYPE must be postgres too"), "{said}");
    let memory = resolved(&plain, &[("DATABASE_URL", "sqlite:x"), ("REDIS_URL", "redis://x")])?;
    assert_eq!((memory.database_url, memory.redis_url), (None, None));
    Ok(())
}

#[test]
fn a_value_can_name_a_variable() -> Result<(), ConfigError> {
    let mut config = AgentConfig::new("a", "b");
    config.key_password = Some("env:KEY_PW".into());
    config.oltp.endpoint = Some("env:COLLECTOR".into());
    let both = [("KEY_PW", "hunter2"), ("COLLECTOR", "http://collector:4318")];
    let done = resolved(&config, &both)?;
    assert_eq!(done.key_password, Some("hunter2".into()));
    assert_eq!(done.telemetry.endpoint.as_deref(), Some("http://collector:4318"));
    assert_eq!(done.warnings, ["'oltp_endpoint' is set, but this build does not export traces"]);
    assert!(!format!("{done:?}").contains("hunter2"));

    let error = resolved(&config, &[("KEY_PW", "")]).expect_err("a refusal");
    assert_eq!(
        error.problems().iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "'oltp_endpoint' names the variable \"COLLECTOR\", which is not set",
            "'key_password' names the variable \"KEY_PW\", which is not set",
        ]
    );
    Ok(())
}

#[test]
fn a_configuration_made_in_rust_is_checked_too() {
    let mut config = AgentConfig::new(" ", "b");
    config.debug_level = 3;
    config.deployment.url = "localhost".into();
    let error = resolved(&config, &[]).expect_err("a refusal");
    let keys: Vec<&str> = error.problems().iter().map(Problem::key).collect();
    assert_eq!(keys, ["'deployment.url'", "'author'", "'debug_level'"]);
}

#[test]
fn the_environment_wins_over_the_configured_address() -> Result<(), ConfigError> {
    let config = AgentConfig::new("a", "b");
    let variables = [("BINDU_HOST", "0.0.0.0"), ("BINDU_PORT", "0")];
    let resolved = resolved(&config, &variables)?;
    assert_eq!(resolved.listen, Listen { host: "0.0.0.0".into(), port: 0 });
    assert_eq!(resolved.public_url_at(4000), "http://localhost:4000");
    Ok(())
}
