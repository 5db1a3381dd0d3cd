//! One HTTP/2 connection to an SDK process.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bindu_agent::BoxFuture;
use bindu_http::client::BoxIo;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Callback;
use super::error::chain;
use super::wire::Outgoing;

/// Calls on one connection before a further one is opened, unless the peer allows fewer.
const STREAMS: usize = 100;
/// The longest head of an answer. An exception's text comes in a header.
const MAX_HEADERS: u32 = 64 * 1024;
/// When the kernel begins to ask a silent peer whether it is there, how often, and for how long
/// bytes may stay without a receipt.
const ALIVE_AFTER: Duration = Duration::from_secs(20);
const ALIVE_EVERY: Duration = Duration::from_secs(5);
const UNHEARD: Duration = Duration::from_secs(35);

/// Turns a TCP connection to an SDK process into one under TLS: what `grpcs://` needs.
///
/// HTTP/2 is spoken afterwards, so the handshake offers `h2` by ALPN.
pub trait Secure: fmt::Debug + Send + Sync + 'static {
    /// Performs the handshake with the process that `host` names, and verifies that it is it.
    /// Dropped if it takes longer than [`Config::connect_timeout`](super::Config::connect_timeout).
    ///
    /// # Errors
    ///
    /// Why the handshake failed.
    fn secure<'a>(&'a self, host: &'a str, tcp: TcpStream) -> BoxFuture<'a, io::Result<BoxIo>>;

    /// A number that changes when connections made before should take no further calls, such as
    /// when the certificate is another one. By default it never does.
    fn generation(&self) -> u64 {
        0
    }
}

/// Runs the tasks of connections, and can end them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks {
    pub(super) tracker: TaskTracker,
    pub(super) kill: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let kill = self.kill.clone();
        self.tracker.spawn(async move {
            kill.run_until_cancelled_owned(task).await;
        });
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Outgoing>,
    running: AtomicUsize,
    /// How many calls the peer takes at a time; 0 while it is not known.
    allowed: Arc<AtomicUsize>,
    retired: AtomicBool,
    pub(super) generation: u64,
}

impl Connection {
    /// Whether further calls may go over it.
    pub(super) fn is_open(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    /// Sends no further calls over it. Those that run may end.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn has_room(&self) -> bool {
        let allowed = match self.allowed.load(Ordering::Relaxed) {
            0 => STREAMS,
            allowed => allowed.min(STREAMS),
        };
        self.running() < allowed
    }
}

/// The right to make one call over a connection; it counts as running until this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    connection: Arc<Connection>,
    /// Whether the connection was made for this very call.
    pub(super) is_fresh: bool,
}

impl Lease {
    pub(super) fn new(connection: Arc<Connection>, is_fresh: bool) -> Self {
        connection.running.fetch_add(1, Ordering::Relaxed);
        Self { connection, is_fresh }
    }

    pub(super) fn sender(&self) -> SendRequest<Outgoing> {
        self.connection.sender.clone()
    }

    pub(super) fn retire(&self) {
        self.connection.retire();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Connects, shakes hands, and waits until the peer has spoken: only then is it certain that a
/// process is there which can take a call.
pub(super) async fn open(
    callback: &Callback,
    security: Option<&Arc<dyn Secure>>,
    deadline: Instant,
    tasks: &Tasks,
) -> Result<Connection, String> {
    let generation = security.map_or(0, |security| security.generation());
    let tcp = dial(callback, deadline).await.map_err(|error| chain(&error))?;
    let late = |what: &str| format!("{what} took too long");
    let io: BoxIo = match security {
        None if callback.is_tls() => return Err("there is no certificate for TLS yet".into()),
        Some(security) if callback.is_tls() => {
            timeout_at(deadline, security.secure(callback.host(), tcp))
                .await
                .map_err(|_| late("the TLS handshake"))?
                .map_err(|error| format!("the TLS handshake failed: {}", chain(&error)))?
        }
        _ => Box::new(tcp),
    };
    let (heard, hearing) = oneshot::channel();
    let io = TokioIo::new(Greeted { io, heard: Some(heard) });
    let mut builder = Builder::new(tasks.clone());
    // No stream before the peer's settings are there: what waits for them has not been sent.
    builder.timer(TokioTimer::new()).initial_max_send_streams(0).max_header_list_size(MAX_HEADERS);
    let (sender, connection) =
        builder.handshake(io).await.map_err(|error| format!("HTTP/2 failed: {}", chain(&error)))?;
    let allowed = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&allowed);
    let name = callback.to_string();
    hyper::rt::Executor::execute(tasks, async move {
        let mut connection = pin!(connection);
        let drive = poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx);
            seen.store(connection.current_max_send_streams(), Ordering::Relaxed);
            ended
        });
        match drive.await {
            Ok(()) => tracing::debug!(callback = name, "a connection ended"),
            Err(error) => tracing::debug!(callback = name, %error, "a connection failed"),
        }
    });
    match timeout_at(deadline, hearing).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err("the connection was closed before HTTP/2 began".into()),
        Err(_) => return Err(late("the beginning of HTTP/2")),
    }
    Ok(Connection {
        sender,
        running: AtomicUsize::new(0),
        allowed,
        retired: AtomicBool::new(false),
        generation,
    })
}

/// Connects to the first address of the name that answers.
async fn dial(callback: &Callback, deadline: Instant) -> io::Result<TcpStream> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
    let resolving = tokio::net::lookup_host((callback.host(), callback.port()));
    let addresses: Vec<SocketAddr> =
        timeout_at(deadline, resolving).await.map_err(|_| late())??.collect();
    let mut last = io::Error::other("the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let rest = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = now + deadline.saturating_duration_since(now) / rest;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                tune(&tcp)?;
                return Ok(tcp);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = late(),
        }
    }
    Err(last)
}

/// Small requests leave at once, and the kernel notices a peer that vanished without a word.
///
/// HTTP/2 pings would do the latter too, but gRPC servers of other languages answer pings that
/// come more often than every five minutes by closing the connection (gRFC A8), and they would cut
/// a process that merely computes for long.
fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(ALIVE_AFTER);
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    let keepalive = keepalive.with_interval(ALIVE_EVERY).with_retries(3);
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(UNHEARD))?;
    Ok(())
}

/// Tells of the first bytes that come.
struct Greeted {
    io: BoxIo,
    heard: Option<oneshot::Sender<()>>,
}

impl AsyncRead for Greeted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if self.heard.is_some()
            && buffer.filled().len() > before
            && let Some(heard) = self.heard.take()
        {
            // Nobody may be waiting any more.
            _ = heard.send(());
        }
        read
    }
}

impl AsyncWrite for Greeted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
