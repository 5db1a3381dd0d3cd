//! Serving HTTP: bounded, drained, and close to what bare hyper costs.

mod accept;
mod activity;
mod config;
mod connection;
mod io;
mod service;
mod shutdown;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io as std_io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::BoxError;

pub use self::accept::{Accepted, Acceptor, PlainTcp, Protocol};
pub use self::config::Config;
pub use self::service::{Peer, RemoteAddr};
pub use self::shutdown::Shutdown;

use self::accept::Backoff;
use self::activity::Activity;
use self::connection::Setup;
use self::service::WithPeer;
use self::shutdown::Phase;

/// A bound listener that has not begun to serve.
///
/// HTTP/1.1 and HTTP/2 with prior knowledge are told apart by the first bytes, unless
/// the [`Acceptor`] already knows (ALPN).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use std::convert::Infallible;
/// use std::time::Duration;
///
/// use bindu_http::Body;
/// use bindu_http::server::{Config, Server, Shutdown};
/// use http::Response;
///
/// let server = Server::bind(Config::default(), "127.0.0.1:0").await?;
/// let hello = tower::service_fn(async |_| {
///     Ok::<_, Infallible>(Response::new(Body::from("hello")))
/// });
///
/// let shutdown = Shutdown::new();
/// let serving = tokio::spawn(server.serve(hello, shutdown.clone()));
/// // ... until the program has to end:
/// shutdown.drain(Duration::from_secs(30));
/// assert_eq!(serving.await?.cut, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server<A = PlainTcp> {
    config: Config,
    listener: TcpListener,
    local_addr: SocketAddr,
    acceptor: A,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were still busy at the deadline, and were cut.
    pub cut: usize,
}

impl Server {
    /// Binds the first of `addr`'s addresses that can be bound, with `SO_REUSEADDR`.
    /// Port 0 takes a free one; [`local_addr`](Self::local_addr) says which.
    ///
    /// # Errors
    ///
    /// The system's error for the last address, for example that the port is taken.
    pub async fn bind(config: Config, addr: impl ToSocketAddrs) -> std_io::Result<Self> {
        let mut last = None;
        for addr in tokio::net::lookup_host(addr).await? {
            match listen(addr, config.backlog) {
                Ok(listener) => return Self::from_listener(config, listener),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| std_io::Error::other("the name has no address to bind")))
    }

    /// Serves on a listener that is bound already, for example by a service manager.
    ///
    /// # Errors
    ///
    /// The system's error if the listener has no local address.
    pub fn from_listener(config: Config, listener: TcpListener) -> std_io::Result<Self> {
        let local_addr = listener.local_addr()?;
        Ok(Self { config, listener, local_addr, acceptor: PlainTcp })
    }
}

impl<A: Acceptor> Server<A> {
    /// Replaces what turns a TCP connection into one that speaks HTTP: TLS goes here.
    #[must_use]
    pub fn with_acceptor<B: Acceptor>(self, acceptor: B) -> Server<B> {
        let Self { config, listener, local_addr, .. } = self;
        Server { config, listener, local_addr, acceptor }
    }

    /// The address that is listened on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves every connection with a clone of `service`, until `shutdown` is drained.
    ///
    /// Each request carries [`RemoteAddr`] and whatever the [`Acceptor`] learned about
    /// the peer as extensions. A panic in the service ends its own connection only.
    ///
    /// Dropping the returned future closes the listener and cuts every connection.
    pub async fn serve<S, B>(self, service: S, shutdown: Shutdown) -> Drained
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let make = move |peer: Peer| WithPeer::new(service.clone(), peer);
        self.serve_connections(make, shutdown).await
    }

    /// As [`serve`](Self::serve), but the service is made anew for each connection,
    /// which saves the extensions: they cost each request an allocation or two.
    pub async fn serve_connections<M, S, B>(self, make: M, shutdown: Shutdown) -> Drained
    where
        M: Fn(Peer) -> S + Send + Sync + 'static,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut phases = shutdown.subscribe();
        let streams = TaskTracker::new();
        let kill = CancellationToken::new();
        // Held, so that dropping this future also ends the tasks of HTTP/2 streams.
        let kill_on_drop = kill.clone().drop_guard();
        let max_connections = self.config.max_connections.max(1);
        let setup = Arc::new(Setup {
            acceptor: self.acceptor,
            make,
            protocols: connection::Protocols::new(&self.config, &streams, &kill),
            config: self.config,
        });

        let mut connections = Connections::default();
        let mut listener = Some(self.listener);
        let mut backoff = Backoff::default();
        let until = loop {
            match *phases.borrow_and_update() {
                Phase::Serving => {}
                Phase::NotAccepting => listener = None,
                Phase::Draining { until } => break until,
            }
            let room = connections.tasks.len() < max_connections;
            tokio::select! {
                _ = phases.changed() => {}
                (stream, remote) = backoff.accept(listener.as_ref()), if listener.is_some() && room => {
                    let activity = Arc::new(Activity::default());
                    let serving = connection::serve(stream, remote, Arc::clone(&setup), Arc::clone(&activity));
                    let task = connections.tasks.spawn(serving);
                    connections.activities.insert(task.id(), activity);
                }
                Some(ended) = connections.tasks.join_next_with_id() => connections.reap(ended),
            }
        };
        drop(listener);
        let cut = connections.drain(until, phases).await;
        drop(kill_on_drop);
        streams.close();
        streams.wait().await;
        Drained { cut }
    }
}

fn listen(addr: SocketAddr, backlog: u32) -> std_io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Elsewhere the option means that two programs may share the port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(backlog)
}

/// The tasks of all open connections, and the means to speak to each.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    activities: HashMap<Id, Arc<Activity>>,
}

impl Connections {
    fn reap(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a connection ended in a panic");
                }
                error.id()
            }
        };
        self.activities.remove(&id);
    }

    /// Tells every connection to finish, waits for them, and returns how many had to be cut.
    async fn drain(mut self, mut until: Instant, mut phases: watch::Receiver<Phase>) -> usize {
        for activity in self.activities.values() {
            activity.drain();
        }
        loop {
            tokio::select! {
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => self.reap(ended),
                    None => return 0,
                },
                _ = phases.changed() => {
                    if let Phase::Draining { until: sooner } = *phases.borrow_and_update() {
                        until = sooner;
                    }
                }
                () = sleep_until(until) => break,
            }
        }
        let cut = self.tasks.len();
        tracing::warn!(connections = cut, "cutting connections that did not finish in time");
        self.tasks.shutdown().await;
        cut
    }
}
