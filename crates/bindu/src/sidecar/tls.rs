//! TLS between SDKs and the core, in both directions.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bindu_agent::BoxFuture;
use bindu_grpc::calls::Secure;
use bindu_http::client::BoxIo;
use bindu_mtls::{Acceptor, Certificates, ClientCert, Config, Connector, PeerIdentity, PeerRules};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::StartError;
use crate::settings::Settings;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// Calls of `grpcs://` callbacks: the agent's certificate, and the roots that it believes.
#[derive(Debug)]
pub(super) struct Callbacks {
    connector: Connector,
    certificates: Certificates,
}

impl Callbacks {
    pub(super) fn new(certificates: Certificates) -> Self {
        Self { connector: Connector::new(certificates.clone()).speaking_http2(), certificates }
    }
}

impl Secure for Callbacks {
    fn secure<'a>(&'a self, host: &'a str, tcp: TcpStream) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(async move {
            let port = tcp.peer_addr()?.port();
            Ok(self.connector.handshake(host, port, tcp).await?.io)
        })
    }

    fn generation(&self) -> u64 {
        self.certificates.renewals()
    }
}

/// Serves SDKs with the certificate that the settings name. Its files are read again when they
/// change, for as long as what is returned beside is kept.
pub(super) async fn acceptor(
    settings: &Settings,
) -> Result<(Acceptor, AbortOnDropHandle<()>), StartError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| StartError::Backend {
        what: "the certificate that GRPC__TLS_CERT names",
        source,
    };
    let grpc = &settings.grpc;
    let absolute = |file: &Option<PathBuf>| -> Result<String, StartError> {
        let file = file.clone().unwrap_or_default();
        let file = std::path::absolute(&file).map_err(|error| failed(error.into()))?;
        Ok(file.to_string_lossy().into_owned())
    };
    // A core has no DID: the certificate need not name one.
    let nobody = format!("did:bindu:core:grpc:{}", uuid::Uuid::nil());
    let mut config = Config::new(nobody.parse().map_err(|error| failed(Box::new(error)))?);
    // Neither need those of SDKs.
    config.peers = PeerRules { identity: PeerIdentity::Either, ..PeerRules::default() };
    config.cert_file = absolute(&grpc.tls_cert)?;
    config.key_file = absolute(&grpc.tls_key)?;
    config.bundle_file =
        if grpc.tls_ca.is_some() { absolute(&grpc.tls_ca)? } else { config.cert_file.clone() };
    let certificates =
        Certificates::from_files(config).await.map_err(|error| failed(Box::new(error)))?;
    let client_cert = if grpc.tls_ca.is_some() && settings.mtls.require_client_cert {
        ClientCert::Required
    } else {
        ClientCert::Optional
    };
    let acceptor = Acceptor::new(certificates.clone(), client_cert);
    let keeping = tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = certificates.reload().await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "the files that GRPC__TLS_CERT and its kin name cannot be used"
                );
            }
        }
    });
    Ok((acceptor, AbortOnDropHandle::new(keeping)))
}
