//! Tells whoever listens in this process that a task has changed.
//!
//! Nothing here is a source: a listener that misses something reads the log. So a channel may be
//! bounded, a batch may come late, and two batches of one task may even come in the wrong order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bindu_protocol::TaskId;
use bindu_storage::{Committed, Event, Record};
use tokio::sync::{broadcast, oneshot};

/// What one write added to a log.
pub(crate) type Batch = Arc<[Event]>;

#[derive(Debug)]
pub(crate) struct Hub {
    channels: Mutex<HashMap<TaskId, Channel>>,
    /// How many channels there are, so that nobody takes the lock when nobody listens.
    open: AtomicUsize,
    /// How many channels there ever were.
    made: AtomicU64,
    backlog: usize,
}

#[derive(Debug, Default)]
struct Channel {
    /// Its place in the order in which channels were made.
    number: u64,
    /// Those who wait for the task to settle.
    waiters: Vec<oneshot::Sender<Arc<Record>>>,
    /// Those who follow every event.
    followers: Option<broadcast::Sender<Batch>>,
}

/// Waits for a task to settle: to end, or to need its caller.
#[derive(Debug)]
pub(crate) struct Waiter<'a> {
    hub: &'a Hub,
    id: TaskId,
    settled: oneshot::Receiver<Arc<Record>>,
}

impl Hub {
    /// A hub whose followers may fall `backlog` batches behind.
    pub(crate) fn new(backlog: usize) -> Self {
        let (open, made) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { channels: Mutex::default(), open, made, backlog: backlog.max(1) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Channel>> {
        // The map is whole between any two statements below, so a panic leaves nothing broken.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn channel<'a>(
        &self,
        channels: &'a mut HashMap<TaskId, Channel>,
        id: &TaskId,
    ) -> &'a mut Channel {
        channels.entry(id.clone()).or_insert_with(|| Channel {
            number: self.made.fetch_add(1, Ordering::Relaxed),
            ..Channel::default()
        })
    }

    /// Listens from now on for `id` to settle.
    pub(crate) fn wait(&self, id: &TaskId) -> Waiter<'_> {
        let (sender, settled) = oneshot::channel();
        let mut channels = self.lock();
        self.channel(&mut channels, id).waiters.push(sender);
        self.open.store(channels.len(), Ordering::SeqCst);
        Waiter { hub: self, id: id.clone(), settled }
    }

    /// Listens from now on for every event of `id`.
    pub(crate) fn follow(&self, id: &TaskId) -> broadcast::Receiver<Batch> {
        let mut channels = self.lock();
        let followers = &mut self.channel(&mut channels, id).followers;
        let receiver = match followers {
            Some(sender) => sender.subscribe(),
            None => followers.insert(broadcast::channel(self.backlog).0).subscribe(),
        };
        self.open.store(channels.len(), Ordering::SeqCst);
        receiver
    }

    /// Tells of a write.
    pub(crate) fn publish(&self, committed: &Committed) {
        // Whoever listens did so before the write that it listens for, so it is counted by now.
        if self.open.load(Ordering::SeqCst) == 0 {
            return;
        }
        let state = committed.record.task.status.state;
        let mut channels = self.lock();
        let Some(channel) = channels.get_mut(&committed.record.task.id) else {
            return;
        };
        if state.is_settled() {
            for waiter in channel.waiters.drain(..) {
                // A waiter that gave up is no loss.
                let _ = waiter.send(Arc::clone(&committed.record));
            }
        }
        if let Some(followers) = &channel.followers
            && (followers.send(Arc::clone(&committed.events)).is_err() || state.is_terminal())
        {
            channel.followers = None;
        }
        self.tidy(&mut channels, &committed.record.task.id);
    }

    /// The tasks that somebody listens to, those first that were listened to first.
    pub(crate) fn ids(&self) -> Vec<TaskId> {
        if self.open.load(Ordering::SeqCst) == 0 {
            return Vec::new();
        }
        let channels = self.lock();
        let mut ids: Vec<_> = channels.iter().map(|(id, channel)| (channel.number, id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id.clone()).collect()
    }

    /// Whether somebody listens to a task.
    pub(crate) fn has(&self, id: &TaskId) -> bool {
        self.open.load(Ordering::SeqCst) > 0 && self.lock().contains_key(id)
    }

    /// Tells of a write of another process: whoever waits gets the task as it is, whoever follows
    /// looks into the log.
    pub(crate) fn stir(&self, record: &Arc<Record>) {
        let seen =
            Committed { record: Arc::clone(record), events: Arc::from([]), outbox: Vec::new() };
        self.publish(&seen);
    }

    /// Tells that a task is gone: its followers see the end of their stream.
    pub(crate) fn forget(&self, id: &TaskId) {
        let mut channels = self.lock();
        channels.remove(id);
        self.open.store(channels.len(), Ordering::SeqCst);
    }

    fn tidy(&self, channels: &mut HashMap<TaskId, Channel>, id: &TaskId) {
        let is_idle = channels.get(id).is_some_and(|channel| {
            channel.waiters.is_empty()
                && channel.followers.as_ref().is_none_or(|sender| sender.receiver_count() == 0)
        });
        if is_idle {
            channels.remove(id);
            self.open.store(channels.len(), Ordering::SeqCst);
        }
    }

    /// Drops the channel of a task that nobody listens to any more.
    pub(crate) fn unfollow(&self, id: &TaskId) {
        let mut channels = self.lock();
        self.tidy(&mut channels, id);
    }
}

impl Waiter<'_> {
    /// The task once it has settled; `None` if it went away.
    pub(crate) async fn settled(&mut self) -> Option<Arc<Record>> {
        (&mut self.settled).await.ok()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.settled.close();
        let mut channels = self.hub.lock();
        if let Some(channel) = channels.get_mut(&self.id) {
            channel.waiters.retain(|waiter| !waiter.is_closed());
        }
        self.hub.tidy(&mut channels, &self.id);
    }
}
