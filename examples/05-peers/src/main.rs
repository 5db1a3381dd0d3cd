//! Teaches: an agent that calls another agent in its own name.
//!
//! `Peers` signs each call with the agent's key and carries the conversation on. Where the agent is
//! registered with Hydra and has a certificate, token and certificate go along too, and nothing
//! here changes.
//!
//! Run it beside the first example, each in a terminal of its own:
//!
//! ```text
//! cargo run -p example-echo
//! BINDU_PORT=3774 PEER_URL=http://localhost:3773 cargo run -p example-peers
//! ```

use std::time::Duration;

use bindu::{Agent, AgentConfig, HandlerError, Peers, Reply, Settings, Turn};

/// How long the other agent may take.
const PATIENCE: Duration = Duration::from_mins(1);

fn main() -> Result<(), HandlerError> {
    let settings = Settings::load()?;
    let other = settings.variable("PEER_URL").unwrap_or("http://localhost:3773").to_owned();
    let peers = Peers::default();

    let through = peers.clone();
    let handler = move |turn: Turn| {
        let (peers, other) = (through.clone(), other.clone());
        async move {
            let agent = peers.call(&other, &turn)?;
            let task = agent.send_task(turn.text().into_owned()).await?;
            let done = agent.wait(&task.id, PATIENCE).await?;
            let said = done.artifacts.iter().flat_map(|artifact| &artifact.parts);
            let said: Vec<&str> = said.filter_map(|part| part.as_text()).collect();
            Ok(Reply::text(format!("they say: {}", said.join(" "))))
        }
    };
    let config = AgentConfig {
        description: "Has another agent do the work".into(),
        ..AgentConfig::new("ann@example.com", "middle")
    };
    Agent::builder(config, handler).settings(settings).peers(&peers).serve()?;
    Ok(())
}
