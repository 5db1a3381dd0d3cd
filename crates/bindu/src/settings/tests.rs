//! The settings as a whole: every variable, their order, and what is said of mistakes.

use std::time::Duration;

use bindu_did::key_dir::DidSuffix;
use bindu_protocol::DialectPolicy;

use super::*;

fn settings(variables: &[(&str, &str)]) -> Settings {
    Settings::from_vars(variables.iter().copied()).expect("valid settings")
}

fn refusal(variables: &[(&str, &str)]) -> String {
    Settings::from_vars(variables.iter().copied()).expect_err("a refusal").to_string()
}

/// Of two names of one setting, the first counts; alone, each counts.
#[test]
fn the_first_name_of_a_setting_wins() {
    type Shown = fn(&Settings) -> String;
    let cases: &[(&[&str], [&str; 2], Shown)] = &[
        (
            &["STORAGE__POSTGRES_URL", "POSTGRES_URL", "DATABASE_URL"],
            ["postgres://a", "postgres://b"],
            |it| it.storage.url.as_ref().expect("set").reveal().to_owned(),
        ),
        (&["STORAGE__BACKEND", "STORAGE_TYPE"], ["postgres", "sqlite"], |it| {
            it.storage.backend.to_string()
        }),
        (&["SCHEDULER__BACKEND", "SCHEDULER_TYPE"], ["redis", "postgres"], |it| {
            it.scheduler.backend.to_string()
        }),
        (&["SCHEDULER__REDIS_URL", "REDIS_URL"], ["redis://a", "redis://b"], |it| {
            it.scheduler.redis_url.as_ref().expect("set").reveal().to_owned()
        }),
        (&["BINDU_HOST", "HOST"], ["a", "b"], |it| it.deployment.host.clone().expect("set")),
        (&["BINDU_PORT", "PORT"], ["1", "2"], |it| it.deployment.port.expect("set").to_string()),
        (&["BINDU_DEPLOYMENT_URL", "BINDU_PUBLIC_URL"], ["http://a", "http://b"], |it| {
            it.deployment.public_url.clone().expect("set")
        }),
        (&["PROJECT__ENVIRONMENT", "ENVIRONMENT"], ["production", "testing"], |it| {
            it.project.environment.clone()
        }),
        (&["DID__SUFFIX", "DID__AGENT_ID_SOURCE"], ["key", "agent-id"], |it| {
            match it.did.suffix {
                DidSuffix::Auto => "auto",
                DidSuffix::Key => "key",
                DidSuffix::AgentId => "agent-id",
            }
            .to_owned()
        }),
        (&["WEBHOOK__URL", "WEBHOOK_URL", "GLOBAL_WEBHOOK_URL"], ["http://a", "http://b"], |it| {
            it.webhook.url.clone().expect("set")
        }),
        (&["WEBHOOK__TOKEN", "WEBHOOK_TOKEN", "GLOBAL_WEBHOOK_TOKEN"], ["a", "b"], |it| {
            it.webhook.token.as_ref().expect("set").reveal().to_owned()
        }),
        (
            &["WEBHOOK__ALLOW_PRIVATE", "BINDU_ALLOW_PRIVATE_WEBHOOK_RANGES"],
            ["false", "true"],
            |it| it.webhook.allow_private.to_string(),
        ),
        (&["RETRY__WORKER_MAX_ATTEMPTS", "WORKER_MAX_ATTEMPTS"], ["7", "8"], |it| {
            it.retry.worker().max_attempts.to_string()
        }),
        (&["OLTP_ENDPOINT", "OTLP_ENDPOINT"], ["http://a", "http://b"], |it| {
            it.telemetry.endpoint.clone().expect("set")
        }),
        (&["LOGGING__FORMAT", "LOG_FORMAT"], ["json", "text"], |it| it.logging.format.to_string()),
    ];
    for (names, [first, other], shown) in cases {
        for (index, name) in names.iter().enumerate() {
            assert_eq!(shown(&settings(&[(name, first)])), *first, "{name} alone");
            for later in &names[index + 1..] {
                let both = settings(&[(later, other), (name, first)]);
                assert_eq!(shown(&both), *first, "{name} before {later}");
            }
        }
    }
}

