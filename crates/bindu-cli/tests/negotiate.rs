//! `bindu negotiate`.

use serde_json::{Value, json};

use crate::agent::{Agent, answer};
use crate::run::{Result, bindu};

async fn saying(body: Value) -> Result<Agent> {
    Agent::start(move |_, _| answer(200, &body)).await
}

fn good(score: f64) -> Value {
    json!({
        "accepted": true, "score": score, "confidence": 0.8, "latency_estimate_ms": 2000,
        "queue_depth": 3, "skill_matches": [
            {"skill_id": "a", "skill_name": "pdf\u{1b}[2J", "score": 0.3, "reasons": []},
        ],
    })
}

#[tokio::test]
async fn agents_are_asked_and_ranked() -> Result {
    let worse = saying(good(0.5)).await?;
    let better = saying(good(0.75)).await?;
    let unable = saying(json!({
        "accepted": false, "score": 0, "confidence": 1, "rejection_reason": "required_tool_missing",
    }))
    .await?;
    let urls = [&worse.url, &unable.url, &better.url];
    let ran = bindu(&[
        "negotiate",
        urls[0],
        urls[1],
        urls[2],
        urls[0],
        "--task",
        "Read it",
        "--details",
        "All",
        "--max-cost",
        "0.50",
        "--max-latency",
        "1.5",
        "--input",
        "a/b",
        "--output",
        "c/d",
        "--require-tool",
        "Read",
        "--forbid-tool",
        "Bash",
        "--min-score",
        "0.2",
    ])
    .await?;
    let line = |score: &str, url: &str| {
        format!(
            "accepts   {score}  {url}/  confidence 0.8, about 2000 ms, 3 tasks open, \
             skills: pdf\\u{{1b}}[2J\n"
        )
    };
    let refusal = format!("refuses   0.0000  {}/  required_tool_missing\n", unable.url);
    assert_eq!(ran.stdout, line("0.7500", &better.url) + &line("0.5000", &worse.url) + &refusal);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let seen = worse.seen();
    assert_eq!(seen.len(), 1, "an agent that is named twice is asked once");
    assert_eq!(seen[0].path, "/agent/negotiation");
    assert_eq!(
        seen[0].body,
        json!({
            "task_summary": "Read it", "task_details": "All", "max_cost_amount": "0.50",
            "max_latency_ms": 1500.0, "input_mime_types": ["a/b"], "output_mime_types": ["c/d"],
            "required_tools": ["Read"], "forbidden_tools": ["Bash"], "min_score": 0.2,
        })
    );
    Ok(())
}

#[tokio::test]
async fn programs_get_the_whole_answers() -> Result {
    let (bidder, other) = (saying(good(0.5)).await?, saying(json!("nonsense")).await?);
    let ran = bindu(&["negotiate", &bidder.url, &other.url, "--task", "x", "--json"]).await?;
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stdout)?;
    assert_eq!(told[0]["url"], format!("{}/", bidder.url));
    assert_eq!(told[0]["answer"]["queue_depth"], 3);
    assert_eq!(told[1]["url"], format!("{}/", other.url));
    assert!(told[1]["error"].as_str().is_some_and(|it| it.contains("makes no sense")), "{told}");
    Ok(())
}

#[tokio::test]
async fn the_status_tells_whether_anybody_accepts() -> Result {
    let refusing = saying(json!({"accepted": false, "score": 0.1, "confidence": 0.5})).await?;
    let broken = saying(json!([])).await?;
    let status = async |urls: &[&str]| {
        let args = [&["negotiate", "--task", "x"], urls].concat();
        Ok::<_, crate::run::Error>(bindu(&args).await?.status)
    };
    assert_eq!(status(&[&refusing.url, &broken.url]).await?, Some(4));
    assert_eq!(status(&[&broken.url]).await?, Some(1));
    assert_eq!(status(&[]).await?, Some(2));
    assert_eq!(bindu(&["negotiate", &broken.url]).await?.status, Some(2));
    assert_eq!(bindu(&["negotiate", &broken.url, "--task", ""]).await?.status, Some(2));
    Ok(())
}
