//! `cargo xtask crash`: agents, databases and queues are killed, and no task may suffer.

use anyhow::ensure;

use crate::{programs::Programs, workspace::Workspace};

/// How many rounds a short run has, with each backend: every fault has a turn.
const SHORT_ROUNDS: [(Backends, usize); 3] =
    [(Backends::Redis, 11), (Backends::Postgres, 9), (Backends::Sqlite, 7)];

/// How many tasks a round has in a short run, and how many payments one with money.
const SHORT_TASKS: usize = 80;

/// The backends of rounds with money. They wait more than they work, so all have theirs at once.
const MONEY: [Backends; 3] = [Backends::Redis, Backends::Postgres, Backends::Sqlite];

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
    /// How many rounds with money, with each backend. A minute or two each; in a short run there is
    /// one.
    #[arg(long, default_value_t = 5, conflicts_with = "short")]
    money: usize,
    /// Rounds with money and no others.
    #[arg(long, conflicts_with = "only")]
    only_money: bool,
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

    fn with_money(self) -> &'static str {
        match self {
            Self::Memory => "memory (money)",
            Self::Sqlite => "sqlite (money)",
            Self::Postgres => "postgres (money)",
            Self::Redis => "redis (money)",
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
        if self.only_money {
            plan.clear();
        }
        plan
    }

    /// With which backends there are rounds with money, and how many.
    fn money(&self) -> (Vec<Backends>, usize) {
        let mut backends = MONEY.to_vec();
        backends.retain(|it| self.only.is_none() && self.backends.is_none_or(|only| only == *it));
        (backends, if self.short { 1 } else { self.money })
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
    failed.extend(money(workspace, &programs, args, &program));
    ensure!(failed.is_empty(), "something does not hold with: {}", failed.join(", "));
    Ok(())
}

/// Rounds with money, on all backends at once; the names of those that do not hold.
fn money(
    workspace: &Workspace,
    programs: &Programs,
    args: &Args,
    program: &str,
) -> Vec<&'static str> {
    let (backends, rounds) = args.money();
    if backends.is_empty() || rounds == 0 {
        return Vec::new();
    }
    println!("\n== with money");
    let (rounds, payments) = (rounds.to_string(), SHORT_TASKS.to_string());
    let seed = args.seed.map(|seed| seed.to_string());
    let run = |backends: Backends| {
        let mut arguments = vec!["--money", "--program", program, "--backends", backends.as_str()];
        arguments.extend(["--rounds", &rounds, "--tasks", &payments]);
        if let Some(seed) = &seed {
            arguments.extend(["--seed", seed.as_str()]);
        }
        programs.run(workspace, "crash", &arguments)
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = backends.iter().map(|it| (it, scope.spawn(|| run(*it)))).collect();
        let holds = |run: std::thread::ScopedJoinHandle<'_, anyhow::Result<()>>| match run.join() {
            Ok(result) => result.inspect_err(|error| println!("{error:#}")).is_ok(),
            Err(_) => false,
        };
        let failed = runs.into_iter().filter_map(|(it, run)| (!holds(run)).then_some(*it));
        failed.map(Backends::with_money).collect()
    })
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

    #[test]
    fn money_is_no_fault_and_needs_a_store_that_lasts() {
        assert_eq!(Args::short().money(), (super::MONEY.to_vec(), 1));
        let one = Args { backends: Some(Backends::Sqlite), money: 4, ..Args::default() };
        assert_eq!(one.money(), (vec![Backends::Sqlite], 4));
        let memory = Args { backends: Some(Backends::Memory), ..Args::short() };
        assert_eq!(memory.money().0, []);
        let fault = Args { only: Some("kill after pop".to_owned()), ..Args::short() };
        assert_eq!(fault.money().0, []);
        let money = Args { only_money: true, ..Args::short() };
        assert_eq!((money.plan(), money.money().0.len()), (Vec::new(), 3));
    }
}