#[test]
fn the_environment_wins_over_dotenv_whatever_the_spelling() {
    let mut environment = Environment::default();
    environment.push([("STORAGE_TYPE".to_owned(), "sqlite".to_owned())]);
    environment.push([
        ("STORAGE__BACKEND".to_owned(), "postgres".to_owned()),
        ("SCHEDULER_TYPE".to_owned(), "redis".to_owned()),
    ]);
    let settings = Settings::read(environment).expect("valid settings");
    assert_eq!(settings.storage.backend, StorageBackend::Sqlite);
    assert_eq!(settings.scheduler.backend, SchedulerBackend::Redis);
}

#[test]
fn both_dotenv_files_are_read_in_order() -> Result<(), Box<dyn std::error::Error>> {
    let (work, beside) = (tempfile::tempdir()?, tempfile::tempdir()?);
    std::fs::write(work.path().join(".env"), "ENV=work\nPORT=1\n")?;
    std::fs::write(beside.path().join(".env"), "ENV=beside\nHOST=beside\nPORT=2\n")?;
    let mut environment = Environment::default();
    environment.push([("PORT".to_owned(), "3".to_owned())]);
    let settings = Settings::over_files(environment, work.path(), Some(beside.path()))?;
    assert_eq!(settings.deployment.port, Some(3));
    assert_eq!(settings.project.health_environment, "work");
    assert_eq!(settings.deployment.host.as_deref(), Some("beside"));
    Ok(())
}

/// Each variable's default, read as if someone had written it, is the default.
#[test]
fn a_default_that_is_written_out_changes_nothing() {
    let plain = format!("{:?}", Settings::default());
    let written: Vec<(&str, &str)> = variables()
        .filter(|variable| !variable.default.is_empty())
        .map(|variable| (variable.names[0], variable.default))
        .collect();
    let settings = settings(&written);
    assert_eq!(settings.warnings(), [""; 0]);
    let shown =
        format!("{settings:?}").replace(&format!("[{} variables]", written.len()), "[0 variables]");
    assert_eq!(shown, plain);
}

