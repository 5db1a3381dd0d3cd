//! JSON as Python's `json.dumps` prints it.

use std::collections::HashMap;

use serde::de::IgnoredAny;

use super::number;
use crate::error::DidError;

/// How deeply arrays and objects may nest.
const DEPTH: usize = 128;

/// In which order the members of objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrder {
    /// As they came.
    AsGiven,
    /// Sorted by code point (`sort_keys=True`). This is not the order of
    /// [`canonical`](super::canonical) if keys reach beyond U+FFFF.
    Sorted,
}

/// Reads a JSON text and writes it as Python's `json.loads` and `json.dumps`
/// would: `", "` and `": "` between items, everything beyond ASCII escaped,
/// integers of any length kept, floating-point numbers as Python's `repr`.
///
/// It takes text and not a `serde_json::Value`, because a value keeps neither the
/// order of members nor long integers.
///
/// ```
/// # use bindu_did::json::{KeyOrder, python};
/// let text = r#"{"b":1e0,"a":[18446744073709551616,"é"]}"#;
/// assert_eq!(python(text, KeyOrder::Sorted)?,
///     r#"{"a": [18446744073709551616, "\u00e9"], "b": 1.0}"#);
/// # Ok::<(), bindu_did::DidError>(())
/// ```
///
/// # Errors
///
/// [`DidError::Json`] if the text is not JSON, nests deeper than 128 levels, or
/// holds a number beyond the range of a double.
pub fn python(text: &str, order: KeyOrder) -> Result<String, DidError> {
    // serde_json checks the grammar, so that the pass over the tokens may rely on it.
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| json_error(&error))?;
    let mut printer = Printer { rest: text.trim_ascii(), order };
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    printer.value(&mut out, DEPTH)?;
    Ok(out)
}

/// Writes a string in quotes: short escapes where JSON has them, `\u` and
/// lower-case hex for everything else that is not printable ASCII, as pairs of
/// surrogates beyond U+FFFF.
pub(crate) fn write_string(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut plain = 0;
    for (i, character) in text.char_indices() {
        let short = match character {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{8}' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\u{c}' => "\\f",
            '\r' => "\\r",
            ' '..='~' => continue,
            _ => "",
        };
        out.push_str(&text[plain..i]);
        plain = i + character.len_utf8();
        if short.is_empty() {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    out.push(char::from(HEX[usize::from(*unit >> shift & 15)]));
                }
            }
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

/// Walks over a text that is known to be JSON.
struct Printer<'a> {
    rest: &'a str,
    order: KeyOrder,
}

