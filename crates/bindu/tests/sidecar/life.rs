//! Agents that come, share work, move, are given up, and come again.

use std::net::TcpListener;

use bindu_testkit::sdk::{Act, Core, Sdk, free_port, until};
use serde_json::json;

use super::{Ground, config, state, text_of};
use crate::caller::{LONG, Result, message};

#[tokio::test]
async fn two_processes_share_the_work_and_one_is_enough() -> Result {
    let ground = Ground::new(&[("WORKER__CONCURRENCY", "32")]).await?;
    let (left, mut right) =
        (Sdk::with(Act::Held("left")).await, Sdk::with(Act::Held("right")).await);
    let agent = ground.agent("shared", &left).await?;
    let again = ground.register(agent.config.clone(), &right).await?;
    assert_eq!(again.answer, agent.answer);
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(agent.caller.begin(&number.to_string()).await?);
    }
    until("all run", || left.running() + right.running() == 20).await;
    assert_eq!((left.running(), right.running()), (10, 10));
    right.kill().await;
    left.release();
    let mut ends = Vec::new();
    for id in &ids {
        ends.push(state(&agent.settled(id).await?));
    }
    // What was sent to the one that died has failed, once; nothing else has.
    assert_eq!(ends.iter().filter(|end| *end == "failed").count(), 10, "{ends:?}");
    assert_eq!(ends.iter().filter(|end| *end == "completed").count(), 10, "{ends:?}");
    for number in 0..5 {
        let id = agent.caller.begin(&number.to_string()).await?;
        assert_eq!(text_of(&agent.settled(&id).await?), "left");
    }
    Ok(())
}

#[tokio::test]
async fn a_hundred_turns_end_when_their_process_is_killed() -> Result {
    let ground = Ground::new(&[("WORKER__CONCURRENCY", "128")]).await?;
    let mut sdk = Sdk::with(Act::Hang).await;
    let agent = ground.agent("killed", &sdk).await?;
    let mut ids = Vec::new();
    for number in 0..100 {
        ids.push(agent.caller.begin(&number.to_string()).await?);
    }
    until("all run", || sdk.running() == 100).await;
    sdk.kill().await;
    for id in &ids {
        let task = agent.settled(id).await?;
        assert_eq!(state(&task), "failed");
        assert!(text_of(&task).contains("UNAVAILABLE"), "{task}");
    }
    let (status, _) = agent.caller.get("/health").await?;
    assert!(status.is_success());

    // It starts again elsewhere: the first task after that is done.
    let again = Sdk::start().await;
    ground.register(agent.config.clone(), &again).await?;
    let id = agent.caller.begin("hello").await?;
    assert_eq!(text_of(&agent.settled(&id).await?), "echo hello");
    Ok(())
}

#[tokio::test]
async fn a_process_that_starts_again_at_its_port_goes_on() -> Result {
    let ground = Ground::new(&[]).await?;
    let mut sdk = Sdk::start().await;
    let agent = ground.agent("again", &sdk).await?;
    let id = agent.caller.begin("one").await?;
    assert_eq!(text_of(&agent.settled(&id).await?), "echo one");
    sdk.kill().await;
    // Nobody is there to send it to: it is tried again until there is.
    let id = agent.caller.begin("two").await?;
    sdk.restart().await;
    assert_eq!(text_of(&agent.settled(&id).await?), "echo two");
    Ok(())
}

