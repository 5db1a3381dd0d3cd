//! Starts the agents of the recorded transcripts, and runs until it is told to end.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bindu::settings::Settings;
use bindu_testkit::agents::Agents;
use clap::Parser;

#[derive(Debug, Parser)]
struct Args {
    /// The folder with `agents.json` and `skills`.
    #[arg(long)]
    fixtures: PathBuf,
    /// Written once all agents answer: {"echo": "http://…", …}.
    #[arg(long)]
    map: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let settings = Settings::load()?;
    bindu::logging::init(&settings.logging);
    let agents = Agents::start(&args.fixtures, &settings).await?;
    // Whoever waits for the file must never see half of it.
    let part = args.map.with_extension("part");
    let map = serde_json::to_string_pretty(&agents.urls())?;
    std::fs::write(&part, map).with_context(|| format!("writing {}", part.display()))?;
    std::fs::rename(&part, &args.map)?;
    tokio::signal::ctrl_c().await?;
    agents.stop(Duration::from_secs(1)).await;
    Ok(())
}
