//! One life of a replica: from its start until it is killed or has stopped.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bindu_protocol::TaskId;
use bindu_storage::{BoxStream, Changed};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// One life of a replica.
///
/// Whatever a dead replica has under way waits for ever at its next call on the outside, so nothing
/// of it has an effect any more; and as with a killed process, none of its destructors does.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) replica: usize,
    pub(super) number: u32,
    dead: CancellationToken,
    /// After how many more calls it dies; never, if that is negative.
    left: AtomicI64,
    hints: Ear<Changed>,
    nudges: Ear<TaskId>,
}

/// What other replicas say, and when it is heard.
type Ear<T> = Mutex<Vec<mpsc::UnboundedSender<(Instant, T)>>>;

fn listen<T: Send + 'static>(ear: &Ear<T>) -> BoxStream<'static, T> {
    let (sender, receiver) = mpsc::unbounded_channel();
    ear.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    let heard = stream::unfold(receiver, |mut receiver| async move {
        let (at, what) = receiver.recv().await?;
        sleep_until(at).await;
        Some((what, receiver))
    });
    // The sender lives in the life; while that is told of, there may always be more.
    heard.chain(stream::pending()).boxed()
}

fn say<T: Clone>(ear: &Ear<T>, millis: u64, what: &T) {
    let at = Instant::now() + Duration::from_millis(millis);
    for sender in &*ear.lock().unwrap_or_else(PoisonError::into_inner) {
        // Whoever has stopped to listen misses nothing.
        let _ = sender.send((at, what.clone()));
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}.{}", self.replica, self.number)
    }
}

impl Life {
    pub(super) fn new(replica: usize, number: u32) -> Self {
        let left = AtomicI64::new(-1);
        let (hints, nudges) = (Mutex::default(), Mutex::default());
        Self { replica, number, dead: CancellationToken::new(), left, hints, nudges }
    }

    /// Another replica has changed something; it is heard in so many milliseconds.
    pub(super) fn hint(&self, millis: u64, changed: &Changed) {
        say(&self.hints, millis, changed);
    }

    pub(super) fn changes(&self) -> BoxStream<'static, Changed> {
        listen(&self.hints)
    }

    /// Another replica wants a task looked at; it is heard in so many milliseconds.
    pub(super) fn nudge(&self, millis: u64, task: &TaskId) {
        say(&self.nudges, millis, task);
    }

    pub(super) fn nudges(&self) -> BoxStream<'static, TaskId> {
        listen(&self.nudges)
    }

    pub(super) fn is_over(&self) -> bool {
        self.dead.is_cancelled()
    }

    pub(super) fn end(&self) {
        self.dead.cancel();
    }

    /// Waits for the end.
    pub(super) async fn over(&self) {
        self.dead.cancelled().await;
    }

    /// Goes on if it lives; else never.
    pub(super) async fn gate(&self) {
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }

    /// Lets it die at one of its next calls.
    pub(super) fn doom(&self, calls: i64) {
        self.left.store(calls, Ordering::SeqCst);
    }

    /// Counts a call; says whether it is the last.
    pub(super) fn is_last_call(&self) -> bool {
        let left = self.left.load(Ordering::SeqCst);
        if left < 0 {
            return false;
        }
        self.left.store(left - 1, Ordering::SeqCst);
        left == 0
    }
}