#[test]
fn no_two_settings_share_a_name() {
    let mut names: Vec<&str> = variables().flat_map(|variable| variable.names).copied().collect();
    names.extend(names::WITHOUT_EFFECT);
    names.extend(names::FIXED.iter().map(|(name, _)| name));
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn the_documented_defaults_hold() {
    let settings = Settings::default();
    assert_eq!(settings.a2a.dialect, DialectPolicy::Auto);
    assert_eq!(settings.a2a.blocking_timeout, Duration::from_secs(30));
    assert_eq!(settings.storage.memory_max_tasks, 1_000_000);
    assert_eq!(settings.storage.history_max_bytes, 8 << 20);
    assert_eq!(settings.scheduler.capacity, 10_000);
    assert_eq!(settings.limits.max_body_bytes, 10 << 20);
    assert_eq!(settings.limits.stream_backlog, 1024);
    assert_eq!(settings.worker.task_timeout, None);
    assert_eq!(settings.worker.slots() % 4, 0);
    assert!(settings.webhook.allow_private && settings.did.sign_artifacts);
    assert!(settings.agent.structured_response_system_prompt.contains("input-required"));
    let worker = settings.retry.worker();
    assert_eq!((worker.max_attempts, worker.max_wait), (3, Duration::from_secs(10)));
}

#[test]
fn a_zero_retry_means_the_default() {
    let settings = settings(&[("RETRY__API_MAX_ATTEMPTS", "0"), ("API_MIN_WAIT", "0")]);
    assert_eq!(settings.retry.api(), Settings::default().retry.api());
}

#[test]
fn every_mistake_is_named_with_what_is_allowed() {
    let message = refusal(&[
        ("WORKER__CONCURRENCY", "many"),
        ("worker__max_deliveries", "0"),
        ("LIMITS__IDLE_TIMEOUT", "soon"),
        ("STORAGE_TYPE", "paper"),
        ("WEBHOOK__ALLOWED_HOSTS", "a,b"),
        ("BINDU_PORT", "70000"),
    ]);
    for part in [
        "6 problems in the configuration:",
        "- WORKER__CONCURRENCY is \"many\", must be a whole number, or 0 for none",
        "- WORKER__MAX_DELIVERIES is \"0\", must be a whole number, neither zero nor empty",
        "- LIMITS__IDLE_TIMEOUT is \"soon\", must be a time",
        "- STORAGE_TYPE is \"paper\", must be one of: memory, sqlite, postgres",
        "- WEBHOOK__ALLOWED_HOSTS is \"a,b\", must be a JSON list",
        "- BINDU_PORT is \"70000\", must be a whole number from 0 to 65535",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn one_mistake_is_one_sentence() {
    assert_eq!(
        refusal(&[("DID__SIGN_ARTIFACTS", "")]),
        "DID__SIGN_ARTIFACTS is \"\", must be true or false"
    );
    assert_eq!(
        refusal(&[("WORKER__LEASE_SECONDS", "10")]),
        "WORKER__HEARTBEAT_SECONDS is 10s, must be at most half of WORKER__LEASE_SECONDS (10s)"
    );
    assert_eq!(
        refusal(&[("RETRY__API_MIN_WAIT", "20")]),
        "RETRY__API_MIN_WAIT is 20s, must not be above RETRY__API_MAX_WAIT (15s)"
    );
}

#[test]
fn no_secret_is_printed() {
    let settings = settings(&[
        ("WEBHOOK_TOKEN", "hunter2"),
        ("DATABASE_URL", "postgres://ann:hunter2@db/x"),
        ("REDIS_URL", "redis://:hunter2@cache"),
        ("OLTP_HEADERS", r#"{"authorization":"hunter2"}"#),
        ("MY_PASSWORD", "hunter2"),
    ]);
    assert!(!format!("{settings:?} {settings:#?}").contains("hunter2"));
    assert_eq!(settings.variable("MY_PASSWORD"), Some("hunter2"));
    let message = refusal(&[("OLTP_HEADERS", "authorization=hunter2")]);
    assert!(message.contains("OLTP_HEADERS is [redacted], must be"), "{message}");
}

#[test]
fn generic_names_of_others_change_nothing() {
    let settings = settings(&[
        ("BACKEND", "django"),
        ("DID", "hello"),
        ("DEBUG", "*"),
        ("ENABLED", "yes"),
        ("MAX_CONNECTIONS", "many"),
        ("POLL_TIMEOUT", "x"),
        ("OTHER__THING", "1"),
        ("XPC__FLAGS", "0"),
    ]);
    assert_eq!(settings.storage.backend, StorageBackend::Memory);
    assert_eq!(settings.warnings(), [""; 0]);
}

#[test]
fn a_name_that_nobody_reads_is_reported_once() {
    let mut environment = Environment::default();
    let variables = || {
        [
            ("WORKER__CONCURENCY", "4"),
            ("STORAGE__TYPE", "memory"),
            ("A2A__SOMETHING_ELSE_ENTIRELY", "1"),
            ("DID__PREFIX", "did:"),
            ("DID__KEY_FRAGMENT", "key-2"),
            ("LOGGING__THEME_INFO", "blue"),
            ("SCHEDULER__QUEUE_NAME", "q"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    environment.push(variables());
    environment.push(variables());
    let settings = Settings::read(environment).expect("valid settings");
    assert_eq!(
        settings.warnings(),
        [
            "A2A__SOMETHING_ELSE_ENTIRELY is not a setting, it has no effect",
            "DID__KEY_FRAGMENT has no effect: the protocol fixes its value to \"key-1\"",
            "STORAGE__TYPE is not a setting, did you mean STORAGE_TYPE?",
            "WORKER__CONCURENCY is not a setting, did you mean WORKER__CONCURRENCY?",
        ]
    );
}

#[test]
fn the_document_has_every_setting() {
    let page = describe();
    for variable in variables() {
        assert!(page.contains(&format!("\n| `{}` | ", variable.names[0])), "{variable:?}");
        assert!(variable.meaning.iter().any(|line| !line.trim().is_empty()), "{variable:?}");
        for alias in &variable.names[1..] {
            assert!(page.contains(&format!("`{alias}`")), "{variable:?}");
        }
    }
}

#[test]
fn the_process_is_read_without_a_dotenv() {
    // Whatever the machine has set, PATH is a variable and no setting of ours.
    let environment = Environment::of_process();
    assert!(environment.get("PATH").is_some_and(|path| !path.is_empty()));
}
