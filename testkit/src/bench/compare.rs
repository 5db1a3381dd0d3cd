//! Measuring things side by side.

use std::future::Future;
use std::io;
use std::time::Duration;

use super::load::Count;
use super::machine::cpu_time;

/// How long a contender runs before another has its turn.
const TURN: Duration = Duration::from_secs(1);

/// How long each runs before anything counts.
const WARM_UP: Duration = Duration::from_millis(300);

/// Lets the contenders run in turns until each had `time`; every other round goes backwards, so
/// that none always runs first.
pub(super) async fn side_by_side<const N: usize, F>(
    time: Duration,
    mut run: impl FnMut(usize, Duration) -> F,
) -> io::Result<[Count; N]>
where
    F: Future<Output = io::Result<Count>>,
{
    for contender in 0..N {
        run(contender, WARM_UP).await?;
    }
    let rounds = u32::try_from(time.as_millis().div_ceil(TURN.as_millis()).max(1));
    let rounds = rounds.unwrap_or(u32::MAX);
    let mut counts = [Count::default(); N];
    for round in 0..rounds {
        for place in 0..N {
            let contender = if round % 2 == 0 { place } else { N - 1 - place };
            let before = cpu_time();
            let mut count = run(contender, time / rounds).await?;
            count.cpu = cpu_time().saturating_sub(before);
            counts[contender] += count;
        }
    }
    Ok(counts)
}
