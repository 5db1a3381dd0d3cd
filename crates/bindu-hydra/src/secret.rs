use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bindu_did::same_secret;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::HydraError;

/// A client secret or a token. Wiped when dropped; [`Debug`](fmt::Debug) prints
/// `[redacted]`, and there is no `Display`.
///
/// ```
/// use bindu_hydra::Secret;
///
/// let token = Secret::from("ory_at_1");
/// assert_eq!(format!("{token:?}"), "[redacted]");
/// assert_eq!(token.reveal(), "ory_at_1");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A new client secret: 32 bytes of the system's randomness in unpadded URL-safe
    /// base64, 43 characters.
    ///
    /// # Errors
    ///
    /// [`HydraError::Randomness`] if the system has none to give.
    pub fn generate() -> Result<Self, HydraError> {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(bytes.as_mut_slice()).map_err(|_| HydraError::Randomness)?;
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))))
    }

    /// The text itself. Whoever calls this must not log it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    /// In a time that tells nothing of where two secrets differ.
    fn eq(&self, other: &Self) -> bool {
        same_secret(&self.0, &other.0)
    }
}

impl Eq for Secret {}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_secrets_are_43_url_safe_characters_and_differ() {
        let (one, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_eq!(one.reveal().len(), 43);
        assert!(one.reveal().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        assert_ne!(one, other);
    }

    #[test]
    fn equality_is_that_of_the_text() {
        assert_eq!(Secret::from("a"), Secret::from("a"));
        assert_ne!(Secret::from("a"), Secret::from("b"));
        assert_ne!(Secret::from("a"), Secret::from("ab"));
    }
}
