//! gRPC over HTTP/2: how a message is framed, and what an answer's headers and trailers say.
//!
//! Written out here rather than left to tonic's client for two reasons. Whether a request has left
//! must be known exactly, and an SDK must not be able to make us panic: tonic takes it for granted
//! that `grpc-status-details-bin` is base64.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use percent_encoding::percent_decode;
use prost::Message;
use tonic::Code;

use super::error::CallError;

const GRPC: &str = "application/grpc";
const AGENT: &str = concat!("bindu-grpc/", env!("CARGO_PKG_VERSION"));
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// A flag for compression and a length.
const PREFIX: usize = 5;

/// Writes a message with its prefix.
///
/// # Errors
///
/// `RESOURCE_EXHAUSTED` if it is longer than `limit` bytes.
pub(super) fn frame(message: &impl Message, limit: usize) -> Result<Bytes, CallError> {
    let length = message.encoded_len();
    let too_long = || {
        let text = format!("the request has {length} bytes, and {limit} are allowed");
        CallError::new(Code::ResourceExhausted, &text)
    };
    if length > limit {
        return Err(too_long());
    }
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).map_err(|_| too_long())?);
    message.encode(&mut framed).map_err(|_| too_long())?;
    Ok(framed.freeze())
}

/// The body of a request: one framed message. Notes when HTTP/2 takes it; until then nothing has
/// left that a handler could act upon.
#[derive(Debug)]
pub(super) struct Outgoing {
    framed: Option<Bytes>,
    taken: Arc<AtomicBool>,
}

impl Outgoing {
    pub(super) const fn new(framed: Bytes, taken: Arc<AtomicBool>) -> Self {
        Self { framed: Some(framed), taken }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let framed = self.framed.take();
        if framed.is_some() {
            self.taken.store(true, Ordering::Release);
        }
        Poll::Ready(framed.map(|framed| Ok(Frame::data(framed))))
    }

    fn is_end_stream(&self) -> bool {
        self.framed.is_none()
    }
}

/// Makes a request of a call.
pub(super) fn request(
    uri: &Uri,
    metadata: &HeaderMap,
    timeout: Option<Duration>,
    body: Outgoing,
) -> Request<Outgoing> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    *headers = metadata.clone();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if let Some(timeout) = timeout.and_then(timeout_value) {
        headers.insert(TIMEOUT, timeout);
    }
    request
}

/// At most eight digits and a unit. `None` for what is too long to be written.
fn timeout_value(timeout: Duration) -> Option<HeaderValue> {
    const MAX: u128 = 99_999_999;
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    let text = match (millis, timeout.as_secs()) {
        (0..=MAX, _) => format!("{millis}m"),
        (_, seconds) if u128::from(seconds) <= MAX => format!("{seconds}S"),
        _ => return None,
    };
    HeaderValue::try_from(text).ok()
}

/// Reads the messages of an answer and its status.
#[derive(Debug)]
pub(super) struct Reader {
    body: Incoming,
    limit: usize,
    /// What came last, while nothing before it waits. Most messages come in one piece, and are
    /// then decoded where they are.
    whole: Bytes,
    /// The beginning of a message that is not complete.
    partial: BytesMut,
    /// The status, once it is known.
    status: Option<Result<(), CallError>>,
}

impl Reader {
    /// Looks at the head of an answer.
    ///
    /// # Errors
    ///
    /// If the head says that there will be no message.
    pub(super) fn begin(response: Response<Incoming>, limit: usize) -> Result<Self, CallError> {
        let (head, body) = response.into_parts();
        let status = status_of(&head.headers);
        if let Some(Err(error)) = status {
            return Err(error);
        }
        let kind = head.headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        if head.status != StatusCode::OK || !kind.starts_with(GRPC.as_bytes()) {
            return Err(CallError::not_grpc(head.status));
        }
        Ok(Self { body, limit, whole: Bytes::new(), partial: BytesMut::new(), status })
    }

