//! What is told at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::fault::{Fault, Point};
use super::history::{Look, Over, Run, Story};

/// What was done, and what did not hold.
#[derive(Debug, Default)]
pub struct Report {
    /// How each task ended: asked again when all is over.
    pub(super) ends: Vec<(String, Look)>,
    pub(super) violations: Vec<String>,
    pub(super) counts: BTreeMap<&'static str, usize>,
    pub(super) faults: BTreeMap<Fault, Told>,
    pub(super) hits: BTreeMap<Point, [usize; 2]>,
    /// Where the logs were left, if something did not hold.
    pub evidence: Option<PathBuf>,
}

/// What is told of a kind of fault.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) rounds: usize,
    pub(super) blows: usize,
    /// The longest time from a blow until a task was over that was accepted before, beyond the
    /// time that the task itself takes; in seconds.
    pub(super) recovery: f64,
}

impl Report {
    /// How many tasks have something wrong with them.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.violations.len()
    }

    pub(super) fn count(&mut self, what: &'static str, times: usize) {
        *self.counts.entry(what).or_default() += times;
    }

    /// Counts a task that was checked; keeps its whole story if something does not hold.
    pub(super) fn task(&mut self, story: &Story, runs: &[Run], problems: &[String]) {
        self.count("tasks accepted", 1);
        self.count("messages sent", story.sends);
        if let Some(end) = story.end() {
            self.count(
                if end.state == "canceled" { "tasks canceled" } else { "tasks completed" },
                1,
            );
            self.ends.push((story.task.clone(), end.clone()));
        }
        self.count("runs", runs.len());
        self.count("tasks run more than once", usize::from(runs.len() > 1));
        for (what, over) in
            [("runs that died", Over::Death), ("runs that were stopped", Over::Stop)]
        {
            let times = runs.iter().filter(|run| run.over.is_some_and(|(_, how)| how == over));
            self.count(what, times.count());
        }
        self.count("streams followed", usize::from(story.followed.is_some()));
        self.count("webhooks", usize::from(story.posts.is_some()));
        self.count("posts", story.posts.as_ref().map_or(0, Vec::len));
        if !problems.is_empty() {
            let runs: Vec<_> = runs.iter().map(|run| format!("{run}\n")).collect();
            self.violations.push(format!("{}\n{story}{}", problems.join("\n"), runs.concat()));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "\nVIOLATION: {violation}")?;
        }
        for (what, times) in &self.counts {
            writeln!(f, "{what:<28}{times:>9}")?;
        }
        writeln!(f, "\n{:<28}{:>9}{:>9}{:>20}", "fault", "rounds", "blows", "longest recovery")?;
        for (fault, told) in &self.faults {
            let Told { rounds, blows, recovery } = told;
            writeln!(f, "{fault:<28}{rounds:>9}{blows:>9}{recovery:>18.2} s")?;
        }
        if !self.hits.is_empty() {
            writeln!(f, "\n{:<28}{:>9}{:>9}", "killed", "aimed", "hit")?;
        }
        for (point, [aimed, hit]) in &self.hits {
            writeln!(f, "{:<28}{aimed:>9}{hit:>9}", Fault::KillAt(*point))?;
        }
        let longest = self.faults.values().map(|told| told.recovery).fold(0.0, f64::max);
        writeln!(f, "\nlongest time to recovery: {longest:.2} s")?;
        if let Some(evidence) = &self.evidence {
            writeln!(f, "the logs are in {}", evidence.display())?;
        }
        write!(f, "{} violations", self.failed())
    }
}
