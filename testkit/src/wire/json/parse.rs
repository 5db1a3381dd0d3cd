//! The reader. It takes what Python's takes: RFC 8259 and also `NaN`, `Infinity`
//! and `-Infinity`; of a repeated member the last value counts.

use super::{Json, insert};

/// Deeper than this, Python gives up as well.
const MAX_DEPTH: usize = 900;

pub(super) fn parse(text: &str) -> Result<Json, String> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at < text.len() { Err(reader.wrong("extra data")) } else { Ok(value) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("{what} at byte {}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.text[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("nested too deeply"));
        }
        match self.peek() {
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            _ if self.take("null") => Ok(Json::Null),
            _ if self.take("true") => Ok(Json::Bool(true)),
            _ if self.take("false") => Ok(Json::Bool(false)),
            _ if self.take("NaN") => Ok(Json::Float(f64::NAN)),
            _ if self.take("Infinity") => Ok(Json::Float(f64::INFINITY)),
            _ if self.take("-Infinity") => Ok(Json::Float(f64::NEG_INFINITY)),
            _ => self.number(),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.take("]") {
            return Ok(Json::Array(items));
        }
        loop {
            self.skip_space();
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take("]") {
                return Ok(Json::Array(items));
            }
            if !self.take(",") {
                return Err(self.wrong("expected , or ]"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_space();
        if self.take("}") {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("expected a name"));
            }
            let name = self.string()?;
            self.skip_space();
            if !self.take(":") {
                return Err(self.wrong("expected :"));
            }
            self.skip_space();
            let value = self.value(depth + 1)?;
            insert(&mut members, name, value);
            self.skip_space();
            if self.take("}") {
                return Ok(Json::Object(members));
            }
            if !self.take(",") {
                return Err(self.wrong("expected , or }"));
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.wrong("control character in a string")),
                None => return Err(self.wrong("unterminated string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        self.at += 1;
        let letter = self.peek().ok_or_else(|| self.wrong("unterminated escape"))?;
        self.at += 1;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex4()?;
                let after = self.at;
                if (0xD800..0xDC00).contains(&unit) && self.take("\\u") {
                    let low = self.hex4()?;
                    if (0xDC00..0xE000).contains(&low) {
                        let joined = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                        return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = after;
                }
                // Python keeps a lone surrogate; text in Rust cannot.
                char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.wrong("unknown escape")),
        })
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.wrong("expected four hex digits"));
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.wrong("expected four hex digits"))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Json, String> {
        let start = self.at;
        self.take("-");
        if !self.take("0") && self.digits() == 0 {
            self.at = start;
            return Err(self.wrong("expected a value"));
        }
        let mut float = false;
        let integer_end = self.at;
        if self.take(".") {
            if self.digits() > 0 {
                float = true;
            } else {
                self.at = integer_end;
            }
        }
        let fraction_end = self.at;
        if self.take("e") || self.take("E") {
            let _sign = self.take("+") || self.take("-");
            if self.digits() > 0 {
                float = true;
            } else {
                self.at = fraction_end;
            }
        }
        let text = &self.text[start..self.at];
        if !float && let Ok(number) = text.parse() {
            return Ok(Json::Int(number));
        }
        text.parse().map(Json::Float).map_err(|_| self.wrong("expected a value"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Json, parse};

    #[test]
    fn values_of_every_kind_are_read_in_order() {
        let text = " {\"b\": [1, -2.5, 1e3, true, false, null], \"a\": \"x\\n\\u00e9\\ud83d\\ude00/\\/\"} ";
        assert_eq!(
            parse(text),
            Ok(Json::Object(vec![
                (
                    "b".to_owned(),
                    Json::Array(vec![
                        Json::Int(1),
                        Json::Float(-2.5),
                        Json::Float(1000.0),
                        Json::Bool(true),
                        Json::Bool(false),
                        Json::Null,
                    ])
                ),
                ("a".to_owned(), Json::string("x\né😀//")),
            ]))
        );
    }

    #[test]
    fn a_repeated_member_keeps_its_place_and_takes_the_last_value() {
        assert_eq!(
            parse(r#"{"a":1,"b":2,"a":3}"#),
            Ok(Json::Object(vec![("a".to_owned(), Json::Int(3)), ("b".to_owned(), Json::Int(2))]))
        );
    }

    #[test]
    fn what_python_takes_beyond_the_standard_is_taken() {
        assert_eq!(parse("-Infinity"), Ok(Json::Float(f64::NEG_INFINITY)));
        assert_eq!(parse("1e999"), Ok(Json::Float(f64::INFINITY)));
        assert_eq!(parse(r#""\ud800x""#), Ok(Json::string("\u{fffd}x")));
        assert_eq!(parse(r#""\ud800\u0041""#), Ok(Json::string("\u{fffd}A")));
    }

    #[test]
    fn broken_texts_are_refused() {
        for text in [
            "",
            " ",
            "nul",
            "01",
            "1.",
            "-",
            "+1",
            ".5",
            "1e",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"",
            "[",
            "{} {}",
            "\u{feff}1",
            "\"\\u12",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
        assert!(parse(&"[".repeat(5000)).is_err());
    }
}
