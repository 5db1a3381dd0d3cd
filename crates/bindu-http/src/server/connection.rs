//! The life of one connection: handshake, protocol, requests, end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::activity::{Activity, Deadlines, Missed};
use super::io::Watched;
use super::service::{Counted, CountedBody};
use super::{Accepted, Acceptor, Config, Peer, Protocol};
use crate::BoxError;

/// What all connections of a server share.
pub(super) struct Setup<A, M> {
    pub(super) config: Config,
    pub(super) acceptor: A,
    pub(super) make: M,
    pub(super) protocols: Protocols,
}

/// hyper's builders, configured once.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<StreamTasks>,
}

impl Protocols {
    pub(super) fn new(config: &Config, streams: &TaskTracker, kill: &CancellationToken) -> Self {
        let mut http1 = http1::Builder::new();
        // Our own clock watches heads: see `activity`.
        http1.header_read_timeout(None).max_header_size(config.max_header_bytes);
        // Set only if it differs: hyper keeps its default number on the stack.
        if config.max_headers != 100 {
            http1.max_headers(config.max_headers);
        }
        let tasks = StreamTasks { tracker: streams.clone(), kill: kill.clone() };
        let mut http2 = http2::Builder::new(tasks);
        let header_list = u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX);
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(config.h2_max_concurrent_streams)
            .max_pending_accept_reset_streams(config.h2_max_pending_reset_streams)
            .max_local_error_reset_streams(config.h2_max_local_error_reset_streams)
            .max_header_list_size(header_list);
        Self { http1, http2 }
    }
}

/// Runs HTTP/2 streams in tasks that the server waits for, and can end.
#[derive(Clone, Debug)]
struct StreamTasks {
    tracker: TaskTracker,
    kill: CancellationToken,
}

impl<F> Executor<F> for StreamTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let kill = self.kill.clone();
        self.tracker.spawn(async move {
            kill.run_until_cancelled_owned(stream).await;
        });
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<A, M, S, B>(
    stream: TcpStream,
    remote: SocketAddr,
    setup: Arc<Setup<A, M>>,
    activity: Arc<Activity>,
) where
    A: Acceptor,
    M: Fn(Peer) -> S + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let accepted_at = Instant::now();
    tune(&stream);
    let greeting = greet(stream, remote, &setup.acceptor);
    let greeting = timeout(setup.config.header_read_timeout, until_drain(&activity, greeting));
    let (accepted, protocol, replay) = match greeting.await {
        Ok(Some(Ok(greeted))) => greeted,
        Ok(Some(Err(error))) => {
            tracing::debug!(%remote, %error, "a connection ended before its first request");
            return;
        }
        // Draining: nothing is in flight yet. Or too slow.
        Ok(None) | Err(_) => return,
    };
    let Accepted { io, extensions, .. } = accepted;
    let io = TokioIo::new(Watched::new(io, replay, Arc::clone(&activity)));
    let service = (setup.make)(Peer::new(remote, extensions));
    let is_http1 = protocol == Protocol::Http1;
    let service = Counted::new(service, Arc::clone(&activity), !is_http1);
    let deadlines = Deadlines::new(&setup.config, is_http1, accepted_at);
    let served = match protocol {
        Protocol::Http1 => {
            let connection = setup.protocols.http1.serve_connection(io, service);
            drive(connection, &activity, deadlines).await
        }
        Protocol::Http2 => {
            let connection = setup.protocols.http2.serve_connection(io, service);
            drive(connection, &activity, deadlines).await
        }
    };
    match served {
        Ok(()) => {}
        Err(End::Missed(missed)) => tracing::debug!(%remote, ?missed, "a connection was dropped"),
        // Peers that vanish are everyday life.
        Err(End::Failed(error)) => tracing::debug!(%remote, %error, "a connection failed"),
    }
}

/// Small answers leave at once, and a slow reader's bytes stay with us, where they are
/// counted, rather than in the kernel.
fn tune(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        const UNSENT: u32 = 128 * 1024;
        if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT) {
            tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
        }
    }
}

/// Shakes hands and tells the protocol, with the bytes that were read for it.
async fn greet<A: Acceptor>(
    stream: TcpStream,
    remote: SocketAddr,
    acceptor: &A,
) -> io::Result<(Accepted<A::Io>, Protocol, Bytes)> {
    let mut accepted = acceptor.accept(stream, remote).await?;
    let (protocol, replay) = match accepted.protocol {
        Some(protocol) => (protocol, Bytes::new()),
        None => sniff(&mut accepted.io).await?,
    };
    Ok((accepted, protocol, replay))
}

