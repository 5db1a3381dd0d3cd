use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Shared;
use super::pool::Lease;
use crate::clock::after;
use crate::error::{HttpError, Phase};

/// The body of a response, as it comes in.
///
/// Read to its end, its connection can serve another request; dropped before, the
/// connection is closed. Fails with [`HttpError::Timeout`] after
/// [`Config::read_idle_timeout`](super::Config::read_idle_timeout) of silence.
pub struct IncomingBody {
    body: Incoming,
    /// Gone once the body has ended or failed.
    lease: Option<Lease>,
    client: Arc<Shared>,
    silence: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl IncomingBody {
    pub(super) fn new(body: Incoming, lease: Lease, client: Arc<Shared>) -> Self {
        let mut this = Self { body, lease: Some(lease), client, silence: None, waiting: false };
        this.give_back_if_ended();
        this
    }

    fn give_back_if_ended(&mut self) {
        if self.body.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.client.pool.give_back(lease);
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waiting {
            self.waiting = true;
            let until = after(Instant::now(), self.client.config.read_idle_timeout);
            match &mut self.silence {
                Some(silence) => silence.as_mut().reset(until),
                none => *none = Some(Box::pin(sleep_until(until))),
            }
        }
        match &mut self.silence {
            Some(silence) => silence.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = false;
                this.give_back_if_ended();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.give_back();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.lease = None;
                Poll::Ready(Some(Err(HttpError::Io(error.into()))))
            }
            Poll::Pending => this.poll_silence(cx).map(|()| {
                this.lease = None;
                Some(Err(HttpError::Timeout { phase: Phase::Body }))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for IncomingBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingBody").field("body", &self.body).finish_non_exhaustive()
    }
}
