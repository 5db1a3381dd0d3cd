//! How many unknown tokens are asked about.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Tokens that are asked about at one time; more wait.
const AT_ONCE: usize = 64;

/// Addresses that are remembered; beyond it those that were quiet longest are forgotten.
const MAX_ADDRESSES: u64 = 10_000;

/// Keeps strangers from making us ask about one made-up token after the other.
///
/// Each address has a bucket of refusals that fills up again with time. Whoever has emptied it is
/// not asked about until it holds one again.
#[derive(Debug)]
pub(crate) struct Doubt {
    refusals: Cache<IpAddr, Arc<Mutex<Bucket>>>,
    asking: Semaphore,
    max: u32,
    pause: Duration,
}

#[derive(Debug)]
struct Bucket {
    left: u32,
    /// When `left` was right.
    at: Instant,
}

impl Bucket {
    fn fill(&mut self, max: u32, pause: Duration, now: Instant) {
        if pause.is_zero() {
            self.left = max;
            return;
        }
        let pauses = now.duration_since(self.at).as_nanos() / pause.as_nanos();
        let pauses = u32::try_from(pauses).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(pauses).min(max);
        self.at = if self.left == max { now } else { self.at + pause * pauses };
    }
}

impl Doubt {
    pub(crate) fn new(max: u32, pause: Duration) -> Self {
        // Quiet for as long as it takes to fill up, an address is as good as a new one.
        let full_after = pause.saturating_mul(max).max(Duration::from_secs(1));
        let refusals = Cache::builder()
            .max_capacity(MAX_ADDRESSES)
            // Not by frequency: a new address must have its ration too.
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(full_after)
            .build();
        Self { refusals, asking: Semaphore::new(AT_ONCE), max, pause }
    }

    /// Waits until a token may be asked about. `None` if the address was refused too often.
    ///
    /// It counts as refused before the answer is there, so that many who ask together are not more
    /// than there may be; [`forgive`](Self::forgive) takes that back.
    pub(crate) async fn ask(&self, address: Option<IpAddr>) -> Option<SemaphorePermit<'_>> {
        // Whoever is out of favour does not stand in the way of others.
        if address.is_some_and(|address| !self.may_ask(address)) {
            return None;
        }
        // The permit before the charge: what was learned while waiting for it counts.
        let permit = self.asking.acquire().await.ok()?;
        let is_left = address.is_none_or(|address| {
            let bucket = self.bucket(address);
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.fill(self.max, self.pause, Instant::now());
            let is_left = bucket.left > 0;
            bucket.left = bucket.left.saturating_sub(1);
            is_left
        });
        is_left.then_some(permit)
    }

    /// Notes that a token from this address was good after all, or that nobody can tell.
    pub(crate) fn forgive(&self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        let bucket = self.bucket(address);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.left = bucket.left.saturating_add(1).min(self.max);
    }

    fn may_ask(&self, address: IpAddr) -> bool {
        self.refusals.get(&network(address)).is_none_or(|bucket| {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.fill(self.max, self.pause, Instant::now());
            bucket.left > 0
        })
    }

    fn bucket(&self, address: IpAddr) -> Arc<Mutex<Bucket>> {
        self.refusals.get_with(network(address), || {
            Arc::new(Mutex::new(Bucket { left: self.max, at: Instant::now() }))
        })
    }
}

/// What one stranger is likely to have: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let bits = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_that_was_refused_too_often_waits() {
        let doubt = Doubt::new(3, Duration::from_secs(1));
        let stranger = Some("2001:db8::1".parse().unwrap());
        let neighbour = Some("2001:db8::2".parse().unwrap());
        for _ in 0..9 {
            assert!(doubt.ask(stranger).await.is_some());
            doubt.forgive(stranger);
        }
        for _ in 0..3 {
            assert!(doubt.ask(stranger).await.is_some());
        }
        assert!(doubt.ask(stranger).await.is_none());
        assert!(doubt.ask(neighbour).await.is_none(), "of the same network");
        assert!(doubt.ask(Some("2001:db8:1::1".parse().unwrap())).await.is_some());
        assert!(doubt.ask(None).await.is_some());

        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(doubt.ask(stranger).await.is_some());
        assert!(doubt.ask(stranger).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_asked_about_at_once() {
        let doubt = Doubt::new(3, Duration::from_secs(1));
        let mut permits = Vec::new();
        for _ in 0..AT_ONCE {
            permits.push(doubt.ask(None).await.unwrap());
        }
        let next = doubt.ask(None);
        tokio::pin!(next);
        assert!(tokio::time::timeout(Duration::from_secs(9), &mut next).await.is_err());
        permits.pop();
        assert!(next.await.is_some());
    }

    #[tokio::test]
    async fn a_mapped_address_is_the_one_it_maps() {
        let plain: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), plain);
    }
}
