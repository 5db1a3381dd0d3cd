//! Ed25519 keys.

use std::{fmt, str::FromStr};

use base64::{
    Engine,
    alphabet::{self, Alphabet},
    engine::DecodePaddingMode,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD},
};
use ring::{
    digest::{Context, SHA256},
    rand::{SecureRandom, SystemRandom},
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{base58, der, did, error::DidError, part::PartPayload, pem, signature::Signature};

/// A private key, ready to sign.
///
/// The seed is wiped when the key is dropped, and `Debug` shows only the public
/// half. Share it in an `Arc`; it cannot be cloned.
///
/// ```
/// # use bindu_did::SigningKey;
/// let key = SigningKey::from_seed(&[0; 32]);
/// assert_eq!(key.public_key().to_base58(), "4zvwRjXUKGfvwnParsHAS3HuSVzV5cA4McphgmoCtajS");
/// ```
pub struct SigningKey {
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// The key with this seed.
    ///
    /// # Panics
    ///
    /// Never: every 32 bytes are a seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .expect("ring refuses a seed for its length only, and 32 is right");
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Self { seed: Zeroizing::new(*seed), pair, public: PublicKey(public) }
    }

    /// The key whose seed is given in base64, with the standard or the URL-safe
    /// alphabet, padded or not.
    ///
    /// # Errors
    ///
    /// [`DidError::Seed`] if the text does not decode to 32 bytes.
    pub fn from_seed_base64(text: &str) -> Result<Self, DidError> {
        fn engine(alphabet: &Alphabet) -> GeneralPurpose {
            let any_padding = GeneralPurposeConfig::new()
                .with_decode_padding_mode(DecodePaddingMode::Indifferent);
            GeneralPurpose::new(alphabet, any_padding)
        }
        let url_safe = text.contains(['-', '_']);
        let alphabet = if url_safe { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
        let bytes = engine(alphabet).decode(text.trim_ascii()).map_err(|_| DidError::Seed)?;
        let bytes = Zeroizing::new(bytes);
        let seed = <&[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| DidError::Seed)?;
        Ok(Self::from_seed(seed))
    }

    /// A new key from the system's randomness.
    ///
    /// # Errors
    ///
    /// [`DidError::Randomness`] if the system has none to give.
    pub fn generate() -> Result<Self, DidError> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(seed.as_mut_slice()).map_err(|_| DidError::Randomness)?;
        Ok(Self::from_seed(&seed))
    }

    /// Reads a private key from PEM: PKCS#8 of version 1 (the seed alone, as
    /// OpenSSL writes it) or 2 (with the public key, RFC 8410).
    ///
    /// A password is used if the key is encrypted, else ignored.
    ///
    /// # Errors
    ///
    /// [`DidError::NotPem`], [`DidError::NotEd25519`] for any other kind of key,
    /// [`DidError::KeyMismatch`] if a public half in the file is not this key's.
    /// For an encrypted key: [`DidError::PasswordMissing`],
    /// [`DidError::PasswordWrong`], or [`DidError::EncryptionUnsupported`].
    pub fn from_pem(text: &str, password: Option<&str>) -> Result<Self, DidError> {
        const WHAT: &str = "private key";
        let block = pem::parse(text).ok_or(DidError::NotPem { what: WHAT })?;
        match block.label {
            pem::PRIVATE_KEY => Self::from_pkcs8_der(&block.der),
            pem::ENCRYPTED_PRIVATE_KEY => {
                let password = password.ok_or(DidError::PasswordMissing)?;
                decrypt(&block.der, password)
            }
            _ => Err(DidError::NotEd25519 { what: WHAT }),
        }
    }

    /// Reads a private key from PKCS#8 in DER.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem).
    pub fn from_pkcs8_der(bytes: &[u8]) -> Result<Self, DidError> {
        let parsed =
            der::parse_private(bytes).ok_or(DidError::NotEd25519 { what: "private key" })?;
        let key = Self::from_seed(&parsed.seed);
        match parsed.public {
            Some(public) if public != key.public.0 => Err(DidError::KeyMismatch),
            _ => Ok(key),
        }
    }

    /// The private key as PKCS#8 PEM, version 1, byte for byte as OpenSSL writes
    /// it. Not encrypted.
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        pem::write(pem::PRIVATE_KEY, &*der::private(&self.seed))
    }

    /// The private key as PKCS#8 PEM under a password: PBES2 with
    /// PBKDF2-HMAC-SHA256 (600,000 rounds, random salt) and AES-256-CBC.
    ///
    /// # Errors
    ///
    /// [`DidError::Randomness`] if the system has none to give.
    #[cfg(feature = "encryption")]
    pub fn to_encrypted_pem(&self, password: &str) -> Result<Zeroizing<String>, DidError> {
        let der = crate::encrypted::encrypt(&*der::private(&self.seed), password)?;
        Ok(pem::write(pem::ENCRYPTED_PRIVATE_KEY, &der))
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public
    }

    /// Signs bytes. Ed25519 is deterministic: the same bytes give the same
    /// signature.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        Signature::from_bytes(bytes)
    }

    /// Signs a text part of an artifact: its UTF-8 bytes and nothing else.
    #[must_use]
    pub fn sign_text(&self, text: &str) -> Signature {
        self.sign(text.as_bytes())
    }

    /// Signs a part of an artifact.
    #[must_use]
    pub fn sign_part(&self, part: &PartPayload<'_>) -> Signature {
        self.sign(&part.to_bytes())
    }

    /// The OAuth2 client secret that callers made from a seed register with:
    /// unpadded URL-safe base64 of SHA-256 over the seed and a fixed label. The
    /// seed is thus all such a caller has to keep.
    #[must_use]
    pub fn client_secret(&self) -> Zeroizing<String> {
        let mut hash = Context::new(&SHA256);
        hash.update(self.seed.as_slice());
        hash.update(b"bindu-gateway-hydra-client-secret/v1");
        Zeroizing::new(URL_SAFE_NO_PAD.encode(hash.finish()))
    }
}

