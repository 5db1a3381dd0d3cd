//! PEM armour (RFC 7468) around one DER value.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

pub(crate) const PRIVATE_KEY: &str = "PRIVATE KEY";
pub(crate) const ENCRYPTED_PRIVATE_KEY: &str = "ENCRYPTED PRIVATE KEY";
pub(crate) const PUBLIC_KEY: &str = "PUBLIC KEY";

/// The first block of a PEM file.
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    pub(crate) der: Zeroizing<Vec<u8>>,
}

/// Reads the first block. Text before it is allowed, as is any line length.
pub(crate) fn parse(text: &str) -> Option<Block<'_>> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, rest) = rest.split_once("-----END ")?;
    rest.strip_prefix(label)?.strip_prefix("-----")?;
    let mut base64 = Zeroizing::new(Vec::with_capacity(body.len()));
    base64.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let der = STANDARD.decode(base64.as_slice()).ok()?;
    Some(Block { label, der: Zeroizing::new(der) })
}

/// Writes one block with lines of 64 characters.
pub(crate) fn write(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    // Allocated once, so that no half-written copy of a key is left behind.
    let size = base64.len() + base64.len() / 64 + 2 * label.len() + 40;
    let mut text = Zeroizing::new(String::with_capacity(size));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = next;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_survives_the_round_trip() {
        for length in [0, 1, 47, 48, 49, 200] {
            let der = vec![0xa5; length];
            let text = write(PUBLIC_KEY, &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            let block = parse(&text).unwrap();
            assert_eq!((block.label, block.der.as_slice()), (PUBLIC_KEY, der.as_slice()));
        }
    }

    #[test]
    fn other_line_ends_and_a_preamble_are_read() {
        let text = "a comment\r\n-----BEGIN X-----\r\nAQ\r\nID\r\n-----END X-----";
        assert_eq!(parse(text).unwrap().der.as_slice(), [1, 2, 3]);
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in [
            "",
            "AQID",
            "-----BEGIN X-----\nAQID\n",
            "-----BEGIN X-----\nAQID\n-----END Y-----",
            "-----BEGIN X-----\nA!ID\n-----END X-----",
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }
}
