//! DIDs: their form, and the rules by which an agent's DID is made.

use std::{fmt, str::FromStr, sync::Arc};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

use crate::key::PublicKey;

/// A decentralised identifier, for example
/// `did:bindu:ann_at_example_com:echo:139e3940-e64b-5491-7220-88d9a0d74162`.
///
/// Parsing is the only way in, so a `Did` always passes [`validate_format`].
/// DIDs are compared byte for byte; nothing is ever normalised, because a peer's
/// DID may hold capitals and spaces. Cloning is cheap.
///
/// ```
/// # use bindu_did::Did;
/// let did: Did = "did:bindu:ann_at_example_com:echo:7".parse()?;
/// assert_eq!(did.author(), Some("ann_at_example_com"));
/// assert_eq!(did.name(), Some("echo"));
/// assert_eq!("did:bindu:ann".parse::<Did>().unwrap_err().to_string(),
///     "bindu DID must have format did:bindu:author:agent_name");
/// # Ok::<(), bindu_did::InvalidDid>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did(Arc<str>);

impl Did {
    /// The DID of a new agent: `did:bindu:{author}:{name}:{suffix}`.
    ///
    /// Author and name are [sanitised](sanitize). The suffix is
    /// [`PublicKey::id`] for a DID that certifies itself, or [`agent_id`].
    ///
    /// # Errors
    ///
    /// [`InvalidDid::EmptyPart`], or [`InvalidDid::ForbiddenCharacter`] if author
    /// or name holds one of `: / ? # %` or a control character: these have a
    /// meaning of their own in DID URLs.
    pub fn for_agent(author: &str, name: &str, suffix: Uuid) -> Result<Self, InvalidDid> {
        for (part, value) in [("author", author), ("name", name)] {
            if value.is_empty() {
                return Err(InvalidDid::EmptyPart { part });
            }
            let forbidden = |c: &char| matches!(c, ':' | '/' | '?' | '#' | '%') || c.is_control();
            if let Some(character) = value.chars().find(forbidden) {
                return Err(InvalidDid::ForbiddenCharacter { part, character });
            }
        }
        Self::for_known_agent(author, name, suffix)
    }

    /// The DID of an agent that already goes by it, made by the same rule but
    /// without the ban on `/ ? # %`, which older agents may have in their names.
    ///
    /// # Errors
    ///
    /// [`InvalidDid`] if the result is no DID, above all because author or name
    /// holds a colon or a control character.
    pub fn for_known_agent(author: &str, name: &str, suffix: Uuid) -> Result<Self, InvalidDid> {
        format!("did:bindu:{}:{}:{suffix}", sanitize(author), sanitize(name)).parse()
    }

    /// The DID of a caller that is no agent (a gateway, a script): only the
    /// author is sanitised, and its case is kept; the name stays as it is; the
    /// suffix is the [fingerprint of the key](PublicKey::id).
    ///
    /// # Errors
    ///
    /// [`InvalidDid`] if the result is no DID.
    pub fn for_caller(author: &str, name: &str, key: &PublicKey) -> Result<Self, InvalidDid> {
        let author = author.replace('@', "_at_").replace('.', "_");
        format!("did:bindu:{author}:{name}:{}", key.id()).parse()
    }

    /// `did:key:z{base58 of the key}`, for a key without author and name.
    ///
    /// Existing peers write no multicodec prefix here, unlike the W3C's
    /// `did:key`, and neither does this.
    #[must_use]
    pub fn from_key(key: &PublicKey) -> Self {
        Self(format!("did:key:z{key}").into())
    }

    /// The DID as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The method: `bindu`, `key`, `web`...
    #[must_use]
    pub fn method(&self) -> &str {
        self.segment(1).unwrap_or_default()
    }

    /// The author segment of a `did:bindu`, sanitised as it stands in the DID.
    #[must_use]
    pub fn author(&self) -> Option<&str> {
        self.bindu_segment(2)
    }

