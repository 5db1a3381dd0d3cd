//! How the engine behaves.

use std::time::Duration;

use bindu_protocol::PushConfig;

use crate::Clock;

/// How the engine behaves; every member has a default.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a run has its task before it must renew.
    pub lease: Duration,
    /// How many runs a task may begin before it fails as lost.
    pub max_attempts: u32,
    /// How many writes a follower may fall behind before it is told so and must resume.
    pub stream_backlog: usize,
    /// The longest list that one call answers with.
    pub max_page: usize,
    /// How much text a task's history may hold, in bytes, before further messages are refused.
    pub history_max_bytes: usize,
    /// What becomes of a task whose run was lost: its process died, or could not renew the lease.
    pub on_crash: OnCrash,
    /// For how long a task may wait for a run before it is queued again, in case its job was lost.
    pub requeue_after: Duration,
    /// For how long a task may be `working` without a lease before it counts as lost. Only another
    /// implementation leaves such tasks; without a value they are left alone, since it may still be
    /// at them.
    pub adopt_after: Option<Duration>,
    /// For how long tasks that are over are kept; without a value, for ever.
    pub retention: Option<Duration>,
    /// What time it is.
    pub clock: Clock,
    /// How many webhooks a task may have.
    pub max_webhooks: usize,
    /// How many opinions a task may have.
    pub max_feedback: usize,
    /// How long one opinion may be, its remarks included, in bytes.
    pub feedback_max_bytes: usize,
    /// Whether a handler sees the earlier tasks of its context.
    pub context_history: bool,
    /// How many earlier tasks of its context a handler sees at most.
    pub max_earlier_tasks: usize,
    /// Where tasks without a webhook of their own are posted to.
    pub global_webhook: Option<PushConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            max_attempts: 5,
            on_crash: OnCrash::default(),
            requeue_after: Duration::from_secs(10),
            adopt_after: None,
            retention: None,
            clock: Clock::default(),
            stream_backlog: 1024,
            max_page: 1000,
            history_max_bytes: 8 * 1024 * 1024,
            max_webhooks: 16,
            max_feedback: 100,
            feedback_max_bytes: 64 * 1024,
            context_history: false,
            max_earlier_tasks: 10,
            global_webhook: None,
        }
    }
}

/// What becomes of a task whose run was lost.
///
/// A run that is lost is no handler that failed: that is final, and never tried again. But nobody
/// knows how far a lost run came, so to run it again repeats whatever the handler did outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCrash {
    /// It is run again, up to [`Config::max_attempts`].
    #[default]
    Requeue,
    /// It fails.
    Fail,
}
