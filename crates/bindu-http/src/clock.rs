use std::time::Duration;

use tokio::time::Instant;

/// The instant `timeout` from `now`; for one the clock cannot count, a far one. So
/// `Duration::MAX` means "never" in every configuration.
pub(crate) fn after(now: Instant, timeout: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(24 * 365 * 30);
    now.checked_add(timeout.min(FAR)).unwrap_or(now)
}
