//! Answers that come piece by piece.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bindu_protocol::Part;
use futures_core::Stream;

use crate::{BoxStream, HandlerError, Reply};

/// One piece of a streamed answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Chunk {
    /// Text that continues the text before it.
    Text(String),
    /// Whole parts, which stay apart from the text around them.
    Parts(Vec<Part>),
    /// Ends the stream with an outcome of its own: a question after some text, a refusal.
    /// Nothing after it is read.
    End(Reply),
}

impl From<String> for Chunk {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Chunk {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Part> for Chunk {
    fn from(part: Part) -> Self {
        Self::Parts(vec![part])
    }
}

/// The pieces of a streamed answer; made by [`Reply::stream`].
///
/// It ends after an error and after [`Chunk::End`]. An `End` that is itself a stream is never
/// seen: its pieces follow instead.
#[must_use = "a stream does nothing unless it is polled"]
pub struct ChunkStream(Option<BoxStream<'static, Result<Chunk, HandlerError>>>);

impl ChunkStream {
    /// Takes any stream of pieces.
    pub fn new(chunks: impl Stream<Item = Result<Chunk, HandlerError>> + Send + 'static) -> Self {
        Self(Some(Box::pin(chunks)))
    }
}

impl Stream for ChunkStream {
    type Item = Result<Chunk, HandlerError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let Some(chunks) = &mut this.0 else {
                return Poll::Ready(None);
            };
            match ready!(chunks.as_mut().poll_next(cx)) {
                Some(Ok(Chunk::End(Reply::Stream(next)))) => *this = next,
                Some(Ok(chunk @ (Chunk::Text(_) | Chunk::Parts(_)))) => {
                    return Poll::Ready(Some(Ok(chunk)));
                }
                last => {
                    this.0 = None;
                    return Poll::Ready(last);
                }
            }
        }
    }
}

impl fmt::Debug for ChunkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkStream").field("is_over", &self.0.is_none()).finish()
    }
}

/// Joins the pieces of a stream into the parts that are stored at its end.
///
/// Texts that follow each other are one text part; other parts keep their place and stay apart,
/// text parts among them too, since they may carry remarks of their own.
///
/// ```
/// use bindu_agent::{Chunk, Collected};
/// use bindu_protocol::Part;
///
/// let mut collected = Collected::default();
/// collected.push(&Chunk::from("one "));
/// collected.push(&Chunk::from("two"));
/// assert_eq!(collected.into_parts(), [Part::text("one two")]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Collected {
    parts: Vec<Part>,
    /// Text that may still grow; it belongs after `parts`.
    text: Option<String>,
}

impl Collected {
    /// Adds a piece. An [`End`](Chunk::End) is an outcome and adds nothing.
    pub fn push(&mut self, chunk: &Chunk) {
        match chunk {
            Chunk::Text(text) => self.text.get_or_insert_default().push_str(text),
            Chunk::Parts(parts) if !parts.is_empty() => {
                self.close_text();
                self.parts.extend_from_slice(parts);
            }
            Chunk::Parts(_) | Chunk::End(_) => {}
        }
    }

    /// Whether there was no piece yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.text.is_none()
    }

    /// All of it, in order.
    #[must_use]
    pub fn into_parts(mut self) -> Vec<Part> {
        self.close_text();
        self.parts
    }

    fn close_text(&mut self) {
        self.parts.extend(self.text.take().map(Part::text));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};

    use super::*;

    fn of(chunks: Vec<Result<Chunk, HandlerError>>) -> ChunkStream {
        ChunkStream::new(stream::iter(chunks))
    }

    async fn texts(stream: ChunkStream) -> Vec<String> {
        let show = |chunk: Result<Chunk, HandlerError>| match chunk {
            Ok(Chunk::Text(text)) => text,
            other => format!("{other:?}"),
        };
        stream.map(show).collect().await
    }

    #[tokio::test]
    async fn nothing_follows_an_error() {
        let stream = of(vec![Ok("a".into()), Err("boom".into()), Ok("b".into())]);
        assert_eq!(texts(stream).await, ["a", r#"Err("boom")"#]);
    }

    #[tokio::test]
    async fn nothing_follows_an_end() {
        let stream = of(vec![Ok(Chunk::End(Reply::rejected("no"))), Ok("b".into())]);
        let seen = texts(stream).await;
        assert_eq!(seen.len(), 1);
        assert!(seen[0].contains("Rejected"), "{seen:?}");
    }

    #[tokio::test]
    async fn a_stream_may_go_on_as_another() {
        let next = of(vec![Ok("b".into()), Ok("c".into())]);
        let stream = of(vec![Ok("a".into()), Ok(Chunk::End(Reply::Stream(next))), Ok("x".into())]);
        assert_eq!(texts(stream).await, ["a", "b", "c"]);
    }

    #[test]
    fn parts_stay_apart_from_the_text_around_them() {
        let mut collected = Collected::default();
        for chunk in ["a", "b"].map(Chunk::from) {
            collected.push(&chunk);
        }
        collected.push(&Part::text("own").into());
        collected.push(&Chunk::Parts(Vec::new()));
        for chunk in ["c", "d"].map(Chunk::from) {
            collected.push(&chunk);
        }
        assert_eq!(collected.into_parts(), [Part::text("ab"), Part::text("own"), Part::text("cd")]);
    }

    #[test]
    fn an_empty_text_is_a_text() {
        let mut collected = Collected::default();
        assert!(collected.is_empty());
        collected.push(&Chunk::from(""));
        assert!(!collected.is_empty());
        assert_eq!(collected.into_parts(), [Part::text("")]);
    }
}
