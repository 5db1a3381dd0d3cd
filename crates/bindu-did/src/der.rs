//! The DER of Ed25519 keys: PKCS#8 (RFC 5208, RFC 5958) and
//! `SubjectPublicKeyInfo`, both with the identifiers of RFC 8410.

use zeroize::Zeroizing;

/// `SEQUENCE { SEQUENCE { OID 1.3.101.112 } BIT STRING { 32 bytes } }`
const PUBLIC: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// `SEQUENCE { INTEGER 0, SEQUENCE { OID }, OCTET STRING { OCTET STRING { 32 bytes } } }`
const PRIVATE: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// The OID alone, as the content of an `AlgorithmIdentifier` without parameters.
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const ATTRIBUTES: u8 = 0xa0;
const PUBLIC_PART: u8 = 0x81;

pub(crate) fn public(key: &[u8; 32]) -> [u8; 44] {
    let mut der = [0; 44];
    der[..12].copy_from_slice(&PUBLIC);
    der[12..].copy_from_slice(key);
    der
}

pub(crate) fn parse_public(der: &[u8]) -> Option<[u8; 32]> {
    der.strip_prefix(&PUBLIC)?.try_into().ok()
}

pub(crate) fn private(seed: &[u8; 32]) -> Zeroizing<[u8; 48]> {
    let mut der = Zeroizing::new([0; 48]);
    der[..16].copy_from_slice(&PRIVATE);
    der[16..].copy_from_slice(seed);
    der
}

pub(crate) struct PrivateKey {
    pub(crate) seed: Zeroizing<[u8; 32]>,
    pub(crate) public: Option<[u8; 32]>,
}

/// Reads version 1 and version 2.
pub(crate) fn parse_private(der: &[u8]) -> Option<PrivateKey> {
    let mut outer = Reader(der);
    let mut fields = Reader(outer.take(SEQUENCE)?);
    outer.end()?;
    let version = fields.take(INTEGER)?;
    if fields.take(SEQUENCE)? != ED25519 {
        return None;
    }
    let mut octets = Reader(fields.take(OCTET_STRING)?);
    let seed = octets.take(OCTET_STRING)?.try_into().ok()?;
    octets.end()?;
    if fields.next_is(ATTRIBUTES) {
        fields.take(ATTRIBUTES)?;
    }
    let public = match version {
        // A bit string: one byte that counts unused bits, then the key.
        [1] if fields.next_is(PUBLIC_PART) => {
            Some(fields.take(PUBLIC_PART)?.strip_prefix(&[0])?.try_into().ok()?)
        }
        [0 | 1] => None,
        _ => return None,
    };
    fields.end()?;
    Some(PrivateKey { seed: Zeroizing::new(seed), public })
}

/// Walks over the fields of a DER value.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next_is(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    /// The content of the next field, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            0x81 => {
                let (&length, rest) = rest.split_first()?;
                (usize::from(length), rest)
            }
            // An Ed25519 key is never longer, unless stuffed with attributes.
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (found == tag).then_some(content)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version_2(seed: [u8; 32], public: [u8; 32]) -> Vec<u8> {
        let mut der = vec![0x30, 0x51, 0x02, 0x01, 0x01];
        der.extend(&PRIVATE[5..]);
        der.extend(seed);
        der.extend([0x81, 0x21, 0x00]);
        der.extend(public);
        der
    }

    #[test]
    fn both_versions_of_pkcs8_are_read() {
        let first = parse_private(&*private(&[7; 32])).unwrap();
        assert_eq!((*first.seed, first.public), ([7; 32], None));
        let second = parse_private(&version_2([7; 32], [8; 32])).unwrap();
        assert_eq!((*second.seed, second.public), ([7; 32], Some([8; 32])));
    }

    #[test]
    fn a_public_half_of_another_pair_is_noticed() {
        let key = crate::SigningKey::from_seed(&[7; 32]);
        let right = version_2([7; 32], *key.public_key().as_bytes());
        assert!(crate::SigningKey::from_pkcs8_der(&right).is_ok());
        let wrong = crate::SigningKey::from_pkcs8_der(&version_2([7; 32], [8; 32]));
        assert_eq!(wrong.unwrap_err().to_string(), "private key does not match public key");
    }

    #[test]
    fn a_file_cut_short_or_too_long_is_refused() {
        let whole = version_2([7; 32], [8; 32]);
        for length in 0..whole.len() {
            assert!(parse_private(&whole[..length]).is_none(), "{length} bytes");
        }
        assert!(parse_private(&[whole.as_slice(), &[0]].concat()).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>, at in 0_usize..83, byte: u8) {
            let _ = parse_private(&bytes);
            let mut near = version_2([7; 32], [8; 32]);
            near[at] = byte;
            let _ = parse_private(&near);
        }
    }
}
