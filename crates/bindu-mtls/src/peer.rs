use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bindu_did::Did;
use percent_encoding::percent_decode_str;

use crate::x509::Leaf;
use crate::{Fingerprint, PeerError};

/// Who is at the other end, as its certificate proves it.
///
/// [`Acceptor`](crate::Acceptor) puts it among the extensions of each request of a
/// connection whose client presented a certificate, and [`Connector`](crate::Connector)
/// among those of each response of a server that has one of the private authority. Cheap
/// to clone.
#[derive(Clone)]
pub struct Peer(Arc<Known>);

struct Known {
    did: Option<Did>,
    fingerprint: Fingerprint,
    serial: String,
    not_after: SystemTime,
}

impl Peer {
    pub(crate) fn new(leaf: Leaf, did: Option<Did>) -> Self {
        let Leaf { fingerprint, serial, not_after, .. } = leaf;
        Self(Arc::new(Known { did, fingerprint, serial, not_after }))
    }

    /// Its DID. A client always has one; a server may have none if it was believed for
    /// its host name ([`PeerIdentity`](crate::PeerIdentity)).
    #[must_use]
    pub fn did(&self) -> Option<&Did> {
        self.0.did.as_ref()
    }

    /// The SHA-256 of its certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// The serial number of its certificate, as hexadecimal digits.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.0.serial
    }

    /// When its certificate ends. The connection may live longer.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.0.not_after
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("did", &self.0.did)
            .field("fingerprint", &self.0.fingerprint)
            .field("serial", &self.0.serial)
            .finish_non_exhaustive()
    }
}

/// The DID a certificate names. Only to be asked after its chain was verified.
///
/// In this order: URIs that are DIDs; URIs `<issuer>#<did>`, the DID percent-encoded, if
/// the issuer is the given one; a common name that is a DID, if no URI claims one. A
/// claim of a foreign issuer spoils the certificate: such an authority would put the same
/// claim into the common name.
pub(crate) fn did_of(leaf: &Leaf, issuer: &str) -> Result<Did, PeerError> {
    let claims = leaf.uris.iter().map(|uri| did_of_uri(uri, issuer));
    if let Some(did) = the_one(claims.filter_map(Result::transpose))? {
        return Ok(did);
    }
    let names = leaf.common_names.iter().filter(|name| name.starts_with("did:"));
    the_one(names.map(|name| parse(name)))?.ok_or(PeerError::NoDid)
}

/// The DID that all claims agree on.
fn the_one(claims: impl Iterator<Item = Result<Did, PeerError>>) -> Result<Option<Did>, PeerError> {
    let mut one: Option<Did> = None;
    for did in claims {
        let did = did?;
        if one.as_ref().is_some_and(|one| *one != did) {
            return Err(PeerError::SeveralDids);
        }
        one = Some(did);
    }
    Ok(one)
}

/// The DID in a URI of a certificate, or `None` if the URI is about something else.
fn did_of_uri(uri: &str, issuer: &str) -> Result<Option<Did>, PeerError> {
    if uri.starts_with("did:") {
        // A DID URL names a part of what a DID names: it is no name of a peer.
        if uri.contains('#') {
            return Err(PeerError::InvalidDid);
        }
        return parse(uri).map(Some);
    }
    let Some((by, fragment)) = uri.split_once('#') else { return Ok(None) };
    let decoded = percent_decode_str(fragment).decode_utf8().map_err(|_| PeerError::InvalidDid)?;
    if !decoded.starts_with("did:") {
        return Ok(None);
    }
    let without_slash = |issuer: &str| issuer.strip_suffix('/').unwrap_or(issuer).to_owned();
    if without_slash(by) != without_slash(issuer) {
        return Err(PeerError::ForeignIssuer);
    }
    parse(&decoded).map(Some)
}

fn parse(text: &str) -> Result<Did, PeerError> {
    text.parse().map_err(|_| PeerError::InvalidDid)
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    const ISSUER: &str = "https://hydra.example:4444";
    const ANN: &str = "did:bindu:ann_at_example_com:echo:139e3940-e64b-5491-7220-88d9a0d74162";

    fn read(uri: &str) -> Result<Option<String>, PeerError> {
        Ok(did_of_uri(uri, ISSUER)?.map(|did| did.to_string()))
    }

    #[test]
    fn uris_about_something_else_say_nothing() {
        for uri in [
            "",
            "#",
            "https://agent.example/",
            "https://hydra.example:4444#top",
            "spiffe://example/did:bindu:a:b",
            "urn:did:bindu:a:b",
            "DID:bindu:a:b",
        ] {
            assert_eq!(read(uri), Ok(None), "{uri}");
        }
    }

    #[test]
    fn what_claims_to_be_a_did_must_be_one_and_of_our_issuer() {
        for (uri, error) in [
            ("did:bindu", PeerError::InvalidDid),
            ("did:bindu:a:b#key-1", PeerError::InvalidDid),
            ("https://hydra.example:4444#did:", PeerError::InvalidDid),
            ("https://hydra.example:4444#did:bindu:a:b%00", PeerError::InvalidDid),
            ("https://hydra.example:4444#did:bindu:a:%ff", PeerError::InvalidDid),
            ("https://hydra.example#did:bindu:a:b", PeerError::ForeignIssuer),
            ("https://hydra.example:4444/x#did:bindu:a:b", PeerError::ForeignIssuer),
            ("https://hydra.example:4444//#did:bindu:a:b", PeerError::ForeignIssuer),
            ("HTTPS://hydra.example:4444#did:bindu:a:b", PeerError::ForeignIssuer),
            ("#did:bindu:a:b", PeerError::ForeignIssuer),
            ("https://evil.example/#https://hydra.example:4444#did:bindu:a:b", PeerError::NoDid),
        ] {
            let expected = if error == PeerError::NoDid { Ok(None) } else { Err(error) };
            assert_eq!(read(uri), expected, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn a_did_reads_back_however_much_of_it_is_encoded(
            author in "[a-z_+é ]{1,12}", name in "[a-zA-Z0-9_/-]{1,12}", slash in any::<bool>(),
        ) {
            let did = format!("did:bindu:{author}:{name}:139e3940-e64b-5491-7220-88d9a0d74162");
            prop_assume!(did.parse::<Did>().is_ok());
            let slash = if slash { "/" } else { "" };
            let encoded = utf8_percent_encode(&did, NON_ALPHANUMERIC);
            prop_assert_eq!(read(&format!("{ISSUER}{slash}#{encoded}")), Ok(Some(did.clone())));
            prop_assert_eq!(read(&format!("{ISSUER}{slash}#{did}")), Ok(Some(did)));
        }

        #[test]
        fn whatever_is_in_a_uri_only_our_issuer_or_a_bare_did_gives_a_did(uri in "\\PC{0,80}") {
            if let Ok(Some(did)) = read(&uri) {
                prop_assert!(uri == did || uri.starts_with(ISSUER));
            }
        }

        #[test]
        fn no_other_issuer_is_believed(issuer in "[a-z:/.#0-9%-]{0,40}") {
            prop_assume!(issuer.trim_end_matches('/') != ISSUER);
            let read = read(&format!("{issuer}#{ANN}"));
            prop_assert!(!matches!(read, Ok(Some(_))), "{:?}", read);
        }
    }
}
