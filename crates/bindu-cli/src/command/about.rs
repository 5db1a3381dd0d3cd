//! What the command tells about itself: completions for shells, and the manual.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Cli;
use crate::exit::Exit;
use crate::output::Output;

/// Print what makes a shell complete this command.
///
/// For bash, for example: bindu completions bash > ~/.local/share/bash-completion/completions/bindu
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "bindu", &mut script);
        output.line(String::from_utf8(script)?.trim_end())?;
        Ok(Exit::Done)
    }
}

/// Write the manual: one page a command.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The directory to write the pages to; `man` finds them in `share/man/man1`.
    directory: PathBuf,
}

impl Man {
    pub(crate) fn run(&self, output: &mut Output) -> Result<Exit> {
        let directory = &self.directory;
        fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
            .with_context(|| format!("writing the manual to {}", directory.display()))?;
        output.line(&format!("the manual is in {}", directory.display()))?;
        Ok(Exit::Done)
    }
}
