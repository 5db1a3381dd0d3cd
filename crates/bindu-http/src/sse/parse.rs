use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

use super::SseError;

/// The largest event a [`Parser`] accepts unless told otherwise: 16 MiB.
pub const DEFAULT_MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The event's own `id` field, if it has one. What a reader sends back as
    /// `Last-Event-ID` is [`Parser::last_event_id`], which outlives events without id.
    pub id: Option<String>,
    /// The `event` field; `None` means `message`.
    pub event: Option<String>,
    /// The `data` lines, joined with LF. As received: UTF-8 is not checked.
    pub data: Bytes,
    /// The `retry` field in milliseconds, if the event came with one.
    pub retry: Option<u64>,
}

/// Reads an event stream, however it is cut into pieces.
///
/// Keeps at most one event of the configured size. An event that is not ended by an
/// empty line when the stream ends is dropped, as the standard says: just drop the
/// parser.
///
/// ```
/// use bindu_http::sse::Parser;
///
/// let mut parser = Parser::new();
/// parser.push("id: 1\ndata: hel".into());
/// assert_eq!(parser.next_event()?, None);
/// parser.push("lo\n\n".into());
/// let event = parser.next_event()?.expect("the event is complete");
/// assert_eq!(event.data, "hello");
/// assert_eq!(parser.last_event_id(), "1");
/// # Ok::<(), bindu_http::sse::SseError>(())
/// ```
#[derive(Debug)]
pub struct Parser {
    /// What was pushed and not read. Empty, or the only piece: see `push`.
    input: Bytes,
    /// The beginning of a line whose end has not come.
    partial: BytesMut,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Bytes of a byte order mark that may begin the stream; 3 when that is settled.
    bom: usize,
    data: Data,
    id: Option<String>,
    event: Option<String>,
    retry: Option<u64>,
    last_event_id: String,
    reconnect_after: Option<u64>,
    limit: usize,
    failed: bool,
}

