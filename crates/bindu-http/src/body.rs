//! Bodies: what we answer with, and how we read what others send.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::BoxError;
use crate::clock::after;

/// A response body: nothing, bytes known in advance, or a stream.
///
/// Bytes known in advance are sent with `Content-Length` and without a copy; a
/// stream is sent chunked (HTTP/1.1) or as data frames (HTTP/2).
///
/// ```
/// # use bindu_http::Body;
/// use http_body::Body as _;
///
/// assert_eq!(Body::from("hello").size_hint().exact(), Some(5));
/// assert!(Body::empty().is_end_stream());
/// ```
#[derive(Default)]
pub struct Body(Kind);

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Stream(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl Body {
    /// A body of no bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Empty)
    }

    /// A body of exactly these bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self(Kind::Full(bytes)) }
    }

    /// A body that ends when `chunks` ends. Each chunk leaves as soon as it is there.
    pub fn stream<S>(chunks: S) -> Self
    where
        S: Stream<Item = Bytes> + Send + 'static,
    {
        Self(Kind::Stream(Box::pin(Infallibly { chunks })))
    }

    /// A body that ends when `chunks` ends, or breaks the connection at its first error.
    ///
    /// Breaking the connection is the only way HTTP has to tell the reader that a
    /// body which has begun will not be complete.
    pub fn try_stream<S, E>(chunks: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Kind::Stream(Box::pin(Fallibly { chunks })))
    }

    /// Wraps any other body, for example an [`SseBody`](crate::sse::SseBody). Boxes it once.
    pub fn wrap<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Stream(Box::pin(Boxed { body })))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Stream(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Empty => f.write_str("Body::Empty"),
            Kind::Full(bytes) => write!(f, "Body::Full({} bytes)", bytes.len()),
            Kind::Stream(_) => f.write_str("Body::Stream"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::full(bytes)
    }
}

impl From<BytesMut> for Body {
    fn from(bytes: BytesMut) -> Self {
        Self::full(bytes.freeze())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::full(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::full(text)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::full(text)
    }
}

pin_project_lite::pin_project! {
    struct Infallibly<S> { #[pin] chunks: S }
}

impl<S: Stream<Item = Bytes>> http_body::Body for Infallibly<S> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().chunks.poll_next(cx).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

pin_project_lite::pin_project! {
    struct Fallibly<S> { #[pin] chunks: S }
}

impl<S, E> http_body::Body for Fallibly<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project()
            .chunks
            .poll_next(cx)
            .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data).map_err(Into::into)))
    }
}

pin_project_lite::pin_project! {
    struct Boxed<B> { #[pin] body: B }
}

impl<B> http_body::Body for Boxed<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What [`read_body_within`] accepts before it gives up.
///
/// ```
/// # use bindu_http::BodyLimits;
/// let limits = BodyLimits { max_bytes: 2 * 1024 * 1024, ..BodyLimits::default() };
/// assert_eq!(limits.stall_timeout.as_secs(), 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// The largest body, in bytes. Default 10 MiB.
    pub max_bytes: usize,
    /// The longest time between two pieces of the body. Default 30 s.
    pub stall_timeout: Duration,
    /// The longest time for the whole body, so that a sender of one byte every few
    /// seconds does not hold a connection for ever. Default 5 minutes.
    pub total_timeout: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            max_bytes: 10 * 1024 * 1024,
            stall_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_mins(5),
        }
    }
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadBodyError {
    /// The body is larger than allowed, or says so in `Content-Length`. A server
    /// answers 413.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit that was passed, in bytes.
        limit: usize,
    },
    /// The sender paused too long, or took too long altogether. A server answers 408.
    #[error("the body did not arrive in time")]
    Timeout,
    /// The connection broke, or the body's framing was wrong; no answer can arrive.
    #[error("reading the body")]
    Io(#[source] BoxError),
}

/// Reads a body of at most `limit` bytes; otherwise the default [`BodyLimits`].
///
/// A body that arrives in one piece, as most do, is handed on without a copy.
///
/// ```
/// # use bindu_http::{Body, ReadBodyError, read_body};
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// assert_eq!(read_body(Body::from("hello"), 5).await?, "hello");
/// let refused = read_body(Body::from("hello"), 4).await;
/// assert!(matches!(refused, Err(ReadBodyError::TooLarge { limit: 4 })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// As [`read_body_within`].
pub async fn read_body<B>(body: B, limit: usize) -> Result<Bytes, ReadBodyError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    read_body_within(body, &BodyLimits { max_bytes: limit, ..BodyLimits::default() }).await
}

