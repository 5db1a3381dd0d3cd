//! A bounded cache in front of something slow that is asked once for all who wait.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::HydraError;

/// What says the time. Real time, or a test's.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The time of the system.
pub(crate) fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// How often a cache could answer, and how full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Answers from memory.
    pub hits: u64,
    /// Answers that Hydra had to give, or that waited for another's question to Hydra.
    pub misses: u64,
    /// Questions that were put to Hydra.
    pub asked: u64,
    /// What is remembered that is good. Stale entries count until they make room.
    pub entries: u64,
    /// What is remembered that is not.
    pub negative_entries: u64,
}

/// How long to remember a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Among the good ones.
    Positive(Duration),
    /// Among the others, which never push out a good one.
    Negative(Duration),
    /// Not at all.
    No,
}

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) positive: u64,
    pub(crate) negative: u64,
}

/// A value, and when it was good.
#[derive(Clone, Debug)]
pub(crate) struct Entry<V> {
    pub(crate) value: V,
    pub(crate) from: SystemTime,
    until: SystemTime,
}

impl<V> Entry<V> {
    /// Whether it is good now. Not before it was made either: the clock may be set back.
    fn is_fresh(&self, now: SystemTime) -> bool {
        self.from <= now && now < self.until
    }
}

type Fetching<V> = Shared<BoxFuture<'static, Result<V, HydraError>>>;
type WeakFetching<V> = WeakShared<BoxFuture<'static, Result<V, HydraError>>>;

/// Cheap to clone; clones share everything.
pub(crate) struct Store<K, V>(Arc<Inner<K, V>>);

struct Inner<K, V> {
    positive: Cache<K, Entry<V>>,
    negative: Cache<K, Entry<V>>,
    /// What is being fetched, with a number that tells one fetch of a key from the next.
    /// Held while values are added and removed, so that a value whose fetch was forgotten
    /// is never added. Weak: if all who wait go away, so does the fetch.
    fetching: Mutex<HashMap<K, (u64, WeakFetching<V>)>>,
    clock: Clock,
    hits: AtomicU64,
    misses: AtomicU64,
    asked: AtomicU64,
}

