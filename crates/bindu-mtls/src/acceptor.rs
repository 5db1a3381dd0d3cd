use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bindu_http::server::{Accepted, Acceptor as HttpAcceptor, Protocol};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::Ticketer;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, HandshakeKind, ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::x509::valid_until;
use crate::{Certificates, Peer, PeerError, Trust};

/// Whether clients must present a certificate. One that is presented must be good, either
/// way: a bad one ends the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCert {
    /// Without one there is no connection, not even to public paths.
    Required,
    /// Without one the connection carries no [`Peer`].
    Optional,
}

/// TLS for [`bindu_http::server::Server`]: 1.2 or later, HTTP/1.1 and HTTP/2.
///
/// Each connection gets the certificate that is current when it begins. Sessions are
/// resumed by tickets (RFC 8446, section 2.2), which hold the client's certificate; a
/// resumed session is refused if that has expired or its DID is denied by now, and no
/// session outlives a change of the roots.
///
/// A request of a connection whose client presented a certificate has its [`Peer`] among
/// its extensions.
///
/// ```no_run
/// # async fn run(certificates: bindu_mtls::Certificates) -> std::io::Result<()> {
/// use bindu_http::server::{Config, Server};
/// use bindu_mtls::{Acceptor, ClientCert};
///
/// let server = Server::bind(Config::default(), "0.0.0.0:3773").await?;
/// let server = server.with_acceptor(Acceptor::new(certificates, ClientCert::Required));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Acceptor {
    certificates: Certificates,
    client_cert: ClientCert,
    prepared: Arc<Mutex<Option<Prepared>>>,
}

/// A configuration for as long as the roots stay the same.
#[derive(Clone)]
struct Prepared {
    trust: Arc<Trust>,
    acceptor: TlsAcceptor,
}

impl Acceptor {
    /// Serves with a certificate that may be swapped at any time.
    #[must_use]
    pub fn new(certificates: Certificates, client_cert: ClientCert) -> Self {
        Self { certificates, client_cert, prepared: Arc::default() }
    }

    fn prepared(&self) -> io::Result<Prepared> {
        let trust = self.certificates.trust();
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        match &*prepared {
            Some(prepared) if Arc::ptr_eq(&prepared.trust, &trust) => Ok(prepared.clone()),
            _ => {
                let config = self.config(&trust).map_err(io::Error::other)?;
                let acceptor = TlsAcceptor::from(Arc::new(config));
                Ok(prepared.insert(Prepared { trust, acceptor }).clone())
            }
        }
    }

    /// Ends all sessions, because one has come back that ended by itself. A caller with a
    /// new certificate would else offer its old session again and again. It costs every
    /// other caller one full handshake, and nobody can bring it about twice: his other
    /// tickets are void too.
    fn forget_sessions(&self, trust: &Arc<Trust>) {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.take_if(|prepared| Arc::ptr_eq(&prepared.trust, trust));
    }

    fn config(&self, trust: &Arc<Trust>) -> Result<ServerConfig, Error> {
        let verifier = Verifier {
            trust: Arc::clone(trust),
            mandatory: self.client_cert == ClientCert::Required,
        };
        let mut config = ServerConfig::builder_with_provider(trust.provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(OwnCertificate(self.certificates.clone())));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Keys of its own: what was verified under other roots is not resumed.
        config.ticketer = Ticketer::new()?;
        Ok(config)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("certificates", &self.certificates)
            .field("client_cert", &self.client_cert)
            .finish_non_exhaustive()
    }
}

impl HttpAcceptor for Acceptor {
    type Io = TlsStream<TcpStream>;

    async fn accept(&self, stream: TcpStream, _: SocketAddr) -> io::Result<Accepted<Self::Io>> {
        let Prepared { trust, acceptor } = self.prepared()?;
        let stream = acceptor.accept(stream).await?;
        let (_, connection) = stream.get_ref();
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let peer = connection.peer_certificates().map(|chain| peer(&trust, chain, resumed));
        let peer = peer.transpose().map_err(|error| {
            if resumed {
                self.forget_sessions(&trust);
            }
            io::Error::new(io::ErrorKind::PermissionDenied, error)
        })?;
        let protocol = match connection.alpn_protocol() {
            Some(b"h2") => Some(Protocol::Http2),
            Some(_) => Some(Protocol::Http1),
            None => None,
        };
        let mut accepted = Accepted::new(stream);
        accepted.protocol = protocol;
        Ok(match peer {
            Some(peer) => accepted.with_extension(peer),
            None => accepted,
        })
    }
}

/// Who is there. rustls has verified the chain: now, or when the session began.
fn peer(trust: &Trust, chain: &[CertificateDer<'_>], resumed: bool) -> Result<Peer, Error> {
    let (leaf, intermediates) = chain.split_first().ok_or(PeerError::Encoding)?;
    if resumed && valid_until(chain)? <= SystemTime::now() {
        // The leaf, or a certificate that perhaps has nothing to do with it.
        return trust.client(leaf, intermediates, UnixTime::now());
    }
    Ok(trust.verified_client(leaf)?)
}

/// The certificate of the moment.
struct OwnCertificate(Certificates);

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current().own.certified))
    }
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnCertificate").field(&self.0).finish()
    }
}

#[derive(Debug)]
struct Verifier {
    trust: Arc<Trust>,
    mandatory: bool,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None: clients send what they have. A hint would change with the roots, and tell
    /// strangers about them.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.trust.client(end_entity, intermediates, now) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(error) => {
                tracing::debug!(%error, "a client's certificate was refused");
                Err(error)
            }
        }
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
