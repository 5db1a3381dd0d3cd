//! Each folder of cases holds a transcript, and for several sets of answers the very
//! lines that the runner must write; a line that ends in `*` gives only its start.
//! The lines were compared with those of the Python checker.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bindu_testkit::wire::{Error, Options, Report, Runner};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::canned::{BoxError, Canned};

async fn check_cases(name: &str) -> Result<(), BoxError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wire/fixtures/runner");
    let transcript = folder.join(name).join("transcript.json");
    let cases = fs::read_to_string(folder.join(name).join("cases.json"))?;
    let cases: Vec<Value> = serde_json::from_str(&cases)?;
    assert!(!cases.is_empty());
    for case in cases {
        let server = Canned::start(&case["answers"]).await?;
        let mut options = Options { webhook_port: 0, ..Options::default() };
        options.map.insert("echo".to_owned(), server.url.clone());
        options.keys_either = case["keys_either"] == true;
        let lines = run(options, &transcript).await?.lines;
        let wanted: Vec<String> = serde_json::from_value(case["lines"].clone())?;
        let same = lines.len() == wanted.len() && lines.iter().zip(&wanted).all(fits);
        assert!(same, "{name}, {}: {lines:#?} instead of {wanted:#?}", case["name"]);
        if let Some(wanted) = case.get("sent") {
            assert_eq!(&json!(server.sent()), wanted, "{name}, {}", case["name"]);
        }
    }
    Ok(())
}

fn fits((line, wanted): (&String, &String)) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => line.starts_with(start),
        None => line == wanted,
    }
}

/// Runs one transcript; its file is called `FILE` in the lines.
async fn run(options: Options, path: &Path) -> Result<Report, BoxError> {
    let mut written = Vec::new();
    let mut report = Runner::new(options).run(&[path.to_owned()], &mut written).await?;
    assert_eq!(String::from_utf8(written)?, report.lines.join("\n") + "\n");
    for line in &mut report.lines {
        *line = line.replace(&path.display().to_string(), "FILE");
    }
    Ok(report)
}

fn saved(transcript: &Value) -> Result<(TempDir, PathBuf), BoxError> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("case.json");
    fs::write(&path, transcript.to_string())?;
    Ok((folder, path))
}

#[tokio::test]
async fn every_pattern_is_compared() -> Result<(), BoxError> {
    check_cases("patterns").await
}

#[tokio::test]
async fn keys_may_be_spelled_either_way_when_asked_for() -> Result<(), BoxError> {
    check_cases("keys").await
}

#[tokio::test]
async fn streams_are_compared_event_by_event() -> Result<(), BoxError> {
    check_cases("stream").await
}

#[tokio::test]
async fn a_request_is_repeated_until_the_value_is_there() -> Result<(), BoxError> {
    check_cases("until").await?;
    check_cases("until_never").await
}

#[tokio::test]
async fn variables_are_filled_into_requests_and_patterns() -> Result<(), BoxError> {
    check_cases("templates").await
}

#[tokio::test]
async fn signatures_are_verified_with_the_agents_key() -> Result<(), BoxError> {
    check_cases("signature").await
}

#[tokio::test]
async fn webhooks_are_received_and_compared() -> Result<(), BoxError> {
    check_cases("webhooks").await
}

#[tokio::test]
async fn a_request_in_the_background_is_joined_later() -> Result<(), BoxError> {
    check_cases("background").await?;
    check_cases("join_unknown").await
}

#[tokio::test]
async fn what_is_not_wanted_or_not_mapped_is_skipped() -> Result<(), BoxError> {
    let transcript = json!({
        "name": "one", "area": "a", "agent": "echo", "needs": ["hydra", "x"], "tags": ["slow"], "steps": [],
    });
    let (_folder, path) = saved(&transcript)?;
    let mut options = Options::default();
    options.map.insert("echo".to_owned(), "http://127.0.0.1:1/".to_owned());
    let report = run(options.clone(), &path).await?;
    assert_eq!(report.lines, ["SKIP a/one (no URL for hydra, x)", "0 passed, 0 failed, 1 skipped"]);

    let tagged = Options { skip_tags: vec!["slow".to_owned()], ..options.clone() };
    assert_eq!(run(tagged, &path).await?.lines, ["0 passed, 0 failed, 1 skipped"]);

    let others = Options { only: Some("^b/".to_owned()), ..options };
    assert_eq!(run(others, &path).await?.lines, ["0 passed, 0 failed"]);
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_not_there_fails_the_transcript() -> Result<(), BoxError> {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let transcript = json!({
        "name": "one", "area": "a", "agent": "echo", "steps": [{"request": {}, "response": {}}],
    });
    let mut options = Options::default();
    options.map.insert("echo".to_owned(), format!("http://{free}"));
    let (_folder, path) = saved(&transcript)?;
    let report = run(options, &path).await?;
    assert_eq!((report.passed, report.failed, report.skipped), (0, 1, 0));
    assert!(report.lines[1].starts_with("     step 1: connecting to "), "{:?}", report.lines);
    Ok(())
}

#[tokio::test]
async fn a_taken_port_for_webhooks_is_an_error() -> Result<(), BoxError> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let webhook_port = taken.local_addr()?.port();
    let (_folder, path) = saved(&json!({"name": "webhook", "agent": "echo", "steps": []}))?;
    let runner = Runner::new(Options { webhook_port, ..Options::default() });
    let result = runner.run(&[path], &mut Vec::new()).await;
    assert!(matches!(result, Err(Error::Receiver { port, .. }) if port == webhook_port));
    Ok(())
}
