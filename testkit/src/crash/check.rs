//! What must hold of each task, whatever was killed.

use super::history::{Event, Over, Post, Run, Story, is_terminal};

/// How much a time that was rounded may be off, in seconds.
const ROUNDING: f64 = 0.001;

/// How long a run may still begin after its task was canceled, in seconds: it was claimed before, and
/// hears of it at the latest when it asks to keep its lease.
const UNTOLD: f64 = 2.0;

/// How long an open stream may know less than the log, in seconds.
const SILENCE: f64 = 5.0;

/// What does not hold of a task, one line each; empty if all holds.
pub(super) fn check(story: &Story, runs: &[Run], agent: &str) -> Vec<String> {
    let mut problems = Vec::new();
    one_end(story, &mut problems);
    nothing_after_the_end(story, &mut problems);
    log(story, &mut problems);
    followed(story, &mut problems);
    posts(story, &mut problems);
    one_run_at_a_time(runs, &mut problems);
    answer(story, runs, agent, &mut problems);
    problems
}

/// It is over, in a way that was asked for, and every replica says so.
fn one_end(story: &Story, problems: &mut Vec<String>) {
    let Some(first) = story.ends.first() else {
        problems.push("nobody could say what became of it".to_owned());
        return;
    };
    for end in &story.ends {
        let allowed = match end.state.as_str() {
            "completed" => true,
            "canceled" => story.cancel_asked,
            _ => false,
        };
        if !allowed {
            problems.push(format!("at last it is {} at replica {}", end.state, end.replica));
        }
        if (&end.state, end.since, &end.answer) != (&first.state, first.since, &first.answer) {
            let (one, other) = (first.replica, end.replica);
            problems.push(format!("replicas {one} and {other} do not say the same at last"));
        }
    }
}

/// Whoever saw it end, or came later, sees it ended in the same way.
fn nothing_after_the_end(story: &Story, problems: &mut Vec<String>) {
    let all: Vec<_> = story.looks.iter().chain(&story.ends).collect();
    let ended = all.iter().filter(|look| is_terminal(&look.state));
    // The first answer that said so.
    let Some(first) = ended.min_by(|a, b| a.answered.total_cmp(&b.answered)) else { return };
    for later in all.iter().filter(|later| later.asked >= first.answered) {
        if later.state != first.state {
            problems.push(format!(
                "it was {} at {:.6}, and {} for whoever asked at {:.6}",
                first.state, first.answered, later.state, later.asked
            ));
        }
    }
}

/// The log rises, and its last event is its only end.
fn log(story: &Story, problems: &mut Vec<String>) {
    rises("the log", &story.log, problems);
    let ends = story.log.iter().filter(|event| event.state().is_some_and(is_terminal)).count();
    if ends != 1 {
        problems.push(format!("the log has {ends} ends"));
    }
    let last = story.log.last().and_then(Event::state);
    if let Some(end) = story.ends.first()
        && last != Some(&end.state)
    {
        let last = last.unwrap_or("nothing");
        problems.push(format!("the log ends with {last}, and the task is {}", end.state));
    }
}

/// A stream that was resumed brought what the log has, and in good time.
fn followed(story: &Story, problems: &mut Vec<String>) {
    let Some(events) = &story.followed else { return };
    if let Some(end) = story.end() {
        for at in story.silences.iter().filter(|at| **at > end.since + SILENCE) {
            problems
                .push(format!("a stream was open until {at:.6}, and did not say that it was over"));
        }
    }
    rises("the stream", events, problems);
    let missing = story.log.iter().filter(|event| !events.contains(event)).count();
    let strange = events.iter().filter(|event| !story.log.contains(event)).count();
    if missing + strange > 0 {
        problems.push(format!(
            "the stream misses {missing} events of the log, and has {strange} that it has not"
        ));
    }
}

fn rises(what: &str, events: &[Event], problems: &mut Vec<String>) {
    for pair in events.windows(2) {
        if pair[0].id >= pair[1].id {
            problems.push(format!("{what} has {} after {}", pair[1].id, pair[0].id));
        }
    }
}

/// The posts count from 1 without a gap, and end once. What comes again is the same.
fn posts(story: &Story, problems: &mut Vec<String>) {
    let Some(posts) = &story.posts else { return };
    let mut known: Vec<&Post> = Vec::new();
    for post in posts {
        let same = |other: &&&Post| {
            other.body["event_id"] == post.body["event_id"]
                || other.body["sequence"] == post.body["sequence"]
        };
        match known.iter().find(same) {
            None => known.push(post),
            Some(first) if first.body == post.body => {}
            Some(first) => {
                problems.push(format!("two posts for one: {} and {}", first.body, post.body));
            }
        }
    }
    known.sort_by_key(|post| post.body["sequence"].as_u64());
    let sequences: Vec<_> = known.iter().map(|post| post.body["sequence"].as_u64()).collect();
    if !sequences.iter().copied().eq((1..).take(known.len()).map(Some)) {
        problems.push(format!("the sequences of the posts are {sequences:?}"));
    }
    let finals: Vec<_> = known.iter().filter(|post| post.body["final"] == true).collect();
    match finals[..] {
        [last] if Some(last) == known.last() => {
            let told = last.body["status"]["state"].as_str().unwrap_or("nothing");
            if story.ends.first().is_some_and(|end| end.state != told) {
                problems.push(format!("the last post says {told}"));
            }
        }
        [_] => problems.push("there are posts after the final one".to_owned()),
        _ => problems.push(format!("{} posts are final", finals.len())),
    }
}

/// No run begins before the one before it is over.
fn one_run_at_a_time(runs: &[Run], problems: &mut Vec<String>) {
    let mut before: Option<&Run> = None;
    for run in runs {
        if let Some(before) = before
            && before.over.is_none_or(|(at, _)| at > run.start)
        {
            problems.push(format!(
                "{} began at {:.6}, and {} was not over",
                run.pid, run.start, before.pid
            ));
        }
        // The one that is over last: a short one inside a long one does not hide it.
        let over = |run: &Run| run.over.map_or(f64::INFINITY, |(at, _)| at);
        if before.is_none_or(|before| over(before) <= over(run)) {
            before = Some(run);
        }
    }
}

/// What is stored is what the last run answered, and nothing ran afterwards.
///
/// A run that lost its claim has another one after it. Had its answer been stored, then before
/// that other one came to an end.
fn answer(story: &Story, runs: &[Run], agent: &str, problems: &mut Vec<String>) {
    let Some(end) = story.end() else { return };
    let until = end.since + if end.state == "canceled" { UNTOLD } else { ROUNDING };
    if let Some(late) = runs.iter().find(|run| run.start > until) {
        problems.push(format!("{} ran at {:.6}, when it was over", late.pid, late.start));
    }
    if end.state != "completed" {
        return;
    }
    let expected = format!("{agent}:{}", story.text);
    if end.answer.as_deref() != Some(&expected) {
        let answer = end.answer.as_deref().unwrap_or("nothing");
        problems.push(format!("the answer is {answer}, not {expected}"));
    }
    match runs.last().and_then(|run| run.over) {
        Some((at, Over::End)) if at <= end.since + ROUNDING => {}
        Some((at, Over::End)) => {
            problems.push(format!("there was an answer before its run came to its end at {at:.6}"));
        }
        _ => problems.push("there is an answer, and the last run did not come to its end".into()),
    }
}

#[cfg(test)]
mod tests;
