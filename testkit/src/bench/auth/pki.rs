//! A root, and certificates below it as step-ca issues them.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use bindu_did::Did;
use bindu_http::server::{Accepted, Acceptor};
use bindu_mtls::{Certificates, ClientCert, Config, PeerRules};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How many sessions a client keeps.
const SESSIONS: usize = 8;

/// The certificates of an agent and of its caller.
pub(super) struct Pki {
    folder: PathBuf,
    issuer: String,
    agent: Did,
    root: CertificateDer<'static>,
    server: Pair,
    caller: Pair,
}

/// A chain and its key, in PEM.
struct Pair {
    chain: String,
    key: String,
}

type Parts = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Pair {
    fn parts(&self) -> anyhow::Result<Parts> {
        let chain =
            CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<_, _>>()?;
        Ok((chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes())?))
    }
}

impl Pki {
    /// Makes all of it; the agent's files go into `folder`.
    pub(super) fn new(
        folder: &Path,
        issuer: &str,
        agent: &Did,
        caller: &Did,
    ) -> anyhow::Result<Self> {
        let authority = |name: &str, below| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params
        };
        let root = CertifiedIssuer::self_signed(authority("Root CA", 1), KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let middle = CertifiedIssuer::signed_by(authority("Intermediate CA", 0), key, &root)?;
        let issue = |did: &Did| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, did.as_str());
            let uri = format!("{issuer}#{did}");
            params.subject_alt_names = vec![
                SanType::URI(uri.as_str().try_into()?),
                SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
            ];
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let now = std::time::SystemTime::now();
            params.not_before = (now - std::time::Duration::from_mins(1)).into();
            params.not_after = (now + std::time::Duration::from_hours(24)).into();
            let key = KeyPair::generate()?;
            let chain = format!("{}{}", params.signed_by(&key, &middle)?.pem(), middle.pem());
            anyhow::Ok(Pair { chain, key: key.serialize_pem() })
        };
        let pki = Self {
            folder: folder.to_owned(),
            issuer: issuer.to_owned(),
            agent: agent.clone(),
            root: root.der().clone(),
            server: issue(agent)?,
            caller: issue(caller)?,
        };
        fs::write(pki.file("tls_cert.pem"), &pki.server.chain)?;
        fs::write(pki.file("ca_bundle.pem"), root.pem())?;
        let key = pki.file("tls_key.pem");
        fs::write(&key, &pki.server.key)?;
        #[cfg(unix)]
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(pki)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The settings of an agent with its certificate.
    pub(super) fn variables(&self) -> [(&'static str, String); 4] {
        let file = |name| self.file(name).to_string_lossy().into_owned();
        [
            ("MTLS__ENABLED", "true".to_owned()),
            ("MTLS__CERT_FILE", file("tls_cert.pem")),
            ("MTLS__KEY_FILE", file("tls_key.pem")),
            ("MTLS__CA_FILE", file("ca_bundle.pem")),
        ]
    }

    /// What our agents accept connections with.
    pub(super) fn acceptor(
        &self,
    ) -> impl Future<Output = anyhow::Result<bindu_mtls::Acceptor>> + use<> {
        let rules = PeerRules { issuer: self.issuer.clone(), ..PeerRules::default() };
        let config = Config {
            directory: self.folder.clone(),
            peers: rules,
            ..Config::new(self.agent.clone())
        };
        async move {
            let certificates = Certificates::from_files(config).await?;
            Ok(bindu_mtls::Acceptor::new(certificates, ClientCert::Required))
        }
    }

    fn roots(&self) -> anyhow::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone())?;
        Ok(roots)
    }

    /// What rustls itself has for the same: client certificates by the same root, the same
    /// protocols, tickets.
    pub(super) fn bare(&self) -> anyhow::Result<Bare> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(self.roots()?);
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
        let (chain, key) = self.server.parts()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = ring::Ticketer::new()?;
        Ok(Bare(TlsAcceptor::from(Arc::new(config))))
    }

    /// The caller's side of a connection; with or without sessions that are resumed.
    pub(super) fn client(&self, resumes: bool) -> anyhow::Result<Arc<ClientConfig>> {
        let (chain, key) = self.caller.parts()?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(chain, key)
            .context("the caller's certificate")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption =
            if resumes { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() };
        Ok(Arc::new(config))
    }
}

/// rustls and nothing else.
pub(super) struct Bare(TlsAcceptor);

impl Acceptor for Bare {
    type Io = TlsStream<TcpStream>;

    async fn accept(&self, stream: TcpStream, _: SocketAddr) -> io::Result<Accepted<Self::Io>> {
        self.0.accept(stream).await.map(Accepted::new)
    }
}

/// The name by which a server on this machine is called.
pub(super) fn localhost() -> rustls::pki_types::ServerName<'static> {
    IpAddr::from(Ipv4Addr::LOCALHOST).into()
}
