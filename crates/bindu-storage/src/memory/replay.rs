//! Signatures seen by this process.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use bindu_protocol::Timestamp;

use crate::{BoxFuture, ReplayGuard, StorageError};

/// Remembers keys in memory: good for one process.
///
/// It never forgets a key before its time to make room for another; when it is full, it says so.
/// Of a key it keeps 128 bits, by a secret of this process, so that a long key takes no
/// more room than a short one. Two keys that look the same to it are a matter of chance: one in 10^25 where
/// four million are remembered.
pub struct MemoryReplayGuard {
    seen: Mutex<Seen>,
    secrets: [RandomState; 2],
    max: usize,
}

#[derive(Default)]
struct Seen {
    until: HashMap<u128, Timestamp>,
    ends: BTreeSet<(Timestamp, u128)>,
}

impl MemoryReplayGuard {
    /// Remembers at most `max` keys.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let secrets = [RandomState::new(), RandomState::new()];
        Self { seen: Mutex::default(), secrets, max }
    }

    fn digest(&self, key: &str) -> u128 {
        let [high, low] = &self.secrets;
        u128::from(high.hash_one(key)) << 64 | u128::from(low.hash_one(key))
    }
}

impl Default for MemoryReplayGuard {
    /// One that remembers four million keys: those of five minutes at 13,000 a second.
    fn default() -> Self {
        Self::new(4_000_000)
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
            let key = self.digest(key);
            if seen.until.contains_key(&key) {
                return Ok(false);
            }
            if seen.until.len() >= self.max {
                return Err(StorageError::Full { limit: self.max, unit: "signatures" });
            }
            seen.ends.insert((until, key));
            seen.until.insert(key, until);
            Ok(true)
        })
    }

    fn forget<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let key = self.digest(key);
            if let Some(end) = seen.until.remove(&key) {
                seen.ends.remove(&(end, key));
            }
            Ok(())
        })
    }
}
