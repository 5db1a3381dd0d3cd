//! What must hold when the traffic is over.

use std::fs;
use std::time::{Duration, Instant};

use bindu_storage::{OutboxKind, OutboxQuery};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Report;
use super::polite::call;
use super::site::Site;
use super::tally::Tally;
use crate::bench::{Connection, get, resident_bytes};

/// How long the agent may take to come to rest, and to stop.
const REST: Duration = Duration::from_secs(20);

/// How much more memory may be taken at the end than after the first third, beside a tenth: what
/// an allocator keeps and gives back as it likes.
const SLACK: u64 = 4_000_000;

/// Files and sockets that this process has open; 0 where the system does not tell.
pub(super) fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// How much memory the process took over time.
pub(super) struct Memory {
    /// In the second sixth, when everything has been filled once.
    warm: u64,
    /// In the last sixth.
    end: u64,
}

impl Memory {
    /// Watches for some time.
    pub(super) fn watch(time: Duration) -> JoinHandle<Self> {
        tokio::spawn(async move {
            let begun = Instant::now();
            let mut samples = Vec::new();
            while begun.elapsed() < time {
                sleep(time / 120).await;
                samples.push((begun.elapsed(), resident_bytes(std::process::id())));
            }
            let median = |from: Duration, to: Duration| {
                let within = samples.iter().filter(|(at, _)| (from..to).contains(at));
                let mut bytes: Vec<u64> = within.map(|(_, bytes)| *bytes).collect();
                bytes.sort_unstable();
                bytes.get(bytes.len() / 2).copied().unwrap_or(0)
            };
            Self { warm: median(time / 6, time / 3), end: median(time * 5 / 6, time * 2) }
        })
    }

    pub(super) fn check(&self, report: &mut Report) {
        let Self { warm, end } = *self;
        let most = warm + warm / 10 + SLACK;
        let megabytes = |bytes| bytes / 100_000;
        let shown = |bytes| format!("{}.{} MB", megabytes(bytes) / 10, megabytes(bytes) % 10);
        let seen = format!("{} when warm, {} at the end", shown(warm), shown(end));
        report.check("memory is flat", end <= most, seen);
    }
}

/// What the callers saw.
pub(super) fn callers(report: &mut Report, tally: &Tally) {
    let unhealthy = tally.times_unhealthy();
    let asked = tally.count("health asked for");
    let slowest = tally.slowest("healthz");
    report.check(
        "/healthz said 200 all the time",
        asked > 0 && unhealthy == 0,
        format!("{asked} times, {unhealthy} times not; slowest {slowest:.1?}"),
    );
    let (problems, told) = tally.problems();
    let seen = match problems {
        0 => "all of them".to_owned(),
        _ => format!("{problems} did not, for example {}", told.join("; ")),
    };
    report.check("every caller got an answer that it could expect", problems == 0, seen);
    let slowest = tally.slowest("cancel");
    report.check(
        "tasks are canceled when the answer says so",
        tally.count("tasks canceled") > 0,
        format!("{} of them, slowest {slowest:.1?}", tally.count("tasks canceled")),
    );
}

/// What is left when nobody calls any more.
pub(super) async fn rest(report: &mut Report, site: &Site, tally: &Tally) {
    let begun = Instant::now();
    let mut left = what_is_left(site).await;
    while left != Left::default() && begun.elapsed() < REST {
        sleep(Duration::from_millis(100)).await;
        left = what_is_left(site).await;
    }
    let seen = format!("{left:?} after {:.1?}", begun.elapsed());
    report.check("the agent comes to rest", left == Left::default(), seen);

    let accepted = tally.take_accepted();
    let (mut settled, mut gone, mut stuck) = (0, 0, Vec::new());
    let mut connection = Connection::open(site.address).await;
    for id in &accepted {
        let Ok(connection) = &mut connection else { break };
        let request = call("tasks/get", &json!({ "id": id }));
        let answer = connection.exchange(&request).await;
        let answer: Value = answer
            .ok()
            .and_then(|answer| serde_json::from_slice(answer.body).ok())
            .unwrap_or_default();
        match answer["result"]["status"]["state"].as_str() {
            Some("completed" | "failed" | "canceled" | "rejected" | "input-required") => {
                settled += 1;
            }
            // Over, and dropped for newer ones: only what is over is ever dropped.
            None if answer["error"]["code"] == -32001 => gone += 1,
            _ => stuck.push(format!("{id}: {answer}")),
        }
    }
    let seen = format!(
        "of {} accepted, {settled} are over or wait for their caller, {gone} were over and dropped{}",
        accepted.len(),
        stuck.first().map(|first| format!(", {} not, as {first}", stuck.len())).unwrap_or_default()
    );
    let all = settled > 0 && settled + gone == accepted.len();
    report.check("every accepted task is terminal or paused", all, seen);
}

/// What an agent at rest has none of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    /// Tasks that are neither over nor wait for their caller.
    unsettled: u64,
    /// Jobs in the queue.
    jobs: u64,
    /// Whether the outbox has deliveries.
    deliveries: bool,
    /// Counters that should be zero, or cannot be read.
    counters: Vec<String>,
}

async fn what_is_left(site: &Site) -> Left {
    let tasks = site.agent.tasks();
    let counts = tasks.storage().count().await.unwrap_or_default();
    let unsettled = counts.iter().filter(|(state, _)| !state.is_settled());
    let depth = tasks.scheduler().depth().await.unwrap_or_default();
    let left = OutboxQuery { kind: OutboxKind::Deliver, task: None, due: None, limit: 1 };
    let outbox = tasks.storage().outbox(left).await;
    Left {
        unsettled: unsettled.map(|(_, count)| count).sum(),
        jobs: depth.waiting + depth.running,
        deliveries: outbox.is_ok_and(|entries| !entries.is_empty()),
        counters: counters(site).await,
    }
}

async fn counters(site: &Site) -> Vec<String> {
    const ZERO: [&str; 2] = ["http_requests_in_flight", "bindu_worker_busy"];
    let shown = async {
        let mut connection = Connection::open(site.address).await?;
        let answer = connection.exchange(&get("/metrics")).await?;
        std::io::Result::Ok(String::from_utf8_lossy(answer.body).into_owned())
    };
    let shown = match shown.await {
        Ok(shown) => shown,
        Err(error) => return vec![error.to_string()],
    };
    let mut wrong = Vec::new();
    for name in ZERO {
        let is_of_it =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let mut lines = shown.lines().filter(is_of_it).peekable();
        if lines.peek().is_none() {
            wrong.push(format!("{name} is not counted"));
        }
        wrong.extend(lines.filter(|line| !line.ends_with(" 0")).map(str::to_owned));
    }
    wrong
}

/// Stops the agent, and looks what it leaves.
pub(super) async fn stop(report: &mut Report, site: Site, open_before: usize) {
    let begun = Instant::now();
    let address = site.address;
    let stopped = tokio::time::timeout(REST, site.stop(Duration::from_secs(5))).await.is_ok();
    report.check(
        "the agent stops when it is told",
        stopped,
        format!("after {:.1?}", begun.elapsed()),
    );
    let refused = Connection::open(address).await.is_err();
    let open = open_files();
    report.check(
        "nothing stays open",
        refused && open <= open_before,
        format!("{open_before} files and sockets before, {open} after"),
    );
}
