//! Agents that are asked to bid for tasks.

use bindu::AgentConfig;
#[cfg(feature = "x402")]
use bindu::config::ExecutionCost;
use bindu::{Reply, Settings, Turn};
use serde_json::{Value, json};

use crate::caller::{Caller, LONG, Result, agent_of, config};

async fn echo(turn: Turn) -> Result<Reply> {
    Ok(Reply::text(turn.text()))
}

/// An agent that knows about PDFs.
fn reader() -> Result<AgentConfig> {
    let skill = json!({"name": "pdf reading", "description": "Reads.", "tags": ["pdf"]});
    let described = json!({
        "author": "ann@example.com", "name": "reader",
        "deployment": {"url": "http://127.0.0.1:0"}, "skills": [skill],
    });
    Ok(AgentConfig::from_value(&described)?)
}

async fn asked(config: AgentConfig, settings: &[(&str, &str)], body: &Value) -> Result<Value> {
    let settings = Settings::from_vars(settings.iter().copied())?;
    let running = agent_of(config, echo)?.settings(settings).spawn().await?;
    let answer = Caller::of(&running).post("/agent/negotiation", body).await?;
    running.stop(LONG).await;
    Ok(answer)
}

#[tokio::test]
async fn what_the_settings_weigh_counts() -> Result {
    let body = json!({"task_summary": "pdf"});
    let plain = asked(reader()?, &[], &body).await?;
    assert_eq!(
        (&plain["accepted"], &plain["subscores"]["skill_match"]),
        (&json!(true), &json!(0.5))
    );
    let only_skills = [
        ("NEGOTIATION__SKILL_MATCH_WEIGHT", "1"),
        ("NEGOTIATION__IO_COMPATIBILITY_WEIGHT", "0"),
        ("NEGOTIATION__PERFORMANCE_WEIGHT", "0"),
        ("NEGOTIATION__LOAD_WEIGHT", "0"),
        ("NEGOTIATION__COST_WEIGHT", "0"),
        ("NEGOTIATION__DEFAULT_LATENCY_MS", "70"),
    ];
    let weighed = asked(reader()?, &only_skills, &body).await?;
    assert_eq!((&weighed["score"], &weighed["latency_estimate_ms"]), (&json!(0.5), &json!(70)));
    Ok(())
}

#[cfg(feature = "x402")]
#[tokio::test]
async fn the_price_of_the_configuration_counts() -> Result {
    let cost = |amount: &str| ExecutionCost {
        amount: amount.into(),
        token: None,
        network: None,
        pay_to_address: Some("0xa11ce0000000000000000000000000000000a11c".into()),
    };
    let mut paid = reader()?;
    paid.execution_cost = vec![cost("$2.50"), cost("0.50")];
    let body = |budget: &str| json!({"task_summary": "pdf", "max_cost_amount": budget});
    let rich = asked(paid.clone(), &[], &body("1.00")).await?;
    assert_eq!(rich["subscores"]["cost"], 0.75);
    let poor = asked(paid, &[], &body("0.40")).await?;
    assert_eq!(poor["rejection_reason"], "cost_exceeds_budget");
    Ok(())
}

#[tokio::test]
async fn an_agent_without_skills_bids_for_nothing() -> Result {
    let answer = asked(config("idle"), &[], &json!({"task_summary": "pdf"})).await?;
    assert_eq!(answer["rejection_reason"], "no_skills_advertised");
    Ok(())
}

/// A service that knows what texts mean.
#[cfg(feature = "embeddings")]
mod meaning {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use bindu_http::server::{Config, Server, Shutdown};
    use bindu_http::{Body, read_body};
    use http::{Request, Response};
    use hyper::body::Incoming;

    use super::*;

    /// Finds everything alike, and answers in the wrong order.
    struct Service {
        url: String,
        calls: Arc<AtomicUsize>,
        status: Arc<AtomicU16>,
        seen: Arc<Mutex<Vec<(String, String, Value)>>>,
        shutdown: Shutdown,
    }

