//! Base64 as Python's `base64.b64decode` reads it, which is what senders were tested with.

/// Reads base64 of the standard alphabet (RFC 4648, section 4). Other characters are skipped, and
/// nothing is read after complete padding. `None` if bits are left over, padding is missing or a
/// character is not ASCII.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0_u32;
    // How many characters of a group of four were read, and how much padding since the last.
    let (mut place, mut padding) = (0, 0);
    for character in text.bytes() {
        if character == b'=' {
            if place >= 2 {
                padding += 1;
                if place + padding >= 4 {
                    return Some(bytes);
                }
            }
            continue;
        }
        let Some(value) = value(character) else { continue };
        padding = 0;
        bits = (bits << 6) | u32::from(value);
        place = (place + 1) % 4;
        // The bits above have been written with the characters before.
        match place {
            2 => bytes.push(byte(bits >> 4)),
            3 => bytes.push(byte(bits >> 2)),
            0 => bytes.push(byte(bits)),
            _ => {}
        }
    }
    (place == 0).then_some(bytes)
}

/// The lowest eight bits.
fn byte(bits: u32) -> u8 {
    bits.to_le_bytes()[0]
}

fn value(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::decode;

    #[test]
    fn what_python_reads_is_read_as_python_does() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("aGk=", Some(b"hi")),
            ("aGk", None),
            ("aGkh", Some(b"hi!")),
            ("a", None),
            ("aGkha", None),
            ("aA==", Some(b"h")),
            ("aA=", None),
            ("aA=x=", Some(b"h\x0c")),
            ("aA=B=", Some(b"h\0")),
            ("!!!!", Some(b"")),
            ("====", Some(b"")),
            ("a=Gk=", Some(b"hi")),
            ("aG k\r\n=", Some(b"hi")),
            ("aGk=aGk=", Some(b"hi")),
            ("-_-_", Some(b"")),
            ("/+/+", Some(b"\xff\xef\xfe")),
            ("a\u{e9}Gk=", None),
        ] {
            assert_eq!(decode(text).as_deref(), bytes, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            use base64::Engine as _;
            use base64::engine::general_purpose::STANDARD;
            prop_assert_eq!(decode(&STANDARD.encode(&bytes)), Some(bytes));
        }

        #[test]
        fn nothing_makes_it_panic_or_grow(text in "[A-Da-d0-3+/= !\u{e9}]{0,40}") {
            prop_assert!(decode(&text).is_none_or(|bytes| bytes.len() <= text.len() / 4 * 3 + 2));
        }
    }
}
