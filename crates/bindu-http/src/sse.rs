//! Server-sent events, both ways (WHATWG HTML, section 9.2).
//!
//! Writing appends events to a buffer, so that many leave in one piece:
//!
//! ```
//! use bindu_http::sse;
//! use bytes::BytesMut;
//!
//! let mut buffer = BytesMut::new();
//! sse::write_event(&mut buffer, Some(7), Some("status"), b"{\"state\":\"working\"}")?;
//! assert_eq!(&buffer[..], b"id: 7\nevent: status\ndata: {\"state\":\"working\"}\n\n");
//! # Ok::<(), bindu_http::sse::SseError>(())
//! ```
//!
//! [`SseBody`] sends such pieces and keeps the connection alive in between; [`Parser`]
//! reads them from any source, and [`SseStream`] from a response body.

mod body;
mod parse;
mod stream;
mod write;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::BoxError;

pub use self::body::{DEFAULT_KEEP_ALIVE, SseBody};
pub use self::parse::{DEFAULT_MAX_EVENT_BYTES, Event, Parser};
pub use self::stream::SseStream;
pub use self::write::{DataWriter, KEEP_ALIVE, write_comment, write_event, write_retry};

/// The `Content-Type` of an event stream.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");

/// The header in which a reader that comes back names the last event it saw.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Why events could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SseError {
    /// The name of an event holds a line break, which would end its line and let the
    /// rest pass for fields of its own.
    #[error("an event name cannot hold a line break")]
    InvalidName,
    /// A line or an event is larger than the parser allows.
    #[error("an event is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body under the stream failed.
    #[error("reading the event stream")]
    Body(#[source] BoxError),
}

/// A `Last-Event-ID` that no stream of ours has given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the last-event-id header is not the decimal id of an event")]
pub struct InvalidLastEventId;

/// Reads `Last-Event-ID`: where a reader wants to go on.
///
/// `None` if there is no such header or it is empty, which is how a reader says that it
/// has seen nothing. Our ids are the decimal digits of a `u64`; surrounding blanks and
/// leading zeros are accepted, signs are not.
///
/// ```
/// use bindu_http::sse::{LAST_EVENT_ID, parse_last_event_id};
/// use http::{HeaderMap, HeaderValue};
///
/// let mut headers = HeaderMap::new();
/// assert_eq!(parse_last_event_id(&headers), Ok(None));
/// headers.insert(LAST_EVENT_ID, HeaderValue::from_static("42"));
/// assert_eq!(parse_last_event_id(&headers), Ok(Some(42)));
/// ```
///
/// # Errors
///
/// [`InvalidLastEventId`] for any other text, for a number beyond `u64`, and for two
/// headers. Whether that refuses the request or starts the stream anew is the caller's
/// choice.
pub fn parse_last_event_id(headers: &HeaderMap) -> Result<Option<u64>, InvalidLastEventId> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(InvalidLastEventId);
    }
    let digits = value.as_bytes().trim_ascii();
    if digits.is_empty() {
        return Ok(None);
    }
    digits
        .iter()
        .try_fold(0_u64, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        })
        .map(Some)
        .ok_or(InvalidLastEventId)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(value: &[u8]) -> Result<Option<u64>, InvalidLastEventId> {
        let mut headers = HeaderMap::new();
        headers.insert(LAST_EVENT_ID, HeaderValue::from_bytes(value).unwrap());
        parse_last_event_id(&headers)
    }

    #[test]
    fn ids_are_decimal_digits_up_to_u64() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b" 007 "), Ok(Some(7)));
        assert_eq!(parse(b"18446744073709551615"), Ok(Some(u64::MAX)));
        for wrong in ["18446744073709551616", "-1", "+1", "1.5", "0x1", "one", "1 2", "\u{661}"] {
            assert_eq!(parse(wrong.as_bytes()), Err(InvalidLastEventId), "{wrong}");
        }
    }

    #[test]
    fn two_headers_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(LAST_EVENT_ID, HeaderValue::from_static("1"));
        headers.append(LAST_EVENT_ID, HeaderValue::from_static("2"));
        assert_eq!(parse_last_event_id(&headers), Err(InvalidLastEventId));
    }

    proptest! {
        #[test]
        fn every_number_comes_back(id: u64) {
            prop_assert_eq!(parse(id.to_string().as_bytes()), Ok(Some(id)));
        }
    }
}
