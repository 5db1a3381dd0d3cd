//! An answer that comes piece by piece.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Code;

use super::error::CallError;
use super::send::Sent;
use super::wire::Reader;
use crate::metrics::Observed;
use crate::proto::HandleResponse;

/// The pieces of an answer, as they come. Dropping it cancels the call.
///
/// It ends when the handler has ended well, and after an error.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Pieces(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    first: Option<HandleResponse>,
    reader: Reader,
    /// How long the next piece may take.
    gap: Duration,
    /// When nobody waits any more.
    deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    observed: Observed,
    _sent: Sent,
}

impl Pieces {
    pub(super) fn new(
        first: Option<HandleResponse>,
        reader: Reader,
        sent: Sent,
        gap: Duration,
        deadline: Option<Instant>,
        mut observed: Observed,
    ) -> Self {
        // A call that brought no piece has ended, and well.
        if first.is_none() {
            observed.ended(Code::Ok);
            return Self(None);
        }
        let timer = Box::pin(sleep_until(until(gap, deadline)));
        let open = Open { first, reader, gap, deadline, timer, observed, _sent: sent };
        Self(Some(Box::new(open)))
    }
}

/// When the next piece has to be there.
fn until(gap: Duration, deadline: Option<Instant>) -> Instant {
    // What tokio takes for "never".
    const NEVER: Duration = Duration::from_hours(24 * 365);
    let next = Instant::now() + gap.min(NEVER);
    deadline.map_or(next, |deadline| deadline.min(next))
}

impl Open {
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<HandleResponse, CallError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let piece = self.reader.poll_next(cx);
        if piece.is_ready() {
            let next = until(self.gap, self.deadline);
            self.timer.as_mut().reset(next);
            return piece;
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let text = match self.deadline {
            Some(deadline) if deadline <= Instant::now() => {
                "the answer was not complete in time".into()
            }
            _ => format!("nothing came for {:.1} s", self.gap.as_secs_f64()),
        };
        Poll::Ready(Some(Err(CallError::new(Code::DeadlineExceeded, &text))))
    }
}

impl Stream for Pieces {
    type Item = Result<HandleResponse, CallError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(open) = &mut this.0 else {
            return Poll::Ready(None);
        };
        let piece = open.poll_piece(cx);
        match &piece {
            Poll::Pending => return piece,
            Poll::Ready(Some(Ok(response))) => {
                // The answer is complete, whether or not anybody waits for the end of the call.
                if response.is_final || !response.state.is_empty() {
                    open.observed.ended(Code::Ok);
                }
                return piece;
            }
            Poll::Ready(Some(Err(error))) => open.observed.ended(error.code()),
            Poll::Ready(None) => open.observed.ended(Code::Ok),
        }
        this.0 = None;
        piece
    }
}
