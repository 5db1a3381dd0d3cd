//! `cargo xtask wire`: replays recorded conversations with agents.
//!
//! Without arguments it starts the fixture agents itself, once for each storage and
//! scheduler and each way to choose the dialect, and replays every section that
//! there is. A replay mostly waits, for agents that take their time and webhooks that
//! must not come; so several run at once.

mod agents;
mod backends;
mod lanes;

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use bindu_testkit::wire::{Options, Report, Runner};

use self::agents::{Agents, Fixtures};
use self::backends::{Backends, Combination};
pub(crate) use self::backends::{Scheduler, Storage};
use crate::{programs::Programs, workspace::Workspace};

/// Where the transcripts lie that were recorded from the reference.
const REFERENCE: &str = "fixtures/wire/reference";

/// Where our own transcripts of A2A 0.3 lie.
const V0_3: &str = "fixtures/wire/v0_3";

/// Areas whose agents need a sidecar, and what is no area.
const LEFT_OUT: [&str; 2] = ["fixtures", "grpc"];

/// The port that the agent with a webhook of its own posts to, as it was recorded.
const WEBHOOK_PORT: u16 = 9797;

/// How many replays run at once. They use a third of two cores then: with more, answers might come
/// late for the transcripts that look at an agent while it works.
const JOBS: u16 = 6;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only start the agents: write a JSON map of their names and addresses here
    /// once all of them answer, and run until SIGINT or SIGTERM. Beside them run a fake
    /// Hydra, called `hydra` there, unless `HYDRA__ADMIN_URL` and `HYDRA__PUBLIC_URL`
    /// name one, and a fake facilitator, called `facilitator`, unless `FACILITATOR_URL` does.
    #[arg(long, value_name = "MAP", conflicts_with_all = ["map", "transcripts"])]
    serve: Option<PathBuf>,
    /// Start no agents but replay against running ones, whose addresses are in this
    /// JSON file: {"echo": "http://…", …}.
    #[arg(long, conflicts_with = "dialect")]
    map: Option<PathBuf>,
    /// How the agents choose their dialect. Replays the sections of this one only.
    #[arg(long, value_enum)]
    dialect: Option<Dialect>,
    /// Where the agents keep their tasks. Replays the combinations with this one only.
    #[arg(long, value_enum, conflicts_with = "map")]
    storage: Option<Storage>,
    /// How the agents hand out work. Replays the combinations with this one only.
    #[arg(long, value_enum, conflicts_with = "map")]
    scheduler: Option<Scheduler>,
    /// A folder of transcripts to replay instead of the repository's.
    #[arg(long, value_name = "DIR")]
    transcripts: Option<PathBuf>,
    /// With --map: how answers are spelled and which transcripts count.
    #[arg(long, value_enum, default_value_t)]
    strictness: Strictness,
    /// Run only transcripts whose area/name this regular expression finds.
    #[arg(long)]
    only: Option<String>,
    /// The loopback port for webhooks, and the first one of as many as there are jobs. With
    /// --serve and --map, one of the agents calls 9797, wherever this is.
    #[arg(long, default_value_t = WEBHOOK_PORT,
        value_parser = clap::value_parser!(u16).range(1..=65_000))]
    webhook_port: u16,
    /// How many replays run at once. With 1, each transcript is reported as it ends.
    #[arg(long, default_value_t = JOBS, conflicts_with_all = ["map", "serve"],
        value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// With --map: leave out the keys that a transcript does not know.
    #[arg(long)]
    no_warnings: bool,
}

impl Default for Args {
    /// What `cargo xtask wire` does without arguments: what the gate runs.
    fn default() -> Self {
        Self {
            serve: None,
            map: None,
            dialect: None,
            storage: None,
            scheduler: None,
            transcripts: None,
            strictness: Strictness::default(),
            only: None,
            webhook_port: WEBHOOK_PORT,
            jobs: JOBS,
            no_warnings: false,
        }
    }
}

/// How agents choose their dialect: the values of `A2A__DIALECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dialect {
    /// Always the reference's.
    Reference,
    /// By the request.
    Auto,
    /// Always A2A's own.
    A2a,
}

impl Dialect {
    const ALL: [Self; 3] = [Self::Reference, Self::Auto, Self::A2a];

    fn as_str(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Auto => "auto",
            Self::A2a => "a2a",
        }
    }
}

/// The two ways to compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Strictness {
    /// Every key as recorded: for agents that speak the dialect of the transcripts.
    #[default]
    Exact,
    /// Either spelling of a key, and no streams of bare objects: for agents that
    /// choose the dialect by the request.
    Either,
}