impl<'a> Printer<'a> {
    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), DidError> {
        match self.rest.as_bytes().first() {
            Some(b'{') => self.object(out, deeper(depth)?),
            Some(b'[') => self.array(out, deeper(depth)?),
            Some(b'"') => {
                write_string(&self.string()?, out);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => {
                out.push_str(self.token(|byte| !byte.is_ascii_alphabetic()));
                Ok(())
            }
        }
    }

    fn array(&mut self, out: &mut String, depth: usize) -> Result<(), DidError> {
        out.push('[');
        let mut separator = "";
        while self.next_item() {
            out.push_str(separator);
            separator = ", ";
            self.value(out, depth)?;
        }
        out.push(']');
        Ok(())
    }

    fn object(&mut self, out: &mut String, depth: usize) -> Result<(), DidError> {
        let mut members: Vec<(String, String)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        while self.next_item() {
            let key = self.string()?;
            self.skip(|byte| byte.is_ascii_whitespace() || byte == b':');
            let mut value = String::new();
            self.value(&mut value, depth)?;
            // A repeated key keeps its place and takes the last value, as in a dict.
            if let Some(&place) = places.get(&key) {
                members[place].1 = value;
            } else {
                places.insert(key.clone(), members.len());
                members.push((key, value));
            }
        }
        if self.order == KeyOrder::Sorted {
            members.sort_unstable();
        }
        out.push('{');
        for (i, (key, value)) in members.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            write_string(key, out);
            out.push_str(": ");
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    /// Steps over the opening bracket or a comma to the next item; over the
    /// closing bracket if there is none.
    fn next_item(&mut self) -> bool {
        self.skip(|byte| byte.is_ascii_whitespace());
        let closed = self.rest.starts_with([']', '}']);
        self.rest = self.rest.get(1..).unwrap_or_default();
        self.skip(|byte| byte.is_ascii_whitespace());
        // An empty array or object closes right after it opens.
        if !closed && self.rest.starts_with([']', '}']) {
            self.rest = &self.rest[1..];
            return false;
        }
        !closed && !self.rest.is_empty()
    }

    fn number(&mut self, out: &mut String) -> Result<(), DidError> {
        let token =
            self.token(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
        if token.contains(['.', 'e', 'E']) {
            match token.parse::<f64>() {
                Ok(number) if number.is_finite() => number::write_python(number, out),
                _ => return Err(DidError::Json { reason: "number out of range".to_owned() }),
            }
        } else {
            out.push_str(if token == "-0" { "0" } else { token });
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, DidError> {
        let mut escaped = false;
        let end = self.rest.bytes().skip(1).position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        let (token, rest) = self.rest.split_at(end.map_or(self.rest.len(), |end| end + 2));
        self.rest = rest;
        serde_json::from_str(token).map_err(|error| json_error(&error))
    }

    fn token(&mut self, ends: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(ends).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    fn skip(&mut self, blank: impl Fn(u8) -> bool) {
        self.token(|byte| !blank(byte));
    }
}

fn deeper(depth: usize) -> Result<usize, DidError> {
    depth.checked_sub(1).ok_or_else(|| DidError::Json { reason: "nested too deeply".to_owned() })
}

fn json_error(error: &serde_json::Error) -> DidError {
    DidError::Json { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn given(text: &str) -> String {
        python(text, KeyOrder::AsGiven).unwrap()
    }

    #[test]
    fn blanks_and_brackets_are_laid_out_anew() {
        assert_eq!(given(" [ ] "), "[]");
        assert_eq!(given("{ }"), "{}");
        assert_eq!(given("[[],{},[{ }],\"\"]"), "[[], {}, [{}], \"\"]");
        assert_eq!(
            given("{\"b\" :[1 , 2 ]\n,\"a\":{\"c\":null}}"),
            r#"{"b": [1, 2], "a": {"c": null}}"#
        );
        assert_eq!(given("[true,false , null]"), "[true, false, null]");
        assert_eq!(given(r#"["a\\","]","\"}"]"#), r#"["a\\", "]", "\"}"]"#);
    }

    #[test]
    fn a_repeated_key_takes_its_last_value_at_its_first_place() {
        assert_eq!(given(r#"{"a":1,"b":2,"\u0061":3}"#), r#"{"a": 3, "b": 2}"#);
    }

    #[test]
    fn keys_are_sorted_by_code_point() {
        let text = "{\"\u{1f600}\":1,\"\u{fb33}\":2}";
        let sorted = python(text, KeyOrder::Sorted).unwrap();
        assert_eq!(sorted, r#"{"\ufb33": 2, "\ud83d\ude00": 1}"#);
    }

    #[test]
    fn numbers_are_kept_or_written_as_repr() {
        assert_eq!(given("[-0,-0.0,1E5,1e-7,0.10]"), "[0, -0.0, 100000.0, 1e-07, 0.1]");
        assert_eq!(given("-12345678901234567890123"), "-12345678901234567890123");
    }

    #[test]
    fn what_cannot_be_printed_is_an_error() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for text in ["", "[1,", "nul", "1e400", "{a:1}", r#""\ud800""#, "[] []", deep.as_str()] {
            assert!(python(text, KeyOrder::Sorted).is_err(), "{text}");
        }
        let bearable = "[".repeat(100) + &"]".repeat(100);
        assert_eq!(given(&bearable), bearable);
    }

    proptest! {
        #[test]
        fn any_text_is_printed_or_refused(text in r#"[\[\]{}:, "\\\\a-f0-9.eE+-]{0,24}|\PC*"#) {
            if let Ok(printed) = python(&text, KeyOrder::AsGiven) {
                prop_assert_eq!(python(&printed, KeyOrder::AsGiven).unwrap(), printed);
            }
        }

        #[test]
        fn a_written_string_is_ascii_and_reads_back(text: String) {
            let mut out = String::new();
            write_string(&text, &mut out);
            prop_assert!(out.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
