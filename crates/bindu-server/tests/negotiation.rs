//! Tasks that the agent is asked to bid for.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bindu_agent::BoxFuture;
use bindu_agent::negotiation::{
    Config, EmbedError, Embedder, Negotiator, Semantics, SemanticsConfig,
};
use bindu_agent::skills::{Skill, SkillSet};
use bindu_server::Negotiation;
use serde_json::{Value, json};

use crate::http::Answer;
use crate::served::{Result, Served};

async fn ask(served: &Served, body: &Value) -> Result<Answer> {
    served.post("POST /agent/negotiation", body.to_string().as_bytes()).await
}

#[tokio::test]
async fn a_task_that_suits_is_taken_on() -> Result {
    let served = Served::start().await?;
    let answer = ask(&served, &json!({"task_summary": "Naming words"})).await?;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert_eq!(
        answer.json(),
        json!({
            "accepted": true, "score": 1.0, "confidence": 0.8,
            "skill_matches": [{
                "skill_id": "naming v1", "skill_name": "naming", "score": 1.0,
                "reasons": ["tags: words"],
            }],
            "matched_tags": ["words"], "latency_estimate_ms": 5000, "queue_depth": 0,
            "subscores": {
                "skill_match": 1.0, "io_compatibility": 1.0, "load": 1.0, "cost": 1.0,
                "performance": 1.0,
            },
        })
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_question_is_refused_by_name() -> Result {
    let served = Served::start().await?;
    for (body, says) in [
        ("{", "Invalid JSON payload"),
        ("", "Invalid JSON payload"),
        ("[1]", "the body must be a JSON object"),
        ("{}", "'task_summary' is required"),
        (r#"{"task_summary": ""}"#, "'task_summary' is required"),
        (r#"{"task_summary": 5}"#, "'task_summary' must be a string"),
        (r#"{"task_summary": "x", "weights": {"load": "a"}}"#, "'weights.load' must be a number"),
        (
            r#"{"task_summary": "x", "weights": {"load": -1}}"#,
            "Invalid weights: Weight 'load' must be non-negative",
        ),
    ] {
        let answer = served.post("POST /agent/negotiation", body.as_bytes()).await?;
        assert_eq!((answer.status, answer.json()), (400, json!({ "error": says })), "{body}");
    }
    let long = json!({"task_summary": "x".repeat(10_001)});
    let answer = ask(&served, &long).await?;
    assert_eq!(answer.status, 400);
    let deep = format!("{{\"task_summary\": {}", "[".repeat(100_000));
    let answer = served.post("POST /agent/negotiation", deep.as_bytes()).await?;
    assert_eq!(answer.json()["error"], "Invalid JSON payload");
    let huge = json!({"task_summary": "x", "task_details": "x".repeat(300_000)});
    assert_eq!(ask(&served, &huge).await?.status, 413);
    Ok(())
}

#[tokio::test]
async fn tasks_that_are_not_finished_are_counted_and_not_each_time() -> Result {
    let served = Served::start().await?;
    for _ in 0..3 {
        served.queued().await?;
    }
    let body = json!({"task_summary": "naming"});
    let answer = ask(&served, &body).await?.json();
    assert_eq!((&answer["queue_depth"], &answer["subscores"]["load"]), (&json!(3), &json!(0.25)));
    served.queued().await?;
    let begun = tokio::time::Instant::now();
    let mut depth = ask(&served, &body).await?.json()["queue_depth"].take();
    while depth != 4 {
        assert!(begun.elapsed() < crate::served::LONG, "the count is still {depth}");
        assert_eq!(depth, 3);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        depth = ask(&served, &body).await?.json()["queue_depth"].take();
    }
    Ok(())
}

/// Finds everything alike, and counts how often it is asked.
#[derive(Debug, Default)]
struct Alike {
    calls: AtomicUsize,
    is_down: bool,
}

impl Embedder for Alike {
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let answer = if self.is_down {
            Err(EmbedError::unavailable("down"))
        } else {
            Ok(texts.iter().map(|_| vec![1.0, 0.0]).collect())
        };
        Box::pin(std::future::ready(answer))
    }
}

async fn comparing(embedder: &Arc<Alike>, per_minute: u32) -> Result<Served> {
    let skill = Skill::from_value(json!({"name": "naming", "description": "d"}))?;
    let negotiator = Negotiator::new(&SkillSet::new(vec![skill])?, Config::default());
    let embedder = Arc::clone(embedder) as Arc<dyn Embedder>;
    let semantics = Semantics::new(embedder, &negotiator, SemanticsConfig::default());
    let negotiation = Negotiation {
        negotiator,
        semantics: Some(semantics),
        per_minute: NonZeroU32::new(per_minute),
    };
    Served::built(bindu_tasks::Config::default(), "agent", |builder| {
        builder.negotiation(negotiation).dangerously_open()
    })
    .await
}

async fn accepted(served: &Served, task: &str) -> Result<bool> {
    let answer = ask(served, &json!({"task_summary": task})).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(answer.json()["accepted"] == true)
}

#[tokio::test]
async fn beyond_its_ration_an_address_is_judged_by_words() -> Result {
    let embedder = Arc::new(Alike::default());
    let served = comparing(&embedder, 2).await?;
    assert!(accepted(&served, "one").await? && accepted(&served, "two").await?);
    assert!(!accepted(&served, "three").await?);
    // What is known costs nothing, and words always count.
    assert!(accepted(&served, "two").await? && accepted(&served, "naming").await?);
    assert_eq!(embedder.calls.load(Ordering::SeqCst), 3);
    Ok(())
}

#[tokio::test]
async fn no_ration_is_no_limit() -> Result {
    let embedder = Arc::new(Alike::default());
    let served = comparing(&embedder, 0).await?;
    for n in 0..40 {
        assert!(accepted(&served, &format!("task {n}")).await?);
    }
    Ok(())
}

#[tokio::test]
async fn an_embedder_that_fails_leaves_words() -> Result {
    let embedder = Arc::new(Alike { is_down: true, ..Alike::default() });
    let served = comparing(&embedder, 30).await?;
    assert!(accepted(&served, "naming").await? && !accepted(&served, "other").await?);
    assert_eq!(embedder.calls.load(Ordering::SeqCst), 1);
    Ok(())
}
