use serde_json::{Value, json};

use super::check;
use crate::crash::history::{Event, Look, Over, Post, Run, Story};

fn status(state: &str) -> Value {
    json!({ "kind": "status-update", "status": { "state": state } })
}

fn look(replica: usize, asked: f64, state: &str) -> Look {
    let (answered, state) = (asked + 0.01, state.to_owned());
    Look { replica, asked, answered, state, since: 0.0, answer: None }
}

fn end(replica: usize) -> Look {
    let answer = Some("crash:sleep:5:x".to_owned());
    Look { since: 4.0, answer, ..look(replica, 9.0, "completed") }
}

fn post(sequence: u64, state: &str, is_final: bool) -> Post {
    let mut body = status(state);
    body["event_id"] = json!(format!("event {sequence}"));
    body["sequence"] = json!(sequence);
    body["final"] = json!(is_final);
    Post { at: 5.0, body }
}

fn run(pid: u32, start: f64, over: Option<(f64, Over)>) -> Run {
    Run { text: "sleep:5:x".to_owned(), pid, start, over }
}

/// Killed once, run again, and told of twice: nothing is wrong with that.
fn good() -> (Story, Vec<Run>) {
    let log = vec![
        Event { id: 1, body: status("submitted") },
        Event { id: 2, body: status("working") },
        Event { id: 4, body: status("completed") },
    ];
    let posts = vec![
        post(1, "working", false),
        post(1, "working", false),
        post(2, "working", false),
        post(3, "completed", true),
        post(3, "completed", true),
    ];
    let story = Story {
        task: "t".to_owned(),
        text: "sleep:5:x".to_owned(),
        accepted: 0.5,
        sends: 2,
        cancel_asked: false,
        looks: vec![look(0, 1.0, "submitted"), look(1, 3.9, "working"), look(0, 4.1, "completed")],
        ends: vec![end(0), end(1)],
        followed: Some(log.clone()),
        silences: vec![4.5],
        log,
        posts: Some(posts),
    };
    (story, vec![run(7, 1.0, Some((2.0, Over::Death))), run(8, 3.0, Some((3.99, Over::End)))])
}

/// What is said of a history that was good until `spoil`.
fn spoiled(spoil: impl FnOnce(&mut Story, &mut Vec<Run>)) -> Vec<String> {
    let (mut story, mut runs) = good();
    spoil(&mut story, &mut runs);
    check(&story, &runs, "crash")
}

#[track_caller]
fn assert_said(problems: &[String], said: &str) {
    assert!(problems.iter().any(|problem| problem.contains(said)), "{said:?} in {problems:?}");
}

#[test]
fn a_good_history_is_good() {
    assert_eq!(spoiled(|_, _| {}), [""; 0]);
}

#[test]
fn a_task_that_never_ends_is_found() {
    assert_said(
        &spoiled(|story, _| story.ends[1].state = "working".into()),
        "working at replica 1",
    );
    assert_said(&spoiled(|story, _| story.ends.clear()), "nobody could say");
}

#[test]
fn an_end_that_nobody_asked_for_is_found() {
    let end_as = |state: &'static str| {
        move |story: &mut Story| story.ends.iter_mut().for_each(|end| end.state = state.into())
    };
    assert_said(&spoiled(|story, _| end_as("failed")(story)), "it is failed at replica 0");
    assert_said(&spoiled(|story, _| end_as("canceled")(story)), "it is canceled");
}

#[test]
fn a_canceled_task_is_good_if_it_was_asked_for() {
    let problems = spoiled(|story, runs| {
        story.cancel_asked = true;
        for end in &mut story.ends {
            end.state = "canceled".into();
            end.answer = None;
        }
        story.looks[2].state = "canceled".into();
        story.log[2].body = status("canceled");
        story.followed = Some(story.log.clone());
        story.posts = Some(vec![post(1, "working", false), post(2, "canceled", true)]);
        runs[1].over = Some((4.05, Over::Stop));
    });
    assert_eq!(problems, [""; 0]);
}

#[test]
fn replicas_that_disagree_are_found() {
    let other = |story: &mut Story, _: &mut Vec<Run>| story.ends[1].answer = Some("else".into());
    assert_said(&spoiled(other), "replicas 0 and 1");
    assert_said(&spoiled(|story, _| story.ends[1].since = 4.5), "replicas 0 and 1");
}

#[test]
fn a_canceled_task_may_begin_late_but_not_long_after() {
    let canceled = |start: f64| {
        spoiled(|story, runs| {
            story.cancel_asked = true;
            for end in &mut story.ends {
                end.state = "canceled".into();
            }
            runs[1] = run(8, start, Some((start + 0.1, Over::End)));
        })
    };
    let late = |problems: Vec<String>| problems.iter().any(|it| it.contains("when it was over"));
    assert!(!late(canceled(4.5)), "it was claimed before");
    assert!(late(canceled(6.5)), "it was heard of long ago");
}

