//! The one connection that waits for jobs, for all workers of the process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::{ClientInterface, StreamsInterface};
use fred::types::ClientUnblockFlag;
use fred::types::Value;
use tokio::sync::watch;

use crate::local::LINGER;
use crate::script::{GROUP, is_missing};
use crate::shared::{End, Shared, closed, entries};

/// How long one read waits on the server.
pub(crate) const BLOCK: Duration = Duration::from_secs(5);

pub(crate) struct Reader {
    shared: Arc<Shared>,
    client: Client,
    closing: watch::Receiver<bool>,
    /// How many jobs to fetch beyond what is waited for.
    ahead: usize,
    /// When a read last brought all that it asked for.
    filled: Option<Instant>,
    /// Whether an answer may have been lost, and with it entries that now are ours.
    lost: bool,
    pause: Duration,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, client: Client) -> Self {
        let closing = shared.closing.subscribe();
        let ahead = shared.prefetch;
        Self { shared, client, closing, ahead, filled: None, lost: true, pause: Duration::ZERO }
    }

    /// Reads until the queue is closed; then gives back what no worker has.
    pub(crate) async fn run(mut self) {
        while !self.shared.local.is_closed() {
            let (wanted, _) = self.shared.local.wanted();
            if wanted == 0 {
                self.rest().await;
            } else if let Err(error) = self.fetch(wanted).await {
                self.failed(&error).await;
            } else {
                self.pause = Duration::ZERO;
            }
        }
        self.give_back(Instant::now()).await;
    }

    /// Waits until a worker does, or until what was fetched has lain here for too long: then the
    /// workers are busy, and others may have it.
    async fn rest(&mut self) {
        let local = &self.shared.local;
        match local.oldest() {
            None => local.demand.notified().await,
            Some(oldest) => {
                tokio::select! {
                    () = local.demand.notified() => {}
                    () = tokio::time::sleep_until((oldest + LINGER).into()) => {
                        if let Some(before) = Instant::now().checked_sub(LINGER) {
                            self.ahead = 0;
                            self.give_back(before).await;
                        }
                    }
                }
            }
        }
    }

    async fn give_back(&self, before: Instant) {
        let stale = self.shared.local.stale(before);
        let ends = stale.into_iter().map(|fetched| (fetched.id, End::Back)).collect();
        self.shared.end_all(ends).await;
    }

    async fn fetch(&mut self, wanted: usize) -> Result<(), Error> {
        if self.lost {
            let mut args = vec![Value::from(self.shared.instance.as_str())];
            let ids = self.shared.local.ids(2 * self.shared.visibility);
            args.extend(ids.into_iter().map(|id| Value::from(&*id)));
            self.shared.run("orphans", args).await?;
            self.lost = false;
        }
        // What was fetched ahead was taken at once: more may be.
        if self.filled.is_some_and(|filled| filled.elapsed() < LINGER) {
            self.ahead = (self.ahead * 2).max(1).min(self.shared.prefetch);
        }
        let count = wanted + self.ahead;
        let read = self.client.xreadgroup::<Value, _, _, _, _>(
            GROUP,
            self.shared.instance.as_str(),
            Some(count as u64),
            u64::try_from(BLOCK.as_millis()).ok(),
            false,
            self.shared.script.queue(),
            ">",
        );
        tokio::pin!(read);
        let answer = tokio::select! {
            answer = &mut read => answer,
            () = closed(&mut self.closing) => {
                // A read that is dropped could still be answered, and what it brings would lie
                // with us until it is missed.
                let _ = self.client.unblock_self(Some(ClientUnblockFlag::Timeout)).await;
                tokio::time::timeout(Duration::from_secs(1), read).await.unwrap_or(Ok(Value::Null))
            }
        };
        let entries = entries(self.shared.heard(answer)?);
        self.filled = (entries.len() >= count).then(Instant::now);
        self.shared.receive(entries).await;
        Ok(())
    }

    async fn failed(&mut self, error: &Error) {
        self.lost = true;
        if is_missing(error) {
            let made = self.shared.script.make_group(&self.shared.commands).await;
            if self.shared.heard(made).is_ok() {
                return;
            }
        }
        self.shared.local.fault(error.to_string());
        self.pause = (self.pause * 2).clamp(Duration::from_millis(50), Duration::from_secs(1));
        let pause = self.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = closed(&mut self.closing) => {}
        }
    }
}
