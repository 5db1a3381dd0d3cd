//! Rounds with money: agents that are paid are killed around every step of a payment, and what they
//! wrote down of it has to agree with the chain.
//!
//! The agents are the same as in the other rounds, with a price; whom they have the money moved by
//! is a [`FakeFacilitator`] of this process, behind a door that can be shut. Payers pay by header or
//! inside the task, repeat what they do not hear an answer to, and some use one authorization at two
//! replicas at once. When all is over, `money/check.rs` has the rules.

mod books;
mod check;
mod deal;
mod door;
mod payer;
mod storm;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use self::books::{Books, Row};
use self::check::{Seen, check};
use self::deal::{Deal, PAY_TO};
use self::door::Door;
use self::payer::Said;
pub use self::told::Told;
use super::runlog::{self, Tail, What};
use super::site::Site;
use super::{Backends, Options};
use crate::fake_facilitator::FakeFacilitator;

/// How long things go wrong.
const STORM: Duration = Duration::from_secs(15);

/// For how long an authorization is good, from the beginning of its round: whatever is left open
/// when the storm is over has to be tried again before.
const LIFE: Duration = Duration::from_secs(75);

/// How long payments may stay open that an agent still looks after. Longer than their lives, and
/// than it takes until what was settled is looked at again.
const PATIENCE: Duration = Duration::from_mins(4);

/// How long a facilitator that hangs does so: longer than the agents wait.
const HANG: Duration = Duration::from_millis(1_200);

/// How often the log of runs is looked at.
const BEAT: Duration = Duration::from_millis(5);

/// How many tasks are asked for at once.
const AT_ONCE: usize = 8;

/// Rounds with money, as many as the options say.
///
/// Makes a runtime of its own: not to be called from async code.
///
/// # Errors
///
/// Something could not be run at all. What does not hold is in the report.
pub fn run(options: &Options, progress: impl FnMut(&str)) -> anyhow::Result<Told> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("starting a runtime")?.block_on(rounds(options, progress))
}

async fn rounds(options: &Options, mut progress: impl FnMut(&str)) -> anyhow::Result<Told> {
    let mut chance = fastrand::Rng::with_seed(options.seed);
    let facilitator = FakeFacilitator::start().await.context("starting a facilitator")?;
    facilitator.hang_for(HANG);
    let inner = facilitator.url().trim_start_matches("http://").parse().context("its address")?;
    let door = Door::open(inner).await.context("opening a door")?;
    let own = [
        // Tasks are named by their payers, or by the agent.
        ("A2A__DIALECT", if is_named(options.backends) { "reference" } else { "auto" }.to_owned()),
        ("RUNLOG_PRICE", "0.01".to_owned()),
        ("RUNLOG_PAY_TO", PAY_TO.to_owned()),
        ("WORKER__REQUEUE_AFTER_SECONDS", "2".to_owned()),
        ("X402__FACILITATOR_URL", format!("http://{}", door.address())),
        ("X402__SETTLE_TIMEOUT", "500ms".to_owned()),
        ("X402__VERIFY_TIMEOUT", "1s".to_owned()),
        ("X402__WORK_PATIENCE", "20s".to_owned()),
    ];
    let mut site = Site::start_with(options, &own).await?;
    let books = Books::of(&site, options.backends).await?;
    let mut told = Told::new(options.backends);
    for number in 0..options.rounds {
        let round = Round {
            site: &site,
            facilitator: &facilitator,
            door: &door,
            books: &books,
            is_named: is_named(options.backends),
        };
        let line = round.run(&mut told, number, options.tasks, chance.u64(..)).await;
        progress(&line.with_context(|| format!("round {number} with money"))?);
        if told.failed() > 0 {
            told.evidence = Some(site.keep());
            break;
        }
    }
    Ok(told)
}

/// Whether payers name their tasks: only the reference's dialect lets them.
fn is_named(backends: Backends) -> bool {
    backends == Backends::Redis
}

/// What a round works with.
#[derive(Clone, Copy)]
struct Round<'a> {
    site: &'a Site,
    facilitator: &'a FakeFacilitator,
    door: &'a Door,
    books: &'a Books,
    is_named: bool,
}

