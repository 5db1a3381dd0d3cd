//! Many calls, few round trips: what comes in while one is under way goes with the next.

use std::sync::Arc;
use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::types::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::script::{Script, is_passing};

/// At most so many calls in one round trip.
const MOST: usize = 64;

/// One call: its arguments, until when it may be tried, and who waits for its end.
#[derive(Debug)]
struct Call {
    args: Vec<Value>,
    until: Instant,
    done: oneshot::Sender<Result<i64, Error>>,
}

/// Gathers calls of one operation of the script. Its task ends when this is dropped and all that
/// was asked for has been done.
#[derive(Debug)]
pub(crate) struct Batcher {
    calls: mpsc::UnboundedSender<Call>,
    patience: Duration,
}

impl Batcher {
    /// `first` are arguments that go before those of the calls.
    pub(crate) fn start(
        client: Client,
        script: Arc<Script>,
        op: &'static str,
        first: Vec<Value>,
        patience: Duration,
    ) -> Self {
        let (calls, inbox) = mpsc::unbounded_channel();
        tokio::spawn(work(client, script, op, first, inbox));
        Self { calls, patience }
    }

    /// Has a call made. What was asked for happens even if the future is dropped.
    pub(crate) async fn call(&self, args: Vec<Value>) -> Result<i64, Error> {
        let (done, result) = oneshot::channel();
        let until = Instant::now() + self.patience;
        // The task lives as long as the sender, unless the runtime ends.
        let _ = self.calls.send(Call { args, until, done });
        result.await.unwrap_or_else(|_| Err(Error::new_canceled()))
    }
}

async fn work(
    client: Client,
    script: Arc<Script>,
    op: &'static str,
    first: Vec<Value>,
    mut inbox: mpsc::UnboundedReceiver<Call>,
) {
    let mut calls: Vec<Call> = Vec::new();
    let mut pause = Duration::ZERO;
    loop {
        if calls.is_empty() && inbox.recv_many(&mut calls, MOST).await == 0 {
            return;
        }
        let args = first.iter().chain(calls.iter().flat_map(|call| &call.args)).cloned().collect();
        // Not beyond what the first of them can wait for, but never without a try.
        let first_until = calls.iter().map(|call| call.until).min().unwrap_or_else(Instant::now);
        let until = first_until.max(Instant::now() + Duration::from_millis(100));
        let run = tokio::time::timeout_at(until, script.run::<i64>(&client, op, args));
        let result = run.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, "the server did not answer in time"))
        });
        match result {
            Ok(answer) => {
                pause = Duration::ZERO;
                for call in calls.drain(..) {
                    let _ = call.done.send(Ok(answer));
                }
            }
            Err(error) => {
                let now = Instant::now();
                let passing = is_passing(&error);
                for call in calls.extract_if(.., |call| !passing || call.until <= now) {
                    let _ = call.done.send(Err(error.clone()));
                }
                // Each operation may be repeated: what took effect already has none again.
                pause = (pause * 2).clamp(Duration::from_millis(20), Duration::from_millis(400));
                let next = calls.iter().map(|call| call.until).min();
                let wait = now + pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                tokio::time::sleep_until(next.map_or(wait, |next| next.min(wait))).await;
            }
        }
    }
}
