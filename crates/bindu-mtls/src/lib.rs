//! Certificates that renew themselves, and TLS in which each side is a DID.
//!
//! An agent has [`Certificates`]: issued by a [step-ca] for its DID and renewed long
//! before they end, or taken from files that somebody else keeps. An [`Acceptor`] serves
//! with them, a [`Connector`] calls with them, and whoever is at the other end is a
//! [`Peer`], known by the DID in its certificate rather than by a host name.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # async fn token_for_step_ca() -> Result<String, bindu_http::BoxError> { Ok(String::new()) }
//! # let service = tower::service_fn(async |_: http::Request<hyper::body::Incoming>| {
//! #     Ok::<_, std::convert::Infallible>(http::Response::new(bindu_http::Body::from("")))
//! # });
//! use std::sync::Arc;
//!
//! use bindu_http::client::Client;
//! use bindu_http::server::{Server, Shutdown};
//! use bindu_mtls::{Acceptor, Certificates, ClientCert, Config, Connector, RootSource};
//!
//! let config = Config {
//!     ca_url: "https://ca.example.com".parse()?,
//!     roots: RootSource::File("/etc/bindu/root.crt".into()),
//!     ..Config::new("did:bindu:ann:echo:139e3940-e64b-5491-7220-88d9a0d74162".parse()?)
//! };
//! let certificates = Certificates::open(config, token_for_step_ca).await?;
//!
//! // Renew for as long as the program runs.
//! let keeper = certificates.clone();
//! let keeping = tokio::spawn(async move { keeper.keep().await });
//!
//! // Serve: requests carry the `Peer`.
//! let acceptor = Acceptor::new(certificates.clone(), ClientCert::Required);
//! let server = Server::bind(Default::default(), "0.0.0.0:3773").await?.with_acceptor(acceptor);
//! let serving = tokio::spawn(server.serve(service, Shutdown::new()));
//!
//! // Call an agent of which we know the DID.
//! let ben = "did:bindu:ben:shout:53cbcb43-82ef-8a50-ba7c-f79217d463de".parse()?;
//! let connector = Connector::new(certificates).expecting(ben);
//! let client = Client::builder().connector(Arc::new(connector)).build();
//! # Ok(())
//! # }
//! ```
//!
//! # How a certificate is got
//!
//! Roots come first: a file, a URL that the system's roots vouch for, or a fingerprint
//! ([`RootSource`]). Then a new key on P-256, a request for it, a token from [`CaTokens`],
//! and `POST /1.0/sign`. The key stays in memory until its certificate has come and was
//! found good: it is for this key, names our DID, and its chain ends in the roots. Then
//! both are written, so that a crash at any point leaves a pair that fits or one that the
//! next start finishes.
//!
//! [`Certificates::keep`] does the same again when a third of the life is left, a little
//! earlier by chance. Failures are tried again after a wait that grows, and change nothing
//! meanwhile. New connections use the new certificate at once, open ones go on.
//!
//! # Whom a certificate names
//!
//! After its chain was verified for the use it is put to: the URI that is a DID; or the
//! URI `<issuer>#<did>`, as step-ca writes it for OIDC tokens, if the issuer is
//! [ours](PeerRules::issuer); or, in old certificates, the common name. Two different DIDs,
//! or one vouched for by another issuer, are refused ([`PeerError`]).
//!
//! # What it leaves out
//!
//! Tokens (`bindu-hydra` has them), what a peer may do, revocation lists (lives are short,
//! and [`PeerRules::denied`] is for the meantime), and step-ca's `/renew`, which would keep
//! the key.
//!
//! [step-ca]: https://smallstep.com/docs/step-ca/

mod acceptor;
mod ca;
mod certificates;
mod config;
mod connector;
mod csr;
mod error;
mod fingerprint;
mod own;
mod peer;
mod roots;
mod schedule;
mod store;
mod trust;
mod x509;

pub use self::acceptor::{Acceptor, ClientCert};
pub use self::ca::CaTokens;
pub use self::certificates::Certificates;
pub use self::config::{Config, PeerIdentity, PeerRules, RootSource};
pub use self::connector::Connector;
pub use self::error::{MtlsError, PeerError};
pub use self::fingerprint::{Fingerprint, InvalidFingerprint};
pub use self::peer::Peer;
pub use self::trust::Trust;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
