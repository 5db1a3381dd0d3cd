use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What lies behind a [`HydraError`]. Shared, because one failed request may have had many
/// waiting for it.
pub type ErrorSource = Arc<dyn Error + Send + Sync>;

/// Why Hydra did not do what it was asked.
///
/// Messages hold no secret and no address, so they may be shown to strangers. Their
/// [sources](Error::source) may name Hydra's internal address: they are for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HydraError {
    /// A setting cannot be used.
    #[error("the hydra setting {setting} cannot be used: {why}")]
    Config {
        /// Which one.
        setting: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Hydra cannot be reached, is too slow, overloaded or broken, or what answers is no
    /// Hydra. Says nothing about a token or client; the same call may succeed later.
    #[error("hydra is not available ({doing})")]
    Unavailable {
        /// What was under way: "introspecting a token".
        doing: &'static str,
        /// When to try again. At least a second.
        retry_after: Duration,
        /// What happened; `None` if nothing was sent, because Hydra has been away.
        source: Option<ErrorSource>,
    },
    /// Hydra answered, and the answer is no.
    #[error(
        "hydra refused with status {status} ({doing}){}{}",
        .code.as_ref().map(|code| format!(": {code}")).unwrap_or_default(),
        .description.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
    )]
    Refused {
        /// What was under way: "requesting a token".
        doing: &'static str,
        /// The HTTP status.
        status: u16,
        /// The OAuth2 error code (RFC 6749, section 5.2), such as `invalid_client`.
        code: Option<Box<str>>,
        /// What Hydra says about it, shortened, without secrets that were sent to it.
        description: Option<Box<str>>,
    },
    /// The DID is registered with another public key. Someone else may own it, or the
    /// agent has got a new key: then
    /// [`Registration::allow_key_change`](crate::Registration::allow_key_change).
    #[error("{did} is registered with the public key {registered}, not with {ours}")]
    ForeignKey {
        /// The DID.
        did: Box<str>,
        /// The key in Hydra.
        registered: Box<str>,
        /// Our key.
        ours: Box<str>,
    },
    /// The credentials file cannot be read or written.
    #[error("{doing} {}", .path.display())]
    File {
        /// What was under way: "writing".
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The system has no random bytes to give.
    #[error("the system has no random bytes to give")]
    Randomness,
}

impl HydraError {
    /// Whether the fault is Hydra's, so that nothing is known about what was asked.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// When to try again, if trying again can help.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether Hydra did not accept the client's id and secret.
    #[must_use]
    pub fn is_invalid_client(&self) -> bool {
        matches!(self, Self::Refused { code: Some(code), .. } if **code == *"invalid_client")
    }
}
