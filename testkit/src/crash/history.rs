//! What was seen of the tasks, and of the runs.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Seconds since 1970, as the log of runs has them: what we see and what it says is one clock.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// States that a task never leaves.
pub(super) fn is_terminal(state: &str) -> bool {
    matches!(state, "completed" | "failed" | "canceled" | "rejected")
}

/// One task, as its client saw it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Story {
    pub(super) task: String,
    pub(super) text: String,
    /// When it was accepted.
    pub(super) accepted: f64,
    /// How often it was sent until then.
    pub(super) sends: usize,
    /// Whether somebody asked to cancel it.
    pub(super) cancel_asked: bool,
    /// What `tasks/get` said on the way, in the order of the answers.
    pub(super) looks: Vec<Look>,
    /// What `tasks/get` said at last, at each replica.
    pub(super) ends: Vec<Look>,
    /// What a reader saw that lost its stream and resumed it.
    pub(super) followed: Option<Vec<Event>>,
    /// When that reader gave up a stream that was open and silent.
    pub(super) silences: Vec<f64>,
    /// The log, read afterwards from its beginning.
    pub(super) log: Vec<Event>,
    /// What was posted to its webhook, if it has one.
    pub(super) posts: Option<Vec<Post>>,
}

/// One answer to `tasks/get`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Look {
    pub(super) replica: usize,
    pub(super) asked: f64,
    pub(super) answered: f64,
    pub(super) state: String,
    /// When the task came into this state, as it says itself.
    pub(super) since: f64,
    /// The text of its artifact.
    pub(super) answer: Option<String>,
}

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Event {
    pub(super) id: u64,
    pub(super) body: Value,
}

impl Event {
    /// The state that it brings.
    pub(super) fn state(&self) -> Option<&str> {
        self.body["status"]["state"].as_str()
    }
}

/// One post to a webhook.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Post {
    pub(super) at: f64,
    pub(super) body: Value,
}

/// One run of a handler, as its log says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    pub(super) text: String,
    pub(super) pid: u32,
    pub(super) start: f64,
    pub(super) over: Option<(f64, Over)>,
}

/// How a run was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// It came to its end.
    End,
    /// It was stopped.
    Stop,
    /// Its process died.
    Death,
}

impl Story {
    /// When it was over and how, if all replicas say that it is.
    pub(super) fn end(&self) -> Option<&Look> {
        self.ends.iter().all(|end| is_terminal(&end.state)).then(|| self.ends.first()).flatten()
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "task {} {:?}", self.task, self.text)?;
        writeln!(f, "  {:.6} accepted, at send {}", self.accepted, self.sends)?;
        if self.cancel_asked {
            writeln!(f, "  somebody asked to cancel it")?;
        }
        let mut before: Option<&Look> = None;
        for look in &self.looks {
            // What changes nothing tells nothing.
            if before.is_none_or(|before| before.state != look.state) {
                write_look(f, "seen", look)?;
            }
            before = Some(look);
        }
        for end in &self.ends {
            write_look(f, "at last", end)?;
        }
        for (name, events) in
            [("followed", self.followed.as_deref()), ("log", Some(self.log.as_slice()))]
        {
            for event in events.unwrap_or_default() {
                writeln!(f, "  {name} {}: {}", event.id, event.body)?;
            }
        }
        for at in &self.silences {
            writeln!(f, "  {at:.6} gave up a silent stream")?;
        }
        for post in self.posts.iter().flatten() {
            writeln!(f, "  {:.6} posted: {}", post.at, post.body)?;
        }
        Ok(())
    }
}

fn write_look(f: &mut fmt::Formatter<'_>, word: &str, look: &Look) -> fmt::Result {
    let Look { replica, asked, answered, state, since, answer } = look;
    let answer = answer.as_deref().unwrap_or("-");
    writeln!(
        f,
        "  {asked:.6}-{answered:.6} {word} at {replica}: {state} since {since:.6}, answer {answer}"
    )
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:.6} start by {}", self.start, self.pid)?;
        match self.over {
            Some((at, how)) => write!(f, ", {at:.6} {how:?}"),
            None => write!(f, ", never over"),
        }
    }
}
