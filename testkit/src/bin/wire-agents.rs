//! Starts the agents of the recorded transcripts, and runs until it is told to end.
//!
//! Beside them it starts a fake Hydra, unless `HYDRA__ADMIN_URL` and `HYDRA__PUBLIC_URL` name one.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bindu::settings::Settings;
use bindu_testkit::agents::Agents;
use bindu_testkit::services::Given;
use clap::Parser;

#[derive(Debug, Parser)]
struct Args {
    /// The folder with `agents.json` and `skills`.
    #[arg(long)]
    fixtures: PathBuf,
    /// Written once all agents answer: {"echo": "http://…", …, "hydra": "http://…"}.
    #[arg(long)]
    map: PathBuf,
    /// Also ends when the standard input is closed, so that no agent outlives whoever
    /// started it.
    #[arg(long)]
    leashed: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let end = end(args.leashed)?;
    let settings = Settings::load()?;
    bindu::logging::init(&settings.logging);
    let agents = Agents::start(&args.fixtures, &settings, &Given::from_env()).await?;
    // Whoever waits for the file must never see half of it.
    let part = args.map.with_extension("part");
    let map = serde_json::to_string_pretty(&agents.urls())?;
    std::fs::write(&part, map).with_context(|| format!("writing {}", part.display()))?;
    std::fs::rename(&part, &args.map)?;
    end.await;
    agents.stop(Duration::from_secs(1)).await;
    Ok(())
}

/// What ends once this process is told to: by SIGINT or SIGTERM, or by its leash. Signals are
/// heard from now on.
#[cfg(unix)]
fn end(leashed: bool) -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = input_closed(), if leashed => {}
        }
    })
}

#[cfg(not(unix))]
fn end(leashed: bool) -> anyhow::Result<impl Future<Output = ()>> {
    Ok(async move {
        tokio::select! {
            Ok(()) = tokio::signal::ctrl_c() => {}
            () = input_closed(), if leashed => {}
        }
    })
}

/// Waits until nobody can write to the standard input any more.
async fn input_closed() {
    let (closed, heard) = tokio::sync::oneshot::channel();
    // A thread of its own: the runtime would wait for a read of its own at the end.
    std::thread::spawn(move || {
        let mut ignored = [0; 64];
        while std::io::stdin().read(&mut ignored).is_ok_and(|read| read > 0) {}
        // Nobody waits if the process ends anyway.
        let _ = closed.send(());
    });
    let _ = heard.await;
}
