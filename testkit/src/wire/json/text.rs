//! The writers: JSON as Python's encoder writes it, and Python's `str` and `repr`.

use std::fmt::Write as _;

use super::{Json, Style};

impl Json {
    /// Writes JSON in `style`.
    pub(in crate::wire) fn to_text(&self, style: Style) -> String {
        let mut out = String::new();
        self.write(style, &mut out);
        out
    }

    fn write(&self, style: Style, out: &mut String) {
        let comma = if style.compact { "," } else { ", " };
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Int(number) => out.push_str(&number.to_string()),
            Self::Float(number) if number.is_nan() => out.push_str("NaN"),
            Self::Float(number) if number.is_infinite() => {
                out.push_str(if *number > 0.0 { "Infinity" } else { "-Infinity" });
            }
            Self::Float(number) => out.push_str(&float_text(*number)),
            Self::String(text) => write_string(text, style.ascii, out),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(comma);
                    }
                    item.write(style, out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if style.sorted {
                    members.sort_by(|a, b| a.0.cmp(&b.0));
                }
                out.push('{');
                for (index, (key, value)) in members.into_iter().enumerate() {
                    if index > 0 {
                        out.push_str(comma);
                    }
                    write_string(key, style.ascii, out);
                    out.push_str(if style.compact { ":" } else { ": " });
                    value.write(style, out);
                }
                out.push('}');
            }
        }
    }

    /// The value as Python's `str` gives it: what a variable becomes inside a
    /// longer text.
    pub(in crate::wire) fn to_str(&self) -> String {
        match self {
            Self::String(text) => text.clone(),
            _ => self.to_repr(),
        }
    }

    /// The value as Python's `repr` gives it.
    pub(in crate::wire) fn to_repr(&self) -> String {
        match self {
            Self::Null => "None".to_owned(),
            Self::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => float_text(*number),
            Self::String(text) => repr_string(text),
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(Self::to_repr).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Object(members) => {
                let members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| format!("{}: {}", repr_string(key), value.to_repr()))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }
        }
    }
}

fn write_string(text: &str, ascii: bool, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            '\u{8}' => out.push_str("\\b"),
            c if c < ' ' || (ascii && c > '~') => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("writing to a String never fails");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The shortest digits that read back as the same float; an exponent below 1e-4
/// and from 1e16 on.
fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn repr_string(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                write!(out, "\\x{:02x}", u32::from(c)).expect("writing to a String never fails");
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::{Json, Style};

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    #[test]
    fn each_style_writes_as_pythons_encoder_does() {
        let value = json(r#"{"b":[1,2.0,"é\u007f\u0001😀\"\\\n"],"a":null}"#);
        assert_eq!(
            value.to_text(Style::BODY),
            "{\"b\":[1,2.0,\"é\u{7f}\\u0001😀\\\"\\\\\\n\"],\"a\":null}"
        );
        assert_eq!(
            value.to_text(Style::SIGNED),
            r#"{"a": null, "b": [1, 2.0, "\u00e9\u007f\u0001\ud83d\ude00\"\\\n"]}"#
        );
        assert_eq!(json("[NaN,-Infinity]").to_text(Style::SHOWN), "[NaN, -Infinity]");
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (123.0, "123.0"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.00001, "1e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (2.5e-7, "2.5e-07"),
            (1_234_567_890_123_456.8, "1234567890123456.8"),
        ] {
            assert_eq!(Json::Float(number).to_text(Style::BODY), text);
        }
    }

    #[test]
    fn values_inside_a_text_read_as_pythons_str() {
        assert_eq!(
            json(r#"[true,null,"it's",{"a":"\"'"}]"#).to_str(),
            r#"[True, None, "it's", {'a': '"\''}]"#
        );
        assert_eq!(json("\"plain\"").to_str(), "plain");
        assert_eq!(json("1.0").to_str(), "1.0");
    }
}
