//! How much each address may have.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Addresses that are remembered. New ones beyond it get nothing until others are forgotten.
const MAX_ADDRESSES: usize = 10_000;

/// Time in which a ration comes back, after which an address is as good as a new one.
const MINUTE: Duration = Duration::from_mins(1);

/// Forgetting looks at every address, so it is not done for every stranger.
const FORGET_AGAIN: Duration = Duration::from_secs(1);

/// So many things a minute for each address, all of them at once or one by one.
#[derive(Debug)]
pub(super) struct Ration {
    each: f64,
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    left: HashMap<Option<IpAddr>, Left>,
    forgot: Option<Instant>,
}

#[derive(Debug)]
struct Left {
    amount: f64,
    /// When that was right.
    at: Instant,
}

impl Ration {
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        let table = Mutex::default();
        Self { each: f64::from(per_minute.get()), most: MAX_ADDRESSES, table }
    }

    /// Takes one, if there is one left.
    pub(super) fn take(&self, address: Option<IpAddr>, now: Instant) -> bool {
        let address = address.map(network);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if !table.left.contains_key(&address) && !table.has_room(self.most, now) {
            return false;
        }
        let left = table.left.entry(address).or_insert(Left { amount: self.each, at: now });
        let gained = now.saturating_duration_since(left.at).as_secs_f64() / MINUTE.as_secs_f64();
        left.amount = (left.amount + gained * self.each).min(self.each);
        left.at = now;
        let is_left = left.amount >= 1.0;
        if is_left {
            left.amount -= 1.0;
        }
        is_left
    }
}

impl Table {
    fn has_room(&mut self, most: usize, now: Instant) -> bool {
        if self.left.len() < most {
            return true;
        }
        if self.forgot.is_some_and(|at| now.saturating_duration_since(at) < FORGET_AGAIN) {
            return false;
        }
        self.forgot = Some(now);
        self.left.retain(|_, left| now.saturating_duration_since(left.at) < MINUTE);
        self.left.len() < most
    }
}

/// What one stranger is likely to have: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ration(each: u32) -> Ration {
        Ration::new(NonZeroU32::new(each).unwrap())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_ration_is_used_up_and_comes_back_with_time() {
        let (ration, start) = (ration(2), Instant::now());
        let take = |after: u64| {
            ration.take(Some(address("192.0.2.1")), start + Duration::from_secs(after))
        };
        assert_eq!([take(0), take(0), take(0), take(29)], [true, true, false, false]);
        assert_eq!([take(31), take(31)], [true, false]);
        assert_eq!([take(1000), take(1000), take(1000)], [true, true, false]);
    }

    #[test]
    fn addresses_are_told_apart_and_networks_are_not() {
        let (ration, now) = (ration(1), Instant::now());
        let take = |text| ration.take(Some(address(text)), now);
        assert_eq!([take("192.0.2.1"), take("192.0.2.2"), take("192.0.2.1")], [true, true, false]);
        assert!(!take("::ffff:192.0.2.1"));
        assert_eq!(
            [take("2001:db8::1"), take("2001:db8::2"), take("2001:db8:0:1::1")],
            [true, false, true]
        );
        assert_eq!([ration.take(None, now), ration.take(None, now)], [true, false]);
    }

    #[test]
    fn strangers_beyond_the_table_get_nothing_until_others_are_forgotten() {
        let (mut ration, start) = (ration(1), Instant::now());
        ration.most = 2;
        let take =
            |text, after: u64| ration.take(Some(address(text)), start + Duration::from_secs(after));
        assert!(take("192.0.2.1", 0) && take("192.0.2.2", 10));
        assert!(!take("192.0.2.3", 20));
        assert!(take("192.0.2.3", 61), "the first is forgotten");
        assert!(!take("192.0.2.4", 62));
    }
}
