//! What the parts of a queue have in common.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use bindu_protocol::TaskId;
use bindu_scheduler::SchedulerError;
use fred::clients::Client;
use fred::error::Error;
use fred::types::Value;
use tokio::sync::{broadcast, watch};

use crate::batch::Batcher;
use crate::entry::{self, Operation};
use crate::local::{Fetched, Local};
use crate::script::{Script, is_passing};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) script: Arc<Script>,
    pub(crate) commands: Client,
    pub(crate) instance: String,
    pub(crate) visibility: Duration,
    pub(crate) prefetch: usize,
    pub(crate) local: Local,
    pub(crate) pushes: Batcher,
    pub(crate) ends: Batcher,
    pub(crate) nudges: broadcast::Sender<TaskId>,
    pub(crate) closing: watch::Sender<bool>,
    /// How many jobs there were when it was last looked, and whether somebody asked since.
    pub(crate) length: AtomicI64,
    pub(crate) length_asked: AtomicBool,
    pub(crate) up: AtomicBool,
}

/// Waits until the queue is closed.
pub(crate) async fn closed(closing: &mut watch::Receiver<bool>) {
    // Nobody left to close it: then it is over too.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// How a delivery ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'a> {
    Done,
    /// It comes again, and was an attempt.
    Again,
    /// It comes again, and no worker had it.
    Back,
    Bury(&'a str),
}

impl End<'_> {
    pub(crate) fn args(self, id: &str) -> Vec<Value> {
        let (what, why) = match self {
            Self::Done => ("done", ""),
            Self::Again => ("again", ""),
            Self::Back => ("back", ""),
            Self::Bury(why) => ("bury", why),
        };
        vec![what.into(), id.into(), why.into()]
    }
}

impl Shared {
    /// Remembers whether the server answered.
    pub(crate) fn heard<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Err(error) if is_passing(error) => {
                if self.up.swap(false, Ordering::Relaxed) {
                    tracing::warn!(%error, "redis does not answer");
                }
            }
            _ => {
                if !self.up.swap(true, Ordering::Relaxed) {
                    tracing::info!("redis answers again");
                }
            }
        }
        result
    }

    /// Remembers too, and says what was under way.
    pub(crate) fn result<T>(
        &self,
        doing: &'static str,
        result: Result<T, Error>,
    ) -> Result<T, SchedulerError> {
        self.heard(result)
            .map_err(|error| SchedulerError::Backend { doing, source: Box::new(error) })
    }

    /// Runs an operation of the script.
    pub(crate) async fn run(&self, op: &'static str, args: Vec<Value>) -> Result<i64, Error> {
        self.heard(self.script.run(&self.commands, op, args).await)
    }

    /// Ends what was not, or not yet, in a worker's hands. What cannot be ended now comes again by
    /// itself.
    pub(crate) async fn end_all(&self, ends: Vec<(Box<str>, End<'_>)>) {
        let calls = ends.iter().map(|(id, end)| self.ends.call(end.args(id)));
        for result in futures_util::future::join_all(calls).await {
            if let Err(error) = self.heard(result) {
                tracing::debug!(%error, "an entry could not be ended; it comes again");
            }
        }
    }

    /// Sorts out entries of the stream: what can be delivered is, the rest ends.
    pub(crate) async fn receive(&self, entries: Vec<RawEntry>) {
        let mut fetched = Vec::with_capacity(entries.len());
        let mut done = Vec::new();
        let mut buried = Vec::new();
        for RawEntry { id, job, attempts, pushed } in entries {
            let decoded = match &job {
                Some(text) => entry::decode(text),
                None => Err("no field `job`".to_owned()),
            };
            match decoded {
                Ok(Operation::Run(job)) => fetched.push(Fetched { id, job, attempts, pushed }),
                Ok(Operation::Cancel(task)) => {
                    // Nobody listens: then nobody here runs it.
                    let _ = self.nudges.send(task);
                    done.push((id, End::Done));
                }
                Err(why) => buried.push((id, why)),
            }
        }
        self.local.add(fetched);
        for (id, why) in &buried {
            tracing::warn!(entry = %id, %why, "an entry of the queue is put to the dead letters");
            done.push((id.clone(), End::Bury(why)));
        }
        if !done.is_empty() {
            self.end_all(done).await;
        }
    }
}

/// An entry as it stands in the stream.
#[derive(Debug)]
pub(crate) struct RawEntry {
    pub(crate) id: Box<str>,
    pub(crate) job: Option<Vec<u8>>,
    pub(crate) attempts: u32,
    pub(crate) pushed: i64,
}

/// Takes the answer of XREADGROUP on one stream apart. Whatever is not as it should be is left out.
pub(crate) fn entries(answer: Value) -> Vec<RawEntry> {
    let streams = list(answer).into_iter().filter_map(|stream| list(stream).into_iter().nth(1));
    streams.flat_map(list).filter_map(raw_entry).collect()
}

fn raw_entry(entry: Value) -> Option<RawEntry> {
    let mut entry = list(entry).into_iter();
    let id: Box<str> = String::from_utf8(bytes(&entry.next()?)).ok()?.into();
    let (mut job, mut attempts, mut pushed) = (None, None, None);
    for pair in entry.next().map(list).unwrap_or_default().chunks_exact(2) {
        let value = bytes(&pair[1]);
        match &*bytes(&pair[0]) {
            b"job" => job = Some(value),
            b"attempt" => attempts = number(&value),
            b"at" => pushed = number(&value),
            _ => {}
        }
    }
    // An id begins with when it was made.
    let made = id.split('-').next().and_then(|text| text.parse().ok());
    let pushed = pushed.or(made).unwrap_or(0);
    Some(RawEntry { id, job, attempts: attempts.unwrap_or(0), pushed })
}

fn list(value: Value) -> Vec<Value> {
    if let Value::Array(list) = value { list } else { Vec::new() }
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Integer(number) => number.to_string().into_bytes(),
        _ => Vec::new(),
    }
}

fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}
