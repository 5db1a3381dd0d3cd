use crate::BoxError;
use crate::ssrf::AddressError;

/// Why a request got no answer.
///
/// An answer with a status of 400 or more is an answer, not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL cannot be called: no host, credentials inside, or a scheme the client's
    /// connector does not speak.
    #[error("invalid URL: {0}")]
    InvalidUrl(&'static str),
    /// The client's [`AddressPolicy`](crate::ssrf::AddressPolicy) refuses the address.
    #[error("the address is not allowed")]
    Address(#[from] AddressError),
    /// No connection: the name does not resolve, nobody listens, or the TLS handshake
    /// failed. Nothing of the request was sent.
    #[error("connecting to {host}")]
    Connect {
        /// Host and port.
        host: String,
        /// What went wrong.
        source: BoxError,
    },
    /// A deadline passed.
    #[error("timed out while {phase}")]
    Timeout {
        /// What was under way.
        phase: Phase,
    },
    /// The response body is larger than the client accepts.
    #[error("the response is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// What came back is not HTTP.
    #[error("the peer does not speak HTTP")]
    Protocol(#[source] BoxError),
    /// The connection broke after the request was sent, in whole or in part.
    #[error("the connection broke")]
    Io(#[source] BoxError),
    /// The request could not be built, by the hook that builds one per attempt.
    #[error("preparing the request")]
    Prepare(#[source] BoxError),
}

/// What a client was doing when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Resolving, connecting, shaking hands. Nothing of the request was sent.
    Connect,
    /// Sending the request and waiting for the head of the response.
    Response,
    /// Reading the body of the response.
    Body,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Response => "waiting for the response",
            Self::Body => "reading the response body",
        })
    }
}

impl HttpError {
    /// Whether the same request may succeed later. If the peer may have acted on it
    /// already is another question: see [`was_not_sent`](Self::was_not_sent).
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Timeout { .. } | Self::Io(_))
    }

    /// Whether the peer has certainly seen nothing of the request.
    #[must_use]
    pub const fn was_not_sent(&self) -> bool {
        matches!(
            self,
            Self::InvalidUrl(_)
                | Self::Address(_)
                | Self::Connect { .. }
                | Self::Prepare(_)
                | Self::Timeout { phase: Phase::Connect }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_retried() {
        let timeout = |phase| HttpError::Timeout { phase };
        assert!(timeout(Phase::Body).is_retryable());
        assert!(!timeout(Phase::Body).was_not_sent());
        assert!(timeout(Phase::Connect).was_not_sent());
        assert!(!HttpError::InvalidUrl("no host").is_retryable());
        assert!(!HttpError::TooLarge { limit: 1 }.is_retryable());
        assert!(!HttpError::Address(AddressError::NoHost).is_retryable());
    }
}