impl<K, V> Clone for Store<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> fmt::Debug for Store<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl<K, V> Store<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(bounds: Bounds, clock: Clock) -> Self {
        let cache = |capacity| {
            Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru()).build()
        };
        Self(Arc::new(Inner {
            positive: cache(bounds.positive),
            negative: cache(bounds.negative),
            fetching: Mutex::default(),
            clock,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        }))
    }

    pub(crate) fn now(&self) -> SystemTime {
        (self.0.clock)()
    }

    /// What is remembered, fresh or not.
    pub(crate) fn entry(&self, key: &K) -> Option<Entry<V>> {
        self.0.positive.get(key).or_else(|| self.0.negative.get(key))
    }

    /// The remembered value if it is good and `enough`, else what `fetch` returns: a value
    /// and how long to remember it. Of all who ask at once, one fetches.
    ///
    /// The future may be dropped; the fetch goes on as long as anyone waits for it.
    pub(crate) async fn get<F>(
        &self,
        key: &K,
        enough: impl Fn(&Entry<V>) -> bool,
        fetch: impl FnOnce() -> F,
    ) -> Result<V, HydraError>
    where
        F: Future<Output = Result<(V, Keep), HydraError>> + Send + 'static,
    {
        if let Some(value) = self.remembered(key, &enough) {
            self.0.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(value);
        }
        self.0.misses.fetch_add(1, Ordering::Relaxed);
        let fetching = match self.join(key, &enough, fetch) {
            Ok(value) => return Ok(value),
            Err(fetching) => fetching,
        };
        fetching.await
    }

    /// The remembered value, if it is good.
    pub(crate) fn peek(&self, key: &K) -> Option<V> {
        let value = self.remembered(key, |_| true)?;
        self.0.hits.fetch_add(1, Ordering::Relaxed);
        Some(value)
    }

    /// Forgets a value, and what a fetch that is under way will bring.
    pub(crate) fn forget(&self, key: &K) {
        let mut fetching = self.0.fetching();
        fetching.remove(key);
        self.0.positive.invalidate(key);
        self.0.negative.invalidate(key);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        let mut fetching = self.0.fetching();
        fetching.clear();
        self.0.positive.invalidate_all();
        self.0.negative.invalidate_all();
    }

    pub(crate) fn stats(&self) -> CacheStats {
        self.0.positive.run_pending_tasks();
        self.0.negative.run_pending_tasks();
        CacheStats {
            hits: self.0.hits.load(Ordering::Relaxed),
            misses: self.0.misses.load(Ordering::Relaxed),
            asked: self.0.asked.load(Ordering::Relaxed),
            entries: self.0.positive.entry_count(),
            negative_entries: self.0.negative.entry_count(),
        }
    }

    fn remembered(&self, key: &K, enough: impl Fn(&Entry<V>) -> bool) -> Option<V> {
        let entry = self.entry(key)?;
        (entry.is_fresh(self.now()) && enough(&entry)).then_some(entry.value)
    }

    /// The fetch that is under way, or a new one; or the value, if a fetch has just ended.
    fn join<F>(
        &self,
        key: &K,
        enough: impl Fn(&Entry<V>) -> bool,
        fetch: impl FnOnce() -> F,
    ) -> Result<V, Fetching<V>>
    where
        F: Future<Output = Result<(V, Keep), HydraError>> + Send + 'static,
    {
        let mut fetching = self.0.fetching();
        if let Some(value) = self.remembered(key, enough) {
            return Ok(value);
        }
        if let Some(under_way) = fetching.get(key).and_then(|(_, weak)| weak.upgrade()) {
            return Err(under_way);
        }
        let number = self.0.asked.fetch_add(1, Ordering::Relaxed);
        let landing = Landing { inner: Arc::clone(&self.0), key: key.clone(), number };
        let fetch = fetch();
        let new = async move {
            let (value, keep) = fetch.await?;
            landing.keep(&value, keep);
            Ok(value)
        };
        let new = new.boxed().shared();
        if let Some(weak) = new.downgrade() {
            fetching.insert(key.clone(), (number, weak));
        }
        Err(new)
    }
}

impl<K, V> Inner<K, V> {
    fn fetching(&self) -> MutexGuard<'_, HashMap<K, (u64, WeakFetching<V>)>> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a fetch ends: with its value, or dropped.
struct Landing<K: Eq + Hash, V> {
    inner: Arc<Inner<K, V>>,
    key: K,
    number: u64,
}

impl<K, V> Landing<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn keep(&self, value: &V, keep: Keep) {
        let fetching = self.inner.fetching();
        if fetching.get(&self.key).is_none_or(|(number, _)| *number != self.number) {
            return;
        }
        let (to, other, life) = match keep {
            Keep::Positive(life) => (&self.inner.positive, &self.inner.negative, life),
            Keep::Negative(life) => (&self.inner.negative, &self.inner.positive, life),
            Keep::No => {
                self.inner.positive.invalidate(&self.key);
                self.inner.negative.invalidate(&self.key);
                return;
            }
        };
        let from = (self.inner.clock)();
        let until = from.checked_add(life).unwrap_or(from);
        other.invalidate(&self.key);
        to.insert(self.key.clone(), Entry { value: value.clone(), from, until });
    }
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        let mut fetching = self.inner.fetching();
        if fetching.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            fetching.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use proptest::prelude::*;

    use super::*;