#[cfg(feature = "encryption")]
fn decrypt(der: &[u8], password: &str) -> Result<SigningKey, DidError> {
    let plain = crate::encrypted::decrypt(der, password)?;
    // One wrong password in some two hundred leaves padding that looks right.
    SigningKey::from_pkcs8_der(&plain).map_err(|error| match plain.first() {
        Some(0x30) => error,
        _ => DidError::PasswordWrong,
    })
}

#[cfg(not(feature = "encryption"))]
fn decrypt(_: &[u8], _: &str) -> Result<SigningKey, DidError> {
    Err(DidError::EncryptionUnsupported)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("seed", &"[redacted]")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// A public key, 32 bytes; as text, base58 without any prefix.
///
/// Any 32 bytes can be held; whether they are a usable point shows in
/// [`verify`](Self::verify).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// A key from its bytes (RFC 8032, 5.1.2).
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text that goes on the wire: base58 of the 32 bytes. No multibase `z`,
    /// no multicodec prefix.
    #[must_use]
    pub fn to_base58(&self) -> String {
        base58::encode(&self.0)
    }

    /// The fingerprint that ends the DID of a new identity: the first 16 bytes of
    /// SHA-256 over the key, as a UUID without version bits.
    ///
    /// ```
    /// # use bindu_did::SigningKey;
    /// let key = SigningKey::from_seed(&[0; 32]).public_key();
    /// assert_eq!(key.id().to_string(), "139e3940-e64b-5491-7220-88d9a0d74162");
    /// ```
    #[must_use]
    pub fn id(&self) -> Uuid {
        did::fingerprint(&self.0)
    }

    /// Reads a key from PEM (`SubjectPublicKeyInfo`, RFC 8410).
    ///
    /// # Errors
    ///
    /// [`DidError::NotPem`], or [`DidError::NotEd25519`] for another kind of key.
    pub fn from_pem(text: &str) -> Result<Self, DidError> {
        const WHAT: &str = "public key";
        let block = pem::parse(text).ok_or(DidError::NotPem { what: WHAT })?;
        match der::parse_public(&block.der) {
            Some(bytes) if block.label == pem::PUBLIC_KEY => Ok(Self(bytes)),
            _ => Err(DidError::NotEd25519 { what: WHAT }),
        }
    }

    /// The key as PEM (`SubjectPublicKeyInfo`), byte for byte as OpenSSL writes it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::write(pem::PUBLIC_KEY, &der::public(&self.0)).to_string()
    }

    /// Checks a signature over bytes.
    ///
    /// Stricter than RFC 8032 asks: the key and the signature's R must be encoded
    /// canonically and must not be one of the eight points of small order, with
    /// which one signature would fit many messages.
    ///
    /// # Errors
    ///
    /// [`DidError::SignatureMismatch`] whatever the reason.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), DidError> {
        if is_weak(&self.0) || is_weak(&signature.r()) {
            return Err(DidError::SignatureMismatch);
        }
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature.as_bytes())
            .map_err(|_| DidError::SignatureMismatch)
    }

    /// Checks the signature of a text part of an artifact.
    ///
    /// # Errors
    ///
    /// [`DidError::SignatureMismatch`].
    pub fn verify_text(&self, text: &str, signature: &Signature) -> Result<(), DidError> {
        self.verify(text.as_bytes(), signature)
    }

    /// Checks the signature of a part of an artifact.
    ///
    /// # Errors
    ///
    /// [`DidError::SignatureMismatch`].
    pub fn verify_part(
        &self,
        part: &PartPayload<'_>,
        signature: &Signature,
    ) -> Result<(), DidError> {
        self.verify(&part.to_bytes(), signature)
    }
}

