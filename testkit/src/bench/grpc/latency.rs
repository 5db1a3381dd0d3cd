//! How long single requests take, side by side.

use std::io;
use std::time::{Duration, Instant};

use super::super::connection::Connection;
use super::super::load::Load;

/// How many requests one side gets before the next has its turn: few, so that what else the machine
/// does at the moment falls on all of them.
const TURN: usize = 50;

/// How many requests each gets before anything counts.
const WARM_UP: usize = 500;

/// How long requests took.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    /// In nanoseconds; sorted once all are there.
    nanos: Vec<u32>,
}

impl Latencies {
    pub(super) fn count(&self) -> usize {
        self.nanos.len()
    }

    /// How long this many of a hundred took at most, in milliseconds.
    pub(super) fn millis_at(&self, percent: usize) -> f64 {
        let place = (self.nanos.len() * percent).div_ceil(100).saturating_sub(1);
        f64::from(self.nanos.get(place).copied().unwrap_or_default()) / 1e6
    }

    /// Sends one after the other.
    async fn take(
        &mut self,
        load: &Load,
        line: &mut Connection,
        requests: usize,
    ) -> io::Result<Duration> {
        let begun = Instant::now();
        for _ in 0..requests {
            let start = Instant::now();
            load.exchange(line).await?;
            self.nanos.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
        Ok(begun.elapsed())
    }
}

/// Lets the sides take short turns, on a connection each, until all of them had `time` together for
/// each; whoever began a round comes last in the next.
pub(super) async fn in_turns<const N: usize>(
    time: Duration,
    loads: [Load; N],
) -> io::Result<[Latencies; N]> {
    let mut lines = Vec::with_capacity(N);
    for load in &loads {
        let mut line = Connection::open(load.address).await?;
        Latencies::default().take(load, &mut line, WARM_UP).await?;
        lines.push(line);
    }
    let mut latencies = [(); N].map(|()| Latencies::default());
    let mut order: Vec<usize> = (0..N).collect();
    let mut left = time * u32::try_from(N).unwrap_or(u32::MAX);
    while !left.is_zero() {
        for &side in &order {
            let took = latencies[side].take(&loads[side], &mut lines[side], TURN).await?;
            left = left.saturating_sub(took);
        }
        order.rotate_left(1);
    }
    for side in &mut latencies {
        side.nanos.sort_unstable();
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_hundred_the_hundred_ninety_eighth_counts() {
        let latencies = Latencies { nanos: (1..=200).map(|n| n * 1_000_000).collect() };
        assert!((latencies.millis_at(99) - 198.0).abs() < 1e-9, "{}", latencies.millis_at(99));
        assert!((latencies.millis_at(50) - 100.0).abs() < 1e-9, "{}", latencies.millis_at(50));
        assert!(Latencies::default().millis_at(50).abs() < 1e-9);
    }
}
