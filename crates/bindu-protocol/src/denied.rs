//! Why a caller is not let in.

/// Why a request is refused before anything is done about it.
///
/// A word only: what it is told as on the wire is the server's to know, and much of it is told to
/// the log alone. None of it names a token, a key or an address of the agent's own network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// No bearer token came.
    #[error("no bearer token")]
    NoToken,
    /// The token is unknown, has been revoked, or is not meant for requests.
    #[error("the token is not active")]
    TokenInactive,
    /// The token says too little about itself.
    #[error("the token has no {0}")]
    TokenIncomplete(&'static str),
    /// The token is meant for another agent.
    #[error("the token is not meant for this agent")]
    TokenAudience,
    /// The token was good once.
    #[error("the token has expired")]
    TokenExpired,
    /// Whoever knows about tokens and keys cannot be asked at the moment.
    #[error("the authentication service is away")]
    Unavailable,
    /// The token is that of a DID, and the request is not signed, or its headers make no sense.
    #[error("signature headers are missing or malformed")]
    SignatureMissing,
    /// The token, the signature and the client certificate do not name the same DID.
    #[error("token, signature and certificate do not name one DID")]
    DidMismatch,
    /// The public key of the caller is not known.
    #[error("the caller's public key is not known")]
    KeyUnavailable,
    /// The body is larger than a signed one may be.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The signature is not one by that DID over that body at that time, is too old, or was seen
    /// before.
    #[error("the signature by {did} is refused")]
    SignatureInvalid {
        /// Who is said to have signed.
        did: Box<str>,
        /// When, in seconds since 1970, as the request says.
        timestamp: i64,
    },
    /// The caller is not on the list of those who are admitted.
    #[error("the caller is not admitted")]
    NotAdmitted,
    /// The caller's token allows none of what the operation needs.
    #[error("the token lacks a permission")]
    MissingPermissions(Vec<Box<str>>),
    /// The caller is not trusted as far as the operation needs.
    #[error("the operation needs more trust")]
    TrustTooLow,
    /// The request came without a client certificate.
    #[error("no client certificate")]
    NoCertificate,
    /// The client certificate names no DID, or more than one.
    #[error("the client certificate does not name one DID")]
    CertificateWithoutDid,
    /// The same address was refused too often within a short time.
    #[error("too many refused requests")]
    TooManyRefusals,
}

impl Denied {
    /// A short word for counters and logs, such as `invalid_signature`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::TokenInactive => "token_inactive",
            Self::TokenIncomplete(_) => "token_incomplete",
            Self::TokenAudience => "token_audience",
            Self::TokenExpired => "token_expired",
            Self::Unavailable => "unavailable",
            Self::SignatureMissing => "missing_signature_headers",
            Self::DidMismatch => "did_mismatch",
            Self::KeyUnavailable => "public_key_unavailable",
            Self::BodyTooLarge => "payload_too_large",
            Self::SignatureInvalid { .. } => "invalid_signature",
            Self::NotAdmitted => "not_admitted",
            Self::MissingPermissions(_) => "missing_permissions",
            Self::TrustTooLow => "trust_too_low",
            Self::NoCertificate => "no_certificate",
            Self::CertificateWithoutDid => "certificate_without_did",
            Self::TooManyRefusals => "too_many_refusals",
        }
    }
}
