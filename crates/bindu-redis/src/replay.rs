//! Remembers what was seen.

use std::fmt;
use std::time::Duration;

use bindu_protocol::Timestamp;
use bindu_storage::{BoxFuture, ReplayGuard, StorageError};
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::KeysInterface;
use fred::types::{Expiration, SetOptions};
use tokio::time::Instant;
use uuid::Uuid;

use crate::link::Link;
use crate::script::is_passing;
use crate::{RedisConfig, RedisError};

/// A guard against replays that all processes of an agent share.
///
/// Keys are forgotten by the server's clock, after the time between `now` and `until`. A server
/// that loses its data forgets all of them: whoever guards money with it should let the server
/// keep what it has (`appendonly yes`), and not evict (`maxmemory-policy noeviction`).
///
/// ```no_run
/// use std::time::Duration;
///
/// use bindu_protocol::Timestamp;
/// use bindu_redis::{RedisConfig, RedisReplayGuard};
/// use bindu_storage::ReplayGuard;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let guard = RedisReplayGuard::connect(&RedisConfig::new("redis://localhost", "agent")).await?;
/// let now = Timestamp::now();
/// let until = Timestamp::from_unix_micros(now.as_unix_micros() + 120_000_000);
/// assert!(guard.first("nonce-1", now, until).await?);
/// assert!(!guard.first("nonce-1", now, until).await?);
/// # Ok(())
/// # }
/// ```
pub struct RedisReplayGuard {
    client: Client,
    base: String,
    patience: Duration,
    /// Ends the connection, after all else.
    _link: Link,
}

impl RedisReplayGuard {
    /// Connects. Of the configuration `url`, `agent` and `retry_for` count.
    ///
    /// # Errors
    ///
    /// As [`RedisScheduler::connect`](crate::RedisScheduler::connect).
    pub async fn connect(config: &RedisConfig) -> Result<Self, RedisError> {
        config.check()?;
        let mut link = Link::new(&config.url)?;
        let client = link.commands().await?;
        let base = format!("bindu:{{{}}}:once:", config.agent);
        Ok(Self { client, base, patience: config.retry_for, _link: link })
    }
}

impl fmt::Debug for RedisReplayGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplayGuard").field("base", &self.base).finish_non_exhaustive()
    }
}

impl ReplayGuard for RedisReplayGuard {
    fn first<'a>(
        &'a self,
        key: &'a str,
        now: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        Box::pin(async move {
            let micros = until.as_unix_micros().saturating_sub(now.as_unix_micros());
            if micros <= 0 {
                return Ok(true);
            }
            // Rounded up: a key is remembered too long rather than too short.
            let expire = Expiration::PX(micros.saturating_add(999) / 1_000);
            let key = format!("{}{key}", self.base);
            // By its own mark a call knows a key that it set before its answer was lost.
            let mark = Uuid::new_v4().simple().to_string();
            let mut tries = Tries::new(self.patience, "asking whether a key is new");
            loop {
                let set = self.client.set::<Option<String>, _, _>(
                    key.as_str(),
                    mark.as_str(),
                    Some(expire.clone()),
                    Some(SetOptions::NX),
                    false,
                );
                let error = match set.await {
                    Ok(Some(_)) => return Ok(true),
                    Ok(None) => match self.client.get::<Option<String>, _>(key.as_str()).await {
                        Ok(found) => return Ok(found.as_deref() == Some(&mark)),
                        Err(error) => error,
                    },
                    Err(error) => error,
                };
                tries.again(error).await?;
            }
        })
    }

    fn forget<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StorageError>> {
        Box::pin(async move {
            let key = format!("{}{key}", self.base);
            let mut tries = Tries::new(self.patience, "forgetting a key");
            loop {
                match self.client.del::<i64, _>(key.as_str()).await {
                    Ok(_) => return Ok(()),
                    Err(error) => tries.again(error).await?,
                }
            }
        })
    }
}

/// The attempts at one call.
struct Tries {
    doing: &'static str,
    give_up: Instant,
    pause: Duration,
}

impl Tries {
    fn new(patience: Duration, doing: &'static str) -> Self {
        Self { doing, give_up: Instant::now() + patience, pause: Duration::from_millis(20) }
    }

    /// Waits before the next attempt, if one may be of use.
    async fn again(&mut self, error: Error) -> Result<(), StorageError> {
        if !is_passing(&error) || Instant::now() + self.pause > self.give_up {
            return Err(StorageError::Backend { doing: self.doing, source: Box::new(error) });
        }
        tokio::time::sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.pause = (self.pause * 2).min(Duration::from_millis(400));
        Ok(())
    }
}