/// One replay of some transcripts against the agents of one dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    name: String,
    paths: Vec<PathBuf>,
    strictness: Strictness,
    /// Transcripts that hold for another choice of dialect only.
    skip: Vec<&'static str>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    if let Some(map) = &args.serve {
        let backends = Backends::chosen(args.storage, args.scheduler)?;
        return agents::serve(workspace, args.dialect.unwrap_or(Dialect::Auto), &backends, map);
    }
    if let Some(map) = &args.map {
        let map = fs::read_to_string(map).with_context(|| format!("reading {}", map.display()))?;
        let map = serde_json::from_str(&map).context("the map must be {\"name\": \"http://…\"}")?;
        let folder = crate::folder_or(workspace, args.transcripts.as_ref(), REFERENCE);
        let section = Section {
            name: "running agents".to_owned(),
            paths: areas(&folder)?,
            strictness: args.strictness,
            skip: Vec::new(),
        };
        let options = options(args, &section, map, args.webhook_port);
        let report = replay(options, &section, &mut io::stdout())?;
        ensure!(report.failed == 0, "{} transcript(s) failed", report.failed);
        return Ok(());
    }
    let replays = replays(workspace, args)?;
    let program = Programs::build(workspace)?.path("wire-agents");
    let (mut passed, mut failed, mut verdicts) = (0, 0, Vec::new());
    let done = lanes::run(&replays, args.jobs, |replay, lane, out| {
        // Each lane hears its own webhooks. The ports are fixed, and below those that the system
        // hands out, so that no connection of anybody's sits on one.
        replay.run(workspace, &program, args, args.webhook_port + lane, out)
    })?;
    for verdict in done.into_iter().flatten() {
        let Verdict { name, report } = verdict;
        let mark = if report.failed == 0 { "ok" } else { "FAILED" };
        let counts = format!("{} passed, {} failed", report.passed, report.failed);
        verdicts.push(format!("{name:<80}{counts:<24}{mark}"));
        passed += report.passed;
        failed += report.failed;
    }
    println!();
    for verdict in verdicts {
        println!("{verdict}");
    }
    println!("{passed} passed, {failed} failed");
    ensure!(failed == 0, "{failed} transcript(s) failed");
    ensure!(passed > 0, "no transcript was replayed");
    Ok(())
}

/// The agents of one dialect over one storage and scheduler, and what is replayed against them.
#[derive(Debug)]
struct Replay {
    combination: Combination,
    dialect: Dialect,
    sections: Vec<Section>,
}

/// What came of a section.
#[derive(Debug)]
struct Verdict {
    name: String,
    report: Report,
}

/// All there are, in the order of the report.
fn replays(workspace: &Workspace, args: &Args) -> anyhow::Result<Vec<Replay>> {
    let combinations = Backends::all(args.storage, args.scheduler);
    ensure!(!combinations.is_empty(), "there is no such combination of storage and scheduler");
    let mut replays = Vec::new();
    for combination in combinations {
        let wanted = |dialect: &Dialect| args.dialect.is_none_or(|only| only == *dialect);
        for dialect in Dialect::ALL.into_iter().filter(wanted) {
            let sections = sections(workspace, dialect, args)?;
            if !sections.is_empty() {
                replays.push(Replay { combination, dialect, sections });
            }
        }
    }
    Ok(replays)
}

impl Replay {
    /// Starts the agents, replays against them, and ends them. They post to `webhook_port`.
    fn run(
        &self,
        workspace: &Workspace,
        program: &Path,
        args: &Args,
        webhook_port: u16,
        out: &mut (dyn Write + Send),
    ) -> anyhow::Result<Vec<Verdict>> {
        // Servers and files of their own: no agent finds what another run left.
        let backends = self.combination.open()?;
        let fixtures = Fixtures::posting_to(workspace, webhook_port)?;
        let agents = Agents::start(program, &fixtures, self.dialect, &backends)?;
        let mut verdicts = Vec::new();
        for section in &self.sections {
            let name = format!("{}: {}", self.combination, section.name);
            writeln!(out, "\n== {name}").context("writing the report")?;
            let options = options(args, section, agents.addresses().clone(), webhook_port);
            let report = replay(options, section, out)?;
            verdicts.push(Verdict { name, report });
        }
        agents.stop(out)?;
        Ok(verdicts)
    }
}

