//! `https` against a server with a certificate of an authority made for the test.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bindu_http::HttpError;
use bindu_http::client::{Client, Tls, TlsError};
use bindu_http::server::{Accepted, Acceptor};
use bytes::Bytes;
use http::Request;
use hyper::body::Incoming;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, crypto::ring};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Result, Running, get, text, within};

/// An authority, and a server with a certificate of it for a name.
struct Secured {
    authority: String,
    running: Running,
}

struct Terminated(TlsAcceptor);

impl Acceptor for Terminated {
    type Io = TlsStream<TcpStream>;

    async fn accept(&self, stream: TcpStream, _: SocketAddr) -> io::Result<Accepted<Self::Io>> {
        self.0.accept(stream).await.map(Accepted::new)
    }
}

impl Secured {
    async fn start(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("authority of {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der())?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        let server = Running::bind().await?;
        let addr = server.local_addr();
        let server = server.with_acceptor(Terminated(TlsAcceptor::from(Arc::new(config))));
        let hello = tower::service_fn(async |_: Request<Incoming>| text("hello"));
        let running = Running::run(addr, |shutdown| tokio::spawn(server.serve(hello, shutdown)));
        Ok(Self { authority: issuer.pem(), running })
    }

    fn url(&self) -> String {
        format!("https://{}/", self.running.addr)
    }

    async fn ask(&self, tls: Tls) -> Result<Result<Bytes, HttpError>> {
        let client = Client::builder().connector(Arc::new(tls)).build();
        let response = within(client.send(get(&self.url())?)).await?;
        Ok(response.map(http::Response::into_body))
    }
}

#[tokio::test]
async fn a_server_of_a_given_authority_is_believed() -> Result {
    let server = Secured::start("127.0.0.1").await?;
    let tls = Tls::with_roots(server.authority.as_bytes(), false)?;
    assert_eq!(server.ask(tls).await??, "hello");
    server.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_of_another_authority_or_name_is_not() -> Result {
    let other = Secured::start("agent.example").await?;
    let server = Secured::start("127.0.0.1").await?;
    for (asked, roots, why) in
        [(&server, &other, "UnknownIssuer"), (&other, &other, "not valid for name")]
    {
        let tls = Tls::with_roots(roots.authority.as_bytes(), false)?;
        let refused = asked.ask(tls).await?.unwrap_err();
        assert!(refused.was_not_sent(), "{refused:?}");
        let source = refused.source().map(ToString::to_string).unwrap_or_default();
        assert!(source.contains(why), "{source}");
    }
    // Unless one asks for it by a name that says what it is.
    assert_eq!(server.ask(Tls::dangerously_unverified()).await??, "hello");
    server.running.stop().await?;
    other.running.stop().await?;
    Ok(())
}

#[tokio::test]
async fn http_in_the_clear_still_passes() -> Result {
    let hello = tower::service_fn(async |_: Request<Incoming>| text("hello"));
    let running = Running::start(bindu_http::server::Config::default(), hello).await?;
    let client = Client::builder().connector(Arc::new(Tls::dangerously_unverified())).build();
    let response = within(client.send(get(&running.url("/"))?)).await??;
    assert_eq!(response.body(), "hello");
    running.stop().await?;
    Ok(())
}

#[test]
fn roots_must_be_certificates() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in ["", "nothing", broken] {
        let refused = Tls::with_roots(pem.as_bytes(), false);
        assert!(matches!(refused, Err(TlsError::NoRoots(_))), "{pem:?}: {refused:?}");
    }
}
