//! The commands, one file each.

mod card;
mod db;
mod did;
mod peer;
mod send;
mod serve;
mod task;

use std::future::Future;

use anyhow::{Context as _, Result};
use clap::Subcommand;

use crate::exit::Exit;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what an agent says of itself.
    Card(card::Args),
    /// Send a message, and show what comes of it.
    #[command(after_help = crate::exit::HELP)]
    Send(Box<send::Args>),
    /// Look at tasks, follow them, end them.
    #[command(subcommand, after_help = crate::exit::HELP)]
    Task(task::Command),
    /// Look after the database of an agent.
    #[command(subcommand)]
    Db(db::Command),
    /// Make and show identities.
    #[command(subcommand)]
    Did(did::Command),
    /// Serve an agent whose handler is a program.
    Serve(serve::Args),
}

impl Command {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit> {
        match self {
            Self::Card(args) => wait_for(args.run(output)),
            Self::Send(args) => wait_for(args.run(output)),
            Self::Task(command) => wait_for(command.run(output)),
            Self::Db(command) => wait_for(command.run(output)),
            Self::Did(command) => command.run(output),
            Self::Serve(args) => args.run(),
        }
    }
}

/// Runs what waits for a network.
fn wait_for(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the runtime")?.block_on(work)
}
