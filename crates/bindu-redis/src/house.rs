//! What has to be done from time to time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fred::error::Error;
use fred::interfaces::KeysInterface;
use fred::types::{Expiration, Value};

use crate::shared::{Shared, closed};

/// How often a process says that it is there, and for how long that holds.
const HEARTBEAT: Duration = Duration::from_secs(5);
const ALIVE_SECONDS: i64 = 15;
/// How often those who are gone are forgotten, and after what silence.
const TIDY: Duration = Duration::from_mins(1);
const GONE: Duration = Duration::from_mins(10);

/// Runs until the queue is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut closing = shared.closing.subscribe();
    let patrol = shared.visibility / 4;
    let tick = patrol.clamp(Duration::from_millis(20), Duration::from_secs(1));
    let (mut heartbeat, mut reclaim, mut tidy) = (None, Some(Instant::now()), Some(Instant::now()));
    loop {
        if due(&mut heartbeat, HEARTBEAT) || !shared.up.load(Ordering::Relaxed) {
            let _ = shared.heard(beat(&shared).await);
        }
        if shared.length_asked.swap(false, Ordering::Relaxed)
            && let Ok(length) = shared.run("length", Vec::new()).await
        {
            shared.length.store(length, Ordering::Relaxed);
        }
        if due(&mut reclaim, patrol) {
            // Many at a time, but not so many that others wait for it.
            let args = vec![Value::from(millis(shared.visibility)), Value::from("100")];
            match shared.run("reclaim", args).await {
                Ok(0) => {}
                Ok(count) => tracing::warn!(count, "jobs of silent workers come again"),
                Err(error) => tracing::debug!(%error, "looking for silent workers failed"),
            }
        }
        if due(&mut tidy, TIDY)
            && let Err(error) = shared.run("tidy", vec![Value::from(millis(GONE))]).await
        {
            tracing::debug!(%error, "tidying up failed");
        }
        // Apart from each other, so that the processes do not come together.
        let pause = tick.mul_f64(0.75 + fastrand::f64() / 4.0);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = closed(&mut closing) => break,
        }
    }
    let key = shared.script.key(&format!("hb:{}", shared.instance));
    let _ = shared.commands.del::<Value, _>(key).await;
}

/// Whether it is time again; then notes that it was done.
fn due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

pub(crate) fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Says that this process is there, and how many jobs it holds that no worker has.
pub(crate) async fn beat(shared: &Shared) -> Result<(), Error> {
    let key = shared.script.key(&format!("hb:{}", shared.instance));
    let (queued, _) = shared.local.waiting_here();
    let expire = Some(Expiration::EX(ALIVE_SECONDS));
    let set = shared.commands.set::<Value, _, _>(key, queued.to_string(), expire, None, false);
    set.await.map(|_| ())
}
