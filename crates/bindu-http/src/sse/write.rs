use std::io::{self, Write};

use bytes::{BufMut, BytesMut};
use memchr::memchr2;

use super::SseError;

/// A comment that says nothing: readers skip it, and proxies see that we live.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Appends one event.
///
/// Line breaks in `data` (LF, CR, CRLF) split it into several `data` lines; the reader
/// gets them back as LF.
///
/// # Errors
///
/// [`SseError::InvalidName`] if `event` holds CR or LF; the buffer is then unchanged.
pub fn write_event(
    buffer: &mut BytesMut,
    id: Option<u64>,
    event: Option<&str>,
    data: &[u8],
) -> Result<(), SseError> {
    buffer.reserve(data.len() + event.map_or(0, str::len) + 48);
    let mut writer = DataWriter::begin(buffer, id, event)?;
    writer.put(data);
    writer.finish();
    Ok(())
}

/// Appends a `retry` field: how long a reader should wait before it connects again.
pub fn write_retry(buffer: &mut BytesMut, milliseconds: u64) {
    buffer.put_slice(b"retry: ");
    put_number(buffer, milliseconds);
    buffer.put_slice(b"\n\n");
}

/// Appends a comment, which readers skip. Line breaks split it into several.
pub fn write_comment(buffer: &mut BytesMut, comment: &str) {
    for line in comment.split(['\r', '\n']) {
        buffer.put_slice(b": ");
        buffer.put_slice(line.as_bytes());
        buffer.put_u8(b'\n');
    }
    buffer.put_u8(b'\n');
}

/// Writes the data of one event straight into the buffer, so that a serializer needs no
/// string of its own.
///
/// ```
/// use std::io::Write;
///
/// use bindu_http::sse::DataWriter;
/// use bytes::BytesMut;
///
/// let mut buffer = BytesMut::new();
/// let mut writer = DataWriter::begin(&mut buffer, Some(1), None)?;
/// write!(writer, "{{\"n\":{}}}", 1)?;
/// writer.finish();
/// assert_eq!(&buffer[..], b"id: 1\ndata: {\"n\":1}\n\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Dropped without [`finish`](Self::finish), the event is taken back: a serializer that
/// fails half-way leaves no broken event behind.
#[derive(Debug)]
pub struct DataWriter<'a> {
    buffer: &'a mut BytesMut,
    /// Where the event began, to take it back.
    start: Option<usize>,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
}

impl<'a> DataWriter<'a> {
    /// Writes the event's fields, and is ready for its data.
    ///
    /// # Errors
    ///
    /// [`SseError::InvalidName`] if `event` holds CR or LF; the buffer is then unchanged.
    pub fn begin(
        buffer: &'a mut BytesMut,
        id: Option<u64>,
        event: Option<&str>,
    ) -> Result<Self, SseError> {
        let start = Some(buffer.len());
        if event.is_some_and(|name| memchr2(b'\r', b'\n', name.as_bytes()).is_some()) {
            return Err(SseError::InvalidName);
        }
        if let Some(id) = id {
            buffer.put_slice(b"id: ");
            put_number(buffer, id);
            buffer.put_u8(b'\n');
        }
        if let Some(name) = event {
            buffer.put_slice(b"event: ");
            buffer.put_slice(name.as_bytes());
            buffer.put_u8(b'\n');
        }
        buffer.put_slice(b"data: ");
        Ok(Self { buffer, start, after_cr: false })
    }

    /// Appends to the data.
    pub fn put(&mut self, mut data: &[u8]) {
        if self.after_cr && !data.is_empty() {
            self.after_cr = false;
            if data[0] == b'\n' {
                data = &data[1..];
            }
        }
        while let Some(end) = memchr2(b'\r', b'\n', data) {
            self.buffer.put_slice(&data[..end]);
            self.buffer.put_slice(b"\ndata: ");
            let is_cr = data[end] == b'\r';
            data = &data[end + 1..];
            if is_cr {
                match data.first() {
                    Some(b'\n') => data = &data[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
        }
        self.buffer.put_slice(data);
    }

    /// Ends the event.
    pub fn finish(mut self) {
        self.start = None;
        self.buffer.put_slice(b"\n\n");
    }
}

impl Drop for DataWriter<'_> {
    fn drop(&mut self) {
        if let Some(start) = self.start {
            self.buffer.truncate(start);
        }
    }
}

impl Write for DataWriter<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.put(data);
        Ok(data.len())
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        self.put(data);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The decimal digits of a number; `write!` takes several times as long.
fn put_number(buffer: &mut BytesMut, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit is below ten");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    buffer.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(id: Option<u64>, event: Option<&str>, data: &str) -> String {
        let mut buffer = BytesMut::new();
        write_event(&mut buffer, id, event, data.as_bytes()).unwrap();
        String::from_utf8(buffer.to_vec()).unwrap()
    }

    #[test]
    fn every_kind_of_line_break_begins_a_data_line() {
        assert_eq!(
            written(None, None, "a\nb\rc\r\nd\n"),
            "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"
        );
        assert_eq!(
            written(Some(u64::MAX), Some("x"), ""),
            "id: 18446744073709551615\nevent: x\ndata: \n\n"
        );
        assert_eq!(written(Some(0), None, " lead"), "id: 0\ndata:  lead\n\n");
    }

    #[test]
    fn a_line_break_cut_in_two_is_one() {
        let mut buffer = BytesMut::new();
        let mut writer = DataWriter::begin(&mut buffer, None, None).unwrap();
        for piece in ["a\r", "", "\nb\r", "c"] {
            writer.put(piece.as_bytes());
        }
        writer.finish();
        assert_eq!(&buffer[..], b"data: a\ndata: b\ndata: c\n\n");
    }

    #[test]
    fn a_name_cannot_smuggle_fields() {
        let mut buffer = BytesMut::from(&b"before"[..]);
        for name in ["a\ndata: x", "a\rid: 9", "\n"] {
            let refused = write_event(&mut buffer, Some(1), Some(name), b"");
            assert!(matches!(refused, Err(SseError::InvalidName)), "{name:?}");
        }
        assert_eq!(&buffer[..], b"before");
    }

    #[test]
    fn an_unfinished_event_is_taken_back() {
        let mut buffer = BytesMut::from(&b"before"[..]);
        let mut writer = DataWriter::begin(&mut buffer, Some(1), Some("x")).unwrap();
        writer.put(b"half");
        drop(writer);
        assert_eq!(&buffer[..], b"before");
    }

    #[test]
    fn comments_and_retry_stay_in_their_lines() {
        let mut buffer = BytesMut::new();
        write_comment(&mut buffer, "a\nb");
        write_retry(&mut buffer, 1500);
        assert_eq!(&buffer[..], b": a\n: b\n\nretry: 1500\n\n");
    }
}
