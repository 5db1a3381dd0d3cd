//! Leaves a server that is away alone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets every request through until several in a row have failed; then one in a while,
/// until one succeeds.
#[derive(Debug)]
pub(crate) struct Breaker {
    threshold: u32,
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Failures since the last success.
    failures: u32,
    /// While open: when the next request may go out.
    next_probe: Option<Instant>,
}

impl Breaker {
    pub(crate) fn new(threshold: u32, interval: Duration) -> Self {
        Self { threshold: threshold.max(1), interval, state: Mutex::default() }
    }

    /// Whether a request has a chance to go out now, or how long until one has.
    pub(crate) fn look(&self, now: Instant) -> Result<(), Duration> {
        match self.state().next_probe {
            Some(next) if now < next => Err(next - now),
            _ => Ok(()),
        }
    }

    /// Whether a request may go out now, or how long until one may. It must then go out.
    ///
    /// A probe that never reports, because whoever made it has gone, does no harm: the
    /// next is let through when its time comes.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        match state.next_probe {
            Some(next) if now < next => Err(next - now),
            Some(_) => {
                state.next_probe = Some(now + self.interval);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Reports that the server answered. Returns whether it had been away.
    pub(crate) fn succeed(&self) -> bool {
        let mut state = self.state();
        state.failures = 0;
        state.next_probe.take().is_some()
    }

    /// Reports that it did not. Returns whether it counts as away from now on.
    pub(crate) fn fail(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        if state.next_probe.is_some() || state.failures < self.threshold {
            return false;
        }
        state.next_probe = Some(now + self.interval);
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_server_that_is_away_is_asked_once_a_second() {
        let breaker = Breaker::new(3, SECOND);
        let start = Instant::now();
        assert!(!breaker.fail(start));
        assert!(!breaker.fail(start));
        assert!(breaker.admit(start).is_ok(), "two failures are not enough");
        assert!(breaker.fail(start));

        let admitted = (0..50).filter(|n| breaker.admit(start + SECOND / 10 * *n).is_ok()).count();
        assert_eq!(admitted, 4);
    }

    #[test]
    fn one_success_lets_all_through_again() {
        let breaker = Breaker::new(1, SECOND);
        let start = Instant::now();
        assert!(breaker.fail(start));
        assert_eq!(breaker.admit(start), Err(SECOND));
        assert!(breaker.succeed());
        assert!(breaker.admit(start).is_ok());
        assert!(!breaker.succeed());
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Ask,
        Wait(u64),
    }

    proptest! {
        /// However the requests come, a server that never answers is asked at most
        /// `threshold` times, and once in an interval.
        #[test]
        fn a_dead_server_costs_little(
            threshold in 1..5_u32,
            steps in prop::collection::vec(
                prop_oneof![3 => Just(Step::Ask), 1 => (0..700_u64).prop_map(Step::Wait)],
                0..400,
            ),
        ) {
            let breaker = Breaker::new(threshold, SECOND);
            let start = Instant::now();
            let mut now = start;
            let mut asked = 0_u64;
            for step in steps {
                match step {
                    Step::Wait(millis) => now += Duration::from_millis(millis),
                    Step::Ask => if breaker.admit(now).is_ok() {
                        asked += 1;
                        breaker.fail(now);
                    },
                }
            }
            prop_assert!(asked <= u64::from(threshold) + (now - start).as_secs());
        }
    }
}
