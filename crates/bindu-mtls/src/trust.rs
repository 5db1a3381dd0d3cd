use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bindu_did::Did;
use bindu_http::client::native_root_store;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, RootCertStore};

use crate::peer::did_of;
use crate::x509::{Leaf, Usage};
use crate::{MtlsError, Peer, PeerError, PeerIdentity, PeerRules};

/// The roots that are believed, and the rules by which a certificate becomes a DID.
///
/// What an agent with [`Certificates`](crate::Certificates) trusts comes from there;
/// this is for programs that only call: [`Connector::anonymous`](crate::Connector::anonymous).
#[derive(Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    public: Option<Arc<RootCertStore>>,
    provider: Arc<CryptoProvider>,
    rules: Arc<PeerRules>,
}

impl Trust {
    /// Trusts the certificates in `pem` as private authorities. With
    /// [`PeerRules::public_roots`] it reads what the system trusts, which takes a moment.
    ///
    /// # Errors
    ///
    /// [`MtlsError::Roots`] if there is no certificate in it, or a broken one.
    pub fn from_pem(pem: &[u8], rules: PeerRules) -> Result<Self, MtlsError> {
        let public = if rules.public_roots { public_roots() } else { None };
        Self::new(&read_certificates(pem)?, public, Arc::new(rules))
    }

    pub(crate) fn new(
        certificates: &[CertificateDer<'static>],
        public: Option<Arc<RootCertStore>>,
        rules: Arc<PeerRules>,
    ) -> Result<Self, MtlsError> {
        let no_roots = |reason: &str, source| MtlsError::Roots { reason: reason.into(), source };
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots
                .add(certificate.clone())
                .map_err(|error| no_roots("one cannot be a root", Some(error.into())))?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(ring::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(|error| no_roots("there must be at least one", Some(error.into())))?;
        Ok(Self { roots, clients, public, provider, rules })
    }

    pub(crate) fn provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.provider)
    }

    /// Who a client with this chain is.
    pub(crate) fn client(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Peer, rustls::Error> {
        self.clients.verify_client_cert(end_entity, intermediates, now)?;
        Ok(self.verified_client(end_entity)?)
    }

    /// Who a client is whose chain was verified before, under these same roots.
    pub(crate) fn verified_client(
        &self,
        end_entity: &CertificateDer<'_>,
    ) -> Result<Peer, PeerError> {
        let leaf = Leaf::parse(end_entity)?;
        if !leaf.is_for(Usage::Client) {
            return Err(PeerError::Usage);
        }
        let did = did_of(&leaf, &self.rules.issuer)?;
        self.let_in(&did)?;
        Ok(Peer::new(leaf, Some(did)))
    }

    /// Who a server with this chain is; `None` if all that is known is that it has the
    /// public certificate of its host.
    pub(crate) fn server(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        expected: Option<&Did>,
        now: UnixTime,
    ) -> Result<Option<Peer>, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let verify = |roots| {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                roots,
                intermediates,
                now,
                algorithms,
            )
        };
        let Err(private) = verify(&self.roots) else {
            return self.private_server(end_entity, &parsed, name, expected).map(Some);
        };
        let Some(public) = &self.public else { return Err(private) };
        match verify(public) {
            Ok(()) => verify_server_name(&parsed, name).map(|()| None),
            // Neither knows it, or the private authority does but it is, say, expired.
            Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Err(private),
            Err(error) => Err(error),
        }
    }

    fn private_server(
        &self,
        end_entity: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        name: &ServerName<'_>,
        expected: Option<&Did>,
    ) -> Result<Peer, rustls::Error> {
        let leaf = Leaf::parse(end_entity)?;
        if !leaf.is_for(Usage::Server) {
            return Err(PeerError::Usage.into());
        }
        let did = did_of(&leaf, &self.rules.issuer);
        if let Ok(did) = &did {
            self.let_in(did)?;
        }
        let is_expected = |found: Did| match expected {
            Some(expected) if *expected != found => {
                Err(PeerError::Unexpected { expected: expected.clone(), found })
            }
            _ => Ok(found),
        };
        let did = match (self.rules.identity, did) {
            (PeerIdentity::Hostname, did) => {
                verify_server_name(parsed, name)?;
                did.ok()
            }
            (PeerIdentity::Either, Err(PeerError::NoDid)) => {
                verify_server_name(parsed, name)?;
                None
            }
            (PeerIdentity::Did | PeerIdentity::Either, did) => Some(is_expected(did?)?),
        };
        Ok(Peer::new(leaf, did))
    }

    /// Whether this chain is good for both sides of a connection: for our own.
    pub(crate) fn own(&self, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), String> {
        let (end_entity, intermediates) = chain.split_first().ok_or("it is empty")?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
        let now = UnixTime::since_unix_epoch(now);
        let parsed = ParsedCertificate::try_from(end_entity).map_err(|error| error.to_string())?;
        self.clients
            .verify_client_cert(end_entity, intermediates, now)
            .map_err(|error| error.to_string())?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )
        .map_err(|error| error.to_string())
    }

    /// The DID in our own certificate.
    pub(crate) fn own_did(&self, leaf: &Leaf) -> Result<Did, PeerError> {
        did_of(leaf, &self.rules.issuer)
    }

    fn let_in(&self, did: &Did) -> Result<(), PeerError> {
        if self.rules.denied.contains(did) {
            return Err(PeerError::Denied(did.clone()));
        }
        Ok(())
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("roots", &self.roots.len())
            .field("public", &self.public.is_some())
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}

