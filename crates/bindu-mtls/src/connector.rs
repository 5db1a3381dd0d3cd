use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bindu_did::Did;
use bindu_http::client::{Connected, Connector as HttpConnector, PlainConnector, Target};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::x509::valid_until;
use crate::{Certificates, Fingerprint, Peer, PeerError, Trust};

/// Servers whose sessions are remembered at one time.
const MOST_SESSIONS: usize = 1024;

/// TLS for [`bindu_http::client::Client`]: presents our certificate, and knows agents by
/// their DID.
///
/// A server whose chain ends in the private roots must name the
/// [expected](Self::expecting) DID, if one is expected; any other must have a public
/// certificate for the URL's host. [`PeerRules`](crate::PeerRules) says more. `http` URLs
/// pass in the clear.
///
/// Responses of servers of the private roots have the [`Peer`] among their extensions.
/// Whoever learns the DID of an agent only from what it says can compare the two there.
///
/// Sessions are resumed, but never beyond the life of either certificate, nor across a
/// change of ours. Clones share them.
///
/// ```no_run
/// # fn run(certificates: bindu_mtls::Certificates, peer: bindu_did::Did) {
/// use std::sync::Arc;
///
/// use bindu_http::client::Client;
/// use bindu_mtls::Connector;
///
/// let connector = Connector::new(certificates).expecting(peer);
/// let client = Client::builder().connector(Arc::new(connector)).build();
/// # }
/// ```
#[derive(Clone)]
pub struct Connector {
    identity: Identity,
    expected: Option<Did>,
    /// The protocol that is offered by ALPN.
    protocol: &'static [u8],
    sessions: Arc<Mutex<Sessions>>,
}

/// By host and port.
type Sessions = HashMap<(String, u16), Arc<Session>>;

#[derive(Clone)]
enum Identity {
    Own(Certificates),
    Anonymous(Arc<Trust>),
}

impl Connector {
    /// Presents our certificate to servers that ask for one, and believes what
    /// [`Certificates::trust`] believes at the time.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        Self::of(Identity::Own(certificates))
    }

    /// Presents no certificate.
    #[must_use]
    pub fn anonymous(trust: Trust) -> Self {
        Self::of(Identity::Anonymous(Arc::new(trust)))
    }

    fn of(identity: Identity) -> Self {
        Self { identity, expected: None, protocol: b"http/1.1", sessions: Arc::default() }
    }

    /// The same, but only for servers that are this DID. Sessions begin anew.
    #[must_use]
    pub fn expecting(&self, did: Did) -> Self {
        let protocol = self.protocol;
        Self { expected: Some(did), protocol, ..Self::of(self.identity.clone()) }
    }

    /// The same, but for connections that speak HTTP/2, such as gRPC.
    #[must_use]
    pub fn speaking_http2(&self) -> Self {
        let expected = self.expected.clone();
        Self { expected, protocol: b"h2", ..Self::of(self.identity.clone()) }
    }

    /// Performs the handshake with a server over a connection that is there, and verifies that it
    /// is who `host` names or, if one is expected, the DID.
    ///
    /// # Errors
    ///
    /// Why the handshake failed; [`PeerError::find`](crate::PeerError::find) tells what was wrong
    /// with the server's certificate.
    pub async fn handshake(&self, host: &str, port: u16, tcp: TcpStream) -> io::Result<Connected> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let now = SystemTime::now();
        let session = self.session(host, port, now).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&session.config));
        let stream = connector.connect(name, tcp).await?;
        let (_, connection) = stream.get_ref();
        let chain = connection.peer_certificates().unwrap_or_default();
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let peer = session.verifier.verified(chain, resumed.then_some(now))?;
        let connected = Connected::new(stream);
        Ok(match peer {
            Some(peer) => connected.with_extension(peer),
            None => connected,
        })
    }

    /// What to connect with: the session of the last time, if nothing has changed since.
    fn session(&self, host: &str, port: u16, now: SystemTime) -> Result<Arc<Session>, Error> {
        let (trust, own) = match &self.identity {
            Identity::Own(certificates) => {
                let current = certificates.current();
                (Arc::clone(&current.trust), Some(Arc::clone(&current.own.certified)))
            }
            Identity::Anonymous(trust) => (Arc::clone(trust), None),
        };
        let key = (host.to_owned(), port);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&key) {
            let same_own = match (&session.own, &own) {
                (Some(then), Some(now)) => Arc::ptr_eq(then, now),
                (None, None) => true,
                _ => false,
            };
            let same_trust = Arc::ptr_eq(&session.verifier.trust, &trust);
            if same_own && same_trust && !session.verifier.has_expired(now) {
                return Ok(Arc::clone(session));
            }
        }
        let session = Arc::new(Session::new(trust, own, self.expected.clone(), self.protocol)?);
        if sessions.len() >= MOST_SESSIONS {
            sessions.clear();
        }
        sessions.insert(key, Arc::clone(&session));
        Ok(session)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let did = match &self.identity {
            Identity::Own(certificates) => Some(certificates.did()),
            Identity::Anonymous(_) => None,
        };
        f.debug_struct("Connector")
            .field("own", &did)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
        tcp: TcpStream,
    ) -> Pin<Box<dyn Future<Output = io::Result<Connected>> + Send + 'a>> {
        if !target.https {
            return PlainConnector.connect(target, tcp);
        }
        Box::pin(self.handshake(&target.host, target.port, tcp))
    }

    /// Changes with each change of our certificate or of the roots, so that connections made with
    /// an old one serve no request after it.
    fn generation(&self) -> u64 {
        match &self.identity {
            Identity::Own(certificates) => certificates.current().generation,
            Identity::Anonymous(_) => 0,
        }
    }
}

