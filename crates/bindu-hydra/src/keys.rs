use std::sync::Arc;
use std::time::Duration;

use bindu_did::PublicKey;

use crate::store::{Bounds, Keep, Store, system_clock};
use crate::{CacheStats, Clock, Hydra, HydraError};

/// What [`Keys`] remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysConfig {
    /// How long a key is remembered. Default 60 s.
    pub ttl: Duration,
    /// How many are remembered; the least recently used go first. Default 10,000.
    pub max_entries: u64,
    /// How long it is remembered that a DID has no key. Default 5 s.
    pub negative_ttl: Duration,
    /// How many DIDs without a key are remembered, beside the others. Default 1000.
    pub max_negative: u64,
    /// A key that is older is fetched anew by [`Keys::key_again`]. Default 5 s.
    pub again_after: Duration,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self {
            ttl: Duration::from_mins(1),
            max_entries: 10_000,
            negative_ttl: Duration::from_secs(5),
            max_negative: 1000,
            again_after: Duration::from_secs(5),
        }
    }
}

/// The public keys that DIDs are registered with, with a memory. Cheap to clone; clones
/// share it.
///
/// However many requests of one DID come at once, Hydra is asked once. Failures are not
/// remembered.
#[derive(Clone, Debug)]
pub struct Keys {
    hydra: Hydra,
    config: Arc<KeysConfig>,
    store: Store<Arc<str>, Option<PublicKey>>,
}

impl Keys {
    /// Remembers the keys that this Hydra knows.
    #[must_use]
    pub fn new(hydra: Hydra, config: KeysConfig) -> Self {
        Self::with_clock(hydra, config, system_clock())
    }

    /// As [`new`](Self::new), with the time from `clock`.
    #[must_use]
    pub fn with_clock(hydra: Hydra, config: KeysConfig, clock: Clock) -> Self {
        let bounds = Bounds { positive: config.max_entries, negative: config.max_negative };
        Self { hydra, config: Arc::new(config), store: Store::new(bounds, clock) }
    }

    /// The key of a DID; `None` if the DID is not registered, or without a usable key.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`].
    pub async fn key(&self, did: &str) -> Result<Option<PublicKey>, HydraError> {
        self.get(did, Duration::MAX).await
    }

    /// The key of a DID, fetched anew unless that was done in the last few seconds: for when
    /// a signature does not fit, as the key may have been changed.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`].
    pub async fn key_again(&self, did: &str) -> Result<Option<PublicKey>, HydraError> {
        self.get(did, self.config.again_after).await
    }

    /// Forgets the key of a DID.
    pub fn forget(&self, did: &str) {
        self.store.forget(&Arc::from(did));
    }

    /// How well the memory serves.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.store.stats()
    }

    async fn get(&self, did: &str, max_age: Duration) -> Result<Option<PublicKey>, HydraError> {
        let did: Arc<str> = Arc::from(did);
        let fetch = || {
            let (this, did) = (self.clone(), Arc::clone(&did));
            async move {
                let client = this.hydra.client(&did).await?;
                let key = client.and_then(|client| client.public_key());
                let keep = match key {
                    Some(_) => Keep::Positive(this.config.ttl),
                    None => Keep::Negative(this.config.negative_ttl),
                };
                Ok((key, keep))
            }
        };
        let now = self.store.now();
        let enough = |entry: &crate::store::Entry<_>| {
            now.duration_since(entry.from).is_ok_and(|age| age < max_age)
        };
        self.store.get(&did, enough, fetch).await
    }
}