/// Reads a body within `limits`, which hold while reading: no more than `max_bytes`
/// are ever kept.
///
/// # Errors
///
/// [`ReadBodyError::TooLarge`] as soon as the size is known to exceed the limit, at
/// once if `Content-Length` says so; [`ReadBodyError::Timeout`] if the sender is too
/// slow; [`ReadBodyError::Io`] if the connection broke.
pub async fn read_body_within<B>(body: B, limits: &BodyLimits) -> Result<Bytes, ReadBodyError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let limit = limits.max_bytes;
    let too_large = ReadBodyError::TooLarge { limit };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large);
    }
    let mut reader = Reader { body: pin!(body), limits, stall: None, give_up: None };

    let Some(first) = reader.next().await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(too_large);
    }
    let Some(second) = reader.next().await? else { return Ok(first) };

    // The announced length only reserves; what is kept is bounded by what came.
    let announced = usize::try_from(reader.body.size_hint().lower()).unwrap_or(limit);
    let known = first.len() + second.len();
    let mut whole = BytesMut::with_capacity(known.saturating_add(announced).min(limit.max(known)));
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(piece) = next {
        if piece.len() > limit - whole.len() {
            return Err(too_large);
        }
        whole.extend_from_slice(&piece);
        next = reader.next().await?;
    }
    Ok(whole.freeze())
}

/// Reads pieces of a body. The clock is looked at only once a piece is late, so that
/// a body which is already there costs no timer.
struct Reader<'a, B> {
    body: Pin<&'a mut B>,
    limits: &'a BodyLimits,
    stall: Option<Pin<Box<Sleep>>>,
    give_up: Option<Instant>,
}

impl<B> Reader<'_, B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    async fn next(&mut self) -> Result<Option<Bytes>, ReadBodyError> {
        let mut waiting = false;
        poll_fn(|cx| {
            loop {
                match self.body.as_mut().poll_frame(cx) {
                    Poll::Ready(None) => return Poll::Ready(Ok(None)),
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) if data.is_empty() => {}
                        Ok(data) => return Poll::Ready(Ok(Some(data))),
                        // Trailers: nothing here wants them.
                        Err(_) => {}
                    },
                    Poll::Ready(Some(Err(error))) => {
                        return Poll::Ready(Err(ReadBodyError::Io(error.into())));
                    }
                    Poll::Pending => break,
                }
            }
            if !waiting {
                waiting = true;
                let now = Instant::now();
                let give_up = *self.give_up.get_or_insert(after(now, self.limits.total_timeout));
                let deadline = after(now, self.limits.stall_timeout).min(give_up);
                match &mut self.stall {
                    Some(stall) => stall.as_mut().reset(deadline),
                    none => *none = Some(Box::pin(sleep_until(deadline))),
                }
            }
            match &mut self.stall {
                Some(stall) => stall.as_mut().poll(cx).map(|()| Err(ReadBodyError::Timeout)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::{StreamExt, stream};
    use http_body::Body as _;

    use super::*;

    fn chunks(pieces: &[&'static str]) -> Body {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect();
        Body::stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order() {
        let whole = read_body(chunks(&["a", "", "bc", "d"]), 4).await.unwrap();
        assert_eq!(whole, "abcd");
    }

    #[tokio::test]
    async fn one_piece_is_not_copied() {
        let sent = Bytes::from(vec![7; 64]);
        let read = read_body(Body::from(sent.clone()), 64).await.unwrap();
        assert_eq!(read.as_ptr(), sent.as_ptr());
    }

    #[tokio::test]
    async fn a_stream_is_cut_at_the_limit() {
        let endless = Body::stream(stream::repeat(Bytes::from_static(b"0123456789")));
        let refused = read_body(endless, 1000).await;
        assert!(matches!(refused, Err(ReadBodyError::TooLarge { limit: 1000 })), "{refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_sender_is_given_up_after_the_stall_timeout() {
        let silent =
            Body::stream(stream::iter([Bytes::from_static(b"x")]).chain(stream::pending()));
        let started = Instant::now();
        let refused = read_body(silent, 10).await;
        assert!(matches!(refused, Err(ReadBodyError::Timeout)), "{refused:?}");
        assert_eq!(started.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_given_up_after_the_total_timeout() {
        let trickle = Body::stream(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Some((Bytes::from_static(b"x"), ()))
        }));
        let started = Instant::now();
        let refused = read_body(trickle, 1000).await;
        assert!(matches!(refused, Err(ReadBodyError::Timeout)), "{refused:?}");
        assert_eq!(started.elapsed().as_secs(), 300);
    }

    #[tokio::test]
    async fn an_error_of_the_stream_is_told() {
        let broken = Body::try_stream(stream::iter([Err::<Bytes, _>(io::Error::other("gone"))]));
        let refused = read_body(broken, 10).await;
        assert!(matches!(refused, Err(ReadBodyError::Io(_))), "{refused:?}");
    }

    #[test]
    fn an_empty_full_body_says_that_it_is_over() {
        assert!(Body::from("").is_end_stream());
        assert_eq!(Body::from("").size_hint().exact(), Some(0));
    }
}