    impl Service {
        async fn start() -> Result<Self> {
            let (calls, status) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU16::new(200)));
            let seen = Arc::new(Mutex::new(Vec::new()));
            let (count, says, log) = (Arc::clone(&calls), Arc::clone(&status), Arc::clone(&seen));
            let service = tower::service_fn(move |request: Request<Incoming>| {
                let (count, says, log) = (Arc::clone(&count), Arc::clone(&says), Arc::clone(&log));
                async move {
                    count.fetch_add(1, Ordering::SeqCst);
                    let (head, body) = request.into_parts();
                    let body = read_body(body, 1 << 20).await.unwrap_or_default();
                    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                    let texts = body["input"].as_array().map_or(0, Vec::len);
                    let data: Vec<_> = (0..texts)
                        .rev()
                        .map(|index| json!({"index": index, "embedding": [1, 0]}))
                        .collect();
                    let key = head.headers.get("authorization").and_then(|key| key.to_str().ok());
                    let key = key.unwrap_or_default().to_owned();
                    let path = head.uri.path().to_owned();
                    log.lock().unwrap_or_else(PoisonError::into_inner).push((path, key, body));
                    let mut answer = Response::new(Body::from(json!({"data": data}).to_string()));
                    let status = http::StatusCode::from_u16(says.load(Ordering::SeqCst));
                    *answer.status_mut() = status.unwrap_or_default();
                    Ok::<_, Infallible>(answer)
                }
            });
            let server = Server::bind(Config::default(), "127.0.0.1:0").await?;
            let url = format!("http://{}/v1", server.local_addr());
            let shutdown = Shutdown::new();
            tokio::spawn(server.serve(service, shutdown.clone()));
            Ok(Self { url, calls, status, seen, shutdown })
        }

        fn settings(&self) -> Vec<(&str, &str)> {
            vec![
                ("NEGOTIATION__EMBEDDING_BASE_URL", &self.url),
                ("NEGOTIATION__EMBEDDING_API_KEY", "hunter2"),
            ]
        }
    }

    impl Drop for Service {
        fn drop(&mut self) {
            self.shutdown.drain(Duration::ZERO);
        }
    }

    #[tokio::test]
    async fn a_task_in_other_words_is_taken_on() -> Result {
        let service = Service::start().await?;
        let other_words = json!({"task_summary": "Scan", "task_details": "my invoices"});
        let answer = asked(reader()?, &service.settings(), &other_words).await?;
        assert_eq!(answer["accepted"], true, "{answer}");
        assert_eq!(answer["skill_matches"][0]["reasons"], json!(["semantic similarity: 1.00"]));
        let seen = service.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sent = |texts: Value| {
            let body = json!({"model": "text-embedding-3-small", "input": texts});
            ("/v1/embeddings".to_owned(), "Bearer hunter2".to_owned(), body)
        };
        assert_eq!(
            seen,
            [sent(json!(["pdf reading Reads. pdf"])), sent(json!(["Scan my invoices"]))]
        );
        Ok(())
    }

    #[tokio::test]
    async fn switched_off_or_failing_it_leaves_words() -> Result {
        let service = Service::start().await?;
        let body = json!({"task_summary": "Scan"});
        let mut off = service.settings();
        off.push(("NEGOTIATION__USE_EMBEDDINGS", "false"));
        assert_eq!(asked(reader()?, &off, &body).await?["accepted"], false);
        assert_eq!(service.calls.load(Ordering::SeqCst), 0);
        service.status.store(503, Ordering::SeqCst);
        let pdf = asked(reader()?, &service.settings(), &json!({"task_summary": "pdf"})).await?;
        assert_eq!((&pdf["accepted"], service.calls.load(Ordering::SeqCst)), (&json!(true), 1));
        assert_eq!(pdf["subscores"]["skill_match"], 0.5);
        Ok(())
    }

    #[tokio::test]
    async fn an_open_agent_rations_what_costs_it_something() -> Result {
        let service = Service::start().await?;
        let mut settings = service.settings();
        settings.push(("NEGOTIATION__EMBEDDINGS_PER_MINUTE", "1"));
        let settings = Settings::from_vars(settings)?;
        let running = agent_of(reader()?, echo)?.settings(settings).spawn().await?;
        let caller = Caller::of(&running);
        let mut accepted = Vec::new();
        for task in ["one", "two", "pdf", "one"] {
            let answer = caller.post("/agent/negotiation", &json!({"task_summary": task})).await?;
            accepted.push(answer["accepted"] == true);
        }
        assert_eq!(accepted, [true, false, true, true]);
        assert_eq!(service.calls.load(Ordering::SeqCst), 2);
        running.stop(LONG).await;
        Ok(())
    }
}

/// An agent with something private.
fn secretive() -> Result<AgentConfig> {
    let skill = |id: &str| json!({"id": id, "name": id, "description": "Secret."});
    let described = json!({
        "author": "ann@example.com", "name": "secretive",
        "deployment": {"url": "http://127.0.0.1:0"}, "skills": [skill("open")],
        "private_skills": [skill("notes")], "allowed_dids": ["did:bindu:ann:a:1"],
    });
    Ok(AgentConfig::from_value(&described)?)
}

#[tokio::test]
async fn what_is_private_is_not_bid_with_and_not_shown_to_nobody() -> Result {
    let running = agent_of(secretive()?, echo)?.spawn().await?;
    let caller = Caller::of(&running);
    let bid = caller.post("/agent/negotiation", &json!({"task_summary": "notes"})).await?;
    assert_eq!(bid["accepted"], false);
    for path in ["/agent/private.json", "/agent/private/skills/notes"] {
        let (status, body) = caller.get(path).await?;
        assert_eq!(status, 401, "{path}");
        assert!(!body.windows(6).any(|it| it == b"Secret"), "{path}");
    }
    assert_eq!(caller.get("/agent/skills/notes").await?.0, 404);
    running.stop(LONG).await;

    let running = agent_of(config("plain"), echo)?.spawn().await?;
    assert_eq!(Caller::of(&running).get("/agent/private.json").await?.0, 404);
    running.stop(LONG).await;
    Ok(())
}

#[tokio::test]
async fn a_skill_is_public_or_private() -> Result {
    let mut config = secretive()?;
    config.private_skills = config.skills.clone();
    let Err(error) = agent_of(config, echo)?.spawn().await else { panic!("it started") };
    assert!(format!("{error:?}").contains("open"), "{error:?}");
    Ok(())
}
