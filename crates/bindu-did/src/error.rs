//! What can go wrong with keys, signatures and documents.

use crate::did::InvalidDid;

/// Why a key, signature, document or JSON text could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DidError {
    /// A DID breaks a rule of its form.
    #[error(transparent)]
    Did(#[from] InvalidDid),
    /// A key or signature is not base58, or not of the right length.
    #[error("{what} is not base58 of {length} bytes")]
    Base58 {
        /// "public key" or "signature".
        what: &'static str,
        /// The number of bytes it must decode to.
        length: usize,
    },
    /// A seed is not base64, or not of 32 bytes.
    #[error("seed is not base64 of 32 bytes")]
    Seed,
    /// A key file holds no PEM block.
    #[error("{what} is not a PEM file")]
    NotPem {
        /// "private key" or "public key".
        what: &'static str,
    },
    /// A key file holds something else than an Ed25519 key.
    #[error("{what} is not an Ed25519 key")]
    NotEd25519 {
        /// "private key" or "public key".
        what: &'static str,
    },
    /// The two halves of a key pair belong to different pairs.
    #[error("private key does not match public key")]
    KeyMismatch,
    /// The private key is under a password and none was given.
    #[error(
        "private key is encrypted but no password was provided; provide the key password in the \
         configuration"
    )]
    PasswordMissing,
    /// The private key is under another password, or damaged.
    #[error("private key cannot be decrypted with this password")]
    PasswordWrong,
    /// The private key is, or shall be, under a password; this build lacks the
    /// feature `encryption`.
    #[error("encrypted private keys need the feature `encryption` of bindu-did")]
    EncryptionUnsupported,
    /// The signature was not made by this key over these bytes.
    #[error("signature does not match")]
    SignatureMismatch,
    /// The operating system gave no random bytes.
    #[error("the system's source of randomness failed")]
    Randomness,
    /// A document holds no usable key.
    #[error("DID document has no Ed25519 key")]
    NoKeyInDocument,
    /// A text is not JSON, or holds a number too large or nests too deeply.
    #[error("not usable as JSON: {reason}")]
    Json {
        /// What is wrong.
        reason: String,
    },
}
