//! What is said of an agent that cannot start.

use bindu::{Agent, AgentConfig, Reply, Settings, StartError, Turn};
use serde_json::json;

use crate::caller::{LONG, Result, agent, config};

async fn echo(turn: Turn) -> Result<Reply> {
    Ok(Reply::text(turn.text()))
}

#[test]
fn a_wrong_configuration_is_told_key_by_key() {
    let wrong = json!({
        "author": "ann@example.com", "name": "", "deployment": { "url": "nowhere" },
        "num_history_sessions": "ten", "debug_level": 7,
    });
    let told = AgentConfig::from_json(&wrong.to_string()).unwrap_err();
    let text = told.to_string();
    assert_eq!(told.problems().len(), 4, "{text}");
    for key in ["name", "deployment.url", "num_history_sessions", "debug_level"] {
        assert!(text.contains(&format!("'{key}'")), "{key} in {text}");
    }
    let told = AgentConfig::from_json("{ not json").unwrap_err().to_string();
    assert!(told.contains("not valid JSON"), "{told}");
}

#[tokio::test]
async fn a_configuration_made_in_rust_is_checked_at_the_start() {
    let wrong = AgentConfig { name: String::new(), ..config("x") };
    let refused = Agent::builder(wrong, echo).settings(Settings::default()).spawn().await;
    let Err(StartError::Config(error)) = refused else { panic!("it started: {refused:?}") };
    assert!(error.to_string().contains("'name'"), "{error}");
    // What `main` prints when it returns the error is the same text.
    let shown = format!("{:?}", StartError::Config(error));
    assert!(shown.contains("name"), "{shown}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() -> Result {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut wrong = config("x");
    wrong.deployment.url = format!("http://{}", taken.local_addr()?);
    let keys = tempfile::tempdir()?;
    let agent = Agent::builder(wrong, echo).settings(Settings::default()).directory(keys.path());
    let Err(error) = agent.spawn().await else { panic!("it started") };
    let text = error.to_string();
    assert!(text.contains(&taken.local_addr()?.port().to_string()), "{text}");
    assert!(text.contains("BINDU_PORT"), "{text}");
    Ok(())
}

#[tokio::test]
async fn a_skill_that_is_not_there_is_named() -> Result {
    let described = json!({
        "author": "ann@example.com", "name": "x",
        "deployment": { "url": "http://127.0.0.1:0" }, "skills": ["skills/none"],
    });
    let wrong = AgentConfig::from_value(&described)?;
    let keys = tempfile::tempdir()?;
    let agent = Agent::builder(wrong, echo).settings(Settings::default()).directory(keys.path());
    let Err(error) = agent.spawn().await else { panic!("it started") };
    assert!(format!("{error:?}").contains("skills/none"), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn settings_that_make_no_sense_are_named() {
    let told = Settings::from_vars([("A2A__DIALECT", "klingon"), ("WORKER__CONCURRENCY", "-1")]);
    let text = told.unwrap_err().to_string();
    assert!(text.contains("A2A__DIALECT") && text.contains("WORKER__CONCURRENCY"), "{text}");
}

#[tokio::test]
async fn an_agent_on_a_free_port_says_where_it_is() -> Result {
    let running = agent("free", echo)?.spawn().await?;
    let port = running.local_addr().port();
    assert_ne!(port, 0);
    assert!(running.url().contains(&port.to_string()), "{}", running.url());
    running.stop(std::time::Duration::ZERO).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_can_be_started_by_a_task_of_its_own() -> Result {
    let agent = agent("sent", async |_: Turn| Ok(Reply::text("done")))?;
    let running = tokio::spawn(agent.spawn()).await??;
    running.stop(LONG).await;
    Ok(())
}