    /// The next message; `None` when the call ended well. Not to be polled after that, nor after
    /// an error.
    pub(super) fn poll_next<M: Message + Default>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<M, CallError>>> {
        loop {
            match self.decode() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => self.take(frame),
                Some(Err(error)) => return Poll::Ready(Some(Err(CallError::broken(&error)))),
                None => return Poll::Ready(self.end().err().map(Err)),
            }
        }
    }

    /// The only message of a call.
    pub(super) async fn only<M: Message + Default>(mut self) -> Result<M, CallError> {
        let first = std::future::poll_fn(|cx| self.poll_next(cx)).await;
        let broken = |text| Err(CallError::new(Code::Internal, text));
        let Some(message) = first.transpose()? else {
            return broken("the answer holds no message");
        };
        match std::future::poll_fn(|cx| self.poll_next::<M>(cx)).await.transpose()? {
            None => Ok(message),
            Some(_) => broken("the answer holds several messages"),
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) if self.partial.is_empty() => self.whole = data,
            Ok(data) => self.partial.extend_from_slice(&data),
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.status = status_of(&trailers).or_else(|| self.status.take());
                }
            }
        }
    }

    fn decode<M: Message + Default>(&mut self) -> Result<Option<M>, CallError> {
        let message = if self.whole.is_empty() {
            match self.length_of(&self.partial)? {
                Some(length) => {
                    self.partial.advance(PREFIX);
                    self.partial.split_to(length).freeze()
                }
                None => return Ok(None),
            }
        } else {
            let Some(length) = self.length_of(&self.whole)? else {
                self.partial.extend_from_slice(&std::mem::take(&mut self.whole));
                return Ok(None);
            };
            self.whole.advance(PREFIX);
            self.whole.split_to(length)
        };
        let broken = |error: prost::DecodeError| {
            CallError::new(Code::Internal, &format!("the answer cannot be decoded: {error}"))
        };
        M::decode(message).map(Some).map_err(broken)
    }

    /// The length of the message at the beginning of `bytes`, if it is complete.
    fn length_of(&self, bytes: &[u8]) -> Result<Option<usize>, CallError> {
        let Some(&[flag, ref length @ ..]) = bytes.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        if flag != 0 {
            let text = "the answer is compressed, which was not offered";
            return Err(CallError::new(Code::Internal, text));
        }
        let length = u32::from_be_bytes(*length);
        match usize::try_from(length) {
            Ok(length) if length <= self.limit => {
                Ok((bytes.len() - PREFIX >= length).then_some(length))
            }
            _ => {
                let limit = self.limit;
                let text = format!("the answer has {length} bytes, and {limit} are allowed");
                Err(CallError::new(Code::ResourceExhausted, &text))
            }
        }
    }

    fn end(&mut self) -> Result<(), CallError> {
        match self.status.take() {
            Some(Err(error)) => Err(error),
            Some(Ok(())) if !self.partial.is_empty() => {
                Err(CallError::new(Code::Internal, "the answer ends within a message"))
            }
            Some(Ok(())) => Ok(()),
            None => Err(CallError::new(Code::Unknown, "the answer ends without a status")),
        }
    }
}

/// The status in headers or trailers, if there is one.
fn status_of(headers: &HeaderMap) -> Option<Result<(), CallError>> {
    let code = Code::from_bytes(headers.get(STATUS)?.as_bytes());
    if code == Code::Ok {
        return Some(Ok(()));
    }
    let message = headers.get(MESSAGE).map_or(&[][..], HeaderValue::as_bytes);
    Some(Err(CallError::new(code, &percent_decode(message).decode_utf8_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_written_in_eight_digits() {
        let text = |timeout| timeout_value(timeout).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(text(Duration::from_secs(30)).unwrap(), "30000m");
        assert_eq!(text(Duration::from_nanos(1)).unwrap(), "1m");
        assert_eq!(text(Duration::from_millis(99_999_999)).unwrap(), "99999999m");
        assert_eq!(text(Duration::from_millis(100_000_001)).unwrap(), "100000S");
        assert_eq!(text(Duration::MAX), None);
    }

    #[test]
    fn a_status_is_read_whatever_is_in_it() {
        let of = |status: &'static [u8], message: &'static [u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(STATUS, HeaderValue::from_bytes(status).unwrap());
            headers.insert(MESSAGE, HeaderValue::from_bytes(message).unwrap());
            headers.insert("grpc-status-details-bin", HeaderValue::from_static("%%%"));
            status_of(&headers).unwrap().unwrap_err().to_string()
        };
        assert_eq!(of(b"13", b"caf%C3%A9%0Aau lait"), "INTERNAL: café au lait");
        assert_eq!(of(b"5", b"100%"), "NOT_FOUND: 100%");
        assert_eq!(of(b"14", b"%FF"), "UNAVAILABLE: \u{FFFD}");
        assert_eq!(of(b"99", b"x"), "UNKNOWN: x");
        assert_eq!(of(b"", b"x"), "UNKNOWN: x");
        assert_eq!(status_of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_request_over_the_limit_is_not_written() {
        let text = "x".repeat(100);
        assert_eq!(frame(&text, 102).unwrap()[..5], [0, 0, 0, 0, 102]);
        let error = frame(&text, 101).unwrap_err().to_string();
        assert_eq!(error, "RESOURCE_EXHAUSTED: the request has 102 bytes, and 101 are allowed");
    }
}
