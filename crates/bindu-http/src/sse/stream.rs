use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;

use super::{Event, Parser, SseError};
use crate::BoxError;

pin_project_lite::pin_project! {
    /// The events of a body, for example of a [`Client`](crate::client::Client)'s
    /// streaming response.
    ///
    /// Ends when the body ends or at the first error. An event that is not complete by
    /// then is dropped: its sender may send it again.
    pub struct SseStream<B> {
        #[pin]
        body: B,
        parser: Parser,
        done: bool,
    }
}

impl<B> SseStream<B> {
    /// Reads `body` with the default limit.
    pub fn new(body: B) -> Self {
        Self::with_parser(body, Parser::new())
    }

    /// Reads `body` with a parser of your own limit.
    pub const fn with_parser(body: B, parser: Parser) -> Self {
        Self { body, parser, done: false }
    }

    /// The id to send as `Last-Event-ID` when connecting again; empty if there is none.
    pub fn last_event_id(&self) -> &str {
        self.parser.last_event_id()
    }

    /// The last `retry` of the stream, in milliseconds.
    pub const fn reconnect_after(&self) -> Option<u64> {
        self.parser.reconnect_after()
    }
}

impl<B> Stream for SseStream<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Item = Result<Event, SseError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        while !*this.done {
            match this.parser.next_event() {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                Ok(None) => {}
                Err(error) => {
                    *this.done = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        this.parser.push(piece);
                    }
                }
                Some(Err(error)) => {
                    *this.done = true;
                    return Poll::Ready(Some(Err(SseError::Body(error.into()))));
                }
                None => *this.done = true,
            }
        }
        Poll::Ready(None)
    }
}

impl<B> fmt::Debug for SseStream<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SseStream").field("parser", &self.parser).finish_non_exhaustive()
    }
}
