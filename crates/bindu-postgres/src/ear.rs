//! How the processes of one schema tell each other what they change.
//!
//! A notification inside of a commit would make all commits wait for each other: the server hands
//! them out in one order, under one lock. So each process gathers what it changed for a few
//! milliseconds and tells the others in one go, on a connection that nobody waits for.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bindu_protocol::{TaskId, Timestamp};
use bindu_storage::{BoxError, BoxStream, Changed};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::{AsyncMessage, Client, NoTls};
use uuid::Uuid;

use crate::types::At;

/// At most so many tasks wait to be told of; beyond that, the others are told to look at all.
const MAX_WAITING: usize = 10_000;

/// The server takes 8,000 bytes at most.
const MAX_PAYLOAD: usize = 7_800;

/// What a listener that is too slow may be behind by.
const MAX_BEHIND: usize = 1_024;

#[derive(Clone, Debug)]
pub(crate) enum Heard {
    Changed(Changed),
    Nudge(TaskId),
}

/// The one connection that listens and tells.
#[derive(Debug)]
pub(crate) struct Ear {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    instance: Uuid,
    channel: String,
    /// Forgets what has ended; takes the time.
    tidy: Vec<String>,
    every: Duration,
    out: Mutex<Out>,
    ready: Notify,
    urgent: Notify,
    /// Wakes the queue of this process.
    wake: Arc<Notify>,
    heard: broadcast::Sender<Heard>,
    listening: watch::Sender<bool>,
}

/// What the others are still to be told.
#[derive(Debug, Default)]
struct Out {
    tasks: HashSet<TaskId>,
    nudges: HashSet<TaskId>,
    wake: bool,
    missed: bool,
    tidy: Option<Timestamp>,
}

impl Ear {
    /// Begins to listen, on a connection made with `driver`.
    pub(crate) fn start(
        driver: tokio_postgres::Config,
        channel: String,
        every: Duration,
        tidy: Vec<String>,
        wake: Arc<Notify>,
    ) -> Self {
        let shared = Arc::new(Shared {
            instance: Uuid::new_v4(),
            channel,
            tidy,
            every,
            out: Mutex::default(),
            ready: Notify::new(),
            urgent: Notify::new(),
            wake,
            heard: broadcast::channel(MAX_BEHIND).0,
            listening: watch::channel(false).0,
        });
        let task = tokio::spawn(run(Arc::clone(&shared), driver));
        Self { shared, task }
    }

    /// Waits until what others change is heard, for a while.
    pub(crate) async fn listening(&self, limit: Duration) {
        let mut listening = self.shared.listening.subscribe();
        // Late is no harm: what is missed is said to be missed.
        let _ = tokio::time::timeout(limit, listening.wait_for(|yes| *yes)).await;
    }

    /// Tells the others that a task changed, and that there is work if `wake`.
    pub(crate) fn changed(&self, task: &TaskId, wake: bool) {
        {
            let mut out = self.shared.out();
            out.wake |= wake;
            if out.tasks.len() < MAX_WAITING {
                out.tasks.insert(task.clone());
            } else {
                out.missed = true;
            }
        }
        self.shared.ready.notify_one();
    }

    /// Tells the other queues that there is work.
    pub(crate) fn wake(&self) {
        self.shared.out().wake = true;
        self.shared.ready.notify_one();
    }

    /// Asks the others to look at a task at once.
    pub(crate) fn nudge(&self, task: &TaskId) {
        {
            let mut out = self.shared.out();
            if out.nudges.len() < MAX_WAITING {
                out.nudges.insert(task.clone());
            }
        }
        self.shared.urgent.notify_one();
        self.shared.ready.notify_one();
    }

    /// Lets what has ended by `now` be forgotten.
    pub(crate) fn tidy(&self, now: Timestamp) {
        self.shared.out().tidy = Some(now);
        self.shared.ready.notify_one();
    }

