use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use http::Extensions;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::BoxError;
use crate::error::{HttpError, Phase};
use crate::ssrf::AddressPolicy;

/// Where a client connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// Whether the URL says `https`.
    pub https: bool,
    /// The host as written in the URL, an IPv6 address without its brackets. The name
    /// to verify a certificate against.
    pub host: String,
    /// The port, or the scheme's own.
    pub port: u16,
}

/// Anything that reads and writes bytes.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection whose kind does not matter any more.
pub type BoxIo = Box<dyn Io>;

/// A connection that is ready for HTTP/1.1.
#[non_exhaustive]
pub struct Connected {
    /// The connection.
    pub io: BoxIo,
    /// What is known about the peer, for example its certificate. Copied into the
    /// extensions of each response.
    pub extensions: Extensions,
}

impl Connected {
    /// A connection of which nothing more is known.
    pub fn new(io: impl Io + 'static) -> Self {
        Self { io: Box::new(io), extensions: Extensions::new() }
    }

    /// Adds something to know about the peer.
    #[must_use]
    pub fn with_extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected").field("extensions", &self.extensions).finish_non_exhaustive()
    }
}

/// Turns a TCP connection into one that speaks HTTP.
///
/// TLS is a connector that shakes hands. It is asked anew for each connection, so one
/// that reads its certificate from a shared cell swaps certificates without a restart;
/// [`Client::close_idle`](super::Client::close_idle) drops the connections of the old one.
///
/// The client has resolved the name and checked the address before: a connector cannot
/// get around the [`AddressPolicy`].
pub trait Connector: fmt::Debug + Send + Sync + 'static {
    /// Performs the handshake, if there is one. Dropped if it takes longer than
    /// [`Config::connect_timeout`](super::Config::connect_timeout).
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] if the target's scheme is not spoken; else why the
    /// handshake failed.
    fn connect<'a>(
        &'a self,
        target: &'a Target,
        tcp: TcpStream,
    ) -> Pin<Box<dyn Future<Output = io::Result<Connected>> + Send + 'a>>;

    /// A number that changes when connections made before should serve no further requests, such
    /// as when the client's certificate is another one. By default it never does.
    fn generation(&self) -> u64 {
        0
    }
}

/// No handshake: HTTP in the clear, and no `https`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainConnector;

impl Connector for PlainConnector {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
        tcp: TcpStream,
    ) -> Pin<Box<dyn Future<Output = io::Result<Connected>> + Send + 'a>> {
        Box::pin(async move {
            if target.https {
                return Err(io::ErrorKind::Unsupported.into());
            }
            Ok(Connected::new(tcp))
        })
    }
}

/// Resolves, checks and connects.
#[derive(Debug)]
pub(super) struct Dialer {
    pub(super) policy: Option<Arc<dyn AddressPolicy>>,
}

impl Dialer {
    /// Connects to an address of the target that the policy allows.
    pub(super) async fn dial(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> Result<TcpStream, HttpError> {
        let failed = |source: BoxError| HttpError::Connect {
            host: format!("{}:{}", target.host, target.port),
            source,
        };
        let addresses = resolve(target).await.map_err(|error| failed(error.into()))?;
        if let Some(policy) = &self.policy {
            for address in &addresses {
                policy.check(&target.host, address.ip())?;
            }
        }
        let mut last = io::Error::other("the name has no address");
        for (tried, address) in addresses.iter().enumerate() {
            let now = Instant::now();
            let rest = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let share = now + deadline.saturating_duration_since(now) / rest;
            match timeout_at(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    tcp.set_nodelay(true).map_err(|error| failed(error.into()))?;
                    return Ok(tcp);
                }
                Ok(Err(error)) => last = error,
                Err(_) if rest == 1 => return Err(HttpError::Timeout { phase: Phase::Connect }),
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed(last.into()))
    }
}

/// The target's addresses; IPv4-mapped ones as the IPv4 addresses they are.
async fn resolve(target: &Target) -> io::Result<Vec<SocketAddr>> {
    let canonical = |ip: IpAddr| SocketAddr::new(ip.to_canonical(), target.port);
    if let Ok(ip) = target.host.parse::<IpAddr>() {
        return Ok(vec![canonical(ip)]);
    }
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await?;
    Ok(found
        .map(|address| match address {
            // Keeps the zone of a link-local address.
            SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_none() => address,
            _ => canonical(address.ip()),
        })
        .collect())
}
