//! What time it is.

use std::fmt;
use std::sync::Arc;

use bindu_protocol::Timestamp;

/// Tells the engine what time it is; the system's clock, unless a test says otherwise.
///
/// Leases and due times are compared across processes, so the clocks of machines that share a store
/// must agree to within a third of [`Config::lease`](crate::Config::lease).
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that asks `now`.
    ///
    /// ```
    /// use bindu_protocol::Timestamp;
    /// use bindu_tasks::Clock;
    ///
    /// let stopped = Clock::new(|| Timestamp::from_unix_micros(1_800_000_000_000_000));
    /// assert_eq!(stopped.now(), stopped.now());
    /// ```
    #[must_use]
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
