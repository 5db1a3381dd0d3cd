//! RFC 8785: the JSON Canonicalization Scheme.

use serde_json::{Map, Value};

use super::number;

/// The canonical text of a JSON value (RFC 8785): no blanks, members sorted by
/// the UTF-16 units of their keys, numbers as ECMAScript prints them, strings
/// with the fewest escapes.
///
/// Every number is an IEEE 754 double here, as the RFC has it: an integer beyond
/// ±2^53 is rounded. Send such numbers as strings if their last digits must be
/// covered by a signature.
///
/// ```
/// # use bindu_did::json::canonical;
/// let value = serde_json::json!({ "b": 1.0, "a": [true, "\u{e9}\n", 1e30] });
/// assert_eq!(canonical(&value), "{\"a\":[true,\"\u{e9}\\n\",1e+30],\"b\":1}");
/// ```
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        // A number that serde_json holds is finite.
        Value::Number(number) => {
            number::write_ecmascript(number.as_f64().unwrap_or_default(), out);
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => write_object(members, out),
    }
}

fn write_object(members: &Map<String, Value>, out: &mut String) {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (i, (key, value)) in members.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_string(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut plain = 0;
    for (i, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            0x08 => "\\b",
            b'\t' => "\\t",
            b'\n' => "\\n",
            0x0c => "\\f",
            b'\r' => "\\r",
            0x00..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..i]);
        plain = i + 1;
        if short.is_empty() {
            out.push_str("\\u00");
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn the_sample_of_rfc_8785_section_3_2_2() {
        let text = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let expected = concat!(
            r#"{"literals":[null,true,false],"#,
            r#""numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
            r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        assert_eq!(of(text), expected);
    }

    #[test]
    fn the_sample_of_rfc_8785_section_3_2_3() {
        let text = r#"{
            "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
            "\u00f6": "Latin Small Letter O With Diaeresis"
        }"#;
        let sorted = of(text);
        let order: Vec<usize> =
            ["Carriage Return", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"]
                .iter()
                .map(|value| sorted.find(value).unwrap())
                .collect();
        assert!(order.is_sorted(), "{sorted}");
    }

    #[test]
    fn numbers_of_every_kind_are_doubles() {
        assert_eq!(of("[-0, -0.0, 0e9, 1.0, 10, -7]"), "[0,0,0,1,10,-7]");
        assert_eq!(
            of("[9007199254740993, 18446744073709551615]"),
            "[9007199254740992,18446744073709552000]"
        );
    }

    #[test]
    fn only_what_must_be_escaped_is() {
        assert_eq!(of(r#""\u0000\u001f\u007f\u2028/<é""#), "\"\\u0000\\u001f\u{7f}\u{2028}/<é\"");
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| members.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_canonical_text_is_its_own_canonical_text(value in json()) {
            let once = canonical(&value);
            let read: Value = serde_json::from_str(&once).unwrap();
            prop_assert_eq!(canonical(&read), once);
        }

        #[test]
        fn strings_read_back(text: String) {
            let written = canonical(&Value::from(text.clone()));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }
}