    const POSITIVE: u64 = 10;
    const NEGATIVE: u64 = 3;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Ask(u8),
        Wait(u64),
        Forget(u8),
        Clear,
        /// The truth about a key changes, and with it how long it is remembered.
        Change(u8, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4_u8).prop_map(Step::Ask),
            2 => (0..6_u64).prop_map(Step::Wait),
            1 => (0..4_u8).prop_map(Step::Forget),
            1 => Just(Step::Clear),
            2 => (0..4_u8, 0..3_u8).prop_map(|(key, kind)| Step::Change(key, kind)),
        ]
    }

    /// What has been true of a key, and until when; the last is true now.
    struct Truth(Vec<(u8, Option<u64>)>);

    impl Truth {
        fn change(&mut self, kind: u8, now: u64) {
            if let Some((_, until)) = self.0.last_mut() {
                *until = Some(now);
            }
            self.0.push((kind, None));
        }
    }

    fn keep(kind: u8) -> Keep {
        match kind {
            0 => Keep::Positive(Duration::from_secs(POSITIVE)),
            1 => Keep::Negative(Duration::from_secs(NEGATIVE)),
            _ => Keep::No,
        }
    }

    proptest! {
        /// An answer is the truth, or was it no longer ago than it may be remembered, and
        /// not before it was last forgotten.
        #[test]
        fn answers_are_never_older_than_they_may_be(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let now = Arc::new(AtomicU64::new(1000));
            let clock = Arc::clone(&now);
            let clock: Clock = Arc::new(move || {
                SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed))
            });
            let store: Store<u8, usize> = Store::new(Bounds { positive: 100, negative: 100 }, clock);
            let mut truths: Vec<_> = (0..4).map(|_| Truth(vec![(0, None)])).collect();
            let mut forgotten = [0; 4];
            for step in steps {
                let time = now.load(Ordering::Relaxed);
                match step {
                    Step::Wait(seconds) => {
                        now.fetch_add(seconds, Ordering::Relaxed);
                    }
                    Step::Change(key, kind) => truths[usize::from(key)].change(kind, time),
                    Step::Forget(key) => {
                        store.forget(&key);
                        forgotten[usize::from(key)] = time;
                    }
                    Step::Clear => {
                        store.clear();
                        forgotten = [time; 4];
                    }
                    Step::Ask(key) => {
                        let Truth(truth) = &truths[usize::from(key)];
                        let current = truth.len() - 1;
                        let fetch = || ready(Ok((current, keep(truth[current].0))));
                        let answer = store.get(&key, |_| true, fetch).now_or_never();
                        let answer = answer.expect("nothing to wait for").expect("no failure");
                        if let (kind, Some(until)) = truth[answer] {
                            let life = match keep(kind) {
                                Keep::Positive(life) | Keep::Negative(life) => life.as_secs(),
                                Keep::No => 0,
                            };
                            prop_assert!(time < until + life, "{time}: {kind} ended {until}");
                            prop_assert!(until >= forgotten[usize::from(key)]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_just_been_fetched_is_not_fetched_again() {
        let store: Store<u8, u8> = Store::new(Bounds { positive: 1, negative: 1 }, system_clock());
        let keep = Keep::Positive(Duration::from_mins(1));
        let first = store.get(&0, |_| true, || ready(Ok((1, keep)))).now_or_never();
        assert_eq!(first.unwrap().unwrap(), 1);

        // As if the fetch of another had ended between the first look and the lock.
        let looks = AtomicU64::new(0);
        let enough = |_: &Entry<u8>| looks.fetch_add(1, Ordering::Relaxed) > 0;
        let second = store.get(&0, enough, || ready(Ok((2, keep)))).now_or_never();
        assert_eq!(second.unwrap().unwrap(), 1);
    }

    #[test]
    fn what_is_remembered_stays_within_its_bounds() {
        let store: Store<u32, u32> =
            Store::new(Bounds { positive: 5, negative: 3 }, system_clock());
        for key in 0..1000 {
            let life = Duration::from_mins(1);
            let keep = if key % 2 == 0 { Keep::Positive(life) } else { Keep::Negative(life) };
            let asked = store.get(&key, |_| true, || ready(Ok((key, keep)))).now_or_never();
            assert_eq!(asked.unwrap().unwrap(), key);
        }
        let stats = store.stats();
        assert_eq!((stats.entries, stats.negative_entries), (5, 3));
        assert!(store.0.fetching().is_empty(), "what has ended is not waited for");
    }
}
