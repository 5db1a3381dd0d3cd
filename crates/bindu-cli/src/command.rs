//! The commands, one file each.

mod about;
mod card;
mod db;
mod did;
mod negotiate;
mod payments;
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
    /// Ask several agents whether they take a task on, and rank what they say.
    #[command(after_help = NEGOTIATE_HELP)]
    Negotiate(Box<negotiate::Args>),
    /// Look after the database of an agent.
    #[command(subcommand)]
    Db(db::Command),
    /// Look at the payments that an agent keeps account of, and decide those that it cannot.
    #[command(subcommand)]
    Payments(payments::Command),
    /// Make and show identities.
    #[command(subcommand)]
    Did(did::Command),
    /// Serve an agent whose handler is a program, or the agents of SDKs.
    Serve(serve::Args),
    /// Print what makes a shell complete this command.
    Completions(about::Completions),
    /// Print the manual: one page a command, into a directory.
    Man(about::Man),
    /// Read a document from the standard input and write its text.
    #[command(name = EXTRACT_TEXT, hide = true)]
    ExtractText,
}

/// How `negotiate` ends.
const NEGOTIATE_HELP: &str = "Each agent judges itself; nothing begins. Exit status:
  0  an agent accepts
  1  no agent answered
  2  the arguments are wrong
  4  the agents that answered refuse";

/// What the core starts this program with, to read what callers send.
const EXTRACT_TEXT: &str = "extract-text";

impl Command {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit> {
        match self {
            Self::Card(args) => wait_for(args.run(output)),
            Self::Send(args) => wait_for(args.run(output)),
            Self::Task(command) => wait_for(command.run(output)),
            Self::Negotiate(args) => wait_for(args.run(output)),
            Self::Db(command) => wait_for(command.run(output)),
            Self::Payments(command) => wait_for(command.run(output)),
            Self::Did(command) => command.run(output),
            Self::Serve(args) => args.run(),
            Self::Completions(args) => args.run(output),
            Self::Man(args) => args.run(output),
            Self::ExtractText => {
                bindu_grpc::documents::extract(std::io::stdin(), std::io::stdout())?;
                Ok(Exit::Done)
            }
        }
    }
}

/// Runs what waits for a network.
fn wait_for(work: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the runtime")?.block_on(work)
}
