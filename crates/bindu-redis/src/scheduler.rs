//! The queue of many processes.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bindu_protocol::{Owner, TaskId};
use bindu_scheduler::{
    BoxFuture, BoxStream, Delivered, Depth, Job, Receipt, Scheduler, SchedulerError,
};
use fred::interfaces::{ClientLike, ListInterface, PubsubInterface};
use fred::types::{CustomCommand, Value};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::batch::Batcher;
use crate::compat::{self, Known};
use crate::control;
use crate::house;
use crate::link::Link;
use crate::local::Local;
use crate::reader::{BLOCK, Reader};
use crate::script::{GROUP, Script, is_missing, is_passing};
use crate::shared::{End, Shared};
use crate::{RedisConfig, RedisError, entry};

/// How long closing waits for what is under way.
const CLOSING: Duration = Duration::from_secs(3);

/// A queue in Redis, shared by all processes of an agent.
///
/// ```no_run
/// use bindu_redis::{RedisConfig, RedisScheduler};
/// use bindu_scheduler::Scheduler;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let config = RedisConfig::new("redis://localhost:6379", "9f1c2a44-6c1e-5d7b-8a4e-3f0b7c9d2e11");
/// let queue = RedisScheduler::connect(config).await?;
/// let delivered = queue.pull().await?;
/// // ... run the task, calling `keep` now and then ...
/// queue.ack(&delivered).await?;
/// queue.close().await;
/// # Ok(())
/// # }
/// ```
pub struct RedisScheduler {
    shared: Arc<Shared>,
    capacity: usize,
    /// The list that is shared with the reference.
    compat: Option<String>,
    retry_for: Duration,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    /// Ends the connections, after all else.
    _link: Link,
}

impl RedisScheduler {
    /// Connects, and begins to listen. Nothing is fetched before a worker pulls.
    ///
    /// # Errors
    ///
    /// [`RedisError::Address`] and [`RedisError::Setting`] for what cannot be used;
    /// [`RedisError::Connect`] if the server cannot be reached in three attempts or refuses us.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn connect(config: RedisConfig) -> Result<Self, RedisError> {
        Self::connect_knowing(config, Known::default()).await
    }

    /// Connects, and knows which tasks the agent has: entries of the shared list
    /// ([`compat`](RedisConfig::compat)) that name another go back to it, at most 60 times and
    /// about once a second, for whoever does have the task; then they are dead letters.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_knowing(config: RedisConfig, known: Known) -> Result<Self, RedisError> {
        config.check()?;
        let mut link = Link::new(&config.url)?;
        let commands = link.commands().await?;
        let waiting = link.waiting(BLOCK).await?;
        let subscriber = link.subscriber().await?;
        let script = Arc::new(Script::new(&config.agent, config.owner_window));
        script.make_group(&commands).await.map_err(|error| link.failed(error))?;
        let channel = script.key(control::CHANNEL);
        subscriber.subscribe(channel).await.map_err(|error| link.failed(error))?;
        let resubscribe = subscriber.manage_subscriptions();
        let instance = config.instance.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
        let batcher = |op, first| {
            Batcher::start(commands.clone(), Arc::clone(&script), op, first, config.retry_for)
        };
        let shared = Arc::new(Shared {
            instance,
            visibility: config.visibility,
            prefetch: config.prefetch,
            local: Local::default(),
            pushes: batcher("push", Vec::new()),
            ends: batcher("end", vec![Value::from(config.dead_letters.to_string())]),
            nudges: broadcast::channel(256).0,
            closing: watch::channel(false).0,
            length: AtomicI64::new(0),
            length_asked: AtomicBool::new(true),
            up: AtomicBool::new(true),
            commands,
            script,
        });
        let mut tasks = vec![
            tokio::spawn(Reader::new(Arc::clone(&shared), waiting).run()),
            tokio::spawn(house::run(Arc::clone(&shared))),
            tokio::spawn(control::run(Arc::clone(&shared), subscriber)),
        ];
        if let Some(list) = &config.compat {
            let client = link.waiting(BLOCK).await?;
            let list = list.clone();
            tasks.push(tokio::spawn(compat::run(Arc::clone(&shared), client, list, known)));
        }
        link.also(resubscribe.abort_handle());
        let tasks = Mutex::new(tasks);
        let RedisConfig { capacity, compat, retry_for, .. } = config;
        Ok(Self { shared, capacity, compat, retry_for, tasks, _link: link })
    }

    /// What this process is called among the workers of the agent.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.shared.instance
    }

    async fn push_shared(&self, list: &str, key: &str, job: &Job) -> Result<(), SchedulerError> {
        let give_up = Instant::now() + self.retry_for;
        let mut pause = Duration::from_millis(20);
        loop {
            match compat::push(&self.shared, list, key, job).await {
                Err(error) if is_passing(&error) && Instant::now() + pause < give_up => {
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    pause = (pause * 2).min(Duration::from_millis(400));
                }
                other => return self.shared.result("pushing a job", other),
            }
        }
    }

    async fn end(
        &self,
        doing: &'static str,
        delivered: &Delivered,
        end: End<'_>,
    ) -> Result<(), SchedulerError> {
        let Receipt::Text(id) = &delivered.receipt else { return Ok(()) };
        self.shared.result(doing, self.shared.ends.call(end.args(id)).await)?;
        self.shared.local.ended(id);
        Ok(())
    }
}

/// How an owner is named in keys: nobody is not somebody of that name.
pub(crate) fn owner_key(owner: &Owner) -> String {
    owner.name().map_or_else(|| "-".to_owned(), |name| format!("={name}"))
}