/// What connections to one server share: tickets, and what was verified.
struct Session {
    own: Option<Arc<rustls::sign::CertifiedKey>>,
    verifier: Arc<Verifier>,
    config: Arc<ClientConfig>,
}

impl Session {
    fn new(
        trust: Arc<Trust>,
        own: Option<Arc<rustls::sign::CertifiedKey>>,
        expected: Option<Did>,
        protocol: &[u8],
    ) -> Result<Self, Error> {
        let provider = trust.provider();
        let verifier = Arc::new(Verifier { trust, expected, verified: Mutex::default() });
        let of_verifier: Arc<dyn ServerCertVerifier> = Arc::<Verifier>::clone(&verifier);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(of_verifier);
        let mut config = match &own {
            Some(own) => {
                let resolver: Arc<dyn ResolvesClientCert> =
                    Arc::new(SingleCertAndKey::from(Arc::clone(own)));
                builder.with_client_cert_resolver(resolver)
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::in_memory_sessions(2);
        Ok(Self { own, verifier, config: Arc::new(config) })
    }
}

/// Verifies servers, and remembers whom: a resumed session has no certificate to verify,
/// only the memory of one.
struct Verifier {
    trust: Arc<Trust>,
    expected: Option<Did>,
    verified: Mutex<HashMap<Fingerprint, Verified>>,
}

struct Verified {
    peer: Option<Peer>,
    until: SystemTime,
}

impl Verifier {
    /// The peer with this chain, which this verifier must have verified; at another time,
    /// if the session was `resumed` now, so it must still be valid.
    fn verified(
        &self,
        chain: &[CertificateDer<'_>],
        resumed: Option<SystemTime>,
    ) -> Result<Option<Peer>, PeerError> {
        let leaf = chain.first().ok_or(PeerError::Encoding)?;
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let known = verified.get(&Fingerprint::of(leaf)).ok_or(PeerError::Encoding)?;
        if resumed.is_some_and(|now| known.until <= now) {
            return Err(PeerError::Expired);
        }
        Ok(known.peer.clone())
    }

    fn has_expired(&self, now: SystemTime) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.values().any(|known| known.until <= now)
    }

    fn remember(&self, chain: &[CertificateDer<'_>], peer: Option<Peer>) -> Result<(), PeerError> {
        let leaf = chain.first().ok_or(PeerError::Encoding)?;
        // Public authorities write certificates that we need not be able to read.
        let until = match (valid_until(chain), &peer) {
            (Err(_), None) => SystemTime::now() + Duration::from_hours(1),
            (until, _) => until?,
        };
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        // One server has few certificates; many servers may stand behind one name.
        if verified.len() >= MOST_SESSIONS {
            verified.clear();
        }
        verified.insert(Fingerprint::of(leaf), Verified { peer, until });
        Ok(())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("expected", &self.expected).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let expected = self.expected.as_ref();
        let peer = self.trust.server(end_entity, intermediates, server_name, expected, now)?;
        let chain: Vec<_> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        self.remember(&chain, peer)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let provider = self.trust.provider();
        verify_tls12_signature(message, cert, signed, &provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let provider = self.trust.provider();
        verify_tls13_signature(message, cert, signed, &provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.provider().signature_verification_algorithms.supported_schemes()
    }
}
