//! Signatures seen by this process.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bindu_protocol::Timestamp;

use crate::{BoxFuture, ReplayGuard, StorageError};

/// Remembers keys in memory: good for one process.
///
/// It never forgets a key before its time to make room for another; when it is full, it says so.
pub struct MemoryReplayGuard {
    seen: Mutex<Seen>,
    max: usize,
}

#[derive(Default)]
struct Seen {
    until: HashMap<Arc<str>, Timestamp>,
    ends: BTreeSet<(Timestamp, Arc<str>)>,
}

impl MemoryReplayGuard {
    /// Remembers at most `max` keys.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { seen: Mutex::default(), max }
    }
}

impl Default for MemoryReplayGuard {
    /// One that remembers a million keys.
    fn default() -> Self {
        Self::new(1_000_000)
    }
}

impl fmt::Debug for MemoryReplayGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReplayGuard").field("max", &self.max).finish_non_exhaustive()
    }
}

impl ReplayGuard for MemoryReplayGuard {
    fn first<'a>(
        &'a self,
        key: &'a str,
        now: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        Box::pin(async move {
            // Both collections are changed together, without anything between that can panic.
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            while seen.ends.first().is_some_and(|(end, _)| *end <= now)
                && let Some((_, old)) = seen.ends.pop_first()
            {
                seen.until.remove(&old);
            }
            if seen.until.contains_key(key) {
                return Ok(false);
            }
            if seen.until.len() >= self.max {
                return Err(StorageError::Full { limit: self.max, unit: "signatures" });
            }
            let key: Arc<str> = key.into();
            seen.ends.insert((until, Arc::clone(&key)));
            seen.until.insert(key, until);
            Ok(true)
        })
    }
}