#[test]
fn a_stream_that_falls_silent_is_found() {
    assert_said(&spoiled(|story, _| story.silences.push(9.5)), "a stream was open until 9.5");
}

#[test]
fn a_task_that_leaves_its_end_is_found() {
    let back = spoiled(|story, _| story.looks.push(look(1, 4.2, "working")));
    assert_said(&back, "it was completed at 4.110000, and working for whoever asked at 4.2");
    // Asked before the other was answered: both may be right.
    assert_eq!(spoiled(|story, _| story.looks.push(look(1, 4.105, "working"))), [""; 0]);
}

#[test]
fn a_log_without_one_end_is_found() {
    let again = Event { id: 5, body: status("completed") };
    assert_said(&spoiled(|story, _| story.log.push(again)), "the log has 2 ends");
    assert_said(&spoiled(|story, _| drop(story.log.pop())), "the log has 0 ends");
    assert_said(&spoiled(|story, _| story.log.swap(0, 1)), "the log has 1 after 2");
    let other = spoiled(|story, _| story.log[2].body = status("canceled"));
    assert_said(&other, "the log ends with canceled, and the task is completed");
}

#[test]
fn a_stream_that_differs_from_the_log_is_found() {
    let gap = spoiled(|story, _| drop(story.followed.as_mut().unwrap().remove(1)));
    assert_said(&gap, "misses 1 events of the log, and has 0");
    let twice = spoiled(|story, _| {
        let events = story.followed.as_mut().unwrap();
        events.insert(1, events[1].clone());
    });
    assert_said(&twice, "the stream has 2 after 2");
    let other = spoiled(|story, _| story.followed.as_mut().unwrap()[1].body = status("else"));
    assert_said(&other, "misses 1 events of the log, and has 1");
}

#[test]
fn posts_with_gaps_or_without_one_end_are_found() {
    let posts = |posts: Vec<Post>| spoiled(|story, _| story.posts = Some(posts));
    let working = || post(1, "working", false);
    assert_said(&posts(vec![working(), post(3, "completed", true)]), "[Some(1), Some(3)]");
    assert_said(&posts(vec![working()]), "0 posts are final");
    assert_said(&posts(Vec::new()), "0 posts are final");
    let two = vec![post(1, "completed", true), post(2, "completed", true)];
    assert_said(&posts(two), "2 posts are final");
    let after = vec![post(1, "completed", true), post(2, "working", false)];
    assert_said(&posts(after), "after the final one");
    let wrong = vec![working(), post(2, "canceled", true)];
    assert_said(&posts(wrong), "the last post says canceled");
    let mut other = post(1, "working", false);
    other.body["event_id"] = json!("another");
    assert_said(&posts(vec![working(), other, post(2, "completed", true)]), "two posts for one");
    let mut changed = working();
    changed.body["status"]["state"] = json!("else");
    assert_said(&posts(vec![working(), changed, post(2, "completed", true)]), "two posts for one");
}

#[test]
fn two_runs_at_once_are_found() {
    let overlap = spoiled(|_, runs| runs[0].over = Some((3.5, Over::Stop)));
    assert_said(&overlap, "8 began at 3.000000, and 7 was not over");
    assert_said(&spoiled(|_, runs| runs[0].over = None), "7 was not over");
    // A short run inside a long one does not hide it from the next.
    let hidden = spoiled(|_, runs| {
        runs[0].over = Some((3.5, Over::Stop));
        runs.insert(1, run(9, 1.5, Some((1.6, Over::Stop))));
    });
    assert_said(&hidden, "8 began at 3.000000, and 7 was not over");
}

#[test]
fn an_answer_that_no_run_gave_is_found() {
    let stopped = spoiled(|_, runs| runs[1].over = Some((3.5, Over::Stop)));
    assert_said(&stopped, "the last run did not come to its end");
    assert_said(&spoiled(|_, runs| runs.clear()), "the last run did not come to its end");
    let early = spoiled(|_, runs| runs[1].over = Some((4.5, Over::End)));
    assert_said(&early, "before its run came to its end at 4.5");
    let other = |story: &mut Story, _: &mut Vec<Run>| {
        story.ends.iter_mut().for_each(|end| end.answer = Some("crash:sleep:5:y".into()));
    };
    assert_said(&spoiled(other), "the answer is crash:sleep:5:y");
}

#[test]
fn the_result_of_a_lost_claim_is_found() {
    // 7 came to its end and lost its claim to 8; what it made was stored while 8 ran.
    let lost = spoiled(|_, runs| {
        runs[0].over = Some((2.9, Over::End));
        runs[1].over = Some((5.0, Over::Stop));
    });
    assert_said(&lost, "the last run did not come to its end");
}

#[test]
fn a_run_after_the_end_is_found() {
    let late = spoiled(|_, runs| runs.push(run(9, 6.0, Some((6.1, Over::Stop)))));
    assert_said(&late, "9 ran at 6.000000, when it was over");
}
