//! A server on a free port, and a socket to talk to it by hand.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bindu_http::Body;
use bindu_http::server::{Config, Drained, PlainTcp, Server, Shutdown};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::Service;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Longer than anything here takes; only a test that fails waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) shutdown: Shutdown,
    serving: JoinHandle<Drained>,
}

impl Running {
    pub(crate) async fn start<S>(config: Config, service: S) -> Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let server = Server::bind(config, "127.0.0.1:0").await?;
        Ok(Self::run(server.local_addr(), |shutdown| tokio::spawn(server.serve(service, shutdown))))
    }

    pub(crate) fn run(
        addr: SocketAddr,
        serve: impl FnOnce(Shutdown) -> JoinHandle<Drained>,
    ) -> Self {
        let shutdown = Shutdown::new();
        Self { addr, serving: serve(shutdown.clone()), shutdown }
    }

    pub(crate) async fn bind() -> Result<Server<PlainTcp>> {
        Ok(Server::bind(Config::default(), "127.0.0.1:0").await?)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) async fn ended(self) -> Result<Drained> {
        Ok(within(self.serving).await??)
    }

    pub(crate) async fn stop(self) -> Result<Drained> {
        self.shutdown.drain(PATIENCE);
        self.ended().await
    }
}

/// Awaits something that must happen, without waiting for ever if it does not.
pub(crate) async fn within<F: Future>(future: F) -> Result<F::Output> {
    Ok(timeout(PATIENCE, future).await?)
}

/// A client that writes its requests itself.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    pub(crate) async fn connect(running: &Running) -> Result<Self> {
        Ok(Self(TcpStream::connect(running.addr).await?))
    }

    pub(crate) async fn send(&mut self, bytes: &str) -> Result {
        Ok(self.0.write_all(bytes.as_bytes()).await?)
    }

    /// One response of a known length, head and body.
    pub(crate) async fn response(&mut self) -> Result<String> {
        let mut all = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&all);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(Ok(0), str::parse)? {
                    return Ok(text.into_owned());
                }
            }
            let mut piece = [0; 1024];
            match within(self.0.read(&mut piece)).await?? {
                0 => return Err(format!("ended after {text:?}").into()),
                read => all.extend_from_slice(&piece[..read]),
            }
        }
    }

    /// All that comes until the other end closes.
    pub(crate) async fn rest(&mut self) -> Result<String> {
        let mut all = Vec::new();
        match within(self.0.read_to_end(&mut all)).await? {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error.into()),
        }
        Ok(String::from_utf8_lossy(&all).into_owned())
    }
}

pub(crate) fn get(url: &str) -> Result<Request<Bytes>> {
    Ok(Request::get(url).body(Bytes::new())?)
}

#[expect(clippy::unnecessary_wraps, reason = "this is what a service returns")]
pub(crate) fn text(text: &str) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::from(text.to_owned())))
}
