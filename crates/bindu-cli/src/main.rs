//! The `bindu` command: call agents, follow their tasks, make identities, look after databases.

mod command;
mod content;
mod exit;
mod media_type;
mod output;
mod sanitize;
mod save;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

use self::command::Command;
use self::exit::{Exit, report};
use self::output::Output;

/// Call agents, follow their tasks, make identities, look after databases.
#[derive(Debug, Parser)]
#[command(name = "bindu", version, after_help = exit::HELP)]
pub(crate) struct Cli {
    /// Print JSON: one document, or one a line for what comes as a stream.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::new(cli.json);
    let outcome = match cli.command {
        Some(command) => command.run(&mut output),
        None => output.line(&Cli::command().render_help().to_string()).map(|()| Exit::Error),
    };
    let outcome = outcome.and_then(|exit| output.finish().map(|()| exit));
    outcome.unwrap_or_else(|error| report(&error, &mut output)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }
}
