//! One SDK process, and what is known of it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Uri;
use http::uri::{Parts, PathAndQuery, Scheme};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Tasks;
use super::pool::Pool;
use super::{Callback, Config, lock};
use crate::metrics::METHODS;

/// A method of `AgentHandler`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    HandleMessages,
    HandleMessagesStream,
    HealthCheck,
    GetCapabilities,
}

impl Method {
    const ALL: [Self; 4] = [
        Self::HandleMessages,
        Self::HandleMessagesStream,
        Self::HealthCheck,
        Self::GetCapabilities,
    ];

    pub(super) const fn name(self) -> &'static str {
        METHODS[self as usize]
    }
}

/// Misses in a row that make a process unhealthy.
pub(super) const MISSES: u32 = 3;

/// How long a turn waits for a process to say whether it streams.
const ASKING: Duration = Duration::from_secs(1);

const STREAMS_UNKNOWN: u8 = 0;
const STREAMS: u8 = 1;
const STREAMS_NOT: u8 = 2;

/// An SDK process.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) callback: Callback,
    pub(super) pool: Pool,
    /// Calls to `HandleMessages` and its stream; the balance looks at them.
    running: AtomicUsize,
    /// Three misses in a row: it gets no work.
    is_dead: AtomicBool,
    /// The last connection was refused: others are preferred.
    is_suspect: AtomicBool,
    health: Mutex<Health>,
    streams: AtomicU8,
    /// Cancelled when it has been asked what it can do, whatever came of that.
    pub(super) asked: CancellationToken,
    /// Asks whoever watches to look at it soon.
    pub(super) look: Notify,
    /// Whether somebody watches it.
    pub(super) is_watched: AtomicBool,
    /// Cancelled when it is no instance any more.
    pub(super) gone: CancellationToken,
    uris: [Uri; 4],
}

#[derive(Debug)]
struct Health {
    misses: u32,
    since: Instant,
}

/// What a look at a process changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// It may take work that it would not have been given before.
    Better,
    /// It gets no work any more.
    Dead,
}

impl Instance {
    pub(super) fn new(callback: Callback, config: &Config, tasks: Tasks) -> Self {
        Self {
            pool: Pool::new(config.channels, config.connect_timeout, tasks),
            uris: Method::ALL.map(|method| uri(&callback, method)),
            callback,
            running: AtomicUsize::new(0),
            is_dead: AtomicBool::new(false),
            is_suspect: AtomicBool::new(false),
            health: Mutex::new(Health { misses: 0, since: Instant::now() }),
            streams: AtomicU8::new(STREAMS_UNKNOWN),
            asked: CancellationToken::new(),
            look: Notify::new(),
            is_watched: AtomicBool::new(false),
            gone: CancellationToken::new(),
        }
    }

    pub(super) const fn uri(&self, method: Method) -> &Uri {
        &self.uris[method as usize]
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn is_healthy(&self) -> bool {
        !self.is_dead.load(Ordering::Relaxed)
    }

    pub(super) fn is_suspect(&self) -> bool {
        self.is_suspect.load(Ordering::Relaxed)
    }

    /// Since when it is healthy or not.
    pub(super) fn since(&self) -> Instant {
        lock(&self.health).since
    }

    /// A connection could not be made.
    pub(super) fn suspect(&self) {
        if !self.is_suspect.swap(true, Ordering::Relaxed) {
            self.look.notify_one();
        }
    }

    /// It answered, whatever it said.
    pub(super) fn answered(&self) -> Change {
        let was_suspect = self.is_suspect() && self.is_suspect.swap(false, Ordering::Relaxed);
        if was_suspect { Change::Better } else { Change::None }
    }

    /// It said that it is well.
    pub(super) fn is_well(&self) -> Change {
        let was_suspect = self.answered();
        let mut health = lock(&self.health);
        health.misses = 0;
        if self.is_dead.swap(false, Ordering::Relaxed) {
            health.since = Instant::now();
            return Change::Better;
        }
        was_suspect
    }

    /// It did not answer when it was asked, or said that it is not well.
    pub(super) fn missed(&self) -> Change {
        let mut health = lock(&self.health);
        health.misses = health.misses.saturating_add(1);
        if health.misses >= MISSES && !self.is_dead.swap(true, Ordering::Relaxed) {
            health.since = Instant::now();
            return Change::Dead;
        }
        Change::None
    }

    /// Whether it can stream; `None` while it was not asked.
    pub(super) fn streams(&self) -> Option<bool> {
        match self.streams.load(Ordering::Relaxed) {
            STREAMS_UNKNOWN => None,
            streams => Some(streams == STREAMS),
        }
    }

    /// Whether it streams; `false` as long as nobody knows. Right after a registration it is being
    /// asked, and the first turn waits for that.
    pub(super) async fn can_stream(&self) -> bool {
        if self.streams().is_none() && self.is_watched.load(Ordering::SeqCst) {
            _ = tokio::time::timeout(ASKING, self.asked.cancelled()).await;
        }
        self.streams() == Some(true)
    }

    pub(super) fn set_streams(&self, streams: bool) {
        self.streams.store(if streams { STREAMS } else { STREAMS_NOT }, Ordering::Relaxed);
    }
}

fn uri(callback: &Callback, method: Method) -> Uri {
    let mut parts = Parts::default();
    parts.scheme = Some(if callback.is_tls() { Scheme::HTTPS } else { Scheme::HTTP });
    let authority = callback.authority();
    parts.authority = Some(authority.parse().expect("a callback is a host and a port"));
    let path = format!("/bindu.grpc.AgentHandler/{}", method.name());
    parts.path_and_query = Some(PathAndQuery::try_from(path).expect("the names are letters"));
    Uri::from_parts(parts).expect("all parts are there")
}

/// An instance that was chosen for a call; it counts as running until this is dropped.
#[derive(Debug)]
pub(super) struct Running(Arc<Instance>);

impl Running {
    pub(super) fn new(instance: Arc<Instance>) -> Self {
        instance.running.fetch_add(1, Ordering::Relaxed);
        Self(instance)
    }

    pub(super) const fn instance(&self) -> &Arc<Instance> {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_callback_makes_addresses() {
        for (callback, expected) in [
            ("localhost:1", "http://localhost:1/bindu.grpc.AgentHandler/HandleMessagesStream"),
            ("grpcs://[::1]:2", "https://[::1]:2/bindu.grpc.AgentHandler/HandleMessagesStream"),
            ("a_b.-:3", "http://a_b.-:3/bindu.grpc.AgentHandler/HandleMessagesStream"),
        ] {
            let callback: Callback = callback.parse().unwrap();
            assert_eq!(uri(&callback, Method::HandleMessagesStream), expected);
        }
    }
}
