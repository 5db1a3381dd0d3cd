use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::Extensions;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

/// Turns an accepted TCP connection into one that speaks HTTP.
///
/// TLS is an acceptor that shakes hands. It is asked anew for each connection, so one
/// that reads its certificate from a shared cell swaps certificates without a restart.
/// A handshake may take [`Config::header_read_timeout`](super::Config::header_read_timeout)
/// and runs in the connection's own task, so a slow one holds up nobody.
pub trait Acceptor: Send + Sync + 'static {
    /// The connection after the handshake.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Performs the handshake, if there is one.
    ///
    /// # Errors
    ///
    /// Why the peer was refused. It is logged at debug level, and the connection closed.
    fn accept(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> impl Future<Output = io::Result<Accepted<Self::Io>>> + Send;
}

/// A connection that is ready for HTTP.
#[derive(Debug)]
#[non_exhaustive]
pub struct Accepted<I> {
    /// The connection.
    pub io: I,
    /// What is known about the peer, for example its certificate. Copied into the
    /// extensions of each request of this connection, so values should be cheap to
    /// clone.
    pub extensions: Extensions,
    /// The protocol, if the handshake agreed on one (ALPN); otherwise the first bytes tell.
    pub protocol: Option<Protocol>,
}

impl<I> Accepted<I> {
    /// A connection of which nothing more is known.
    pub fn new(io: I) -> Self {
        Self { io, extensions: Extensions::new(), protocol: None }
    }

    /// Adds something to know about the peer.
    #[must_use]
    pub fn with_extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// Says which protocol was agreed on.
    #[must_use]
    pub fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }
}

/// A version of HTTP that can be spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1; ALPN `http/1.1`.
    Http1,
    /// HTTP/2; ALPN `h2`.
    Http2,
}

/// No handshake: HTTP in the clear.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainTcp;

impl Acceptor for PlainTcp {
    type Io = TcpStream;

    async fn accept(&self, stream: TcpStream, _: SocketAddr) -> io::Result<Accepted<TcpStream>> {
        Ok(Accepted::new(stream))
    }
}

/// Accepts connections, and pauses after errors that would only repeat at once, such
/// as having no file descriptor left.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    pause: Duration,
    resume: Option<Instant>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    /// The next connection. Cancel-safe.
    pub(super) async fn accept(
        &mut self,
        listener: Option<&TcpListener>,
    ) -> (TcpStream, SocketAddr) {
        let Some(listener) = listener else { return pending().await };
        loop {
            if let Some(resume) = self.resume {
                sleep_until(resume).await;
                self.resume = None;
            }
            match listener.accept().await {
                Ok(accepted) => {
                    self.pause = Duration::ZERO;
                    return accepted;
                }
                Err(error) => self.failed(&error, Instant::now()),
            }
        }
    }

    fn failed(&mut self, error: &io::Error, now: Instant) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};

        // The one connection failed before we took it; the next may be fine.
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
        ) {
            return;
        }
        self.pause = (self.pause * 2).clamp(Self::FIRST, Self::LONGEST);
        self.resume = Some(now + self.pause);
        tracing::warn!(%error, pause = ?self.pause, "cannot accept connections");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_while_descriptors_are_short() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        let pauses: Vec<_> = (0..9)
            .map(|_| {
                backoff.failed(&io::Error::from_raw_os_error(24), now);
                backoff.resume.unwrap().duration_since(now).as_millis()
            })
            .collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn a_connection_that_went_away_is_no_reason_to_pause() {
        let mut backoff = Backoff::default();
        backoff.failed(&io::ErrorKind::ConnectionAborted.into(), Instant::now());
        assert_eq!(backoff.resume, None);
    }
}
