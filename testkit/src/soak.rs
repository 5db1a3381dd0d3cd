//! Unkind traffic for a while, and what must hold through it and after.
//!
//! One agent with small limits, and at the same time polite callers, slow readers, callers who
//! leave in the middle of a request or a stream, bodies and heads that are none, and webhooks that
//! hang or fail. Whatever they do, the agent answers `/healthz`, panics nowhere, ends every task it
//! accepted and gives its memory back.

mod checks;
mod hostile;
mod polite;
mod site;
mod tally;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

use self::checks::Memory;
use self::site::Site;
use self::tally::Tally;

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long there is traffic; the checks after it take some seconds more.
    pub time: Duration,
}

/// What held and what did not.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was done, and how often.
    pub traffic: Vec<(String, u64)>,
    /// What was checked.
    pub checks: Vec<Check>,
}

/// One thing that must hold.
#[derive(Clone, Debug)]
pub struct Check {
    /// What must hold.
    pub name: &'static str,
    /// Whether it did.
    pub passed: bool,
    /// What was seen.
    pub seen: String,
}

impl Report {
    /// How many checks did not pass.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.checks.iter().filter(|check| !check.passed).count()
    }

    fn check(&mut self, name: &'static str, passed: bool, seen: impl Into<String>) {
        self.checks.push(Check { name, passed, seen: seen.into() });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in &self.traffic {
            writeln!(f, "{times:>9}  {what}")?;
        }
        writeln!(f)?;
        for Check { name, passed, seen } in &self.checks {
            writeln!(f, "{}  {name}: {seen}", if *passed { "ok  " } else { "FAIL" })?;
        }
        write!(f, "{} passed, {} failed", self.checks.len() - self.failed(), self.failed())
    }
}

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts panics from now on, wherever in the process they happen, and lets them be told as
/// before.
fn count_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        tell(panic);
    }));
}

/// Is unkind to an agent for a while.
///
/// Makes a runtime of its own: not to be called from async code.
///
/// # Errors
///
/// Something could not be run at all; what was seen to go wrong is in the report.
pub fn run(options: Options) -> anyhow::Result<Report> {
    count_panics();
    let runtime = tokio::runtime::Runtime::new().context("starting a runtime")?;
    runtime.block_on(soak(options))
}

async fn soak(options: Options) -> anyhow::Result<Report> {
    let open_before = checks::open_files();
    let site = Arc::new(Site::start().await?);
    let tally = Arc::new(Tally::default());
    let end = Instant::now() + options.time;

    let mut callers = JoinSet::new();
    macro_rules! callers {
        ($($times:literal $caller:path),* $(,)?) => {$(
            for number in 0..$times {
                callers.spawn($caller(Arc::clone(&site), Arc::clone(&tally), end, number));
            }
        )*};
    }
    callers![
        1 polite::watch_health,
        4 polite::send,
        2 polite::answer_questions,
        2 polite::cancel,
        2 polite::read_streams,
        1 polite::browse,
        2 polite::want_webhooks,
        4 hostile::read_slowly,
        2 hostile::leave_a_request,
        2 hostile::leave_a_stream,
        1 hostile::send_too_much,
        2 hostile::send_nonsense,
        1 hostile::send_bad_heads,
        8 hostile::never_finish_a_head,
    ];
    let memory = Memory::watch(options.time);
    while let Some(left) = callers.join_next().await {
        if let Err(error) = left {
            tally.problem(format!("a caller of the soak itself fell: {error}"));
        }
    }
    let memory = memory.await.context("watching memory")?;

    let mut report = Report { traffic: tally.counts(), ..Report::default() };
    checks::callers(&mut report, &tally);
    checks::rest(&mut report, &site, &tally).await;
    memory.check(&mut report);
    let site = Arc::into_inner(site).context("a caller still holds the site")?;
    checks::stop(&mut report, site, open_before).await;
    let panics = PANICS.load(Ordering::SeqCst);
    report.check("nothing panicked", panics == 0, format!("{panics} panics"));
    Ok(report)
}
