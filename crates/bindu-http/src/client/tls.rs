use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls::{WantsVerifier, client::WantsClientCert};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connect::{Connected, Connector, PlainConnector, Target};
use crate::BoxError;

/// Speaks `https` through rustls, and `http` in the clear. Needs the feature `tls`.
///
/// Certificates are checked against the URL's host (RFC 9525), TLS is 1.2 or later, and
/// sessions are resumed. Clones share the sessions.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use bindu_http::client::{Client, Tls};
///
/// let client = Client::builder().connector(Arc::new(Tls::native_roots()?)).build();
/// # Ok::<(), bindu_http::client::TlsError>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    trust: &'static str,
}

/// Why there is no [`Tls`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The system has no trust store, or none of it could be read.
    #[error("the system has no root certificates")]
    NoNativeRoots(#[source] Option<BoxError>),
    /// What should be root certificates in PEM is not.
    #[error("no root certificate in PEM")]
    NoRoots(#[source] Option<BoxError>),
}

impl Tls {
    /// Uses a configuration as it is: roots, client certificate, ALPN. The latter should
    /// be `http/1.1` or nothing, which is all that the client speaks.
    #[must_use]
    pub const fn new(config: Arc<ClientConfig>) -> Self {
        Self { config, trust: "configured" }
    }

    /// Trusts what the system trusts. Reads its store each time, so make one and clone it.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoNativeRoots`].
    pub fn native_roots() -> Result<Self, TlsError> {
        Ok(Self::trusting(native_root_store()?, "native"))
    }

    /// Trusts the certificates in `pem` (one or more `BEGIN CERTIFICATE` blocks): a
    /// private authority. With `also_native`, what the system trusts too; a system
    /// without a trust store is then no error.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoRoots`] if `pem` holds no certificate, or a broken one.
    ///
    /// ```
    /// # use bindu_http::client::{Tls, TlsError};
    /// assert!(matches!(Tls::with_roots(b"no PEM", true), Err(TlsError::NoRoots(_))));
    /// ```
    pub fn with_roots(pem: &[u8], also_native: bool) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| TlsError::NoRoots(Some(error.into())))?;
            roots.add(certificate).map_err(|error| TlsError::NoRoots(Some(error.into())))?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoRoots(None));
        }
        if also_native && let Err(error) = add_native(&mut roots) {
            tracing::warn!(%error, "trusting the given root certificates only");
        }
        Ok(Self::trusting(roots, "given"))
    }

    /// Trusts whatever certificate comes: whoever can sit between us and the peer reads
    /// and changes everything. For development; logs a warning.
    #[must_use]
    pub fn dangerously_unverified() -> Self {
        tracing::warn!("TLS certificates are not verified: anybody can pose as the peer");
        Self::unverified_but_compared()
    }

    /// The same without a warning: for a question whose answer is compared with what is
    /// known from elsewhere, such as a root certificate with its fingerprint. Nothing
    /// secret may be sent along.
    #[must_use]
    pub fn unverified_but_compared() -> Self {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(NoVerification(Arc::clone(&provider)));
        let builder = builder(provider).dangerous().with_custom_certificate_verifier(verifier);
        Self::without_certificate(builder, "none")
    }

    fn trusting(roots: RootCertStore, trust: &'static str) -> Self {
        let builder = builder(Arc::new(ring::default_provider())).with_root_certificates(roots);
        Self::without_certificate(builder, trust)
    }

    fn without_certificate(
        builder: ConfigBuilder<ClientConfig, WantsClientCert>,
        trust: &'static str,
    ) -> Self {
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { config: Arc::new(config), trust }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Connector for Tls {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
        tcp: TcpStream,
    ) -> Pin<Box<dyn Future<Output = io::Result<Connected>> + Send + 'a>> {
        if !target.https {
            return PlainConnector.connect(target, tcp);
        }
        Box::pin(async move {
            let name = ServerName::try_from(target.host.clone())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let connector = TlsConnector::from(Arc::clone(&self.config));
            Ok(Connected::new(connector.connect(name, tcp).await?))
        })
    }
}

fn builder(provider: Arc<CryptoProvider>) -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has suites for the default versions")
}

/// What the system trusts, for a rustls configuration of one's own. Reads its store each
/// time. Needs the feature `tls`.
///
/// # Errors
///
/// [`TlsError::NoNativeRoots`].
pub fn native_root_store() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    add_native(&mut roots)?;
    Ok(roots)
}

fn add_native(roots: &mut RootCertStore) -> Result<(), TlsError> {
    let found = rustls_native_certs::load_native_certs();
    // Stores hold a few certificates that no verifier takes; the others are what counts.
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, "read the system's root certificates");
    if added == 0 {
        let first = found.errors.into_iter().next();
        return Err(TlsError::NoNativeRoots(first.map(Into::into)));
    }
    Ok(())
}

/// Takes any certificate, but still checks that the peer has its key.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
