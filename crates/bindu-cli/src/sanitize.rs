//! Taking out of foreign text what a terminal would obey.

use std::fmt::Write as _;

/// Control characters, and those that turn the direction of text, so that what is read is not
/// what is there.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

fn clean(text: &str, allowed: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) && !allowed(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Text of several lines: line breaks and tabs stay, everything else that a terminal obeys is
/// written as `\u{1b}`.
pub(crate) fn text(text: &str) -> String {
    clean(&text.replace("\r\n", "\n"), |c| matches!(c, '\n' | '\t'))
}

/// Text for one line: a name, a description.
pub(crate) fn line(text: &str) -> String {
    clean(text, |_| false)
}

/// JSON text, with the same characters as JSON escapes. They can be in its strings only, so
/// that it stays the same JSON.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) && !matches!(c, '\n' | '\t' | '\r') {
            // All of them are in the basic plane. Writing to a string does not fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_orders() {
        assert_eq!(text("a\tb\r\nc\x1b[2Jd\u{9b}e\u{7f}"), "a\tb\nc\\u{1b}[2Jd\\u{9b}e\\u{7f}");
        assert_eq!(text("over\rwritten"), "over\\u{d}written");
        assert_eq!(line("evil\nname\u{202e}gpj"), "evil\\u{a}name\\u{202e}gpj");
        assert_eq!(text("Grüße 👋"), "Grüße 👋");
    }

    #[test]
    fn json_stays_the_same_json() {
        let tricky = "\u{9b}\u{202e}\u{feff}\u{7f}\n";
        let written = json(&serde_json::to_string(tricky).unwrap());
        assert!(!written.contains(is_harmful), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), tricky);
    }
}
