//! One round: work, one kind of fault, and the checks.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::task::JoinSet;

use super::check::check;
use super::client::{self, Trouble, Wish};
use super::fault::{self, Blow, Fault, Point};
use super::history::{Event, Look, Run, Story, is_terminal, now};
use super::report::Report;
use super::runlog::{self, Tail};
use super::site::{AGENT, Site};

/// How many callers send.
const CALLERS: usize = 8;

/// How long after the last message all of it has to be over.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long the last post may be on its way: it may have been refused a few times.
const POST: Duration = Duration::from_mins(1);

/// How often something is looked at that nobody tells of.
const BEAT: Duration = Duration::from_millis(10);

/// What a round knows so far.
#[derive(Debug, Default)]
pub(super) struct Round {
    stories: Mutex<Vec<Story>>,
    /// Where a task is among the stories, and its text.
    by_text: Mutex<HashMap<String, usize>>,
    /// What is wrong with no task in particular.
    problems: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Round {
    fn stories(&self) -> MutexGuard<'_, Vec<Story>> {
        self.stories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tasks are accepted.
    pub(super) fn accepted(&self) -> usize {
        self.stories().len()
    }

    /// The task that was accepted with this text.
    pub(super) fn task_of(&self, text: &str) -> Option<String> {
        let by_text = self.by_text.lock().unwrap_or_else(PoisonError::into_inner);
        let at = *by_text.get(text)?;
        drop(by_text);
        Some(self.stories()[at].task.clone())
    }

    pub(super) fn problem(&self, problem: String) {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
    }

    /// Notes that a task is accepted; says where it is.
    fn accept(&self, wish: &Wish, sends: usize) -> usize {
        let mut stories = self.stories();
        let at = stories.len();
        stories.push(Story {
            task: wish.task.clone(),
            text: wish.text.clone(),
            accepted: now(),
            sends,
            posts: wish.webhook.as_ref().map(|_| Vec::new()),
            ..Story::default()
        });
        drop(stories);
        let mut by_text = self.by_text.lock().unwrap_or_else(PoisonError::into_inner);
        by_text.insert(wish.text.clone(), at);
        at
    }

    /// Notes an answer, unless it says what the one before from there said.
    fn looked(&self, at: usize, look: Look) {
        let mut stories = self.stories();
        let looks = &mut stories[at].looks;
        let before = looks.iter().rev().find(|before| before.replica == look.replica);
        if before.is_none_or(|before| before.state != look.state) {
            looks.push(look);
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// How many tasks nobody has seen over.
    fn under_way(&self) -> usize {
        let is_over = |story: &&Story| !story.looks.iter().any(|look| is_terminal(&look.state));
        self.stories().iter().filter(is_over).count()
    }
}

/// Runs a round; gives a line to show.
pub(super) async fn run(
    site: &mut Site,
    report: &mut Report,
    number: usize,
    fault: Fault,
    tasks: usize,
    seed: u64,
) -> anyhow::Result<String> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let round = Arc::new(Round::default());
    let site = &*site;
    let begun = Instant::now();

    let wishes: Vec<Wish> = (0..tasks).map(|task| wish(site, number, task, &mut chance)).collect();
    let shares: Vec<&[Wish]> = wishes.chunks(tasks.div_ceil(CALLERS).max(1)).collect();
    let callers = shares.into_iter().map(|share| call(site, &round, share, chance.u64(..)));
    let callers: Vec<_> = callers.collect();
    let watchers: Vec<_> = (0..site.addresses().len())
        .map(|replica| watch(site, &round, replica, chance.u64(..)))
        .collect();
    let faults = fault::inflict(site, &round, fault, chance.fork());
    let work = async {
        let (followed, blows) = tokio::join!(futures_util::future::join_all(callers), faults);
        // Whatever is not over by then never will be.
        let deadline = Instant::now() + PATIENCE;
        while round.under_way() > 0 && Instant::now() < deadline {
            tokio::time::sleep(BEAT).await;
        }
        round.is_over.store(true, Ordering::Relaxed);
        anyhow::Ok((followed, blows?))
    };
    let (work, _) = tokio::join!(work, futures_util::future::join_all(watchers));
    let (followers, blows) = work?;
    for mut followers in followers {
        while let Some(followed) = followers.join_next().await {
            let (at, (events, silences)) = followed.context("a reader fell")?;
            let story = &mut round.stories()[at];
            story.followed = Some(events);
            story.silences = silences;
        }
    }
    let took = begun.elapsed();

    let stories = std::mem::take(&mut *round.stories());
    let stories: Vec<Story> = stream::iter(stories)
        .map(|story| ask_at_last(site, story, seed))
        .buffered(CALLERS)
        .collect()
        .await;
    let lines = Tail::open(site.log())?.read()?;
    let runs = runlog::runs(&lines, &site.deaths());
    let none = Vec::new();
    let mut wrong = 0;
    for story in &stories {
        let runs = runs.get(&story.text).unwrap_or(&none);
        let problems = check(story, runs, AGENT);
        wrong += usize::from(!problems.is_empty());
        report.task(story, runs, &problems);
    }
    let problems =
        std::mem::take(&mut *round.problems.lock().unwrap_or_else(PoisonError::into_inner));
    wrong += problems.len();
    report.violations.extend(problems.into_iter().map(|problem| format!("{fault}: {problem}\n")));

    let recovery = recovery(&stories, &blows);
    let told = report.faults.entry(fault).or_default();
    told.rounds += 1;
    told.blows += blows.len();
    told.recovery = told.recovery.max(recovery);
    if let Fault::KillAt(point) = fault {
        let [aimed, hit] = report.hits.entry(point).or_default();
        *aimed += blows.len();
        *hit += blows.iter().filter(|blow| is_hit(point, blow, &stories, &runs)).count();
    }
    Ok(format!(
        "round {number:>4}  {fault:<24} {:>5} tasks {:>6.1} s, recovered in {recovery:>5.2} s{}",
        stories.len(),
        took.as_secs_f64(),
        if wrong > 0 { format!(", {wrong} WRONG") } else { String::new() },
    ))
}

/// Something to do; most of it short, some of it longer than a lease.
fn wish(site: &Site, round: usize, number: usize, chance: &mut fastrand::Rng) -> Wish {
    let milliseconds = match chance.u32(..100) {
        0..70 => chance.u32(5..50),
        70..90 => chance.u32(100..600),
        90..98 => chance.u32(1_000..2_000),
        _ => chance.u32(3_000..4_500),
    };
    let task = uuid::Builder::from_random_bytes(chance.u128(..).to_be_bytes()).into_uuid();
    let task = task.to_string();
    let webhook = (number.is_multiple_of(3)).then(|| site.receiver.url(&task));
    Wish { text: format!("sleep:{milliseconds}:{round}-{number}-{task}"), webhook, task }
}

type Followers = JoinSet<(usize, (Vec<Event>, Vec<f64>))>;

/// A caller with a list. Gives the readers that it left behind.
async fn call(site: &Site, round: &Arc<Round>, wishes: &[Wish], seed: u64) -> Followers {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut followers = Followers::new();
    let mut cancels = JoinSet::new();
    for wish in wishes {
        let deadline = Instant::now() + PATIENCE;
        let sends = match client::submit(site.any(chance.u64(..)), wish, deadline).await {
            Ok(sends) => sends,
            Err(problem) => {
                round.problem(format!("{} {}: {problem}", wish.task, wish.text));
                continue;
            }
        };
        let at = round.accept(wish, sends);
        match chance.u32(..100) {
            0..25 => {
                let (addresses, task) = (site.any(chance.u64(..)), wish.task.clone());
                let mut chance = chance.fork();
                // Even a stream that nobody breaks is left now and then.
                let leave = move || chance.u32(..4) == 0;
                followers.spawn(async move {
                    let deadline = Instant::now() + PATIENCE;
                    (at, client::follow(addresses, &task, deadline, leave).await)
                });
            }
            25..30 => {
                let (addresses, task) = (site.any(chance.u64(..)), wish.task.clone());
                cancels.spawn(cancel(addresses, Arc::clone(round), at, task, chance.fork()));
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(chance.u64(..120))).await;
    }
    while let Some(cancelled) = cancels.join_next().await {
        if let Err(error) = cancelled {
            round.problem(format!("a caller who cancels fell: {error}"));
        }
    }
    followers
}

/// Cancels a task, until it is heard.
async fn cancel(
    addresses: impl Iterator<Item = SocketAddr> + Send,
    round: Arc<Round>,
    at: usize,
    task: String,
    mut chance: fastrand::Rng,
) {
    tokio::time::sleep(Duration::from_millis(chance.u64(..300))).await;
    round.stories()[at].cancel_asked = true;
    let deadline = Instant::now() + PATIENCE;
    for address in addresses {
        match client::call(address, "tasks/cancel", &json!({ "taskId": task })).await {
            Err(Trouble::Passing(_)) if Instant::now() < deadline => tokio::time::sleep(BEAT).await,
            // It is canceled, or was over before.
            _ => break,
        }
    }
}

/// Asks one replica for one task after the other, those that are over among them.
async fn watch(site: &Site, round: &Round, replica: usize, seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    while !round.is_over() {
        let tasks: Vec<(usize, String, bool)> = {
            let stories = round.stories();
            let task = |(at, story): (usize, &Story)| {
                let is_over = story.looks.iter().any(|look| is_terminal(&look.state));
                (at, story.task.clone(), is_over)
            };
            stories.iter().enumerate().map(task).collect()
        };
        for (at, task, is_over) in tasks {
            if is_over && chance.u32(..20) > 0 {
                continue;
            }
            match client::look(site.addresses()[replica], replica, &task).await {
                Ok(look) => round.looked(at, look),
                Err(Trouble::Passing(_)) => tokio::time::sleep(BEAT).await,
                Err(Trouble::Refused(said)) => round.problem(format!("{task}: {said}")),
            }
            if round.is_over() {
                break;
            }
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// Asks everybody what became of a task.
async fn ask_at_last(site: &Site, mut story: Story, seed: u64) -> Story {
    for (replica, &address) in site.addresses().iter().enumerate() {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match client::look(address, replica, &story.task).await {
                Ok(look) => story.ends.push(look),
                Err(Trouble::Passing(_)) => {
                    tokio::time::sleep(BEAT).await;
                    continue;
                }
                // That nobody knows it any more is said by the check.
                Err(Trouble::Refused(_)) => {}
            }
            break;
        }
    }
    if story.end().is_some() {
        let deadline = Instant::now() + PATIENCE;
        (story.log, _) = client::follow(site.any(seed), &story.task, deadline, || false).await;
    }
    if story.posts.is_some() {
        let deadline = Instant::now() + POST;
        loop {
            let posts = site.receiver.posts(&story.task);
            let is_whole = posts.iter().any(|post| post.body["final"] == true);
            story.posts = Some(posts);
            if is_whole || story.end().is_none() || Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(BEAT).await;
        }
    }
    story
}

/// The longest time from a blow until a task was over that was accepted before it, beyond the time
/// that the task itself takes. A task that was hit twice counts from the second time.
fn recovery(stories: &[Story], blows: &[Blow]) -> f64 {
    let times = stories.iter().filter_map(|story| {
        let end = story.end()?.since;
        let hurt = blows.iter().filter(|blow| story.accepted < blow.at && blow.at < end);
        let last = hurt.map(|blow| blow.at).max_by(f64::total_cmp)?;
        let own: f64 = story.text.split(':').nth(1)?.parse().ok()?;
        Some(end - last - own / 1e3)
    });
    times.fold(0.0, f64::max)
}

/// Whether a process died where it was to die, as far as one can tell from outside.
fn is_hit(point: Point, blow: &Blow, stories: &[Story], runs: &BTreeMap<String, Vec<Run>>) -> bool {
    let runs_of = |text: &str| runs.get(text).map(Vec::as_slice).unwrap_or_default();
    if point == Point::AfterPop {
        return stories.iter().any(|story| {
            let begun = runs_of(&story.text).first().map_or(f64::INFINITY, |run| run.start);
            story.accepted < blow.at && begun > blow.at
        });
    }
    let Some(text) = &blow.aim else { return false };
    let story = stories.iter().find(|story| story.text == *text);
    let Some(end) = story.and_then(Story::end) else { return false };
    match point {
        Point::AfterPop | Point::AfterWorking => runs_of(text)
            .iter()
            .any(|run| run.start < blow.at && run.over.is_some_and(|(at, _)| at >= blow.at)),
        // It had come to its end, and that was not stored.
        Point::AfterHandler => end.since > blow.at,
        Point::BeforeAck => end.since <= blow.at,
    }
}

/// Asks once more for everything, after all of it.
pub(super) async fn look_again(site: &Site, report: &mut Report) {
    let ends = std::mem::take(&mut report.ends);
    let again: Vec<_> = stream::iter(ends)
        .map(|(task, end)| async move {
            let address = site.addresses()[end.replica];
            let look = client::look(address, end.replica, &task).await;
            let is_same = look.as_ref().is_ok_and(|look| {
                (&look.state, look.since, &look.answer) == (&end.state, end.since, &end.answer)
            });
            (!is_same).then(|| format!("{task} was {end:?}, and is {look:?} after all\n"))
        })
        .buffered(CALLERS)
        .collect()
        .await;
    report.violations.extend(again.into_iter().flatten());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_is_counted_from_the_last_blow_and_without_the_work_itself() {
        let story = |accepted, over| Story {
            text: "sleep:500:x".to_owned(),
            accepted,
            ends: vec![Look { since: over, state: "completed".to_owned(), ..Look::default() }],
            ..Story::default()
        };
        let blow = |at| Blow { at, aim: None };
        let blows = [blow(2.0), blow(4.0)];
        let near = |stories: &[Story], seconds: f64| {
            let found = recovery(stories, &blows);
            assert!((found - seconds).abs() < 1e-9, "{found}");
        };
        near(&[story(1.0, 6.0)], 1.5);
        near(&[story(1.0, 3.5)], 1.0);
        near(&[story(1.0, 3.5), story(1.0, 6.0)], 1.5);
        // Over before, or come after, or quicker than its work.
        near(&[story(1.0, 1.5), story(5.0, 9.0), story(1.0, 2.1)], 0.0);
    }
}
