//! The words of a text.

use std::collections::HashSet;

use bindu_protocol::NegotiationRequest;

use super::{Config, Rules};

/// The shortest word that counts, in characters.
const SHORTEST: usize = 2;

/// What a task says, within limits.
pub(super) struct Text {
    /// Summary and details.
    pub(super) whole: String,
    /// How long the summary is, in bytes.
    summary: usize,
}

impl Text {
    pub(super) fn of(request: &NegotiationRequest, max_chars: usize) -> Self {
        let mut whole = head(&request.task_summary, max_chars).to_owned();
        let summary = whole.len();
        if let Some(details) = request.task_details.as_deref().filter(|it| !it.is_empty()) {
            whole.push(' ');
            whole.push_str(head(details, max_chars));
        }
        Self { whole, summary }
    }

    pub(super) fn summary(&self) -> &str {
        &self.whole[..self.summary]
    }
}

fn head(text: &str, max_chars: usize) -> &str {
    text.char_indices().nth(max_chars).map_or(text, |(end, _)| &text[..end])
}

/// The words of a text that is in lower case already. Those of the reference are letters and digits
/// of ASCII; all other characters separate.
pub(super) fn words<'t>(
    lower: &'t str,
    config: &Config,
) -> impl Iterator<Item = &'t str> + use<'t> {
    let (rules, longest) = (config.rules, config.max_keyword_length);
    lower
        .split(move |c: char| match rules {
            Rules::Reference => !(c.is_ascii_lowercase() || c.is_ascii_digit()),
            Rules::Improved => !c.is_alphanumeric(),
        })
        .filter(move |word| {
            // A word of a script other than ASCII has more bytes than characters.
            word.len() >= SHORTEST && (SHORTEST..=longest).contains(&word.chars().count())
        })
}

/// The same, each once.
pub(super) fn set<'t>(lower: &'t str, config: &Config) -> HashSet<&'t str> {
    words(lower, config).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, rules: Rules) -> Vec<String> {
        let config = Config { rules, max_keyword_length: 5, ..Config::default() };
        words(&text.to_lowercase(), &config).map(str::to_owned).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_of_some_length() {
        let text = "Text-extraction: a B2B, x_y PDFs\u{a0}öl 12345 123456";
        assert_eq!(of(text, Rules::Reference), ["text", "b2b", "pdfs", "12345"]);
        assert_eq!(of(text, Rules::Improved), ["text", "b2b", "pdfs", "öl", "12345"]);
    }

    #[test]
    fn only_the_beginning_of_long_texts_is_looked_at() {
        let mut request = NegotiationRequest::new("äbcdef");
        assert_eq!(Text::of(&request, 3).whole, "äbc");
        request.task_details = Some(String::new());
        assert_eq!(Text::of(&request, 3).whole, "äbc");
        request.task_details = Some("ghijk".into());
        let text = Text::of(&request, 3);
        assert_eq!((text.whole.as_str(), text.summary()), ("äbc ghi", "äbc"));
    }
}
