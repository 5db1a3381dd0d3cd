use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bindu_http::Body;
use bindu_http::client::{Client, Connector};
use bindu_http::server::{Accepted, Acceptor, Config, Drained, Server, Shutdown};
use bindu_mtls::Peer;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::authority::{Authority, Pair};
use super::{PATIENCE, Result, within};

/// A server that answers with who asks: a DID, or `nobody`.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<Drained>,
}

impl Running {
    pub(crate) async fn start(acceptor: impl Acceptor) -> Result<Self> {
        let server = Server::bind(Config::default(), "127.0.0.1:0").await?.with_acceptor(acceptor);
        let addr = server.local_addr();
        let who = tower::service_fn(async |request: Request<Incoming>| {
            let peer = request.extensions().get::<Peer>().and_then(|peer| peer.did().cloned());
            let who = peer.map_or_else(|| "nobody".to_owned(), |did| did.to_string());
            Ok::<_, Infallible>(Response::new(Body::from(who)))
        });
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(server.serve(who, shutdown.clone()));
        Ok(Self { addr, shutdown, serving })
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/", self.addr)
    }

    pub(crate) async fn stop(self) -> Result {
        self.shutdown.drain(PATIENCE);
        within(self.serving).await??;
        Ok(())
    }
}

/// Asks once, over a connection of its own.
pub(crate) async fn ask(url: &str, connector: impl Connector) -> Result<Response<Bytes>> {
    let client = Client::builder().connector(Arc::new(connector)).build();
    Ok(within(client.send(Request::get(url).body(Bytes::new())?)).await??)
}

/// TLS that presents whatever it was given, as no server of ours would.
pub(crate) struct Careless(TlsAcceptor);

impl Careless {
    pub(crate) fn new(pair: &Pair) -> Result<Self> {
        let (chain, key) = parts(pair)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }
}

impl Acceptor for Careless {
    type Io = TlsStream<TcpStream>;

    async fn accept(&self, stream: TcpStream, _: SocketAddr) -> io::Result<Accepted<Self::Io>> {
        self.0.accept(stream).await.map(Accepted::new)
    }
}

/// A client by hand, to see how it shook hands.
pub(crate) struct Hand {
    config: Arc<ClientConfig>,
}

impl Hand {
    pub(crate) fn new(authority: &Authority, own: Option<&Pair>) -> Result<Self> {
        Self::speaking(authority, own, rustls::DEFAULT_VERSIONS, b"http/1.1")
    }

    /// The server's certificate must be for `127.0.0.1`.
    pub(crate) fn speaking(
        authority: &Authority,
        own: Option<&Pair>,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[u8],
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.root_der().clone())?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots);
        let mut config = match own {
            Some(pair) => {
                let (chain, key) = parts(pair)?;
                builder.with_client_auth_cert(chain, key)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    pub(crate) async fn connect(&self, addr: SocketAddr) -> Result<Held> {
        let tcp = TcpStream::connect(addr).await?;
        let name = ServerName::IpAddress(addr.ip().into());
        let connector = TlsConnector::from(Arc::clone(&self.config));
        Ok(Held(within(connector.connect(name, tcp)).await??))
    }

    /// Who the server says we are, and how we shook hands.
    pub(crate) async fn ask(&self, addr: SocketAddr) -> Result<(String, Option<HandshakeKind>)> {
        let mut held = self.connect(addr).await?;
        let who = held.ask().await?;
        Ok((who, held.0.get_ref().1.handshake_kind()))
    }
}

/// A connection that stays open.
pub(crate) struct Held(pub(crate) client::TlsStream<TcpStream>);

impl Held {
    pub(crate) async fn ask(&mut self) -> Result<String> {
        self.0.write_all(b"GET / HTTP/1.1\r\nhost: agent\r\n\r\n").await?;
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(Ok(0), str::parse)? {
                    return Ok(body.to_owned());
                }
            }
            if within(self.0.read_buf(&mut read)).await?? == 0 {
                return Err("the server closed the connection".into());
            }
        }
    }
}

fn parts(pair: &Pair) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = CertificateDer::pem_slice_iter(pair.chain.as_bytes()).collect::<Result<_, _>>()?;
    Ok((chain, PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?))
}