/// The data of the event so far. One line, the usual case, stays a slice of the input.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(lines) => lines.len(),
        }
    }

    fn push(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(line),
            Self::One(first) => {
                let mut lines = BytesMut::with_capacity((first.len() + line.len() + 1) * 2);
                lines.extend_from_slice(&first);
                lines.extend_from_slice(b"\n");
                lines.extend_from_slice(&line);
                Self::Many(lines)
            }
            Self::Many(mut lines) => {
                lines.extend_from_slice(b"\n");
                lines.extend_from_slice(&line);
                Self::Many(lines)
            }
        };
    }
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_event_bytes(DEFAULT_MAX_EVENT_BYTES)
    }

    /// A parser that fails at a line or an event of more than `limit` bytes.
    #[must_use]
    pub fn with_max_event_bytes(limit: usize) -> Self {
        Self {
            input: Bytes::new(),
            partial: BytesMut::new(),
            after_cr: false,
            bom: 0,
            data: Data::None,
            id: None,
            event: None,
            retry: None,
            last_event_id: String::new(),
            reconnect_after: None,
            limit,
            failed: false,
        }
    }

    /// Adds the next piece of the stream. Read all events before pushing more: then no
    /// byte is copied that need not be.
    pub fn push(&mut self, piece: Bytes) {
        if self.input.is_empty() {
            self.input = piece;
        } else {
            let mut joined = BytesMut::with_capacity(self.input.len() + piece.len());
            joined.extend_from_slice(&self.input);
            joined.extend_from_slice(&piece);
            self.input = joined.freeze();
        }
    }

    /// The next event, or `None` until more is pushed.
    ///
    /// # Errors
    ///
    /// [`SseError::TooLarge`] if a line or an event exceeds the limit. The stream cannot
    /// be followed any further; every later call fails the same way.
    pub fn next_event(&mut self) -> Result<Option<Event>, SseError> {
        if self.failed {
            return Err(SseError::TooLarge { limit: self.limit });
        }
        while let Some(line) = self.next_line()? {
            if line.is_empty() {
                if let Some(event) = self.dispatch() {
                    return Ok(Some(event));
                }
            } else {
                self.field(line)?;
            }
        }
        Ok(None)
    }

    /// The id to send as `Last-Event-ID` when connecting again; empty if there is none.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The last `retry` of the stream, in milliseconds.
    #[must_use]
    pub const fn reconnect_after(&self) -> Option<u64> {
        self.reconnect_after
    }

    fn next_line(&mut self) -> Result<Option<Bytes>, SseError> {
        self.skip_bom();
        if self.after_cr && !self.input.is_empty() {
            self.after_cr = false;
            if self.input[0] == b'\n' {
                self.input.advance(1);
            }
        }
        let Some(end) = memchr2(b'\r', b'\n', &self.input) else {
            self.check(self.partial.len() + self.input.len())?;
            if !self.input.is_empty() {
                self.partial.extend_from_slice(&self.input);
                self.input = Bytes::new();
            }
            return Ok(None);
        };
        self.check(self.partial.len() + end)?;
        let mut line = self.input.split_to(end);
        self.after_cr = self.input[0] == b'\r';
        self.input.advance(1);
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(&line);
            line = self.partial.split().freeze();
        }
        Ok(Some(line))
    }

    /// Skips a byte order mark at the very beginning, even if it comes byte by byte.
    fn skip_bom(&mut self) {
        while self.bom < BOM.len() && !self.input.is_empty() {
            if self.input[0] == BOM[self.bom] {
                self.bom += 1;
                self.input.advance(1);
            } else {
                // It was none: what was skipped begins the first line.
                self.partial.extend_from_slice(&BOM[..self.bom]);
                self.bom = BOM.len();
            }
        }
    }

    fn field(&mut self, mut line: Bytes) -> Result<(), SseError> {
        let (name, value_at) = match memchr::memchr(b':', &line) {
            Some(0) => return Ok(()), // a comment
            Some(colon) => (colon, colon + 1 + usize::from(line.get(colon + 1) == Some(&b' '))),
            None => (line.len(), line.len()),
        };
        match &line[..name] {
            b"data" => {
                line.advance(value_at);
                self.check(self.data.len() + line.len() + 1)?;
                self.data.push(line);
            }
            b"event" => self.event = Some(text(&line[value_at..])),
            b"id" if !line[value_at..].contains(&0) => self.id = Some(text(&line[value_at..])),
            b"retry" => {
                let value = &line[value_at..];
                // Only digits: Rust's own parser would take a plus sign too.
                if value.iter().all(u8::is_ascii_digit)
                    && let Ok(milliseconds) = text(value).parse()
                {
                    self.retry = Some(milliseconds);
                    self.reconnect_after = Some(milliseconds);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An empty line: the event is complete, unless it has no data.
    fn dispatch(&mut self) -> Option<Event> {
        let id = self.id.take();
        if let Some(id) = &id {
            // Also for an event without data: it moves the reader on.
            self.last_event_id.clone_from(id);
        }
        let event = self.event.take().filter(|event| !event.is_empty());
        let retry = self.retry.take();
        let data = match std::mem::take(&mut self.data) {
            Data::None => return None,
            Data::One(line) => line,
            Data::Many(lines) => lines.freeze(),
        };
        Some(Event { id, event, data, retry })
    }

    fn check(&mut self, size: usize) -> Result<(), SseError> {
        if size > self.limit {
            self.failed = true;
            return Err(SseError::TooLarge { limit: self.limit });
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::super::{write_comment, write_event};
    use super::*;

    fn parse(pieces: &[&[u8]]) -> Vec<Event> {
        let mut parser = Parser::new();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(Bytes::copy_from_slice(piece));
            while let Some(event) = parser.next_event().unwrap() {
                events.push(event);
            }
        }
        events
    }

    fn data(stream: &str) -> Vec<String> {
        parse(&[stream.as_bytes()]).iter().map(|event| text(&event.data)).collect()
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(data("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
        assert_eq!(
            data(
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event"
            ),
            ["first event", "second event"]
        );
        assert_eq!(data("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
        assert_eq!(data("data:test\n\ndata: test\n\n"), ["test", "test"]);
    }

    #[test]
    fn an_id_without_value_resets_the_last_one() {
        let mut parser = Parser::new();
        parser.push("id: 1\ndata\n\n".into());
        assert_eq!(parser.next_event().unwrap().unwrap().id.as_deref(), Some("1"));
        assert_eq!(parser.last_event_id(), "1");
        parser.push("data\n\nid: a\0b\ndata\n\n".into());
        assert_eq!(parser.next_event().unwrap().unwrap().id, None);
        assert_eq!(parser.next_event().unwrap().unwrap().id, None);
        assert_eq!(parser.last_event_id(), "1");
        parser.push("id\n\n".into());
        assert_eq!(parser.next_event().unwrap(), None);
        assert_eq!(parser.last_event_id(), "");
    }

    #[test]
    fn the_mark_is_skipped_once_and_only_at_the_beginning() {
        assert_eq!(data("\u{feff}data: a\n\n\u{feff}data: b\n\n"), ["a"]);
        let bytes: Vec<&[u8]> = "\u{feff}data: a\n\n".as_bytes().chunks(1).collect();
        assert_eq!(parse(&bytes).len(), 1);
        assert_eq!(parse(&[b"\xEF\xBB", b"data: a\n\ndata: b\n\n"]).len(), 1);
    }

    #[test]
    fn retry_takes_digits_only_and_unknown_fields_are_skipped() {
        let events =
            parse(&[b"retry: 10\ndata: a\n\nretry: +5\nretry: x\nfoo: bar\nDATA: b\ndata: c\n\n"]);
        assert_eq!(events[0].retry, Some(10));
        assert_eq!(events[1].retry, None);
        assert_eq!(events[1].data, "c");
    }

    #[test]
    fn an_endless_line_and_an_endless_event_fail_for_good() {
        for piece in ["data: 0123456789", "data: 0\n", "data: 012345678901234567890\n"] {
            let mut parser = Parser::with_max_event_bytes(20);
            let failed = (0..20).any(|_| {
                parser.push(piece.into());
                parser.next_event().is_err()
            });
            assert!(failed, "{piece:?}");
            parser.push("\n\n".into());
            assert!(matches!(parser.next_event(), Err(SseError::TooLarge { limit: 20 })));
        }
    }

    #[test]
    fn one_line_of_data_is_a_slice_of_the_input() {
        let input = Bytes::from("data: hello\n\n");
        let mut parser = Parser::new();
        parser.push(input.clone());
        let event = parser.next_event().unwrap().unwrap();
        assert_eq!(event.data.as_ptr(), input[6..].as_ptr());
    }

    fn with_lf(data: &str) -> String {
        data.replace("\r\n", "\n").replace('\r', "\n")
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_however_it_is_cut(
            sent in vec((any::<Option<u64>>(), option::of("[^\r\n]{1,8}"), "(.|\r|\n){0,40}"), 0..8),
            comment in "[^\0]{0,10}",
            cuts in vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut stream = BytesMut::new();
            for (id, event, data) in &sent {
                write_event(&mut stream, *id, event.as_deref(), data.as_bytes()).unwrap();
                write_comment(&mut stream, &comment);
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();

            let expected: Vec<_> = sent
                .iter()
                .map(|(id, event, data)| Event {
                    id: id.map(|id| id.to_string()),
                    event: event.clone(),
                    data: Bytes::from(with_lf(data)),
                    retry: None,
                })
                .collect();
            prop_assert_eq!(parse(&pieces), expected);
        }

        #[test]
        fn any_bytes_mean_the_same_however_they_are_cut(
            stream in vec(prop_oneof![
                Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>()
            ], 0..200),
            cut in any::<prop::sample::Index>(),
        ) {
            let (head, tail) = stream.split_at(cut.index(stream.len() + 1));
            prop_assert_eq!(parse(&[head, tail]), parse(&[&stream]));
            let single: Vec<_> = stream.chunks(1).collect();
            prop_assert_eq!(parse(&single), parse(&[&stream]));
        }
    }
}
