//! `cargo xtask crash`: agents, databases and queues are killed, and no task may suffer.

use anyhow::ensure;

use crate::{programs::Programs, workspace::Workspace};

/// How many rounds a short run has, with each backend: every fault has a turn.
const SHORT_ROUNDS: [(Backends, usize); 3] =
    [(Backends::Redis, 11), (Backends::Postgres, 9), (Backends::Sqlite, 7)];

/// How many tasks a round has in a short run.
const SHORT_TASKS: usize = 80;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// How many rounds, with each backend; there are eleven faults at most, which take turns.
    #[arg(long, default_value_t = 22)]
    rounds: usize,
    /// Each fault once, with few tasks.
    #[arg(long, conflicts_with = "rounds")]
    short: bool,
    /// Only these backends, instead of redis, postgres and sqlite one after the other.
    #[arg(long, value_enum)]
    backends: Option<Backends>,
    /// How many tasks a round has.
    #[arg(long, default_value_t = 300, conflicts_with = "short")]
    tasks: usize,
    /// Where chance begins.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this fault, by its name in the report.
    #[arg(long)]
    only: Option<String>,
}

/// What an agent keeps its tasks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Backends {
    /// One process that is not killed: to try the command itself.
    Memory,
    /// One process and one file.
    Sqlite,
    /// Two processes, one Postgres for everything.
    Postgres,
    /// Two processes, one Postgres, and the queue in one Redis.
    Redis,
}

impl Backends {
    fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

impl Args {
    /// What the gate runs.
    pub(crate) fn short() -> Self {
        Self { short: true, ..Self::default() }
    }

    /// Which backends, and how many rounds with each.
    fn plan(&self) -> Vec<(Backends, usize)> {
        let mut plan = SHORT_ROUNDS.to_vec();
        if let Some(only) = self.backends {
            plan.retain(|(backends, _)| *backends == only);
            if plan.is_empty() {
                plan.push((only, 1));
            }
        }
        if !self.short {
            for (_, rounds) in &mut plan {
                *rounds = self.rounds;
            }
        }
        plan
    }
}

/// Builds agent and program, and runs one set of backends after the other; each has to hold.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let programs = Programs::build(workspace)?;
    let program = programs.path("example-runlog").display().to_string();
    let tasks = if args.short { SHORT_TASKS } else { args.tasks }.to_string();
    let seed = args.seed.map(|seed| seed.to_string());
    let mut failed = Vec::new();
    for (backends, rounds) in args.plan() {
        println!("\n== {}", backends.as_str());
        let rounds = rounds.to_string();
        let mut arguments = vec!["--program", &program, "--backends", backends.as_str()];
        arguments.extend(["--rounds", &rounds, "--tasks", &tasks]);
        if let Some(seed) = &seed {
            arguments.extend(["--seed", seed.as_str()]);
        }
        if let Some(only) = &args.only {
            arguments.extend(["--only", only.as_str()]);
        }
        if let Err(error) = programs.run(workspace, "crash", &arguments) {
            println!("{error:#}");
            failed.push(backends.as_str());
        }
    }
    ensure!(failed.is_empty(), "something does not hold with: {}", failed.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Args, Backends};

    #[test]
    fn every_durable_backend_has_its_rounds() {
        let long = Args { rounds: 5, ..Args::default() };
        let all = [Backends::Redis, Backends::Postgres, Backends::Sqlite];
        assert_eq!(long.plan(), all.map(|backends| (backends, 5)));
        assert_eq!(Args::short().plan().len(), 3);
        let one = Args { backends: Some(Backends::Sqlite), ..Args::short() };
        assert_eq!(one.plan(), [(Backends::Sqlite, 7)]);
        let memory = Args { backends: Some(Backends::Memory), rounds: 2, ..Args::default() };
        assert_eq!(memory.plan(), [(Backends::Memory, 2)]);
    }
}
