use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bindu_did::Did;
use bindu_http::BoxError;
use rustls::{CertificateError, OtherError};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MtlsError {
    /// The configuration cannot work.
    #[error("invalid mTLS configuration: {0}")]
    Config(String),
    /// A file could not be read or written.
    #[error("{doing} {}", path.display())]
    File {
        /// What was under way: "reading".
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is no usable certificate in the files, and nobody to issue one.
    #[error("no usable certificate in {}: {reason}", path.display())]
    Unusable {
        /// The file with the certificate.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There are no root certificates, or not those that were pinned.
    #[error("no root certificates: {reason}")]
    Roots {
        /// What was wrong.
        reason: String,
        /// The error below, if there is one.
        source: Option<BoxError>,
    },
    /// Whoever gives tokens for step-ca gave none.
    #[error("no token for step-ca")]
    Token(#[source] BoxError),
    /// step-ca did not answer, or not in its protocol.
    #[error("step-ca is unavailable while {doing}")]
    Unavailable {
        /// What was under way: "signing".
        doing: &'static str,
        /// The error below, if there is one.
        source: Option<BoxError>,
    },
    /// step-ca refused.
    #[error("step-ca refused {doing} with {status}: {message}")]
    Refused {
        /// What was under way: "signing".
        doing: &'static str,
        /// The HTTP status. 401 means the token, 403 its policy.
        status: u16,
        /// What it says.
        message: String,
    },
    /// What step-ca issued cannot be used: another key, another DID, a chain that does
    /// not end in our roots.
    #[error("step-ca issued an unusable certificate: {0}")]
    Issued(String),
    /// The key or the request for a certificate could not be made.
    #[error("making a certificate request")]
    Request(#[source] BoxError),
}

impl MtlsError {
    /// Whether the same call may succeed later without anybody mending something.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Token(_) => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }
}

/// Why a peer's certificate was refused although its chain is good.
///
/// It travels inside the error of the handshake; [`PeerError::find`] finds it there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// It names no DID.
    #[error("the peer's certificate names no DID")]
    NoDid,
    /// It names more than one DID.
    #[error("the peer's certificate names several DIDs")]
    SeveralDids,
    /// A name in it should be a DID and is none.
    #[error("the peer's certificate holds an invalid DID")]
    InvalidDid,
    /// A DID in it was vouched for by another issuer than ours.
    #[error("the DID in the peer's certificate is of a foreign issuer")]
    ForeignIssuer,
    /// It is not made for this side of a connection.
    #[error("the peer's certificate is not made for this use")]
    Usage,
    /// Its DID is not let in.
    #[error("the peer {0} is denied")]
    Denied(Did),
    /// It names another DID than the expected one.
    #[error("the peer is {found}, not {expected}")]
    Unexpected {
        /// The DID that was called.
        expected: Did,
        /// The DID that answered.
        found: Did,
    },
    /// It is not yet, or no longer valid.
    #[error("the peer's certificate has expired")]
    Expired,
    /// It cannot be read.
    #[error("the peer's certificate cannot be read")]
    Encoding,
}

impl PeerError {
    /// The reason in an error of a handshake, however deep: in what `bindu_http`'s
    /// client or a TLS library returned.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(
                inner,
            )))) = error.downcast_ref()
            {
                return inner.downcast_ref();
            }
            // The source of an I/O error is the source of what it holds, not that itself.
            next = match error.downcast_ref::<io::Error>() {
                Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
                None => error.source(),
            };
        }
        None
    }
}

impl From<PeerError> for rustls::Error {
    fn from(error: PeerError) -> Self {
        CertificateError::Other(OtherError(Arc::new(error))).into()
    }
}

impl From<PeerError> for io::Error {
    fn from(error: PeerError) -> Self {
        Self::new(io::ErrorKind::PermissionDenied, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_in_the_error_of_a_handshake() {
        let tls = rustls::Error::from(PeerError::SeveralDids);
        let http = bindu_http::HttpError::Connect {
            host: "peer".into(),
            source: io::Error::new(io::ErrorKind::InvalidData, tls).into(),
        };
        assert_eq!(PeerError::find(&http), Some(&PeerError::SeveralDids));
        assert_eq!(PeerError::find(&io::Error::from(PeerError::NoDid)), Some(&PeerError::NoDid));
        assert_eq!(PeerError::find(&io::Error::other("nothing of ours")), None);
    }

    #[test]
    fn what_a_later_attempt_may_mend_is_retried() {
        let refused =
            |status| MtlsError::Refused { doing: "signing", status, message: String::new() };
        assert!(refused(500).is_retryable() && refused(429).is_retryable());
        assert!(!refused(401).is_retryable() && !refused(403).is_retryable());
        assert!(!MtlsError::Issued(String::new()).is_retryable());
    }
}