#[tokio::test]
async fn another_configuration_takes_effect_and_nothing_is_lost() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("changes", &sdk).await?;
    let before = agent.caller.begin("one").await?;
    agent.settled(&before).await?;
    sdk.set(Act::Held("held"));
    let running = agent.caller.begin("two").await?;
    until("a turn runs", || sdk.running() == 1).await;

    let mut changed = agent.config.clone();
    changed["description"] = "Another one".into();
    let again = ground.register(changed, &sdk).await?;
    assert_eq!(again.answer, agent.answer);
    // Connections that are open are served on for a moment.
    let changed = async {
        loop {
            let (status, card) = agent.stranger().get("/.well-known/agent.json").await?;
            assert!(status.is_success());
            let card: serde_json::Value = serde_json::from_slice(&card)?;
            if card["description"] == "Another one" {
                return Result::<()>::Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LONG, changed).await??;
    // What was done before is there, and what ran goes on.
    assert_eq!(text_of(&agent.settled(&before).await?), "echo one");
    sdk.release();
    assert_eq!(state(&agent.settled(&running).await?), "completed");
    let id = agent.stranger().begin("three").await?;
    assert_eq!(text_of(&agent.settled(&id).await?), "held");
    Ok(())
}

#[tokio::test]
async fn a_process_is_looked_after_whatever_another_makes_of_the_configuration() -> Result {
    let ground = Ground::new(&[("GRPC__HEALTH_CHECK_INTERVAL", "0.05")]).await?;
    let (first, second) = (Sdk::start().await, Sdk::start().await);
    let agent = ground.agent("watched", &first).await?;
    until("it is looked after", || first.health_checks() > 0).await;
    let mut changed = agent.config.clone();
    changed["description"] = "Another one".into();
    ground.register(changed, &second).await?;
    for sdk in [&first, &second] {
        let before = sdk.health_checks();
        until("it is asked again and again", || sdk.health_checks() > before + 3).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_do_not_notice_that_an_agent_is_started_anew() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("anew", &sdk).await?;
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let url = agent.answer.agent_url.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    // A connection of its own each time.
                    let caller = crate::caller::Caller::at(&url);
                    let (status, _) = caller.get("/health").await?;
                    assert!(status.is_success());
                }
                Result::<()>::Ok(())
            })
        })
        .collect();
    for number in 0..10 {
        let mut changed = agent.config.clone();
        changed["description"] = format!("number {number}").into();
        ground.register(changed, &sdk).await?;
    }
    for asked in asking {
        asked.await??;
    }
    Ok(())
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_file_of_tasks_goes_along_with_its_agent() -> Result {
    let settings = [("STORAGE_TYPE", "sqlite"), ("DATABASE_URL", "sqlite:tasks.db")];
    let ground = Ground::new(&settings).await?;
    let sdk = Sdk::start().await;
    // Each agent has a file of its own.
    let (agent, other) = (ground.agent("filed", &sdk).await?, ground.agent("other", &sdk).await?);
    let id = agent.caller.begin("one").await?;
    agent.settled(&id).await?;
    let mut changed = agent.config.clone();
    changed["description"] = "Another one".into();
    let again = ground.register(changed.clone(), &sdk).await?;
    assert_eq!(text_of(&again.settled(&id).await?), "echo one");
    changed["deployment"]["url"] = format!("http://127.0.0.1:{}", free_port()).into();
    let moved = ground.register(changed.clone(), &sdk).await?;
    assert_eq!(text_of(&moved.settled(&id).await?), "echo one");
    assert!(other.caller.result("tasks/get", json!({ "id": id })).await.is_err());

    assert!(ground.core.unregister(moved.id(), None).await?.success);
    let back = ground.register(changed, &sdk).await?;
    assert_eq!(text_of(&back.settled(&id).await?), "echo one");
    Ok(())
}

#[tokio::test]
async fn an_agent_moves_with_its_address() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("moves", &sdk).await?;
    let moved = ground.register(config("moves", free_port()), &sdk).await?;
    assert_eq!(moved.id(), agent.id());
    assert_eq!(moved.answer.did, agent.answer.did);
    let id = moved.caller.begin("hello").await?;
    assert_eq!(text_of(&moved.settled(&id).await?), "echo hello");
    let port = agent.port()?;
    until("the old address is free", || TcpListener::bind(("127.0.0.1", port)).is_ok()).await;
    Ok(())
}

