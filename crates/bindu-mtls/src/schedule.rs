//! When a certificate is replaced. Only arithmetic: time and chance are passed in.

use std::time::{Duration, SystemTime};

/// At most this much earlier than need be, so that a fleet does not renew at one instant.
const MOST_JITTER: Duration = Duration::from_mins(10);

/// How much of a life must remain for a certificate to stay: a third of it, or less if
/// the configuration says so.
pub(crate) fn window(life: Duration, renew_before: Duration) -> Duration {
    renew_before.min(life / 3)
}

/// The instant of renewal. `chance` is from 0 to 1; it makes it earlier by up to a tenth
/// of the life, and by ten minutes at most.
pub(crate) fn renewal(
    not_after: SystemTime,
    life: Duration,
    renew_before: Duration,
    chance: f64,
) -> SystemTime {
    let jitter = (life / 10).min(MOST_JITTER).mul_f64(chance.clamp(0.0, 1.0));
    not_after.checked_sub(window(life, renew_before) + jitter).unwrap_or(not_after)
}

/// How long to wait after a number of failures in a row: from 30 s to 15 min, and less
/// for short lives, so that several attempts fit into what remains.
pub(crate) fn back_off(failures: u32, life: Duration, chance: f64) -> Duration {
    let first = Duration::from_secs(30).min(life / 20);
    let most = Duration::from_mins(15).min(life / 10);
    let doubled =
        first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(most).max(Duration::from_millis(100)).mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn renews_after(life: Duration, renew_before: Duration, chance: f64) -> Duration {
        let end = SystemTime::UNIX_EPOCH + life;
        let at = renewal(end, life, renew_before, chance);
        at.duration_since(SystemTime::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_day_ends_eight_hours_early_and_half_a_minute_ten_seconds() {
        let eight = Duration::from_hours(8);
        assert_eq!(renews_after(DAY, eight, 0.0), Duration::from_hours(16));
        assert_eq!(renews_after(DAY, eight, 1.0), Duration::from_mins(16 * 60 - 10));
        assert_eq!(renews_after(DAY, Duration::from_hours(1), 0.0), Duration::from_hours(23));
        let short = Duration::from_secs(30);
        assert_eq!(renews_after(short, eight, 0.0), Duration::from_secs(20));
        assert_eq!(renews_after(short, eight, 1.0), Duration::from_secs(17));
    }

    #[test]
    fn waits_grow_from_half_a_minute_to_a_quarter_of_an_hour() {
        let waits: Vec<_> = (1..8).map(|n| back_off(n, DAY, 1.0).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(back_off(1, DAY, 0.0), Duration::from_secs(15));
        assert_eq!(back_off(u32::MAX, DAY, 1.0), Duration::from_mins(15));
        // Half a minute has ten seconds left for attempts.
        assert_eq!(back_off(1, Duration::from_secs(30), 1.0), Duration::from_millis(1500));
        assert_eq!(back_off(9, Duration::from_secs(30), 1.0), Duration::from_secs(3));
    }

    proptest! {
        #[test]
        fn jitter_is_at_most_a_tenth_and_renewal_before_the_end(
            life in 1_u64..100 * 86_400, before in 0_u64..100 * 86_400, chance in 0.0..=1.0,
        ) {
            let (life, before) = (Duration::from_secs(life), Duration::from_secs(before));
            let latest = renews_after(life, before, 0.0);
            let at = renews_after(life, before, chance);
            prop_assert!(at <= latest && latest <= life);
            prop_assert!(latest <= at + life / 10);
            prop_assert!(at >= life / 2);
        }
    }
}
