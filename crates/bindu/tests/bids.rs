//! Bids as tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bindu::config::SkillSource;
use bindu::{AgentConfig, Reply, Running, Turn};
use serde_json::{Value, json};

use crate::caller::{Caller, LONG, Result, agent_of, config, message};

/// An agent that knows about PDFs.
fn reader() -> Result<AgentConfig> {
    let mut config = config("reader");
    let skill = json!({"name": "pdf reading", "description": "Reads.", "tags": ["pdf"]});
    config.skills = vec![SkillSource::Inline(serde_json::from_value(skill)?)];
    Ok(config)
}

async fn start(config: AgentConfig) -> Result<(Running, Caller, Arc<AtomicUsize>)> {
    let worked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&worked);
    let handler = move |turn: Turn| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { Ok(Reply::text(turn.text())) }
    };
    let running = agent_of(config, handler)?.spawn().await?;
    let caller = Caller::of(&running);
    Ok((running, caller, worked))
}

/// The parameters of a message with a word about a bid, to a task if there is one.
fn saying(text: &str, word: &str, task: Option<&Value>) -> Value {
    let mut params = message(text);
    params["message"]["metadata"] = json!({ "bindu.negotiation": word });
    if let Some(task) = task {
        params["message"]["taskId"] = task["id"].clone();
    }
    params
}

/// The state of a task as Bindu agents know it.
fn state(task: &Value) -> &Value {
    let own = &task["metadata"]["bindu.state"];
    if own.is_null() { &task["status"]["state"] } else { own }
}

fn answer(task: &Value) -> &Value {
    &task["status"]["message"]["metadata"]["bindu.negotiation.answer"]
}

#[tokio::test]
async fn a_bid_that_is_won_is_worked_on_and_not_before() -> Result {
    let (running, caller, worked) = start(reader()?).await?;
    let bid = caller.result("message/send", saying("pdf", "bid", None)).await?;
    assert_eq!(
        (state(&bid), &bid["status"]["state"]),
        (&"negotiation-bid-submitted".into(), &"submitted".into())
    );
    assert_eq!(
        (&answer(&bid)["accepted"], &answer(&bid)["skill_matches"][0]["score"]),
        (&json!(true), &json!(0.5))
    );
    assert!(bid["status"]["message"]["parts"][0]["text"].is_string(), "{bid}");
    let same = caller.result("tasks/get", json!({ "id": bid["id"] })).await?;
    assert_eq!((state(&same), worked.load(Ordering::SeqCst)), (state(&bid), 0));
    let done = caller.result("message/send", saying("go", "won", Some(&bid))).await?;
    assert_eq!((&done["status"]["state"], &done["id"]), (&json!("completed"), &bid["id"]));
    assert_eq!(done["artifacts"][0]["parts"][0]["text"], "go");
    assert_eq!(worked.load(Ordering::SeqCst), 1);
    running.stop(LONG).await;
    Ok(())
}

#[tokio::test]
async fn a_bid_is_lost_by_the_agent_or_by_the_caller() -> Result {
    let (running, caller, worked) = start(reader()?).await?;
    let mut dear = saying("pdf", "bid", None);
    dear["message"]["metadata"]["bindu.negotiation.request"] = json!({ "min_score": 0.99 });
    for (params, reason) in
        [(saying("sing", "bid", None), "score_below_threshold"), (dear, "score_below_threshold")]
    {
        let lost = caller.result("message/send", params).await?;
        assert_eq!(state(&lost), "negotiation-bid-lost", "{lost}");
        assert_eq!(answer(&lost)["rejection_reason"], reason);
        let (_, refused) = caller.call("message/send", saying("go", "won", Some(&lost))).await?;
        assert!(refused["error"].is_object(), "it is over: {refused}");
    }
    let bid = caller.result("message/send", saying("pdf", "bid", None)).await?;
    let lost = caller.result("message/send", saying("sorry", "lost", Some(&bid))).await?;
    assert_eq!(state(&lost), "negotiation-bid-lost", "{lost}");
    assert_eq!(worked.load(Ordering::SeqCst), 0);
    running.stop(LONG).await;

    let (running, caller, _) = start(config("idle")).await?;
    let lost = caller.result("message/send", saying("pdf", "bid", None)).await?;
    assert_eq!(state(&lost), "negotiation-bid-lost");
    assert_eq!(answer(&lost)["rejection_reason"], "no_skills_advertised");
    running.stop(LONG).await;
    Ok(())
}

#[tokio::test]
async fn what_decides_nothing_is_refused_and_says_what_would() -> Result {
    let (running, caller, worked) = start(reader()?).await?;
    let bid = caller.result("message/send", saying("pdf", "bid", None)).await?;
    let mut silent = message("hello?");
    silent["message"]["taskId"] = bid["id"].clone();
    let odd = saying("pdf", "maybe", None);
    let early = saying("go", "won", None);
    for params in [silent, saying("again", "bid", Some(&bid)), odd, early, saying(" ", "bid", None)]
    {
        let (_, refused) = caller.call("message/send", params).await?;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        let said = refused["error"].to_string();
        assert!(said.contains("won") || said.contains("text"), "{refused}");
    }
    let canceled = caller.result("tasks/cancel", json!({ "id": bid["id"] })).await?;
    assert_eq!(
        (&canceled["status"]["state"], worked.load(Ordering::SeqCst)),
        (&json!("canceled"), 0)
    );
    running.stop(LONG).await;
    Ok(())
}

#[tokio::test]
async fn a_stream_ends_with_the_bid_and_goes_on_with_the_work() -> Result {
    let (running, caller, _) = start(reader()?).await?;
    let events = caller.stream("message/stream", saying("pdf", "bid", None), None).await?;
    let first = &events.first().expect("a task").1["result"];
    assert_eq!(state(first), "negotiation-bid-submitted", "{first}");
    let bid = first.clone();
    let events = caller.stream("message/stream", saying("go", "won", Some(&bid)), None).await?;
    let last = &events.last().expect("events").1["result"];
    assert_eq!(last["status"]["state"], "completed", "{last}");
    let events = caller.stream("message/stream", saying("sing", "bid", None), None).await?;
    let last = &events.last().expect("events").1["result"];
    assert_eq!(state(last), "negotiation-bid-lost", "{last}");
    running.stop(LONG).await;
    Ok(())
}

#[tokio::test]
async fn bids_that_nobody_decides_do_not_pile_up() -> Result {
    let (running, caller, _) = start(reader()?).await?;
    for _ in 0..1_000 {
        caller.result("message/send", saying("pdf", "bid", None)).await?;
    }
    let (status, refused) = caller.call("message/send", saying("pdf", "bid", None)).await?;
    assert_eq!(status, http::StatusCode::SERVICE_UNAVAILABLE, "{refused}");
    // Work goes on.
    assert_eq!(state(&caller.send("pdf").await?), "completed");
    running.stop(LONG).await;
    Ok(())
}
