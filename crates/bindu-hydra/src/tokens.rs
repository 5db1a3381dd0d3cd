use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::hydra::joined;
use crate::store::{Bounds, Entry, Keep, Store, system_clock};
use crate::{CacheStats, Clock, Credentials, Hydra, HydraError, Secret, Token};

/// How many tokens are kept: one for each audience and set of scopes.
const MAX_TOKENS: u64 = 1000;

/// The least time before its end that a token is replaced.
const MARGIN: Duration = Duration::from_secs(30);

/// How long a token of unknown life is taken to live.
const UNKNOWN_LIFE: Duration = Duration::from_mins(1);

/// An agent's own access tokens, requested when needed and kept until shortly before they
/// expire. Cheap to clone; clones share them.
///
/// A token is replaced 30 s or a twentieth of its life before its end, whichever is earlier,
/// but not in the first half of its life. However many ask at once, Hydra is asked once. If
/// Hydra is away, a token that is still good is used up.
///
/// ```no_run
/// use bindu_hydra::{Credentials, Hydra, HydraError, Tokens};
///
/// # async fn run(hydra: Hydra, credentials: Credentials) -> Result<(), HydraError> {
/// let tokens = Tokens::new(hydra, credentials);
/// let token = tokens.token(&["agent:read", "agent:write"], None).await?;
/// let header = format!("Bearer {}", token.reveal());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tokens {
    hydra: Hydra,
    credentials: Arc<Credentials>,
    store: Store<Wanted, Issued>,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Wanted {
    scope: Box<str>,
    audience: Option<Box<str>>,
}

#[derive(Clone, Debug)]
struct Issued {
    token: Secret,
    expires: SystemTime,
}

impl Tokens {
    /// Tokens of the client with these credentials.
    #[must_use]
    pub fn new(hydra: Hydra, credentials: Credentials) -> Self {
        Self::with_clock(hydra, credentials, system_clock())
    }

    /// As [`new`](Self::new), with the time from `clock`.
    #[must_use]
    pub fn with_clock(hydra: Hydra, credentials: Credentials, clock: Clock) -> Self {
        let bounds = Bounds { positive: MAX_TOKENS, negative: 0 };
        Self { hydra, credentials: Arc::new(credentials), store: Store::new(bounds, clock) }
    }

    /// Whose tokens these are.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// A token with these scopes, for this audience; a new one if none is at hand.
    ///
    /// # Errors
    ///
    /// [`HydraError::Unavailable`]; [`HydraError::Refused`] if the credentials are not good
    /// (any more), or the client may not have these scopes or this audience.
    pub async fn token<S: AsRef<str> + Sync>(
        &self,
        scopes: &[S],
        audience: Option<&str>,
    ) -> Result<Secret, HydraError> {
        self.get(Wanted::new(scopes, audience), |_| true).await
    }

    /// As [`token`](Self::token), but not `rejected`: for when a peer answered 401. Of all
    /// whose token was rejected at once, one requests another.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub async fn fresh_token<S: AsRef<str> + Sync>(
        &self,
        scopes: &[S],
        audience: Option<&str>,
        rejected: &Secret,
    ) -> Result<Secret, HydraError> {
        self.get(Wanted::new(scopes, audience), |kept| kept.token != *rejected).await
    }

    /// A token that nobody else gets, for example to exchange for a certificate, where each
    /// is good once.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub async fn one_time_token<S: AsRef<str> + Sync>(
        &self,
        scopes: &[S],
        audience: Option<&str>,
    ) -> Result<Secret, HydraError> {
        let Credentials { client_id, client_secret, .. } = &*self.credentials;
        let token = self.hydra.token(client_id, client_secret, scopes, audience).await?;
        Ok(token.access_token)
    }

    /// Forgets the token with these scopes for this audience.
    pub fn forget<S: AsRef<str>>(&self, scopes: &[S], audience: Option<&str>) {
        self.store.forget(&Wanted::new(scopes, audience));
    }

    /// How often a token was at hand.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.store.stats()
    }

    async fn get(
        &self,
        wanted: Wanted,
        acceptable: impl Fn(&Issued) -> bool,
    ) -> Result<Secret, HydraError> {
        let fetch = || self.clone().request(wanted.clone());
        let enough = |entry: &Entry<Issued>| acceptable(&entry.value);
        match self.store.get(&wanted, enough, fetch).await {
            Ok(issued) => Ok(issued.token),
            Err(error) if error.is_unavailable() => {
                let now = self.store.now();
                let kept = self.store.entry(&wanted).map(|entry| entry.value);
                let usable = |kept: &Issued| now < kept.expires && acceptable(kept);
                kept.filter(usable).map(|kept| kept.token).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn request(self, wanted: Wanted) -> Result<(Issued, Keep), HydraError> {
        let Credentials { client_id, client_secret, .. } = &*self.credentials;
        // Before the request, so that a slow answer shortens the life rather than stretches it.
        let asked = self.store.now();
        let scopes: Vec<_> = wanted.scope.split(' ').filter(|scope| !scope.is_empty()).collect();
        let audience = wanted.audience.as_deref();
        let token = self.hydra.token(client_id, client_secret, &scopes, audience).await?;
        let Token { access_token, expires_in, .. } = token;
        let life = expires_in.unwrap_or(UNKNOWN_LIFE);
        let expires = asked.checked_add(life).unwrap_or(asked);
        let spent = self.store.now().duration_since(asked).unwrap_or_default();
        let keep = Keep::Positive(usable_life(life).saturating_sub(spent));
        Ok((Issued { token: access_token, expires }, keep))
    }
}

impl Wanted {
    fn new<S: AsRef<str>>(scopes: &[S], audience: Option<&str>) -> Self {
        Self { scope: joined(scopes).into(), audience: audience.map(Box::from) }
    }
}

/// How long a token is handed out.
fn usable_life(life: Duration) -> Duration {
    life.saturating_sub(MARGIN.max(life / 20).min(life / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced_before_their_end() {
        for (life, usable) in [(3600, 3420), (600, 570), (400, 370), (60, 30), (10, 5), (0, 0)] {
            assert_eq!(
                usable_life(Duration::from_secs(life)),
                Duration::from_secs(usable),
                "{life}"
            );
        }
    }
}