/// What the system trusts; nothing, with a warning, if it has no trust store.
pub(crate) fn public_roots() -> Option<Arc<RootCertStore>> {
    match native_root_store() {
        Ok(roots) => Some(Arc::new(roots)),
        Err(error) => {
            tracing::warn!(%error, "servers with public certificates cannot be verified");
            None
        }
    }
}

/// The certificates in a PEM text, at least one.
pub(crate) fn read_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, MtlsError> {
    let no_roots = |reason: &str, source| MtlsError::Roots { reason: reason.into(), source };
    let read: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| no_roots("the PEM is broken", Some(error.into())))?;
    if read.is_empty() {
        return Err(no_roots("there is no certificate in PEM", None));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
        ExtendedKeyUsagePurpose as Eku, IsCa, KeyPair, SanType,
    };

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    const ANN: &str = "did:bindu:ann:echo:139e3940-e64b-5491-7220-88d9a0d74162";
    const BEN: &str = "did:bindu:ben:shout:53cbcb43-82ef-8a50-ba7c-f79217d463de";
    const BOTH: &[Eku] = &[Eku::ServerAuth, Eku::ClientAuth];

    fn authority() -> Result<Authority, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate()?)
    }

    fn leaf(
        authority: &Authority,
        common_name: &str,
        uris: &[&str],
        usages: &[Eku],
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into()?));
        }
        params.extended_key_usages = usages.to_vec();
        Ok(params.signed_by(&KeyPair::generate()?, authority)?.der().clone())
    }

    fn reason(error: &rustls::Error) -> PeerError {
        PeerError::find(error).cloned().unwrap_or_else(|| panic!("for another reason: {error}"))
    }

    #[test]
    fn a_client_is_refused_for_the_reason_that_is() -> Result<(), Box<dyn std::error::Error>> {
        let authority = authority()?;
        let rules = PeerRules {
            issuer: "https://issuer".into(),
            denied: [BEN.parse()?].into(),
            public_roots: false,
            ..PeerRules::default()
        };
        let trust = Trust::new(&[authority.der().clone()], None, Arc::new(rules))?;
        let who = |common_name: &str, uris: &[&str], usages: &[Eku]| {
            let leaf = leaf(&authority, common_name, uris, usages)?;
            let peer = trust.client(&leaf, &[], UnixTime::now());
            let did = |peer: Peer| peer.did().map(ToString::to_string);
            Ok::<_, rcgen::Error>(peer.map(did).map_err(|error| reason(&error)))
        };
        let of_issuer = format!("https://issuer#{ANN}");
        let ann = Ok(Some(ANN.to_owned()));
        assert_eq!(who(ANN, &[&of_issuer], BOTH)?, ann);
        assert_eq!(who(ANN, &[], &[Eku::ClientAuth])?, ann);
        assert_eq!(who(ANN, &["https://agent.example/"], BOTH)?, ann);
        // Without any usage rustls itself has no objection.
        assert_eq!(who(ANN, &[&of_issuer], &[])?, Err(PeerError::Usage));
        assert_eq!(who("ann", &[], BOTH)?, Err(PeerError::NoDid));
        assert_eq!(who("did:bindu", &[], BOTH)?, Err(PeerError::InvalidDid));
        assert_eq!(who(ANN, &[&of_issuer, BEN], BOTH)?, Err(PeerError::SeveralDids));
        let foreign = format!("https://elsewhere#{ANN}");
        assert_eq!(who(ANN, &[&foreign], BOTH)?, Err(PeerError::ForeignIssuer));
        assert_eq!(who(ANN, &[&of_issuer, &foreign], BOTH)?, Err(PeerError::ForeignIssuer));
        assert_eq!(who("x", &[BEN], BOTH)?, Err(PeerError::Denied(BEN.parse()?)));
        Ok(())
    }

    #[test]
    fn a_public_certificate_counts_for_its_host_and_for_no_did()
    -> Result<(), Box<dyn std::error::Error>> {
        let (private, public) = (authority()?, authority()?);
        let mut store = RootCertStore::empty();
        store.add(public.der().clone())?;
        let trust = Trust::new(&[private.der().clone()], Some(Arc::new(store)), Arc::default())?;
        let mut params = CertificateParams::new(vec!["agent.example".to_owned()])?;
        params.subject_alt_names.push(SanType::URI(ANN.try_into()?));
        let leaf = params.signed_by(&KeyPair::generate()?, &public)?;
        let ask = |name: &'static str| {
            let name = ServerName::try_from(name)?;
            let peer = trust.server(leaf.der(), &[], &name, Some(&ANN.parse()?), UnixTime::now());
            Ok::<_, Box<dyn std::error::Error>>(peer)
        };
        assert!(ask("agent.example")?.is_ok_and(|peer| peer.is_none()));
        assert!(ask("other.example")?.is_err());
        // And a client with it is nobody's.
        assert!(trust.client(leaf.der(), &[], UnixTime::now()).is_err());
        Ok(())
    }
}
