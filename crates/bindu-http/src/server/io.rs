use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// A connection that leaves marks of what it does, replays the bytes read to tell the
/// protocol, and lingers when it is closed.
#[derive(Debug)]
pub(super) struct Watched<I> {
    io: I,
    replay: Bytes,
    activity: Arc<Activity>,
    closing: Closing,
}

#[derive(Debug)]
enum Closing {
    Open,
    /// Our side is closed; this many bytes are taken before the peer is cut off.
    Lingering {
        left: usize,
    },
}

/// More than any body we accept, so that an answer of 413 is read by whoever sends a
/// little too much; not so much that it is worth sending for its own sake.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

impl<I> Watched<I> {
    pub(super) fn new(io: I, replay: Bytes, activity: Arc<Activity>) -> Self {
        Self { io, replay, activity, closing: Closing::Open }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.replay.is_empty() {
            let len = this.replay.len().min(buf.remaining());
            buf.put_slice(&this.replay[..len]);
            this.replay.advance(len);
            if this.replay.is_empty() {
                // Give the memory back: the connection may live long.
                this.replay = Bytes::new();
            }
            this.activity.bytes_came();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            this.activity.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> Watched<I> {
    fn note_write(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.activity.write_blocked(),
            Poll::Ready(_) => self.activity.bytes_left(),
        }
        written
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        // TLS keeps records of its own, and may be stuck with them here.
        if flushed.is_pending() {
            self.activity.write_blocked();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if matches!(this.closing, Closing::Open) {
            if let Err(error) = ready!(Pin::new(&mut this.io).poll_shutdown(cx)) {
                return Poll::Ready(Err(error));
            }
            this.closing = Closing::Lingering { left: LINGER_BYTES };
        }
        let Closing::Lingering { left } = &mut this.closing else { return Poll::Ready(Ok(())) };
        let mut scratch = [MaybeUninit::uninit(); 8192];
        while *left > 0 {
            let mut buf = ReadBuf::uninit(&mut scratch);
            match Pin::new(&mut this.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    *left = left.saturating_sub(buf.filled().len());
                }
                Poll::Pending if this.activity.may_have_unread_body() => {
                    this.activity.lingers();
                    return Poll::Pending;
                }
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_read_to_tell_the_protocol_come_first() -> io::Result<()> {
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b"cd").await?;
        theirs.shutdown().await?;
        let replay = Bytes::from_static(b"ab");
        let mut watched = Watched::new(ours, replay, Arc::new(Activity::default()));
        let mut all = String::new();
        watched.read_to_string(&mut all).await?;
        assert_eq!(all, "abcd");
        Ok(())
    }

    #[tokio::test]
    async fn an_unread_body_is_taken_before_the_connection_is_dropped() -> io::Result<()> {
        let (ours, mut theirs) = duplex(64);
        let activity = Arc::new(Activity::default());
        activity.request_began(true);
        let mut watched = Watched::new(ours, Bytes::new(), activity);
        let closing = tokio::spawn(async move { watched.shutdown().await });
        // More than the pipe holds: the write ends only if someone takes it.
        theirs.write_all(&[0; 1000]).await?;
        theirs.shutdown().await?;
        closing.await?
    }

    #[tokio::test]
    async fn without_an_unread_body_closing_waits_for_nobody() -> io::Result<()> {
        let (ours, theirs) = duplex(64);
        let mut watched = Watched::new(ours, Bytes::new(), Arc::new(Activity::default()));
        watched.shutdown().await?;
        drop(theirs);
        Ok(())
    }
}
