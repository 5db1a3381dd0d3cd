//! Values between Rust and the server, in the server's binary form.

use std::fmt::Write as _;

use bindu_protocol::Timestamp;
use bytes::{BufMut, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

type BoxError = Box<dyn std::error::Error + Sync + Send>;

/// Microseconds from 1970 to 2000, where the server's time begins.
const EPOCH: i64 = 946_684_800_000_000;

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At(pub(crate) Timestamp);

impl ToSql for At {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        out.put_i64(self.0.as_unix_micros() - EPOCH);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for At {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(Timestamp::from_unix_micros(micros.saturating_add(EPOCH))))
    }

    accepts!(TIMESTAMPTZ);
}

/// JSON as its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jsonb<T>(pub(crate) T);

impl<T: AsRef<str> + std::fmt::Debug> ToSql for Jsonb<T> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        out.put_u8(1);
        out.put_slice(self.0.as_ref().as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSONB);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Jsonb<&'a str> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        match raw {
            [1, text @ ..] => Ok(Self(std::str::from_utf8(text)?)),
            _ => Err("an unknown form of jsonb".into()),
        }
    }

    accepts!(JSONB);
}

/// JSON whose text comes back as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verbatim<T>(pub(crate) T);

impl<T: AsRef<str> + std::fmt::Debug> ToSql for Verbatim<T> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        out.put_slice(self.0.as_ref().as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSON);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Verbatim<&'a str> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        Ok(Self(std::str::from_utf8(raw)?))
    }

    accepts!(JSON);
}

/// JSON text that the server takes, and gives back with the same meaning: U+0000, which no text of
/// the server can hold, and halves of surrogate pairs become U+FFFD; numbers are written out.
pub(crate) fn clean(json: String) -> String {
    clean_escapes(written_out(json))
}

/// The server keeps numbers as decimals, so that `1e3` would come back as an integer. With a
/// fraction it stays what it was.
fn written_out(json: String) -> String {
    let bytes = json.as_bytes();
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = string_end(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let is_part =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
                let end = at + rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
                let number = &json[at..end];
                if number == "-0" || number.contains(['e', 'E']) {
                    let value: f64 = number.parse().unwrap_or(f64::INFINITY);
                    // One that no float holds stays as it is written.
                    if value.is_finite() {
                        let dot = if value.fract() == 0.0 { ".0" } else { "" };
                        out.push_str(&json[copied..at]);
                        // A String takes whatever is written to it.
                        let _ = write!(out, "{value}{dot}");
                        copied = end;
                    }
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return json;
    }
    out.push_str(&json[copied..]);
    out
}

/// Where a string that began before `at` is over.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

fn clean_escapes(json: String) -> String {
    if memchr::memmem::find(json.as_bytes(), b"\\u").is_none() {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(place) = rest.find('\\') {
        let (before, escape) = rest.split_at(place);
        out.push_str(before);
        let (kept, length) = match unit(escape) {
            Some(0xD800..=0xDBFF) => match escape.get(6..).and_then(unit) {
                Some(0xDC00..=0xDFFF) => (true, 12),
                _ => (false, 6),
            },
            Some(0 | 0xDC00..=0xDFFF) => (false, 6),
            Some(_) => (true, 6),
            // A short escape: the backslash and one character of ASCII.
            None => (true, 2),
        };
        let length = length.min(escape.len());
        out.push_str(if kept { &escape[..length] } else { "\\ufffd" });
        rest = &escape[length..];
    }
    out.push_str(rest);
    out
}

/// The code unit of a `\uXXXX` at the start of `text`.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok()
}

/// Text that the server takes.
pub(crate) fn clean_text(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_cannot_hold_is_replaced() {
        for (given, kept) in [
            (r#""plain""#, r#""plain""#),
            (r#""a\u0000b""#, r#""a\ufffdb""#),
            (r#""a\\u0000b""#, r#""a\\u0000b""#),
            (r#""\\\u0000""#, r#""\\\ufffd""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ud83d\u0041""#, r#""\ufffd\u0041""#),
            (r#""\ude00\n\u00e9""#, r#""\ufffd\n\u00e9""#),
            (r#""\uD800\uD800\uDC00""#, r#""\ufffd\uD800\uDC00""#),
            (r"[1e3,-0,1.50,-2E-2,true]", r"[1000.0,-0.0,1.50,-0.02,true]"),
            (r#"{"1e3\"1e3":"\\","b":[1e999,12]}"#, r#"{"1e3\"1e3":"\\","b":[1e999,12]}"#),
        ] {
            assert_eq!(clean(given.to_owned()), kept);
        }
    }

    #[test]
    fn times_come_back_to_the_microsecond() {
        for micros in [0, -1, 1_800_000_000_123_456, -62_167_219_200_000_000] {
            let mut out = BytesMut::new();
            let at = At(Timestamp::from_unix_micros(micros));
            at.to_sql(&Type::TIMESTAMPTZ, &mut out).unwrap();
            assert_eq!(At::from_sql(&Type::TIMESTAMPTZ, &out).unwrap(), at);
        }
    }
}
