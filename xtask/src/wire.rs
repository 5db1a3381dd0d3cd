//! `cargo xtask wire`: replays recorded transcripts against agents.

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use anyhow::{Context as _, ensure};
use bindu_testkit::wire::{Options, Report, Runner};

use crate::{folder_or, workspace::Workspace};

/// Where the transcripts lie that were recorded from the reference.
const REFERENCE: &str = "fixtures/wire/reference";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A JSON file with the addresses of running agents: {"echo": "http://…", …}.
    #[arg(long)]
    map: PathBuf,
    /// A folder of transcripts to replay instead of the recorded ones.
    #[arg(long)]
    transcripts: Option<PathBuf>,
    /// How answers are spelled and which transcripts count.
    #[arg(long, value_enum, default_value_t = Strictness::Exact)]
    strictness: Strictness,
    /// Run only transcripts whose area/name this regular expression finds.
    #[arg(long)]
    only: Option<String>,
    /// The loopback port for webhooks.
    #[arg(long, default_value_t = 9797)]
    webhook_port: u16,
    /// Leave out the keys that a transcript does not know.
    #[arg(long)]
    no_warnings: bool,
}

/// The two ways to replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Strictness {
    /// Every key as recorded: for agents that speak the reference's dialect.
    Exact,
    /// Either spelling of a key, and no streams of bare objects: for agents that
    /// choose the dialect by the request.
    Either,
}

impl Strictness {
    /// The runner's options for the agents in `map`.
    pub(crate) fn options(self, map: BTreeMap<String, String>) -> Options {
        let skip_tags = match self {
            Self::Exact => Vec::new(),
            Self::Either => vec!["a2a-divergent".to_owned()],
        };
        Options { map, keys_either: self == Self::Either, skip_tags, ..Options::default() }
    }
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let map =
        fs::read_to_string(&args.map).with_context(|| format!("reading {}", args.map.display()))?;
    let map = serde_json::from_str(&map)
        .with_context(|| format!("{} is no map of names to addresses", args.map.display()))?;
    let options = Options {
        only: args.only.clone(),
        webhook_port: args.webhook_port,
        warnings: !args.no_warnings,
        ..args.strictness.options(map)
    };
    let report = replay(options, &[folder_or(workspace, args.transcripts.as_ref(), REFERENCE)])?;
    ensure!(report.failed == 0, "{} transcript(s) failed", report.failed);
    Ok(())
}

/// Replays transcripts and prints the report.
pub(crate) fn replay(options: Options, paths: &[PathBuf]) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    let runner = Runner::new(options);
    runtime.block_on(runner.run(paths, &mut io::stdout())).context("replaying transcripts")
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, Strictness};

    #[test]
    fn the_two_ways_differ_in_spelling_and_streams() {
        let map = BTreeMap::from([("echo".to_owned(), "http://127.0.0.1:1".to_owned())]);
        let exact = Strictness::Exact.options(map.clone());
        assert!(!exact.keys_either && exact.skip_tags.is_empty());
        let either = Strictness::Either.options(map.clone());
        assert!(either.keys_either && either.skip_tags == ["a2a-divergent"]);
        assert_eq!(either.map, map);
    }
}
