//! Why there is no connection to Redis.

/// Why connecting to Redis failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisError {
    /// The address cannot be used. It is not repeated here: it may hold a password.
    #[error("the redis address is not usable: {0}")]
    Address(&'static str),
    /// A setting cannot be used.
    #[error("the redis setting {setting} is not usable: {why}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The server could not be reached, or refused us.
    #[error("redis at {server} cannot be used")]
    Connect {
        /// Host and port.
        server: Box<str>,
        /// What the client says.
        source: bindu_scheduler::BoxError,
    },
}