    pub(crate) fn changes(&self) -> BoxStream<'static, Changed> {
        self.heard(|heard| match heard {
            Ok(Heard::Changed(changed)) => Some(changed),
            Ok(Heard::Nudge(_)) => None,
            Err(()) => Some(Changed::Missed),
        })
    }

    pub(crate) fn nudges(&self) -> BoxStream<'static, TaskId> {
        self.heard(|heard| match heard {
            Ok(Heard::Nudge(task)) => Some(task),
            _ => None,
        })
    }

    fn heard<T: Send + 'static>(
        &self,
        wanted: fn(Result<Heard, ()>) -> Option<T>,
    ) -> BoxStream<'static, T> {
        let listener = self.shared.heard.subscribe();
        let all = stream::unfold(listener, async |mut listener| match listener.recv().await {
            Ok(heard) => Some((Ok(heard), listener)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some((Err(()), listener)),
            Err(broadcast::error::RecvError::Closed) => None,
        });
        Box::pin(all.filter_map(move |heard| std::future::ready(wanted(heard))))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// No step under the lock can panic half-way.
    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, heard: Heard) {
        // Nobody listening is fine.
        let _ = self.heard.send(heard);
    }

    /// What is to be told, as payloads: a line for the teller, and a line for each fact. Ids hold
    /// no line breaks.
    fn payloads(&self, out: &Out) -> Vec<String> {
        let head = self.instance.simple().to_string();
        let mut lines: Vec<String> = Vec::new();
        lines.extend(out.nudges.iter().map(|task| format!("\nn{task}")));
        if out.wake {
            lines.push("\nw".to_owned());
        }
        if out.missed {
            lines.push("\nm".to_owned());
        } else {
            lines.extend(out.tasks.iter().map(|task| format!("\nt{task}")));
        }
        let mut payloads: Vec<String> = Vec::new();
        for line in lines {
            match payloads.last_mut() {
                Some(last) if last.len() + line.len() <= MAX_PAYLOAD => last.push_str(&line),
                _ => payloads.push(format!("{head}{line}")),
            }
        }
        payloads
    }

    fn hear(&self, payload: &str) {
        let mut lines = payload.split('\n');
        let teller = lines.next().and_then(|line| Uuid::try_parse(line).ok());
        if teller == Some(self.instance) {
            return;
        }
        for line in lines {
            match line.split_at_checked(1) {
                Some(("t", task)) => {
                    if let Ok(task) = task.parse() {
                        self.say(Heard::Changed(Changed::Task(task)));
                    }
                }
                Some(("n", task)) => {
                    if let Ok(task) = task.parse() {
                        self.say(Heard::Nudge(task));
                    }
                }
                Some(("w", _)) => self.wake.notify_one(),
                Some(("m", _)) => self.say(Heard::Changed(Changed::Missed)),
                _ => {}
            }
        }
    }
}

async fn run(shared: Arc<Shared>, mut driver: tokio_postgres::Config) {
    // What is told here is a hint; it need not be on disk.
    let options = driver.get_options().unwrap_or_default().to_owned();
    driver.options(format!("{options} -c synchronous_commit=off"));
    let mut pause = Duration::from_millis(50);
    let mut heard_before = false;
    loop {
        let error = match session(&shared, &driver, heard_before).await {
            Ok(never) => match never {},
            Err(error) => error,
        };
        tracing::debug!(%error, "the connection that listens ended");
        if shared.listening.send_replace(false) {
            heard_before = true;
            pause = Duration::from_millis(50);
        }
        sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

/// Listens and tells until the connection ends.
async fn session(
    shared: &Shared,
    driver: &tokio_postgres::Config,
    again: bool,
) -> Result<Infallible, BoxError> {
    let (client, mut connection) = driver.connect(NoTls).await?;
    let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
    let listen = format!("LISTEN {}", crate::schema::quoted(&shared.channel));
    drive(shared, &mut messages, client.batch_execute(&listen)).await??;
    shared.listening.send_replace(true);
    if again {
        shared.say(Heard::Changed(Changed::Missed));
        shared.wake.notify_one();
    }
    loop {
        drive(shared, &mut messages, shared.ready.notified()).await?;
        drive(shared, &mut messages, gather(shared)).await?;
        let out = std::mem::take(&mut *shared.out());
        if let Err(error) = drive(shared, &mut messages, tell(shared, &client, out)).await? {
            // Whoever was to be told was not, or perhaps was.
            shared.out().missed = true;
            return Err(error.into());
        }
    }
}

/// Waits a little for more to tell, unless it is urgent.
async fn gather(shared: &Shared) {
    if shared.out().nudges.is_empty() {
        tokio::select! {
            () = sleep(shared.every) => {}
            () = shared.urgent.notified() => {}
        }
    }
}

async fn tell(shared: &Shared, client: &Client, mut out: Out) -> Result<(), tokio_postgres::Error> {
    let tidy = out.tidy.take();
    let payloads = shared.payloads(&out);
    for some in payloads.chunks(64) {
        let sql = "SELECT pg_notify($1, p) FROM unnest($2::text[]) AS p";
        client.query(sql, &[&shared.channel, &some]).await?;
    }
    if let Some(now) = tidy {
        for statement in &shared.tidy {
            if let Err(error) = client.execute(statement, &[&At(now)]).await {
                tracing::debug!(%error, "what has ended could not be forgotten");
            }
        }
    }
    Ok(())
}

/// Goes on with `work` while the connection is served, whose end ends this too.
async fn drive<T>(
    shared: &Shared,
    messages: &mut (impl Stream<Item = Result<AsyncMessage, tokio_postgres::Error>> + Unpin),
    work: impl Future<Output = T>,
) -> Result<T, BoxError> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            message = messages.next() => match message {
                Some(Ok(AsyncMessage::Notification(told))) => shared.hear(told.payload()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the server closed the connection".into()),
            },
        }
    }
}