    /// The name segment of a `did:bindu`, sanitised as it stands in the DID.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.bindu_segment(3)
    }

    /// The last segment of a `did:bindu` of five segments, if it is a UUID.
    #[must_use]
    pub fn suffix(&self) -> Option<Uuid> {
        self.bindu_segment(4).and_then(|suffix| Uuid::try_parse(suffix).ok())
    }

    /// Whether this DID is a fingerprint of `key`, so that no one else can hold
    /// it: the suffix of a `did:bindu` is [`PublicKey::id`], or a `did:key` names
    /// the key itself.
    ///
    /// `false` does not mean that the DID is wrong, only that the tie between
    /// DID and key must come from elsewhere.
    ///
    /// ```
    /// # use bindu_did::{agent_id, Did, SigningKey};
    /// let key = SigningKey::from_seed(&[1; 32]).public_key();
    /// let certified = Did::for_agent("ann", "echo", key.id())?;
    /// let asserted = Did::for_agent("ann", "echo", agent_id("ann", "echo"))?;
    /// assert!(certified.is_self_certified(&key));
    /// assert!(!asserted.is_self_certified(&key));
    /// # Ok::<(), bindu_did::InvalidDid>(())
    /// ```
    #[must_use]
    pub fn is_self_certified(&self, key: &PublicKey) -> bool {
        match self.method() {
            // The text must be the canonical one, or many DIDs would fit one key.
            "bindu" => self.bindu_segment(4).is_some_and(|suffix| suffix == key.id().to_string()),
            "key" => *self == Self::from_key(key),
            _ => false,
        }
    }

    fn segment(&self, index: usize) -> Option<&str> {
        self.0.split(':').nth(index)
    }

    fn bindu_segment(&self, index: usize) -> Option<&str> {
        (self.method() == "bindu").then(|| self.segment(index)).flatten()
    }
}

impl FromStr for Did {
    type Err = InvalidDid;

    fn from_str(text: &str) -> Result<Self, InvalidDid> {
        validate_format(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for Did {
    type Error = InvalidDid;

    fn try_from(text: String) -> Result<Self, InvalidDid> {
        text.parse()
    }
}

impl AsRef<str> for Did {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Did({})", self.0)
    }
}

impl Serialize for Did {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Did {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Why a text is no DID.
///
/// The messages of the first five are read by peers (they end up in document
/// validation errors), hence their capitals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDid {
    /// There is no text.
    #[error("DID cannot be empty")]
    Empty,
    /// It does not start with `did:`, in lower case.
    #[error("DID must start with 'did:'")]
    Prefix,
    /// Method or the rest are missing, or there is a control character.
    #[error("DID format is invalid")]
    Format,
    /// A `did:bindu` has not four or five segments, or one of them is empty.
    #[error("bindu DID must have format did:bindu:author:agent_name")]
    Bindu,
    /// Author or name of a new identity is empty.
    #[error("{part} must not be empty")]
    EmptyPart {
        /// "author" or "name".
        part: &'static str,
    },
    /// Author or name of a new identity holds a character that a DID cannot carry.
    #[error(
        "{part} must not contain {character:?}: the characters : / ? # % and control characters \
         have no place in a DID"
    )]
    ForbiddenCharacter {
        /// "author" or "name".
        part: &'static str,
        /// The first such character.
        character: char,
    },
}

/// Checks the form of a DID; the first rule that fails gives the error.
///
/// A DID starts with `did:`, has a method of letters and digits and something
/// after it, and no control characters. A `did:bindu` has four or five
/// non-empty segments. What else a DID contains is not judged.
///
/// # Errors
///
/// The variant of [`InvalidDid`] that names the broken rule.
pub fn validate_format(text: &str) -> Result<(), InvalidDid> {
    if text.is_empty() {
        return Err(InvalidDid::Empty);
    }
    let rest = text.strip_prefix("did:").ok_or(InvalidDid::Prefix)?;
    let (method, id) = rest.split_once(':').ok_or(InvalidDid::Format)?;
    let method_ok = !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphanumeric());
    if !method_ok || id.is_empty() || text.chars().any(char::is_control) {
        return Err(InvalidDid::Format);
    }
    // Compared in lower case only: peers let `did:BINDU:...` pass as a foreign method.
    if method == "bindu" {
        let segments = id.split(':').count();
        if !(2..=3).contains(&segments) || id.split(':').any(str::is_empty) {
            return Err(InvalidDid::Bindu);
        }
    }
    Ok(())
}

