//! Asking agents for bids.

use std::time::Duration;

use bindu_client::{Client, ClientError, bids};
use bindu_http::HttpError;
use bindu_protocol::{Dialect, NegotiationRequest, RejectionReason};
use serde_json::{Value, json};

use crate::canned::{Canned, Result, answer};

const LONG: Duration = Duration::from_secs(30);

async fn saying(status: u16, body: Value) -> Result<Canned> {
    Canned::start(move |_, _| answer(status, &body)).await
}

fn accepting(score: f64, confidence: f64, time: Option<u32>) -> Value {
    json!({
        "accepted": true, "score": score, "confidence": confidence, "latency_estimate_ms": time,
    })
}

#[tokio::test]
async fn an_agent_is_asked_and_its_answer_read() -> Result {
    let agent = saying(
        200,
        json!({
            "accepted": false, "score": 0.25, "confidence": 1, "later": true,
            "rejection_reason": "score_below_threshold",
        }),
    )
    .await?;
    let mut request = NegotiationRequest::new("Paint it");
    request.max_cost_amount = Some("0.10".into());
    let told = agent.client(Dialect::V0_3)?.negotiate(&request).await?;
    assert!(!told.accepted);
    assert_eq!(told.rejection_reason, Some(RejectionReason::ScoreBelowThreshold));

    let seen = &agent.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/agent/negotiation"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.body, json!({"task_summary": "Paint it", "max_cost_amount": "0.10"}));
    Ok(())
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() -> Result {
    let request = NegotiationRequest::new("x");
    for body in [json!({}), json!([]), accepting(5.0, 1.0, None), accepting(0.5, -1.0, None)] {
        let agent = saying(200, body.clone()).await?;
        let told = agent.client(Dialect::V0_3)?.negotiate(&request).await;
        assert!(matches!(told, Err(ClientError::Protocol { .. })), "{body}: {told:?}");
    }
    let agent = saying(400, json!({"error": "'task_summary' is required"})).await?;
    let told = agent.client(Dialect::V0_3)?.negotiate(&request).await.unwrap_err();
    assert!(told.to_string().contains("task_summary"), "{told}");
    Ok(())
}

#[tokio::test]
async fn bids_are_ranked_and_failures_are_last() -> Result {
    let refusing = json!({"accepted": false, "score": 0.99, "confidence": 1});
    let agents = [
        ("gone", saying(404, json!({})).await?),
        ("refusing", saying(200, refusing).await?),
        ("slow", saying(200, accepting(0.5, 0.7, Some(900))).await?),
        ("fast", saying(200, accepting(0.5, 0.7, Some(100))).await?),
        ("unsure", saying(200, accepting(0.5, 0.6, None)).await?),
        ("best", saying(200, accepting(0.9, 0.5, None)).await?),
        ("equal", saying(200, accepting(0.9, 0.5, None)).await?),
    ];
    let clients = agents.iter().map(|(_, agent)| agent.client(Dialect::V0_3));
    let clients = clients.collect::<Result<Vec<_>>>()?;
    let ranked = bids(clients, &NegotiationRequest::new("x"), LONG).await;
    let name = |url: &str| {
        agents.iter().find(|(_, agent)| url.starts_with(&agent.url)).map_or("", |(name, _)| name)
    };
    let order: Vec<_> = ranked.iter().map(|bid| name(bid.agent.url().as_str())).collect();
    assert_eq!(order, ["best", "equal", "fast", "slow", "unsure", "refusing", "gone"]);
    let accepted: Vec<_> = ranked.iter().map(bindu_client::Bid::is_accepted).collect();
    assert_eq!(accepted, [true, true, true, true, true, false, false]);
    Ok(())
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_that() -> Result {
    // Listens, and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let silent = Client::connect(&format!("http://{}", silent.local_addr()?))?;
    let quick = saying(200, accepting(0.5, 0.5, None)).await?;
    let agents = [silent, quick.client(Dialect::V0_3)?];
    let ranked = bids(agents, &NegotiationRequest::new("x"), Duration::from_secs(2)).await;
    assert!(ranked[0].is_accepted());
    assert!(matches!(ranked[1].answer, Err(ClientError::Http(HttpError::Timeout { .. }))));
    Ok(())
}
