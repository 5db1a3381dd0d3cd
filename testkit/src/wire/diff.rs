//! What differs between an answer and its pattern.

use super::json::{Json, Style};

/// Differences, and keys that the pattern does not know.
#[derive(Debug, Default)]
pub(super) struct Diff {
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Diff {
    pub(super) fn fail(&mut self, at: &str, want: &Json, got: Option<&Json>) {
        self.errors.push(format!("{at}: expected {}, got {}", short(Some(want)), short(got)));
    }

    /// Adds what `step` found, each line opened by `label`.
    pub(super) fn take(&mut self, label: &str, step: &Self) {
        self.errors.extend(step.errors.iter().map(|error| format!("{label}: {error}")));
        self.warnings.extend(step.warnings.iter().map(|warning| format!("{label}: {warning}")));
    }
}

/// A value on one line, cut after 160 characters.
pub(super) fn short(value: Option<&Json>) -> String {
    short_to(value, 160)
}

/// A value on one line, cut after `limit` characters.
pub(super) fn short_to(value: Option<&Json>, limit: usize) -> String {
    let text = value.map_or_else(|| "(absent)".to_owned(), |value| value.to_text(Style::SHOWN));
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{Json, short, short_to};

    #[test]
    fn a_long_value_is_cut_by_characters() {
        assert_eq!(short(None), "(absent)");
        assert_eq!(short(Some(&Json::Array(vec![Json::Int(1), Json::Null]))), "[1, null]");
        assert_eq!(short_to(Some(&Json::string("ééééé")), 7), "\"ééééé\"");
        assert_eq!(short_to(Some(&Json::string("ééééé")), 3), "\"éé…");
    }
}