impl fmt::Debug for RedisScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisScheduler")
            .field("queue", &self.shared.script.queue())
            .field("instance", &self.shared.instance)
            .finish_non_exhaustive()
    }
}

impl Drop for RedisScheduler {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl Scheduler for RedisScheduler {
    fn push(&self, job: Job) -> BoxFuture<'_, Result<(), SchedulerError>> {
        Box::pin(async move {
            if self.shared.local.is_closed() {
                return Err(SchedulerError::Closed);
            }
            let key = format!("{}:{}", job.version, job.task);
            // The reference reads UUIDs only: it ends at other ids.
            if let Some(list) = self.compat.as_deref().filter(|_| job.task.as_uuid().is_some()) {
                return self.push_shared(list, &key, &job).await;
            }
            let args = vec![
                Value::from(key),
                Value::from(job.context.to_string()),
                Value::from(owner_key(&job.owner)),
                Value::from(entry::encode(&job)),
            ];
            let pushed = self.shared.pushes.call(args).await;
            let length = self.shared.result("pushing a job", pushed)?;
            self.shared.length.store(length, Ordering::Relaxed);
            Ok(())
        })
    }

    fn pull(&self) -> BoxFuture<'_, Result<Delivered, SchedulerError>> {
        Box::pin(self.shared.local.pull())
    }

    fn ack<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(self.end("acknowledging a job", delivered, End::Done))
    }

    fn release<'a>(
        &'a self,
        delivered: &'a Delivered,
    ) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(self.end("handing a job back", delivered, End::Again))
    }

    fn bury<'a>(
        &'a self,
        delivered: &'a Delivered,
        why: &'a str,
    ) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(self.end("burying a job", delivered, End::Bury(why)))
    }

    fn keep<'a>(&'a self, delivered: &'a Delivered) -> BoxFuture<'a, Result<(), SchedulerError>> {
        Box::pin(async move {
            let Receipt::Text(id) = &delivered.receipt else { return Ok(()) };
            // To ourselves: that resets the silence. An entry that is not pending any more is
            // not made so again, and a job that came again has another id.
            let command = CustomCommand::new_static("XCLAIM", None::<u16>, false);
            let (queue, instance) = (self.shared.script.queue(), self.shared.instance.as_str());
            let args = vec![queue, GROUP, instance, "0", id, "JUSTID"];
            let kept = self.shared.commands.custom::<Value, _>(command, args).await;
            match self.shared.heard(kept) {
                Ok(_) => {
                    self.shared.local.touched(id);
                    Ok(())
                }
                // After a flush there is nothing to keep.
                Err(error) if is_missing(&error) => Ok(()),
                Err(error) => {
                    let doing = "keeping a job";
                    Err(SchedulerError::Backend { doing, source: Box::new(error) })
                }
            }
        })
    }

    fn nudge<'a>(&'a self, task: &'a TaskId) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let channel = self.shared.script.key(control::CHANNEL);
            let nudge = control::nudge(&self.shared.instance, task);
            let sent = self.shared.commands.publish::<Value, _, _>(channel, nudge).await;
            if let Err(error) = self.shared.heard(sent) {
                tracing::debug!(%task, %error, "a nudge was not sent");
            }
        })
    }

    fn nudges(&self) -> BoxStream<'static, TaskId> {
        control::stream(self.shared.nudges.subscribe())
    }

    fn is_full(&self) -> bool {
        self.shared.length_asked.store(true, Ordering::Relaxed);
        let length = self.shared.length.load(Ordering::Relaxed);
        usize::try_from(length).is_ok_and(|length| length >= self.capacity)
    }

    fn is_up(&self) -> bool {
        self.shared.up.load(Ordering::Relaxed)
    }

    fn depth(&self) -> BoxFuture<'_, Result<Depth, SchedulerError>> {
        Box::pin(async move {
            let args = vec![Value::from(self.shared.instance.as_str())];
            let run = self.shared.script.run(&self.shared.commands, "depth", args).await;
            let answer: (i64, i64, i64, i64, i64) =
                self.shared.result("asking for the depth", run)?;
            let (mut all, pending, ahead, oldest, now) = answer;
            if let Some(list) = &self.compat {
                let shared = self.shared.commands.llen::<i64, _>(list.as_str()).await;
                all += self.shared.result("asking for the depth", shared)?;
            }
            let (here, oldest_here) = self.shared.local.waiting_here();
            let here = i64::try_from(here).unwrap_or(i64::MAX);
            let running = pending.saturating_sub(ahead).saturating_sub(here).clamp(0, all);
            let oldest = Some(oldest).filter(|oldest| *oldest >= 0).into_iter().chain(oldest_here);
            let age = oldest.min().map(|at| u64::try_from(now - at).unwrap_or(0));
            Ok(Depth {
                waiting: u64::try_from(all - running).unwrap_or(0),
                running: u64::try_from(running).unwrap_or(0),
                oldest: age.map(Duration::from_millis),
            })
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.shared.local.close();
            let _ = self.shared.closing.send(true);
            let tasks =
                std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
            for mut task in tasks {
                if tokio::time::timeout(CLOSING, &mut task).await.is_err() {
                    task.abort();
                }
            }
        })
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), SchedulerError>> {
        Box::pin(async move {
            // A write: a replica, or a server without memory, answers and is of no use.
            let beat = house::beat(&self.shared).await;
            self.shared.result("asking whether redis takes writes", beat)
        })
    }

    fn name(&self) -> &'static str {
        "RedisScheduler"
    }
}
