use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};

use crate::store::{Bounds, Keep, Store, system_clock};
use crate::{CacheStats, Clock, Credentials, Hydra, HydraError, Introspection};

/// What an [`Introspector`] remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntrospectorConfig {
    /// How long a good token is remembered, and at most until it expires. So long may a
    /// revocation elsewhere go unnoticed. Default 300 s.
    pub ttl: Duration,
    /// How many good tokens are remembered; the least recently used go first. Default 1000.
    pub max_entries: u64,
    /// How long a token that is not good is remembered. Default 10 s.
    pub negative_ttl: Duration,
    /// How many of those are remembered. They have room of their own, so that no flood of
    /// made-up tokens pushes out a good one. Default 1000.
    pub max_negative: u64,
    /// Tokens with one of these scopes are never remembered, so that revoking them works at
    /// once. Default `admin`, `agent:execute`, `payment:capture`, `key:rotate`.
    pub sensitive_scopes: Vec<String>,
}

impl Default for IntrospectorConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_mins(5),
            max_entries: 1000,
            negative_ttl: Duration::from_secs(10),
            max_negative: 1000,
            sensitive_scopes: ["admin", "agent:execute", "payment:capture", "key:rotate"]
                .map(str::to_owned)
                .to_vec(),
        }
    }
}

/// Introspection with a memory. Cheap to clone; clones share it.
///
/// However many requests with one token come at once, Hydra is asked once. Tokens are
/// remembered by their SHA-256, never themselves. Failures are not remembered.
///
/// ```no_run
/// use bindu_hydra::{Config, Hydra, Introspector, IntrospectorConfig};
///
/// # async fn run(token: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::new("http://hydra:4445".parse()?, "http://hydra:4444".parse()?);
/// let hydra = Hydra::new(&config, bindu_http::client::Client::default())?;
/// let introspector = Introspector::new(hydra, IntrospectorConfig::default());
/// let found = introspector.introspect(token).await?;
/// println!("active: {}", found.active);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Introspector {
    hydra: Hydra,
    config: Arc<IntrospectorConfig>,
    store: Store<[u8; 32], Arc<Introspection>>,
}

impl Introspector {
    /// Remembers what this Hydra says.
    #[must_use]
    pub fn new(hydra: Hydra, config: IntrospectorConfig) -> Self {
        Self::with_clock(hydra, config, system_clock())
    }

    /// As [`new`](Self::new), with the time from `clock`.
    #[must_use]
    pub fn with_clock(hydra: Hydra, config: IntrospectorConfig, clock: Clock) -> Self {
        let bounds = Bounds { positive: config.max_entries, negative: config.max_negative };
        Self { hydra, config: Arc::new(config), store: Store::new(bounds, clock) }
    }

    /// What Hydra says about a token, or said a short while ago.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`]. That the token is not good is no error.
    pub async fn introspect(&self, token: &str) -> Result<Arc<Introspection>, HydraError> {
        let fetch = || {
            let (this, token) = (self.clone(), token.to_owned());
            async move {
                let found = this.hydra.introspect(&token).await?;
                let keep = this.config.keep(&found, this.store.now());
                Ok((Arc::new(found), keep))
            }
        };
        self.store.get(&key(token), |_| true, fetch).await
    }

    /// What is remembered of a token, good or not, without asking anybody.
    #[must_use]
    pub fn remembered(&self, token: &str) -> Option<Arc<Introspection>> {
        self.store.peek(&key(token))
    }

    /// Forgets a token, for example because it has been revoked: the next request asks
    /// Hydra, even if a question from before is still under way.
    pub fn forget(&self, token: &str) {
        self.store.forget(&key(token));
    }

    /// Forgets all tokens.
    pub fn clear(&self) {
        self.store.clear();
    }

    /// [Revokes](Hydra::revoke) a token, and forgets it whether that succeeded or not.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`] or [`HydraError::Refused`].
    pub async fn revoke(&self, credentials: &Credentials, token: &str) -> Result<(), HydraError> {
        let revoked = self.hydra.revoke(credentials, token).await;
        self.forget(token);
        revoked
    }

    /// How well the memory serves.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.store.stats()
    }
}

impl IntrospectorConfig {
    /// How long to remember this.
    fn keep(&self, found: &Introspection, now: SystemTime) -> Keep {
        if found.active && found.has_any_scope(&self.sensitive_scopes) {
            return Keep::No;
        }
        let Some(life) = found.life(now) else { return Keep::Negative(self.negative_ttl) };
        Keep::Positive(life.min(self.ttl))
    }
}

impl Introspection {
    /// How long the token will let anyone in; `None` if it does not do so now.
    fn life(&self, now: SystemTime) -> Option<Duration> {
        self.sub.as_ref().filter(|_| self.active)?;
        let exp = Duration::from_secs(u64::try_from(self.exp?).ok()?);
        let life = UNIX_EPOCH.checked_add(exp)?.duration_since(now).ok()?;
        (!life.is_zero()).then_some(life)
    }
}

fn key(token: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    key
}