#[tokio::test]
async fn an_address_has_one_agent() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("first", &sdk).await?;
    let taken = ground.register(config("second", agent.port()?), &sdk).await;
    let error = taken.err().ok_or("two agents are at one address")?.to_string();
    assert!(error.contains(agent.id()), "{error}");

    let strangers = TcpListener::bind(("127.0.0.1", free_port()))?;
    let port = strangers.local_addr()?.port();
    let taken = ground.register(config("third", port), &sdk).await;
    let error = taken.err().ok_or("it took a stranger's address")?.to_string();
    assert!(error.contains(&port.to_string()), "{error}");
    drop(strangers);
    ground.register(config("third", port), &sdk).await?;
    // Nothing that was refused stayed behind.
    assert!(
        !ground
            .core
            .heartbeat(&bindu_did::agent_id("ann@example.com", "second").to_string())
            .await?
            .acknowledged
    );
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_taken_away_frees_its_address_and_keeps_its_identity() -> Result {
    let ground = Ground::new(&[("DID__SUFFIX", "key")]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("leaves", &sdk).await?;
    let port = agent.port()?;
    assert!(ground.core.unregister(agent.id(), None).await?.success);
    drop(TcpListener::bind(("127.0.0.1", port))?);
    assert!(!ground.core.heartbeat(agent.id()).await?.acknowledged);
    let back = ground.register(agent.config.clone(), &sdk).await?;
    assert_eq!(back.answer, agent.answer);
    Ok(())
}

#[tokio::test]
async fn agents_of_one_name_share_neither_key_nor_id() -> Result {
    let ground = Ground::new(&[("DID__SUFFIX", "key")]).await?;
    let sdk = Sdk::start().await;
    let agent = ground.agent("twin", &sdk).await?;
    let mut other = config("twin", free_port());
    other["author"] = "bob@example.com".into();
    let twin = ground.register(other.clone(), &sdk).await?;
    assert_ne!(twin.id(), agent.id());
    // The last part of the DID is made of the key.
    let key = |did: &str| did.rsplit(':').next().map(str::to_owned);
    assert_ne!(key(&twin.answer.did), key(&agent.answer.did));

    other["id"] = agent.id().into();
    other["deployment"]["url"] = format!("http://127.0.0.1:{}", free_port()).into();
    let taken = ground.register(other, &sdk).await;
    let error = taken.err().ok_or("an id was taken over")?.to_string();
    assert!(error.contains("ann@example.com"), "{error}");
    let id = agent.caller.begin("still there").await?;
    assert_eq!(text_of(&agent.settled(&id).await?), "echo still there");
    Ok(())
}

#[tokio::test]
async fn one_instance_is_taken_away_by_its_callback() -> Result {
    let ground = Ground::new(&[]).await?;
    let (left, right) = (Sdk::with(Act::Echo("left")).await, Sdk::with(Act::Echo("right")).await);
    let agent = ground.agent("pair", &left).await?;
    ground.register(agent.config.clone(), &right).await?;
    let gone = left.address().to_string();
    assert!(ground.core.unregister(agent.id(), Some(&gone)).await?.success);
    for _ in 0..4 {
        let id = agent.caller.begin("x").await?;
        assert_eq!(text_of(&agent.settled(&id).await?), "right x");
    }
    let again = ground.core.unregister(agent.id(), Some(&gone)).await?;
    assert!(!again.success && again.error.contains(&gone), "{again:?}");
    let last = right.address().to_string();
    assert!(ground.core.unregister(agent.id(), Some(&last)).await?.success);
    assert!(!ground.core.heartbeat(agent.id()).await?.acknowledged);
    Ok(())
}

#[tokio::test]
async fn an_agent_whose_processes_are_gone_is_given_up_and_may_come_again() -> Result {
    let settings = [("GRPC__HEALTH_CHECK_INTERVAL", "0.05"), ("GRPC__EVICT_AFTER", "0.2")];
    let ground = Ground::new(&settings).await?;
    let mut sdk = Sdk::start().await;
    let agent = ground.agent("deserted", &sdk).await?;
    until("it is looked after", || sdk.health_checks() > 2).await;
    assert!(ground.core.heartbeat(agent.id()).await?.acknowledged);
    sdk.kill().await;
    let port = agent.port()?;
    until("its address is free", || TcpListener::bind(("127.0.0.1", port)).is_ok()).await;
    assert!(!ground.core.heartbeat(agent.id()).await?.acknowledged);
    sdk.restart().await;
    let back = ground.register(agent.config.clone(), &sdk).await?;
    assert_eq!(back.answer, agent.answer);
    Ok(())
}

#[tokio::test]
async fn registrations_at_once_are_all_answered() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..12 {
        // Of some there are several at once.
        let config = config(&format!("agent-{}", number % 6), 0);
        let (core, callback) = (Core::at(ground.sidecar.local_addr()).await?, sdk.address());
        asked.spawn(async move { core.register(&config, &callback.to_string()).await });
    }
    let mut ids = std::collections::BTreeSet::new();
    while let Some(answer) = tokio::time::timeout(LONG, asked.join_next()).await? {
        let answer = answer??;
        assert!(answer.success, "{}", answer.error);
        ids.insert((answer.agent_id, answer.agent_url));
    }
    assert_eq!(ids.len(), 6, "{ids:?}");
    Ok(())
}

#[tokio::test]
async fn metrics_show_an_agent_its_own_calls() -> Result {
    let ground = Ground::new(&[]).await?;
    let sdk = Sdk::start().await;
    let (one, other) = (ground.agent("one", &sdk).await?, ground.agent("other", &sdk).await?);
    agent_says(&one).await?;
    let (_, page) = one.caller.get("/metrics").await?;
    let page = String::from_utf8_lossy(&page).into_owned();
    let counted = format!(
        "bindu_grpc_handler_requests_total{{agent=\"{}\",code=\"OK\",method=\"HandleMessages\"}} 1",
        one.id()
    );
    assert!(page.contains(&counted), "{page}");
    assert!(page.contains("bindu_grpc_agents 2"), "{page}");
    assert!(!page.contains(other.id()), "{page}");
    Ok(())
}

async fn agent_says(agent: &super::Registered) -> Result {
    let mut params = message("hello");
    params["configuration"] = json!({ "blocking": true });
    let task = agent.caller.result("message/send", params).await?;
    assert_eq!(state(&task), "completed");
    Ok(())
}
