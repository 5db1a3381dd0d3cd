//! # An agent to watch from outside
//!
//! Teaches: nothing new about writing agents. It shows what becomes of work when processes,
//! machines, databases and queues die, because it writes down what it runs when. Two of them on
//! one Postgres and one Redis are one agent: kill whichever you like.
//!
//! For a text `sleep:MS:ANYTHING` it appends a line to the file that `RUNLOG` names (`run.log`, if
//! nothing is named), waits MS milliseconds, and appends another one:
//!
//! ```text
//! sleep:500:a 4711 start 1764000000.123456
//! sleep:500:a 4711 end 1764000000.624001
//! ```
//!
//! That is the text, the process, and the time in seconds since 1970. In place of `end` it says
//! `stop` when it was stopped before; a process that was killed says nothing. It answers any text
//! with `<RUNLOG_AGENT>:<text>`.
//!
//! A text `fail:MS:ANYTHING` is the same, but for its end: the handler fails.
//!
//! `RUNLOG_PRICE` is what a task costs, in dollars, paid with x402 on Base's test chain to the
//! address `RUNLOG_PAY_TO`. If it is not set, tasks cost nothing.
//!
//! `RUNLOG_AGENT` (`runlog`, if it is not set) is the agent's name. Its author and the folder of
//! its keys, below the working directory, follow from that; so two processes with one name are the
//! same agent, and with two names they are strangers.
//!
//! Run it, twice:
//!
//! ```text
//! eval "$(cargo xtask services env)"
//! export STORAGE_TYPE=postgres SCHEDULER_TYPE=redis RUNLOG=/tmp/run.log
//! BINDU_PORT=3773 cargo run -p example-runlog
//! BINDU_PORT=3774 cargo run -p example-runlog
//! ```
//!
//! Send to one, ask the other, and kill the one that works. `cargo xtask crash` does just that,
//! for hours if one likes.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bindu::config::{Capabilities, ExecutionCost};
use bindu::{Agent, AgentConfig, HandlerError, Reply, StartError, Turn, handler_fn};

fn main() -> Result<(), StartError> {
    let name = variable("RUNLOG_AGENT", "runlog");
    let log = PathBuf::from(variable("RUNLOG", "run.log"));
    let price = variable("RUNLOG_PRICE", "");
    let cost = (!price.is_empty()).then(|| ExecutionCost {
        amount: price,
        token: Some("USDC".into()),
        network: Some("base-sepolia".into()),
        pay_to_address: Some(variable("RUNLOG_PAY_TO", "")),
    });
    let config = AgentConfig {
        description: "Writes down what it runs when".into(),
        execution_cost: cost.into_iter().collect(),
        capabilities: Capabilities {
            streaming: true,
            push_notifications: true,
            ..Capabilities::default()
        },
        ..AgentConfig::new(format!("{name}@example.com"), name.clone())
    };
    let folder = name.clone();
    Agent::builder(config, handler_fn(Runs { name, log }, answer)).directory(folder).serve()
}

#[expect(clippy::disallowed_methods, reason = "these are no settings of the agent's")]
fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// What every run knows.
struct Runs {
    name: String,
    log: PathBuf,
}

async fn answer(runs: Arc<Runs>, turn: Turn) -> Result<Reply, HandlerError> {
    let text = turn.text();
    if let Some((time, fails)) = time_to_sleep(&text) {
        let run = Run::start(&runs.log, &text)?;
        tokio::time::sleep(time).await;
        run.end()?;
        if fails {
            return Err("as it was told".into());
        }
    }
    Ok(Reply::text(format!("{}:{text}", runs.name)))
}

/// The MS of `sleep:MS:ANYTHING` or of `fail:MS:ANYTHING`, and whether it is the latter.
fn time_to_sleep(text: &str) -> Option<(Duration, bool)> {
    let (what, rest) = text.split_once(':')?;
    let fails = match what {
        "sleep" => false,
        "fail" => true,
        _ => return None,
    };
    let (milliseconds, _) = rest.split_once(':')?;
    Some((Duration::from_millis(milliseconds.parse().ok()?), fails))
}

/// One run, from its first line to its last.
struct Run<'a> {
    log: &'a PathBuf,
    text: &'a str,
    is_over: bool,
}

impl<'a> Run<'a> {
    fn start(log: &'a PathBuf, text: &'a str) -> io::Result<Self> {
        let run = Self { log, text, is_over: false };
        run.write("start")?;
        Ok(run)
    }

    fn end(mut self) -> io::Result<()> {
        self.is_over = true;
        self.write("end")
    }

    /// A line in one write: several processes write to the file, and none into another's line.
    fn write(&self, what: &str) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, micros) = (now.as_secs(), now.subsec_micros());
        let line = format!("{} {} {what} {seconds}.{micros:06}\n", self.text, std::process::id());
        let mut file = OpenOptions::new().create(true).append(true).open(self.log)?;
        file.write_all(line.as_bytes())
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // A run that was stopped has nobody to complain to.
            let _ = self.write("stop");
        }
    }
}
