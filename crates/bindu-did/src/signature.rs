//! Ed25519 signatures.

use std::{fmt, str::FromStr};

use crate::{base58, error::DidError};

/// An Ed25519 signature (RFC 8032), 64 bytes; as text, base58.
///
/// ```
/// # use bindu_did::{Signature, SigningKey};
/// let signature = SigningKey::from_seed(&[1; 32]).sign_text("hello");
/// assert_eq!(signature.to_base58().parse::<Signature>()?, signature);
/// # Ok::<(), bindu_did::DidError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature from its bytes: R, then S.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The 64 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// The text that goes on the wire: base58, 64 to 88 characters.
    #[must_use]
    pub fn to_base58(&self) -> String {
        base58::encode(&self.0)
    }

    /// The encoded point R.
    pub(crate) fn r(&self) -> [u8; 32] {
        let mut r = [0; 32];
        r.copy_from_slice(&self.0[..32]);
        r
    }
}

impl FromStr for Signature {
    type Err = DidError;

    fn from_str(text: &str) -> Result<Self, DidError> {
        base58::decode(text, "signature").map(Self)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base58())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}