/// An author or name as it stands in a DID: lower case (full Unicode mapping),
/// then blank to `_`, `@` to `_at_`, `.` to `_`. Nothing else is touched.
///
/// ```
/// # use bindu_did::did::sanitize;
/// assert_eq!(sanitize("Ann O'Neil@Example.com"), "ann_o'neil_at_example_com");
/// ```
#[must_use]
pub fn sanitize(part: &str) -> String {
    part.to_lowercase().replace(' ', "_").replace('@', "_at_").replace('.', "_")
}

/// The id of the agent `name` by `author`: the first 16 bytes of
/// SHA-256(`author:name`), over the names as configured, as a UUID without
/// version bits.
///
/// It is the `id` of the agent's card, and stays when the key changes.
///
/// ```
/// let id = bindu_did::agent_id("dev@example.com", "my-agent");
/// assert_eq!(id.to_string(), "53cbcb43-82ef-8a50-ba7c-f79217d463de");
/// ```
#[must_use]
pub fn agent_id(author: &str, name: &str) -> Uuid {
    fingerprint(format!("{author}:{name}").as_bytes())
}

/// The first 16 bytes of SHA-256, as a UUID without version bits.
pub(crate) fn fingerprint(bytes: &[u8]) -> Uuid {
    let mut id = [0; 16];
    id.copy_from_slice(&digest(&SHA256, bytes).as_ref()[..16]);
    Uuid::from_bytes(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_identity_refuses_the_characters_of_did_urls() {
        for character in [':', '/', '?', '#', '%', '\n', '\u{7f}', '\u{85}'] {
            let bad = format!("a{character}b");
            let error = Did::for_agent("ann", &bad, Uuid::nil()).unwrap_err();
            assert_eq!(error, InvalidDid::ForbiddenCharacter { part: "name", character });
            let error = Did::for_agent(&bad, "echo", Uuid::nil()).unwrap_err();
            assert_eq!(error, InvalidDid::ForbiddenCharacter { part: "author", character });
        }
        assert_eq!(
            Did::for_agent("a:b", "echo", Uuid::nil()).unwrap_err().to_string(),
            "author must not contain ':': the characters : / ? # % and control characters have no \
             place in a DID"
        );
        assert!(Did::for_agent("", "echo", Uuid::nil()).is_err());
        assert!(Did::for_known_agent("ann", "agent #7/b", Uuid::nil()).is_ok());
        assert!(Did::for_known_agent("ann", "a:b", Uuid::nil()).is_err());
    }

    #[test]
    fn control_characters_are_refused_wherever_they_stand() {
        for text in ["did:bindu:a:b\n", "did:web:x\u{0}", "did:bindu:a\u{9b}:b", "did:key:\r"] {
            assert_eq!(text.parse::<Did>(), Err(InvalidDid::Format), "{text:?}");
        }
    }

    #[test]
    fn a_suffix_that_only_looks_like_the_fingerprint_does_not_certify() {
        let key = crate::SigningKey::from_seed(&[3; 32]).public_key();
        let upper = key.id().to_string().to_uppercase();
        for suffix in [upper, key.id().simple().to_string(), key.id().braced().to_string()] {
            let did: Did = format!("did:bindu:a:b:{suffix}").parse().unwrap();
            assert!(!did.is_self_certified(&key), "{did}");
        }
        assert!(Did::from_key(&key).is_self_certified(&key));
    }

    proptest! {
        #[test]
        fn parsing_keeps_the_text_or_refuses_it(text in "(did:)?[a-z:]{0,6}\\PC*|\\PC*") {
            if let Ok(did) = text.parse::<Did>() {
                prop_assert_eq!(did.to_string(), text.clone());
                prop_assert_eq!(serde_json::to_value(&did).unwrap(), text);
            }
        }

        #[test]
        fn an_agent_gets_a_did_that_parses(author in "[^:/?#%\\pC]+", name in "[^:/?#%\\pC]+") {
            let did = Did::for_agent(&author, &name, Uuid::nil()).unwrap();
            prop_assert_eq!(did.suffix(), Some(Uuid::nil()));
            prop_assert_eq!(did.as_str().parse::<Did>().unwrap(), did);
        }
    }
}
