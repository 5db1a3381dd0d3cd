//! Base58 (Bitcoin alphabet) of fixed-length values, with Python's reading of it.

use crate::error::DidError;

const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Decodes exactly `N` bytes.
///
/// ASCII whitespace at the end is ignored, as the decoders of existing peers do;
/// anywhere else it is a foreign character.
pub(crate) fn decode<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], DidError> {
    let malformed = || DidError::Base58 { what, length: N };
    let text = text.trim_end_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    // 58^k >= 256^N needs k <= 1.3658 N + 1. Decoding is quadratic: bound it first.
    if text.len() > N * 138 / 100 {
        return Err(malformed());
    }
    let mut bytes = [0; N];
    match bs58::decode(text).onto(&mut bytes) {
        Ok(length) if length == N => Ok(bytes),
        _ => Err(malformed()),
    }
}

/// Encodes at most 64 bytes, a multiple of four.
///
/// Every signed answer pays for this. Dividing 32-bit limbs by 58^5 gives five
/// digits at a time, some ten times as fast as the byte-wise way of `bs58`.
pub(crate) fn encode<const N: usize>(bytes: &[u8; N]) -> String {
    const FIVE_DIGITS: u64 = 58_u64.pow(5);
    const { assert!(N <= 64 && N.is_multiple_of(4)) };

    let mut limbs = [0_u64; 16];
    let limbs = &mut limbs[..N / 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *limb = u64::from(u32::from_be_bytes(*chunk));
    }
    // The digits, last first; the 18 rounds that 64 bytes need give 90 of them.
    let mut digits = [0_u8; 90];
    let mut length = 0;
    let mut start = 0;
    loop {
        start += limbs[start..].iter().take_while(|&&limb| limb == 0).count();
        if start == limbs.len() {
            break;
        }
        let mut remainder = 0;
        for limb in &mut limbs[start..] {
            let value = remainder << 32 | *limb;
            *limb = value / FIVE_DIGITS;
            remainder = value % FIVE_DIGITS;
        }
        for digit in &mut digits[length..length + 5] {
            *digit = ALPHABET[usize::try_from(remainder % 58).unwrap_or_default()];
            remainder /= 58;
        }
        length += 5;
    }
    // The last round may have left zeros in front; zero bytes there become ones.
    while length > 0 && digits[length - 1] == ALPHABET[0] {
        length -= 1;
    }
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    let mut text = String::with_capacity(zeros + length);
    text.extend(std::iter::repeat_n('1', zeros));
    text.extend(digits[..length].iter().rev().map(|&digit| char::from(digit)));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_survives_the_round_trip(bytes: [u8; 32], head in 0_usize..32) {
            let mut bytes = bytes;
            bytes[..head].fill(0);
            let text = encode(&bytes);
            prop_assert_eq!(decode::<32>(&text, "key").unwrap(), bytes);
            let after = format!("{text} \n");
            prop_assert_eq!(decode::<32>(&after, "key").unwrap(), bytes);
            let before = format!(" {text}");
            prop_assert!(decode::<32>(&before, "key").is_err());
        }

        #[test]
        fn encoding_agrees_with_bs58(
            r: [u8; 32],
            s: [u8; 32],
            head in 0_usize..=64,
            fill in prop::sample::select(vec![0_u8, 0xff]),
        ) {
            let mut bytes = [0; 64];
            bytes[..32].copy_from_slice(&r);
            bytes[32..].copy_from_slice(&s);
            bytes[..head].fill(fill);
            prop_assert_eq!(encode(&bytes), bs58::encode(bytes).into_string());
            prop_assert_eq!(encode(&s), bs58::encode(s).into_string());
        }

        #[test]
        fn any_text_is_decoded_or_refused(text: String) {
            let _ = decode::<64>(&text, "signature");
        }
    }

    #[test]
    fn the_largest_value_fits_the_length_limit() {
        assert_eq!(decode::<64>(&encode(&[0xff; 64]), "signature").unwrap(), [0xff; 64]);
        assert_eq!(decode::<32>(&encode(&[0xff; 32]), "key").unwrap(), [0xff; 32]);
        assert_eq!(decode::<32>(&"1".repeat(32), "key").unwrap(), [0; 32]);
        assert!(decode::<32>(&"1".repeat(33), "key").is_err());
        assert!(decode::<32>(&"1".repeat(31), "key").is_err());
    }
}