/// Tells HTTP/2 by its preface (RFC 9113, section 3.4). The first request usually comes
/// whole in the same read, so this costs no extra one.
async fn sniff<I: AsyncRead + Unpin>(io: &mut I) -> io::Result<(Protocol, Bytes)> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut read = BytesMut::with_capacity(4096);
    loop {
        let ended = io.read_buf(&mut read).await? == 0;
        let common = read.len().min(PREFACE.len());
        if ended || read[..common] != PREFACE[..common] {
            return Ok((Protocol::Http1, read.freeze()));
        }
        if common == PREFACE.len() {
            return Ok((Protocol::Http2, read.freeze()));
        }
    }
}

/// Runs `future`, unless the server drains.
async fn until_drain<F: Future>(activity: &Activity, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        activity.register(cx);
        if activity.is_draining() { Poll::Ready(None) } else { future.as_mut().poll(cx).map(Some) }
    })
    .await
}

/// A connection of either protocol.
trait Connection: Future<Output = hyper::Result<()>> {
    /// Finishes what is in flight, and takes nothing new.
    fn finish(self: Pin<&mut Self>);
}

impl<I, S, B> Connection for http1::Connection<TokioIo<Watched<I>>, Counted<S>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    B: http_body::Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B> Connection for http2::Connection<TokioIo<Watched<I>>, Counted<S>, StreamTasks>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    CountedBody<B>: http_body::Body<Data = Bytes, Error = B::Error>,
    S: Send + 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Why a connection did not end by itself.
enum End {
    Missed(Missed),
    Failed(hyper::Error),
}

/// Polls the connection, and between polls sees to its deadlines and to the drain.
async fn drive<C: Connection>(
    connection: C,
    activity: &Activity,
    mut deadlines: Deadlines,
) -> Result<(), End> {
    let mut connection = pin!(connection);
    let mut armed = deadlines.look_again(Instant::now());
    let mut timer = pin!(sleep_until(armed));
    let mut armed_once = false;
    let mut finishing = false;
    poll_fn(|cx| {
        activity.register(cx);
        loop {
            if activity.is_draining() && !finishing {
                finishing = true;
                if deadlines.is_idle() {
                    activity.nothing_unread();
                }
                connection.as_mut().finish();
            }
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended.map_err(End::Failed));
            }
            let due = deadlines.look(activity, Instant::now);
            let fired = timer.is_elapsed();
            if fired {
                let now = Instant::now();
                match due {
                    Some((deadline, Missed::Idle)) if deadline <= now => {
                        finishing = true;
                        deadlines.closing(now);
                        activity.nothing_unread();
                        connection.as_mut().finish();
                        armed = deadlines.look_again(now).min(now + super::activity::CLOSE);
                        timer.as_mut().reset(armed);
                        continue;
                    }
                    Some((deadline, missed)) if deadline <= now => {
                        return Poll::Ready(Err(End::Missed(missed)));
                    }
                    _ => {}
                }
            }
            let next = due.map(|(deadline, _)| deadline);
            if fired || next.is_some_and(|next| next < armed) {
                armed = next.unwrap_or_else(|| deadlines.look_again(Instant::now()));
                timer.as_mut().reset(armed);
            } else if armed_once {
                // The timer has our waker since it was armed: no need to poll it.
                return Poll::Pending;
            }
            armed_once = true;
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_preface_is_told_from_a_request_however_it_is_cut() -> io::Result<()> {
        for (sent, protocol) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0"[..], Protocol::Http2),
            (b"PRI * HTTP/1.1\r\n\r\n", Protocol::Http1),
            (b"POST / HTTP/1.1\r\n\r\n", Protocol::Http1),
            (b"PR", Protocol::Http1),
            (b"", Protocol::Http1),
        ] {
            for cut in 0..=sent.len() {
                let (head, tail) = sent.split_at(cut);
                let (told, read) = sniff(&mut head.chain(tail)).await?;
                assert_eq!(told, protocol, "{sent:?} cut at {cut}");
                assert!(sent.starts_with(&read));
            }
        }
        Ok(())
    }
}
