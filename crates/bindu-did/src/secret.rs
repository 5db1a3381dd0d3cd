//! Comparing secrets.

use std::hint::black_box;

use ring::digest::{SHA256, digest};

/// Whether a secret that someone presents is the expected one, in a time that tells
/// nothing of where they differ: for the tokens of webhooks and the like.
///
/// ```
/// use bindu_did::same_secret;
///
/// assert!(same_secret("hunter2", "hunter2"));
/// assert!(!same_secret("hunter", "hunter2"));
/// ```
#[must_use]
pub fn same_secret(given: &str, expected: &str) -> bool {
    // Of digests all have one length, and where two differ says nothing of the texts.
    let (given, expected) =
        (digest(&SHA256, given.as_bytes()), digest(&SHA256, expected.as_bytes()));
    let pairs = given.as_ref().iter().zip(expected.as_ref());
    black_box(pairs.fold(0, |seen, (one, other)| seen | black_box(one ^ other))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_is_the_same() {
        assert!(same_secret("", ""));
        for (given, expected) in [("", "a"), ("a", ""), ("b", "a"), ("aa", "a"), ("A", "a")] {
            assert!(!same_secret(given, expected), "{given} {expected}");
        }
    }
}
