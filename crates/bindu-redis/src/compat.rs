//! The list that is shared with replicas of the agent that run the Python reference.
//!
//! A job for the list is written as the reference writes it. What is taken from the list is moved
//! to our own stream in one step, so that from then on it has all that our own jobs have; until
//! then it stays in the list. Nothing is taken before a worker waits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bindu_protocol::TaskId;
use bindu_scheduler::BoxFuture;
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientLike, KeysInterface, ListInterface, PubsubInterface};
use fred::types::{CustomCommand, Expiration, SetOptions, Value};
use uuid::Uuid;

use crate::control;
use crate::entry::{self, Operation};
use crate::reader::BLOCK;
use crate::scheduler::owner_key;
use crate::shared::{Shared, closed};

/// How often an entry of a task that nobody knows goes back to the list, and how far apart.
const HOPS: u32 = 60;
const HOP: Duration = Duration::from_secs(1);

/// Says whether the agent has a task: entries of the shared list that name another go back to it.
#[derive(Clone)]
pub struct Known(Arc<dyn Fn(TaskId) -> BoxFuture<'static, bool> + Send + Sync>);

impl Known {
    /// By a function, which usually loads the task. Where it cannot tell, it should say yes: an
    /// entry that names nothing does no harm.
    pub fn by<F, Fut>(known: F) -> Self
    where
        F: Fn(TaskId) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        Self(Arc::new(move |task| Box::pin(known(task))))
    }
}

impl Default for Known {
    /// Everything is taken for known.
    fn default() -> Self {
        Self::by(async |_| true)
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

/// Puts a job on the shared list, unless it was put there less than a visibility period ago: who
/// has taken it from there, and whether that process still lives, nobody can tell.
pub(crate) async fn push(
    shared: &Shared,
    list: &str,
    key: &str,
    job: &bindu_scheduler::Job,
) -> Result<(), Error> {
    let mark = shared.script.key(&format!("shared:{key}"));
    let expire = Expiration::PX(i64::try_from(shared.visibility.as_millis()).unwrap_or(i64::MAX));
    let set = shared.commands.set::<Option<String>, _, _>(
        mark.as_str(),
        "1",
        Some(expire),
        Some(SetOptions::NX),
        false,
    );
    if shared.heard(set.await)?.is_none() {
        return Ok(());
    }
    let pushed = shared.commands.rpush::<Value, _, _>(list, entry::encode_shared(job)).await;
    if let Err(error) = shared.heard(pushed) {
        let _ = shared.commands.del::<Value, _>(mark).await;
        return Err(error);
    }
    Ok(())
}

/// Moves entries of the list to the stream while workers wait, until the queue is closed.
pub(crate) async fn run(shared: Arc<Shared>, client: Client, list: String, known: Known) {
    let mut closing = shared.closing.subscribe();
    while !shared.local.is_closed() {
        let (wanted, _) = shared.local.wanted();
        if wanted == 0 {
            shared.local.demand_shared.notified().await;
            continue;
        }
        let taken = tokio::select! {
            taken = take(&shared, &client, &list, &known, wanted) => taken,
            () = closed(&mut closing) => return,
        };
        let pause = match taken {
            Ok(true) => HOP,
            Ok(false) => continue,
            Err(error) => {
                tracing::debug!(%error, "taking entries from the shared list failed");
                HOP
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = closed(&mut closing) => return,
        }
    }
}

/// Waits for entries and moves them; says whether some of them were sent back.
async fn take(
    shared: &Shared,
    client: &Client,
    list: &str,
    known: &Known,
    wanted: usize,
) -> Result<bool, Error> {
    // From the head of the list to its head: nothing moves, but it waits until there is something.
    let wait = CustomCommand::new_static("BLMOVE", None::<u16>, true);
    let block = BLOCK.as_secs().to_string();
    let args = vec![list, list, "LEFT", "LEFT", block.as_str()];
    if client.custom::<Value, _>(wait, args).await?.is_null() {
        return Ok(false);
    }
    let end = i64::try_from(wanted).unwrap_or(64).min(64) - 1;
    let texts: Vec<Value> = shared.commands.lrange(list, 0, end).await?;
    let mut args = Vec::new();
    let mut sent_back = false;
    for raw in texts {
        let text = raw.as_bytes().unwrap_or_default();
        let [mut key, mut context, mut owner, mut new] = [const { String::new() }; 4];
        let what = match entry::decode(text) {
            Err(why) => {
                tracing::warn!(%why, "an entry of the shared list is put to the dead letters");
                new = why;
                "dead"
            }
            Ok(operation) => {
                let task = match &operation {
                    Operation::Run(job) => &job.task,
                    Operation::Cancel(task) => task,
                };
                if !(known.0)(task.clone()).await {
                    if let Some(hopped) = entry::hop(text, HOPS) {
                        sent_back = true;
                        new = hopped;
                        "back"
                    } else {
                        "nobody knows the task".clone_into(&mut new);
                        "dead"
                    }
                } else if let Operation::Run(job) = &operation {
                    // The reference numbers nothing, so each of its entries is a job of its own.
                    key = format!("shared:{}", Uuid::new_v4().simple());
                    context = job.context.to_string();
                    owner = owner_key(&job.owner);
                    new = entry::encode(job);
                    "run"
                } else {
                    let _ = shared.nudges.send(task.clone());
                    let channel = shared.script.key(control::CHANNEL);
                    let nudge = control::nudge(&shared.instance, task);
                    shared.commands.publish::<Value, _, _>(channel, nudge).await?;
                    "drop"
                }
            }
        };
        args.extend([what.into(), raw, key.into(), context.into(), owner.into(), new.into()]);
    }
    let keys = vec![shared.script.queue().to_owned(), list.to_owned()];
    shared.heard(shared.script.run_on::<i64>(&shared.commands, keys, "adopt", args).await)?;
    Ok(sent_back)
}
