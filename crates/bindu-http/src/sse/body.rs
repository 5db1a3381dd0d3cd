use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep};

use super::KEEP_ALIVE;
use crate::clock::after;

/// The silence after which a keep-alive comment is sent, unless told otherwise: 15 s,
/// half of what common proxies allow.
pub const DEFAULT_KEEP_ALIVE: Duration = Duration::from_secs(15);

pin_project_lite::pin_project! {
    /// A response body that sends pieces of an event stream, and a comment after a
    /// while of silence.
    ///
    /// Each piece holds whole events; the comment goes between pieces. It can be made
    /// a [`Body`](crate::Body) with [`Body::wrap`](crate::Body::wrap).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
    /// use bindu_http::sse::SseBody;
    /// use bindu_http::{Body, read_body};
    /// use bytes::Bytes;
    ///
    /// let events = futures_util::stream::iter([Bytes::from("data: a\n\n")]);
    /// let body = Body::wrap(SseBody::new(events));
    /// assert_eq!(read_body(body, 100).await?, "data: a\n\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub struct SseBody<S> {
        #[pin]
        pieces: S,
        #[pin]
        silence: Option<Sleep>,
        keep_alive: Duration,
        last: Option<Instant>,
    }
}

impl<S: Stream<Item = Bytes>> SseBody<S> {
    /// Sends `pieces`, with a comment after [`DEFAULT_KEEP_ALIVE`] of silence.
    pub const fn new(pieces: S) -> Self {
        Self::with_keep_alive(pieces, DEFAULT_KEEP_ALIVE)
    }

    /// Sends `pieces`, with a comment after `keep_alive` of silence.
    pub const fn with_keep_alive(pieces: S, keep_alive: Duration) -> Self {
        Self { pieces, silence: None, keep_alive, last: None }
    }
}

impl<S: Stream<Item = Bytes>> http_body::Body for SseBody<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut this = self.project();
        match this.pieces.poll_next(cx) {
            Poll::Ready(Some(piece)) => {
                // Only noted: moving the timer for each piece would cost more than the piece.
                *this.last = None;
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        let last = *this.last.get_or_insert_with(Instant::now);
        if this.silence.is_none() {
            this.silence.set(Some(sleep(*this.keep_alive)));
        }
        let Some(mut silence) = this.silence.as_mut().as_pin_mut() else { return Poll::Pending };
        while silence.as_mut().poll(cx).is_ready() {
            let due = after(last, *this.keep_alive);
            let now = Instant::now();
            if due <= now {
                *this.last = Some(now);
                silence.as_mut().reset(after(now, *this.keep_alive));
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(KEEP_ALIVE)))));
            }
            silence.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl<S> fmt::Debug for SseBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseBody").field("keep_alive", &self.keep_alive).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_a_comment_and_pieces_put_it_off() {
        let waits = [20, 10, 40, 14];
        let pieces = stream::unfold(waits.into_iter(), |mut waits| async {
            sleep(Duration::from_secs(waits.next()?)).await;
            Some((Bytes::from_static(b"data: x\n\n"), waits))
        });
        let mut body = pin!(SseBody::new(pieces));
        let started = Instant::now();
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame;
            let comment = frame.into_data().unwrap() == KEEP_ALIVE;
            seen.push((started.elapsed().as_secs(), if comment { "comment" } else { "piece" }));
        }
        assert_eq!(
            seen,
            [
                (15, "comment"),
                (20, "piece"),
                (30, "piece"),
                (45, "comment"),
                (60, "comment"),
                (70, "piece"),
                (84, "piece"),
            ]
        );
    }
}
