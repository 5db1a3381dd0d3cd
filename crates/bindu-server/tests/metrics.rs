//! What `/metrics` counts.

use serde_json::json;

use crate::http::Answer;
use crate::served::{Result, Served, completed, request};

/// The value of a series, written as it is shown.
fn value<'a>(shown: &'a Answer, series: &str) -> &'a str {
    let line = shown.text().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{}", shown.text()))
}

#[tokio::test]
async fn traffic_tasks_workers_queue_and_store_are_counted() -> Result {
    let served = Served::start().await?;
    let done = served.queued().await?;
    served.begun(&done).await?.finish(completed("done")).await?;
    let running = served.queued().await?;
    let _run = served.begun(&running).await?;
    served.queued().await?;
    for _ in 0..3 {
        served.post("POST /", &request("tasks/get", &json!({ "id": "none" }))).await?;
    }
    served.ask("GET /agent/skills/naming").await?;
    served.ask("GET /agent/skills/nothing").await?;
    served.ask("HEAD /health").await?;
    for path in ["/nope", "/nope/2", "/%22%0a\"}"] {
        served.ask(&format!("GET {path}")).await?;
    }
    served.ask("BREW /health").await?;

    let shown = served.ask("GET /metrics").await?;
    assert!(shown.header("content-type").starts_with("text/plain; version=0.0.4"));
    let requests = |method: &str, endpoint: &str, status: &str| {
        let labels = format!(r#"endpoint="{endpoint}",method="{method}",status="{status}""#);
        value(&shown, &format!("http_requests_total{{{labels}}}"))
    };
    assert_eq!(requests("POST", "/", "200"), "3");
    assert_eq!(requests("GET", "/agent/skills/{skill_id}", "200"), "1");
    assert_eq!(requests("GET", "/agent/skills/{skill_id}", "404"), "1");
    assert_eq!(requests("HEAD", "/health", "200"), "1");
    assert_eq!(requests("GET", "/:unmatched", "404"), "3");
    assert_eq!(requests("OTHER", "/health", "405"), "1");
    assert_eq!(value(&shown, "http_request_duration_seconds_count"), "10");
    assert_eq!(value(&shown, "http_requests_in_flight"), "0");
    assert!(value(&shown, "http_request_size_bytes_sum").parse::<f64>()? > 100.0);
    assert!(value(&shown, "http_response_size_bytes_sum").parse::<f64>()? > 100.0);

    let tasks =
        |state: &str| value(&shown, &format!(r#"agent_tasks{{agent_id="agent",state="{state}"}}"#));
    assert_eq!((tasks("completed"), tasks("working"), tasks("submitted")), ("1", "1", "1"));
    assert_eq!(value(&shown, r#"agent_tasks_active{agent_id="agent"}"#), "2");
    let ended = r#"agent_tasks_completed_total{agent_id="agent",status="success"}"#;
    assert_eq!(value(&shown, ended), "1");
    assert_eq!(
        value(&shown, r#"task_duration_seconds_count{agent_id="agent",status="success"}"#),
        "1"
    );

    assert_eq!(value(&shown, r#"bindu_worker_busy{agent_id="agent"}"#), "1");
    assert_eq!(value(&shown, r#"bindu_worker_capacity{agent_id="agent"}"#), "4");
    assert_eq!(value(&shown, r#"bindu_worker_utilization{agent_id="agent"}"#), "0.25");
    // Nobody pulled, so all three wait.
    let depth = shown.text().lines().find(|line| line.starts_with("bindu_queue_depth{")).unwrap();
    assert!(depth.contains(r#"agent_id="agent""#) && depth.ends_with(" 3"), "{depth}");
    let oldest = shown.text().lines().find(|line| line.starts_with("bindu_queue_oldest_seconds{"));
    assert!(oldest.is_some());
    let stored = |line: &&str| {
        line.starts_with("bindu_storage_operation_duration_seconds_count{")
            && line.contains(r#"operation="commit""#)
            && line.contains(r#"result="ok""#)
    };
    let commits = shown.text().lines().find(stored).expect("commits are counted");
    assert!(commits.ends_with(" 6"), "{commits}");
    Ok(())
}

#[tokio::test]
async fn every_line_is_of_the_format() -> Result {
    // A name that would end a label and a line.
    let name = "a\"b\\c\nd{}";
    let served =
        Served::with(bindu_server::Config::default(), bindu_tasks::Config::default(), name).await?;
    served.queued().await?;
    served.ask("GET /health").await?;
    let shown = served.ask("GET /metrics").await?;
    assert_eq!(value(&shown, r#"agent_tasks{agent_id="a\"b\\c\nd{}",state="submitted"}"#), "1");
    let mut families = Vec::new();
    for line in shown.text().lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            families.push(rest.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with("# HELP ") {
            let (series, number) = line.rsplit_once(' ').unwrap();
            number.parse::<f64>()?;
            let family = families.last().expect("a family comes first");
            assert!(series.starts_with(family.as_str()), "{line} is not of {family}");
        }
    }
    let mut once = families.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), families.len());
    Ok(())
}

#[tokio::test]
async fn asking_for_the_counters_is_not_counted() -> Result {
    let served = Served::start().await?;
    for _ in 0..3 {
        served.ask("GET /metrics").await?;
    }
    let shown = served.ask("GET /metrics").await?;
    assert!(!shown.text().contains(r#"endpoint="/metrics""#));
    assert_eq!(value(&shown, "http_request_duration_seconds_count"), "0");
    Ok(())
}
