//! What we read of a certificate ourselves. Chains and signatures are rustls' affair.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use x509_cert::der::asn1::{AnyRef, Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};
use x509_cert::{Certificate, TbsCertificate};

use crate::{Fingerprint, PeerError, fingerprint};

/// Which side of a connection a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Client,
    Server,
}

/// The parts of a certificate that matter here.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) serial: String,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) uris: Vec<String>,
    pub(crate) common_names: Vec<String>,
    usages: Vec<ObjectIdentifier>,
}

impl Leaf {
    pub(crate) fn parse(der: &CertificateDer<'_>) -> Result<Self, PeerError> {
        let read = Certificate::from_der(der).map_err(|_| PeerError::Encoding)?.tbs_certificate;
        Ok(Self {
            fingerprint: Fingerprint::of(der),
            serial: fingerprint::hex(read.serial_number.as_bytes(), ""),
            not_before: read.validity.not_before.to_system_time(),
            not_after: read.validity.not_after.to_system_time(),
            uris: uris(&read)?,
            common_names: common_names(&read)?,
            usages: usages(&read)?,
        })
    }

    /// Whether it says that it is for this side. A certificate that says nothing of its
    /// use is for neither: authorities of agents always say.
    pub(crate) fn is_for(&self, usage: Usage) -> bool {
        self.usages.contains(match usage {
            Usage::Client => &ID_KP_CLIENT_AUTH,
            Usage::Server => &ID_KP_SERVER_AUTH,
        })
    }
}

/// When the first certificate of a chain ends.
pub(crate) fn valid_until(chain: &[CertificateDer<'_>]) -> Result<SystemTime, PeerError> {
    let ends = chain.iter().map(|der| Leaf::parse(der).map(|leaf| leaf.not_after));
    ends.reduce(|first, next| Ok(first?.min(next?))).unwrap_or(Err(PeerError::Encoding))
}

fn uris(read: &TbsCertificate) -> Result<Vec<String>, PeerError> {
    let names = read.get::<SubjectAltName>().map_err(|_| PeerError::Encoding)?;
    let names = names.map_or_else(Vec::new, |(_, names)| names.0);
    Ok(names
        .into_iter()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.to_string()),
            _ => None,
        })
        .collect())
}

fn usages(read: &TbsCertificate) -> Result<Vec<ObjectIdentifier>, PeerError> {
    let usages = read.get::<ExtendedKeyUsage>().map_err(|_| PeerError::Encoding)?;
    Ok(usages.map_or_else(Vec::new, |(_, usages)| usages.0))
}

fn common_names(read: &TbsCertificate) -> Result<Vec<String>, PeerError> {
    let attributes = read.subject.0.iter().flat_map(|part| part.0.iter());
    let names = attributes.filter(|attribute| attribute.oid == COMMON_NAME);
    names.map(|name| text(AnyRef::from(&name.value)).ok_or(PeerError::Encoding)).collect()
}

/// A string in one of the encodings that authorities use. The length is not looked at: a
/// DID is longer than the 64 characters that a common name may have.
fn text(value: AnyRef<'_>) -> Option<String> {
    Some(match value.tag() {
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().ok()?.as_str().to_owned(),
        Tag::PrintableString => {
            value.decode_as::<PrintableStringRef<'_>>().ok()?.as_str().to_owned()
        }
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().ok()?.as_str().to_owned(),
        // Nothing that could be a DID.
        _ => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use proptest::prelude::*;
    use proptest::sample::Index;
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, SanType, date_time_ymd};

    use super::*;

    const URI: &str = "https://hydra.example#did:bindu:ann:echo:139e3940";

    static GOOD: LazyLock<CertificateDer<'static>> = LazyLock::new(|| {
        let mut params = CertificateParams::new(vec!["agent.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::URI(URI.try_into().unwrap()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date_time_ymd(2026, 1, 2);
        params.not_after = date_time_ymd(2026, 1, 3);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    });

    #[test]
    fn what_an_authority_wrote_is_read() -> Result<(), PeerError> {
        let leaf = Leaf::parse(&GOOD)?;
        assert_eq!(leaf.uris, [URI]);
        assert_eq!(leaf.common_names, ["rcgen self signed cert"]);
        assert!(leaf.is_for(Usage::Client) && !leaf.is_for(Usage::Server));
        assert_eq!(leaf.not_after, leaf.not_before + Duration::from_hours(24));
        assert_eq!(leaf.fingerprint, Fingerprint::of(&GOOD));
        let twice = [GOOD.clone(), GOOD.clone()];
        assert_eq!(valid_until(&twice), Ok(leaf.not_after));
        assert_eq!(valid_until(&[]), Err(PeerError::Encoding));
        Ok(())
    }

    proptest! {
        #[test]
        fn certificates_made_by_an_enemy_are_read_or_refused(
            changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..8),
            length in any::<Index>(), cut in any::<bool>(),
        ) {
            let mut der = GOOD.to_vec();
            for (at, byte) in &changes {
                let at = at.index(der.len());
                der[at] = *byte;
            }
            if cut {
                der.truncate(length.index(der.len()));
            }
            let read = Leaf::parse(&CertificateDer::from(der.clone()));
            // What was cut is never read, and what is read says nothing of its own.
            prop_assert!(read.is_err() || !cut);
            if let Ok(leaf) = read {
                for uri in &leaf.uris {
                    prop_assert!(der.windows(uri.len()).any(|part| part == uri.as_bytes()));
                }
            }
        }

        #[test]
        fn noise_is_no_certificate(der in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Leaf::parse(&CertificateDer::from(der)).err(), Some(PeerError::Encoding));
        }
    }
}
