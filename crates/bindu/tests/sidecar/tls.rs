//! TLS between SDKs and the core, in both directions, with certificates of a private authority.

use std::path::Path;

use bindu::Settings;
use bindu::sidecar::Sidecar;
use bindu_did::Did;
use bindu_http::server::Acceptor as _;
use bindu_mtls::{
    Acceptor, Certificates, ClientCert, Config, Connector, PeerIdentity, PeerRules, Trust,
};
use bindu_testkit::sdk::{Connection, Core, Sdk, free_port};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::{config, state};
use crate::caller::{Result, message};

/// A private authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Writes a certificate for `localhost`, or for a DID, with its key and the root.
    fn issue(&self, did: Option<&Did>, directory: &Path) -> Result {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names.push(match did {
            Some(did) => SanType::URI(did.as_str().try_into()?),
            None => SanType::DnsName("localhost".try_into()?),
        });
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        std::fs::write(directory.join("tls_cert.pem"), params.signed_by(&key, &self.0)?.pem())?;
        let file = directory.join("tls_key.pem");
        std::fs::write(&file, key.serialize_pem())?;
        #[cfg(unix)]
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        std::fs::write(directory.join("ca_bundle.pem"), self.0.pem())?;
        Ok(())
    }
}

fn did(name: &str) -> Result<Did> {
    let id = bindu_did::agent_id("ann@example.com", name);
    Ok(Did::for_known_agent("ann@example.com", name, id)?)
}

async fn certificates(directory: &Path, did: &Did) -> Result<Certificates> {
    let peers = PeerRules { identity: PeerIdentity::Either, ..PeerRules::default() };
    let config = Config { directory: directory.into(), peers, ..Config::new(did.clone()) };
    Ok(Certificates::from_files(config).await?)
}

fn path(directory: &Path, file: &str) -> String {
    directory.join(file).to_string_lossy().into_owned()
}

#[tokio::test]
async fn a_core_with_a_certificate_serves_those_who_have_one() -> Result {
    let authority = Authority::new()?;
    let (own, theirs, home) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    authority.issue(None, own.path())?;
    let sdk_did = did("sdk")?;
    authority.issue(Some(&sdk_did), theirs.path())?;
    let settings = Settings::from_vars([
        ("GRPC__HOST", "127.0.0.1".to_owned()),
        ("GRPC__TLS_CERT", path(own.path(), "tls_cert.pem")),
        ("GRPC__TLS_KEY", path(own.path(), "tls_key.pem")),
        ("GRPC__TLS_CA", path(own.path(), "ca_bundle.pem")),
    ])?;
    let sidecar = Sidecar::new().settings(settings).directory(home.path()).port(0).spawn().await?;
    let address = sidecar.local_addr();
    let reach = async |connector: Connector| -> Result<Core> {
        let tcp = TcpStream::connect(address).await?;
        let connected =
            connector.speaking_http2().handshake("localhost", address.port(), tcp).await?;
        Ok(Core::over(Connection::over(connected.io, address.to_string()).await?))
    };
    let known = reach(Connector::new(certificates(theirs.path(), &sdk_did).await?)).await?;
    let sdk = Sdk::start().await;
    let answer = known.register(&config("secure", free_port()), &sdk.address().to_string()).await?;
    assert!(answer.success, "{}", answer.error);

    let peers = PeerRules { identity: PeerIdentity::Either, ..PeerRules::default() };
    let trust = Trust::from_pem(authority.0.pem().as_bytes(), peers)?;
    if let Ok(stranger) = reach(Connector::anonymous(trust)).await {
        assert!(stranger.heartbeat("x").await.is_err(), "it has no certificate");
    }
    if let Ok(plain) = Core::at(address).await {
        assert!(plain.heartbeat("x").await.is_err(), "it speaks in the clear");
    }
    Ok(())
}

#[tokio::test]
async fn a_handler_is_called_with_the_agents_certificate() -> Result {
    let authority = Authority::new()?;
    let (own, theirs, home) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    authority.issue(Some(&did("called")?), own.path())?;
    authority.issue(None, theirs.path())?;
    let settings = Settings::from_vars([
        ("GRPC__HOST", "127.0.0.1".to_owned()),
        ("DID__SUFFIX", "agent-id".to_owned()),
        ("MTLS__ENABLED", "true".to_owned()),
        ("MTLS__MODE", "hybrid".to_owned()),
        ("MTLS__REQUIRE_CLIENT_CERT", "false".to_owned()),
        // An SDK's process is no agent: it is known by its host.
        ("MTLS__PEER_IDENTITY", "both".to_owned()),
        ("MTLS__CERT_FILE", path(own.path(), "tls_cert.pem")),
        ("MTLS__KEY_FILE", path(own.path(), "tls_key.pem")),
        ("MTLS__CA_FILE", path(own.path(), "ca_bundle.pem")),
    ])?;
    let sidecar = Sidecar::new().settings(settings).directory(home.path()).port(0).spawn().await?;
    let core = Core::at(sidecar.local_addr()).await?;

    // The SDK's server takes nobody who has no certificate.
    let sdk = Sdk::start().await;
    let behind = sdk.address();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let front = listener.local_addr()?.port();
    let acceptor =
        Acceptor::new(certificates(theirs.path(), &did("nobody")?).await?, ClientCert::Required);
    tokio::spawn(async move {
        while let Ok((tcp, remote)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut accepted) = acceptor.accept(tcp, remote).await else { return };
                let Ok(mut plain) = TcpStream::connect(behind).await else { return };
                // Whoever ends first ends both.
                _ = tokio::io::copy_bidirectional(&mut accepted.io, &mut plain).await;
            });
        }
    });
    let port = free_port();
    let agent = config("called", port);
    let elsewhere = core.register(&agent, "192.0.2.1:50051").await?;
    assert!(elsewhere.error.contains("in the clear"), "{}", elsewhere.error);
    let answer = core.register(&agent, &format!("grpcs://localhost:{front}")).await?;
    assert!(answer.success, "{}", answer.error);
    assert_eq!(answer.agent_url, format!("https://127.0.0.1:{port}"));

    let trust = Trust::from_pem(authority.0.pem().as_bytes(), PeerRules::default())?;
    let connector = Connector::anonymous(trust).expecting(did("called")?);
    let http =
        bindu_http::client::Client::builder().connector(std::sync::Arc::new(connector)).build();
    let mut params = message("hello");
    params["configuration"] = serde_json::json!({ "blocking": true });
    let body = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send", "params": params });
    let request = http::Request::post(format!("{}/", answer.agent_url));
    let asked = http.send(request.body(body.to_string().into())?).await?;
    let told: Value = serde_json::from_slice(asked.body())?;
    assert_eq!(state(&told["result"]), "completed", "{told}");
    assert_eq!(sdk.count(), 1);
    Ok(())
}