/// What is replayed against the agents of a dialect.
fn sections(workspace: &Workspace, dialect: Dialect, args: &Args) -> anyhow::Result<Vec<Section>> {
    let recorded = |folder: &Path, strictness| {
        let way = match strictness {
            Strictness::Exact => "exact",
            Strictness::Either => "either spelling",
        };
        anyhow::Ok(Section {
            name: format!("{}, dialect {}, {way}", shown(workspace, folder), dialect.as_str()),
            paths: areas(folder)?,
            strictness,
            skip: match dialect {
                Dialect::Reference => Vec::new(),
                Dialect::Auto => vec!["a2a-only"],
                Dialect::A2a => vec!["auto-only"],
            },
        })
    };
    let strictness = match dialect {
        Dialect::Reference => Strictness::Exact,
        Dialect::Auto | Dialect::A2a => Strictness::Either,
    };
    if let Some(folder) = &args.transcripts {
        // A2A's own dialect is asked for by name, or not at all.
        let wanted = dialect != Dialect::A2a || args.dialect.is_some();
        return wanted.then(|| recorded(folder, strictness)).into_iter().collect();
    }
    let mut sections = Vec::new();
    if dialect != Dialect::A2a {
        sections.push(recorded(&workspace.root().join(REFERENCE), strictness)?);
    }
    if dialect != Dialect::Reference {
        sections.push(recorded(&workspace.root().join(V0_3), Strictness::Exact)?);
    }
    Ok(sections)
}

/// A folder as it is called in the repository.
fn shown(workspace: &Workspace, folder: &Path) -> String {
    folder.strip_prefix(workspace.root()).unwrap_or(folder).display().to_string()
}

/// What a folder holds, without the areas that are left out.
fn areas(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_transcript = path.extension().is_some_and(|extension| extension == "json");
        if (path.is_dir() || is_transcript) && !LEFT_OUT.contains(&name.as_str()) {
            found.push(path);
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "{} holds no transcripts", folder.display());
    Ok(found)
}

/// Replays transcripts and writes the report.
fn replay(
    options: Options,
    section: &Section,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    let runner = Runner::new(options);
    runtime.block_on(runner.run(&section.paths, out)).context("replaying transcripts")
}

fn options(
    args: &Args,
    section: &Section,
    map: BTreeMap<String, String>,
    webhook_port: u16,
) -> Options {
    let mut skip_tags: Vec<String> = section.skip.iter().map(|&tag| tag.to_owned()).collect();
    if section.strictness == Strictness::Either {
        skip_tags.push("a2a-divergent".to_owned());
    }
    Options {
        map,
        keys_either: section.strictness == Strictness::Either,
        skip_tags,
        only: args.only.clone(),
        webhook_port,
        warnings: args.map.is_some() && !args.no_warnings,
        ..Options::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Args, Dialect, Section, Strictness, areas, options, sections};
    use crate::workspace::Workspace;

    fn names(dialect: Dialect) -> Vec<String> {
        let sections = sections(&Workspace::new(), dialect, &Args::default()).unwrap();
        sections.into_iter().map(|section| section.name).collect()
    }

    #[test]
    fn the_gate_does_what_the_command_does_without_arguments() {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: Args,
        }
        let parsed = <Cli as clap::Parser>::parse_from(["wire"]).args;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Args::default()));
    }

    #[test]
    fn each_dialect_has_its_sections() {
        assert_eq!(
            names(Dialect::Reference),
            ["fixtures/wire/reference, dialect reference, exact"]
        );
        assert_eq!(
            names(Dialect::Auto),
            [
                "fixtures/wire/reference, dialect auto, either spelling",
                "fixtures/wire/v0_3, dialect auto, exact",
            ]
        );
        assert_eq!(names(Dialect::A2a), ["fixtures/wire/v0_3, dialect a2a, exact"]);
    }

    #[test]
    fn the_two_ways_to_compare_differ_in_spelling_and_streams() {
        let of = |strictness| {
            let section = Section {
                name: String::new(),
                paths: Vec::new(),
                strictness,
                skip: vec!["a2a-only"],
            };
            options(&Args::default(), &section, BTreeMap::new(), 0)
        };
        let exact = of(Strictness::Exact);
        assert!(!exact.keys_either && exact.skip_tags == ["a2a-only"]);
        let either = of(Strictness::Either);
        assert!(either.keys_either && either.skip_tags == ["a2a-only", "a2a-divergent"]);
    }

    #[test]
    fn areas_that_need_more_than_the_agents_are_left_out() {
        let root = Workspace::new().root().join(super::REFERENCE);
        let found = areas(&root).unwrap();
        let names: Vec<_> =
            found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "card",
                "contexts",
                "did",
                "errors",
                "history",
                "http",
                "hydra",
                "message",
                "negotiation",
                "private",
                "push",
                "results",
                "skills",
                "stream",
                "tasks",
                "x402"
            ]
        );
    }
}
