//! The connections to one SDK process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Connection, Lease, Secure, Tasks, open};
use super::{Callback, lock};

/// The connections of one instance: none at first, one more when all are full.
#[derive(Debug)]
pub(super) struct Pool {
    channels: usize,
    connect_timeout: Duration,
    tasks: Tasks,
    open: Mutex<Vec<Arc<Connection>>>,
    /// Held while a connection is made, so that calls which come together make one.
    dialing: tokio::sync::Mutex<()>,
    /// When connecting failed last, and why: the answer for all who waited for it.
    failed: Mutex<Option<(Instant, Arc<str>)>>,
    /// Whether the last connection was lost, or could not be made.
    is_lost: AtomicBool,
}

/// How a lease was come by.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) lease: Lease,
    /// Whether a connection was made in the place of one that was lost.
    pub(super) is_reconnected: bool,
}

enum Found {
    Room(Lease),
    /// All are full; this one least.
    Full(Lease),
    Nothing,
}

impl Pool {
    pub(super) fn new(channels: usize, connect_timeout: Duration, tasks: Tasks) -> Self {
        Self {
            channels: channels.max(1),
            connect_timeout,
            tasks,
            open: Mutex::default(),
            dialing: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
            is_lost: AtomicBool::new(false),
        }
    }

    /// How many connections are open.
    pub(super) fn size(&self) -> usize {
        lock(&self.open).iter().filter(|connection| connection.is_open()).count()
    }

    /// A connection for one call: the one with the fewest, or a new one where all are full.
    pub(super) async fn lease(
        &self,
        callback: &Callback,
        security: Option<&Arc<dyn Secure>>,
    ) -> Result<Leased, Arc<str>> {
        let generation = security.map_or(0, |security| security.generation());
        let old = |lease| Ok(Leased { lease, is_reconnected: false });
        let came = Instant::now();
        let (_dialing, full) = match self.find(generation) {
            Found::Room(lease) => return old(lease),
            // Somebody sees to a further one already, or this call does.
            Found::Full(lease) => match self.dialing.try_lock() {
                Ok(dialing) => (dialing, Some(lease)),
                Err(_) => return old(lease),
            },
            Found::Nothing => {
                let dialing = self.dialing.lock().await;
                if let Found::Room(lease) | Found::Full(lease) = self.find(generation) {
                    return old(lease);
                }
                if let Some((when, why)) = &*lock(&self.failed)
                    && *when >= came
                {
                    return Err(Arc::clone(why));
                }
                (dialing, None)
            }
        };
        let deadline = Instant::now() + self.connect_timeout;
        // Boxed, since it is seldom needed and most of what a call would have to be big enough for.
        let made = match Box::pin(open(callback, security, deadline, &self.tasks)).await {
            Ok(connection) => Arc::new(connection),
            Err(why) => {
                tracing::debug!(%callback, error = why, "cannot connect");
                if let Some(lease) = full {
                    return old(lease);
                }
                let why: Arc<str> = why.into();
                *lock(&self.failed) = Some((Instant::now(), Arc::clone(&why)));
                self.is_lost.store(true, Ordering::Relaxed);
                return Err(why);
            }
        };
        let lease = Lease::new(Arc::clone(&made), true);
        lock(&self.open).push(made);
        let is_reconnected = self.is_lost.swap(false, Ordering::Relaxed);
        Ok(Leased { lease, is_reconnected })
    }

    fn find(&self, generation: u64) -> Found {
        let mut open = lock(&self.open);
        let before = open.len();
        open.retain(|connection| connection.is_open());
        if open.len() < before {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        open.retain(|connection| connection.generation == generation);
        let Some(idlest) = open.iter().min_by_key(|connection| connection.running()) else {
            return Found::Nothing;
        };
        let lease = || Lease::new(Arc::clone(idlest), false);
        if idlest.has_room() || open.len() >= self.channels {
            Found::Room(lease())
        } else {
            Found::Full(lease())
        }
    }
}
