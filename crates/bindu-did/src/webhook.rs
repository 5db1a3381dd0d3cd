//! Webhooks: posts that an agent signs.
//!
//! They carry the [headers of a signed request](crate::request), over the exact bytes
//! of the body. A receiver reads the [`Claim`] first, which costs nothing; finds the
//! key of the DID that is claimed; and verifies.
//!
//! ```
//! use bindu_did::{Did, SigningKey, request, webhook::Claim};
//!
//! # let key = SigningKey::from_seed(&[1; 32]);
//! # let did = Did::for_agent("ann", "echo", key.public_key().id())?;
//! # let body = br#"{"kind":"status-update"}"#;
//! # let now = 1_800_000_000;
//! # let sent = request::sign(&key, &did, body, now)?.headers();
//! # let headers = || sent.iter().map(|(name, value)| (*name, value.as_str()));
//! let claim = Claim::read(headers(), now)?;
//! // Found by whoever knows the agent that claims to be `claim.did()`.
//! let key = key.public_key();
//! let post = claim.verify(&key, body)?;
//! assert_eq!(post.did(), &did);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A signature stays good for some minutes. A receiver for whom twice is worse than
//! once remembers [`Verified::signature`] until [`Verified::expires`].

use crate::{
    did::Did,
    key::PublicKey,
    request::{RequestError, RequestSignature, WINDOW},
    signature::Signature,
};

/// What a post says of itself; nothing of it is proved.
#[derive(Clone, Debug)]
pub struct Claim {
    did: Did,
    signature: RequestSignature,
    now: i64,
}

impl Claim {
    /// Reads the three headers of a post that came at `now`, in seconds since 1970, and
    /// checks all that needs neither key nor body.
    ///
    /// # Errors
    ///
    /// [`RequestError::Headers`], [`RequestError::Repeated`], [`RequestError::Did`] if
    /// the signer's name is no DID, and [`RequestError::OutOfWindow`].
    pub fn read<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        now: i64,
    ) -> Result<Self, RequestError> {
        let signature = RequestSignature::from_headers(headers)?;
        let did = signature.did.parse().map_err(|_| RequestError::Did)?;
        if !signature.is_fresh(now) {
            return Err(RequestError::OutOfWindow);
        }
        Ok(Self { did, signature, now })
    }

    /// Who claims to have signed.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// Checks the signature over the body with the key of [`did`](Self::did).
    ///
    /// # Errors
    ///
    /// [`RequestError::Body`], [`RequestError::Malformed`], [`RequestError::Mismatch`].
    pub fn verify(self, key: &PublicKey, body: &[u8]) -> Result<Verified, RequestError> {
        self.signature.verify(key, body, self.now)?;
        let signature = self.signature.signature.parse().map_err(|_| RequestError::Malformed)?;
        Ok(Verified { did: self.did, timestamp: self.signature.timestamp, signature })
    }
}

/// A post of which it is proved who sent it, and when it was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    did: Did,
    timestamp: i64,
    signature: Signature,
}

impl Verified {
    /// The signer.
    #[must_use]
    pub fn did(&self) -> &Did {
        &self.did
    }

    /// When it was signed, in seconds since 1970.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// The signature. A post that comes again bears the same.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The last second in which the signature is good, since 1970.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.timestamp.saturating_add_unsigned(WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{SigningKey, request};

    fn headers<'a>(sent: &'a [(&'static str, String)]) -> impl Iterator<Item = (&'a str, &'a str)> {
        sent.iter().map(|(name, value)| (*name, value.as_str()))
    }

    #[test]
    fn a_name_that_is_no_did_is_refused_before_anyone_looks_for_its_key() {
        let sent = [("X-DID", "ann"), ("X-DID-Signature", "s"), ("X-DID-Timestamp", "1")];
        assert_eq!(Claim::read(sent, 1).unwrap_err(), RequestError::Did);
        let late = [("X-DID", "did:bindu:a:b"), ("X-DID-Signature", "s"), ("X-DID-Timestamp", "1")];
        assert_eq!(Claim::read(late, 302).unwrap_err(), RequestError::OutOfWindow);
    }

    proptest! {
        #[test]
        fn only_the_signers_key_over_the_very_body_is_verified(
            seed: [u8; 32],
            body: String,
            now in 0_i64..1 << 40,
            age in -300_i64..=300,
        ) {
            let key = SigningKey::from_seed(&seed);
            let did = Did::from_key(&key.public_key());
            let sent = request::sign(&key, &did, body.as_bytes(), now).unwrap().headers();
            let claim = Claim::read(headers(&sent), now + age).unwrap();
            let post = claim.clone().verify(&key.public_key(), body.as_bytes()).unwrap();
            prop_assert_eq!((post.did(), post.timestamp()), (&did, now));
            prop_assert_eq!(post.expires(), now + 300);

            let longer = format!("{body} ");
            let changed = claim.clone().verify(&key.public_key(), longer.as_bytes());
            prop_assert_eq!(changed, Err(RequestError::Mismatch));
            let other = SigningKey::from_seed(&seed.map(|byte| !byte)).public_key();
            let foreign = claim.verify(&other, body.as_bytes());
            prop_assert_eq!(foreign, Err(RequestError::Mismatch));
        }
    }
}
