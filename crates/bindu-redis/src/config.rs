//! What a queue is told at its start.

use std::fmt;
use std::time::Duration;

use crate::RedisError;

/// Where Redis is, and how the queue uses it.
///
/// ```
/// use bindu_redis::RedisConfig;
///
/// let config = RedisConfig::new("redis://:secret@localhost:6379/0", "4b6c…");
/// assert!(!format!("{config:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/database]`; with the feature `tls` also `rediss://`.
    pub url: String,
    /// The agent's id, which every key begins with: agents that share a Redis never meet. Without
    /// braces and control characters.
    pub agent: String,
    /// What this process is called among the workers of the agent. `None` (the default) makes a
    /// name that nobody else has; two processes must not share one.
    pub instance: Option<String>,
    /// How long a delivered job may go without [`keep`](bindu_scheduler::Scheduler::keep) before it
    /// comes again. The lease of a run; 30 s by default.
    pub visibility: Duration,
    /// How many jobs are fetched beyond what workers wait for; 64 by default. Owners take turns
    /// within what was fetched. What no worker takes soon is given back, and less is fetched.
    pub prefetch: usize,
    /// How many jobs of one owner stand in the stream at once, over all processes; the others wait
    /// aside. 256 by default. Bounds what an owner with much work is ahead of one with little, and
    /// how many of an owner's jobs run at once.
    pub owner_window: usize,
    /// With so many jobs waiting, [`is_full`](bindu_scheduler::Scheduler::is_full) says so; 10,000
    /// by default.
    pub capacity: usize,
    /// About how many dead letters are kept; 10,000 by default.
    pub dead_letters: usize,
    /// How long a call tries again while Redis is away, before it fails; 2 s by default.
    pub retry_for: Duration,
    /// The list that is shared with replicas of this agent that run the Python reference, usually
    /// `bindu:tasks`; `None` (the default) shares nothing.
    pub compat: Option<String>,
}

impl RedisConfig {
    /// The defaults, for an agent and the Redis at an address.
    #[must_use]
    pub fn new(url: impl Into<String>, agent: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            agent: agent.into(),
            instance: None,
            visibility: Duration::from_secs(30),
            prefetch: 64,
            owner_window: 256,
            capacity: 10_000,
            dead_letters: 10_000,
            retry_for: Duration::from_secs(2),
            compat: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), RedisError> {
        let name = |setting, text: &str| {
            let bad = |c: char| c == '{' || c == '}' || c.is_control();
            if text.is_empty() || text.len() > 256 || text.contains(bad) {
                let why = "1 to 256 bytes without braces and control characters are";
                return Err(RedisError::Setting { setting, why });
            }
            Ok(())
        };
        name("agent", &self.agent)?;
        if let Some(instance) = &self.instance {
            name("instance", instance)?;
            if instance.contains(' ') {
                let why = "a name without spaces is";
                return Err(RedisError::Setting { setting: "instance", why });
            }
        }
        if self.visibility < Duration::from_millis(50) {
            let why = "50 ms and more are";
            return Err(RedisError::Setting { setting: "visibility", why });
        }
        if self.owner_window == 0 {
            return Err(RedisError::Setting { setting: "owner_window", why: "1 and more are" });
        }
        Ok(())
    }
}

/// Without the address's user and password.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url,
            agent,
            instance,
            visibility,
            prefetch,
            owner_window,
            capacity,
            dead_letters,
            retry_for,
            compat,
        } = self;
        f.debug_struct("RedisConfig")
            .field("url", &crate::link::server(url))
            .field("agent", agent)
            .field("instance", instance)
            .field("visibility", visibility)
            .field("prefetch", prefetch)
            .field("owner_window", owner_window)
            .field("capacity", capacity)
            .field("dead_letters", dead_letters)
            .field("retry_for", retry_for)
            .field("compat", compat)
            .finish()
    }
}
