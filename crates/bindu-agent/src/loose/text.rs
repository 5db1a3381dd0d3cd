//! Values as Python writes them: the handlers of the reference are Python functions, and their
//! callers see what `str()` makes of a result.

use std::fmt::Write;

use serde_json::{Number, Value};

/// A string as it is, anything else as [`python_text`].
pub(super) fn plain_text(value: &Value) -> String {
    value.as_str().map_or_else(|| python_text(value), str::to_owned)
}

/// A value as a Python literal.
pub(super) fn python_text(value: &Value) -> String {
    let mut text = String::new();
    write_literal(&mut text, value);
    text
}

fn write_literal(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_literal(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (name, value)) in map.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_string(out, name);
                out.push_str(": ");
                write_literal(out, value);
            }
            out.push('}');
        }
    }
}

/// Python and Rust agree on the digits of a float and on when to use an exponent, but Python
/// writes the exponent with a sign and two digits.
fn number_text(number: &Number) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    let text = number.as_f64().map_or_else(|| number.to_string(), |float| format!("{float:?}"));
    match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
    }
}

fn write_string(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            _ if character == quote => out.extend(['\\', quote]),
            _ if character.is_control() => {
                // Writing to a string cannot fail; all control characters are below U+00A0.
                let _ = write!(out, "\\x{:02x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_read_as_in_python() {
        for (value, text) in [
            (json!(42), "42"),
            (json!(-7), "-7"),
            (json!(u64::MAX), "18446744073709551615"),
            (json!(1.5), "1.5"),
            (json!(100_000.0), "100000.0"),
            (json!(1e15), "1000000000000000.0"),
            (json!(1e16), "1e+16"),
            (json!(1.25e-7), "1.25e-07"),
            (json!(1e-100), "1e-100"),
            (json!(0.0001), "0.0001"),
            (json!(0.00001), "1e-05"),
            (json!(-0.0), "-0.0"),
        ] {
            assert_eq!(python_text(&value), text);
        }
    }

    #[test]
    fn nested_values_read_as_in_python() {
        let value = json!([null, true, "it's", "a\"b'c", "x\ny\u{7}", {"k": [1, {}]}, []]);
        assert_eq!(
            python_text(&value),
            r#"[None, True, "it's", 'a"b\'c', 'x\ny\x07', {'k': [1, {}]}, []]"#
        );
    }
}
