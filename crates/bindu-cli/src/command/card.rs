use anyhow::Result;
use bindu_client::Peer as Known;
use bindu_did::pins::Trust;
use bindu_protocol::AgentCard;

use super::peer::Peer;
use crate::exit::Exit;
use crate::output::Output;
use crate::sanitize::line;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    peer: Peer,
}

impl Args {
    pub(crate) async fn run(self, output: &mut Output) -> Result<Exit> {
        let client = self.peer.client().await?;
        let card = client.card().await?;
        // Who calls as somebody wants to know whom.
        let known = if self.peer.is_somebody() { client.peer().await? } else { None };
        if output.is_json() {
            output.json(&*card)?;
        } else {
            show(&card, known.as_ref(), output)?;
        }
        Ok(Exit::Done)
    }
}

fn show(card: &AgentCard, known: Option<&Known>, output: &mut Output) -> Result<()> {
    output.line(&line(&card.name))?;
    if !card.description.is_empty() {
        output.line(&card.description)?;
    }
    let mut rows = vec![
        ("url", card.url.clone()),
        ("version", card.version.clone()),
        ("protocol", card.protocol_version.clone()),
        ("did", card.did().unwrap_or_default().to_owned()),
        ("key", known.map(key).unwrap_or_default()),
        ("takes", card.default_input_modes.join(", ")),
        ("gives", card.default_output_modes.join(", ")),
        ("can", abilities(card)),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    for (name, value) in rows {
        output.line(&format!("{name:<10}{}", line(&value)))?;
    }
    for skill in &card.skills {
        let description = skill.description.as_deref().unwrap_or(&skill.name);
        output.line(&format!("{:<10}{}: {}", "skill", line(&skill.id), line(description)))?;
    }
    Ok(())
}

/// The agent's key, and why it is taken for the agent's.
fn key(known: &Known) -> String {
    let why = match known.trust {
        Trust::SelfCertified => "proved by the DID",
        Trust::Pinned => "the same as before",
        Trust::FirstUse => "met for the first time",
        _ => "trusted",
    };
    format!("{} ({why})", known.key)
}

fn abilities(card: &AgentCard) -> String {
    let can = &card.capabilities;
    let all = [(can.streaming, "stream"), (can.push_notifications, "call webhooks")];
    all.into_iter().filter_map(|(can, what)| can.then_some(what)).collect::<Vec<_>>().join(", ")
}
