//! Python's regular expressions, as far as transcripts use them.

use regex::Regex;

/// Compiles a pattern written for Python's `re.search`.
///
/// Two spellings mean something else there: `$` also matches before a final line
/// break, and `\Z` is the end of the text. Look-around is not supported.
pub(super) fn search(pattern: &str) -> Result<Regex, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    // How far the text is inside `[...]`; a `]` right after the opening is a member.
    let mut class: Option<usize> = None;
    while let Some(c) = chars.next() {
        match (c, class) {
            ('\\', _) => match chars.next() {
                Some('Z') if class.is_none() => out.push_str(r"\z"),
                Some(next) => {
                    out.push('\\');
                    out.push(next);
                    class = class.map(|length| length + 1);
                }
                None => out.push('\\'),
            },
            ('[', None) => {
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                class = Some(0);
            }
            // Set operations and nested classes are Rust's alone.
            ('[' | '&' | '~', Some(length)) => {
                out.push('\\');
                out.push(c);
                class = Some(length + 1);
            }
            (']', Some(length)) if length > 0 => {
                out.push(']');
                class = None;
            }
            (']', Some(_)) => {
                out.push_str(r"\]");
                class = Some(1);
            }
            ('$', None) => out.push_str(r"(?:\n?\z)"),
            _ => {
                out.push(c);
                class = class.map(|length| length + 1);
            }
        }
    }
    Regex::new(&out).map_err(|error| format!("cannot use the pattern {pattern:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::search;

    fn found(pattern: &str, text: &str) -> bool {
        search(pattern).unwrap().is_match(text)
    }

    #[test]
    fn a_dollar_matches_at_the_end_and_before_a_final_line_break() {
        assert!(found("^a$", "a"));
        assert!(found("^a$", "a\n"));
        assert!(!found("^a$", "a\nb"));
        assert!(!found(r"^a\Z", "a\n"));
        assert!(found(r"^a\$", "a$"));
        assert!(found("^[$]$", "$"));
    }

    #[test]
    fn brackets_inside_a_class_are_members() {
        assert!(found(r"^[[&&a]+$", "[&a"));
        assert!(found(r"^[]a]+$", "]a"));
        assert!(found(r"^[^]a]+$", "b"));
        assert!(!found(r"^[^]a]+$", "]"));
    }

    #[test]
    fn a_broken_or_unsupported_pattern_is_an_error() {
        assert!(search("(").is_err());
        assert!(search("(?=a)").is_err());
    }
}