impl Round<'_> {
    async fn run(
        &self,
        told: &mut Told,
        number: usize,
        payments: usize,
        seed: u64,
    ) -> anyhow::Result<String> {
        let mut chance = fastrand::Rng::with_seed(seed);
        let begun = Instant::now();
        let void = super::history::now() + LIFE.as_secs_f64();
        let deals: Vec<Deal> =
            (0..payments).map(|at| Deal::new(number, at, void, &mut chance)).collect();
        let payers = deals.iter().map(|deal| payer::pay(self, deal, chance.fork()));
        let payers: Vec<_> = payers.collect();
        let is_over = AtomicBool::new(false);
        let early = Mutex::default();
        let watch = self.watch(&deals, &early, &is_over);
        let work = async {
            let storm = storm::blow(self, begun + STORM, chance.fork());
            let (paid, blows) = tokio::join!(futures_util::future::join_all(payers), storm);
            let (rows, ends) = self.settled(&paid).await?;
            is_over.store(true, Ordering::Relaxed);
            anyhow::Ok((paid, blows?, rows, ends))
        };
        let (work, watched) = tokio::join!(work, watch);
        let (paid, blows, rows, ends) = work?;
        watched?;

        let lines = Tail::open(self.site.log())?.read()?;
        let runs = runlog::runs(&lines, &self.site.deaths());
        let mut moved = BTreeMap::new();
        for it in self.facilitator.chain() {
            *moved.entry(it.nonce).or_insert(0_usize) += 1;
        }
        let early = early.into_inner().unwrap_or_else(PoisonError::into_inner);
        let found = Seen { rows: &rows, ends: &ends, runs: &runs, moved: &moved, early: &early };
        let mut wrong = 0;
        for (deal, paid) in deals.iter().zip(&paid) {
            let problems = check(deal, paid, &found);
            wrong += usize::from(!problems.is_empty());
            told.deal(deal, paid, &found, &problems);
        }
        told.round(&blows);
        Ok(format!(
            "{} with money, round {number:>3}: {payments} payments, {} blows, {:.1} s{}",
            told.backends(),
            blows.len(),
            begun.elapsed().as_secs_f64(),
            if wrong > 0 { format!(", {wrong} WRONG") } else { String::new() },
        ))
    }

    /// Notes the runs that begin before their money has moved.
    async fn watch(
        &self,
        deals: &[Deal],
        early: &Mutex<BTreeSet<String>>,
        is_over: &AtomicBool,
    ) -> anyhow::Result<()> {
        let nonces: BTreeMap<_, _> = deals
            .iter()
            .flat_map(|deal| deal.copies.iter().map(|copy| (copy.text.as_str(), &*deal.nonce)))
            .collect();
        let mut tail = Tail::open(self.site.log())?;
        tail.read()?;
        while !is_over.load(Ordering::Relaxed) {
            for line in tail.read()?.into_iter().filter(|line| line.what == What::Start) {
                // Looked up after it was written: what has not moved by now had not then.
                let nonce = nonces.get(line.text.as_str());
                if nonce.is_some_and(|nonce| !self.facilitator.has_moved(nonce)) {
                    early.lock().unwrap_or_else(PoisonError::into_inner).insert(line.text);
                }
            }
            tokio::time::sleep(BEAT).await;
        }
        Ok(())
    }

    /// Waits until no payment is looked after any more and no task is worked on; what stands in the
    /// books then, and how the tasks are.
    async fn settled(
        &self,
        paid: &[Vec<payer::Paid>],
    ) -> anyhow::Result<(Vec<Row>, BTreeMap<String, Value>)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rows = self.books.read(self.site).await?;
            let is_late = Instant::now() > deadline;
            if is_late || !rows.iter().any(Row::is_open) {
                let told = paid.iter().flatten().flat_map(|paid| &paid.tasks).cloned();
                let all: BTreeSet<String> =
                    told.chain(rows.iter().map(|it| it.task.clone())).collect();
                let ends: BTreeMap<String, Value> = stream::iter(all)
                    .map(|task| async move {
                        let found = self.task(&task, deadline).await;
                        (task, found)
                    })
                    .buffered(AT_ONCE)
                    .collect()
                    .await;
                let is_at_work = |task: &Value| {
                    let state = task["status"]["state"].as_str();
                    matches!(state, Some("submitted" | "working"))
                };
                if is_late || !ends.values().any(is_at_work) {
                    return Ok((rows, ends));
                }
            }
            tokio::time::sleep(self.books.pause()).await;
        }
    }

    /// How a task is; null if nobody knows it.
    async fn task(&self, task: &str, deadline: Instant) -> Value {
        let key = if self.is_named { "taskId" } else { "id" };
        for address in self.addresses(fastrand::u64(..)) {
            match payer::call(address, "tasks/get", &json!({ key: task }), &[]).await {
                Said::Task(task) => return task,
                Said::Passing(_) if Instant::now() < deadline => tokio::time::sleep(BEAT).await,
                _ => break,
            }
        }
        Value::Null
    }

    fn addresses(&self, seed: u64) -> impl Iterator<Item = SocketAddr> + Send + use<> {
        self.site.any(seed)
    }
}