impl FromStr for PublicKey {
    type Err = DidError;

    /// Reads base58. Whitespace at the end is ignored.
    fn from_str(text: &str) -> Result<Self, DidError> {
        base58::decode(text, "public key").map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base58())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// Whether an encoded point has small order or a y-coordinate of p or more.
///
/// The sign bit is left out of the comparison. Of the eight points, y is 0 (two),
/// 1, -1, and two values of order 8 (two points each); the non-canonical
/// encodings of 0 and 1 are p and p + 1.
fn is_weak(point: &[u8; 32]) -> bool {
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
            0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77,
            0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = *point;
    y[31] &= 0x7f;
    let zero_or_one = y[0] <= 1 && y[1..].iter().all(|&byte| byte == 0);
    // From p - 1, which is y = -1, up to 2^255 - 1.
    let minus_one_or_over =
        y[31] == 0x7f && y[1..31].iter().all(|&byte| byte == 0xff) && y[0] >= 0xec;
    zero_or_one || minus_one_or_over || ORDER_8.contains(&y)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_signed_verifies_and_nothing_else(
            seed: [u8; 32],
            message: Vec<u8>,
            flip in 0_usize..64,
        ) {
            let key = SigningKey::from_seed(&seed);
            let signature = key.sign(&message);
            prop_assert!(key.public_key().verify(&message, &signature).is_ok());

            let mut longer = message.clone();
            longer.push(0);
            prop_assert!(key.public_key().verify(&longer, &signature).is_err());

            let mut bytes = *signature.as_bytes();
            bytes[flip] ^= 1;
            let forged = Signature::from_bytes(bytes);
            prop_assert!(key.public_key().verify(&message, &forged).is_err());
        }

        #[test]
        fn keys_survive_their_files(seed: [u8; 32]) {
            let key = SigningKey::from_seed(&seed);
            let again = SigningKey::from_pem(&key.to_pkcs8_pem(), None).unwrap();
            prop_assert_eq!(again.public_key(), key.public_key());
            let public = PublicKey::from_pem(&key.public_key().to_pem()).unwrap();
            prop_assert_eq!(public, key.public_key());
            let public: PublicKey = key.public_key().to_base58().parse().unwrap();
            prop_assert_eq!(public, key.public_key());
        }

        #[test]
        fn any_bytes_are_verified_or_refused(key: [u8; 32], r: [u8; 32], s: [u8; 32]) {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&r);
            bytes[32..].copy_from_slice(&s);
            let forged = Signature::from_bytes(bytes);
            prop_assert!(PublicKey::from_bytes(key).verify(b"x", &forged).is_err());
        }
    }

    /// All encodings of the points of small order: eight canonical ones, and
    /// those with a needless sign or with p added.
    fn small_order() -> Vec<[u8; 32]> {
        let hex = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        let byte = |hex: &str, i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
        let mut points = Vec::new();
        for hex in hex {
            let mut point: [u8; 32] = std::array::from_fn(|i| byte(hex, i));
            points.push(point);
            point[31] |= 0x80;
            points.push(point);
        }
        points
    }

    #[test]
    fn a_signature_that_fits_every_message_of_a_small_order_key_is_refused() {
        // With A = R = the identity and S = 0 the equation S·B = R + k·A holds for
        // every message.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&identity);
        let universal = Signature::from_bytes(bytes);
        let ring_alone = UnparsedPublicKey::new(&ED25519, &identity);
        assert!(ring_alone.verify(b"anything", universal.as_bytes()).is_ok());

        assert!(PublicKey::from_bytes(identity).verify(b"anything", &universal).is_err());
    }

    #[test]
    fn every_encoding_of_small_order_is_weak_and_real_keys_are_not() {
        let points = small_order();
        assert_eq!(points.len(), 14);
        for point in points {
            assert!(is_weak(&point), "{point:02x?}");
        }
        for seed in 0..=255 {
            assert!(!is_weak(&SigningKey::from_seed(&[seed; 32]).public.0));
        }
    }

    #[test]
    fn a_seed_is_read_in_either_base64_alphabet() {
        let seed = [0xfb; 32];
        let standard = "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";
        let expected = SigningKey::from_seed(&seed).public_key();
        for text in [standard, "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s"] {
            assert_eq!(SigningKey::from_seed_base64(text).unwrap().public_key(), expected);
        }
        for text in ["", "AAAA", "not base64", &format!("{standard}AAAA")] {
            assert!(SigningKey::from_seed_base64(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SigningKey::from_seed(&[0x41; 32]);
        let shown = format!("{key:?}");
        assert!(shown.contains("[redacted]"));
        assert!(!shown.contains("65, 65") && !shown.contains("4141"));
    }
}
