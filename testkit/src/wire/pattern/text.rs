//! Patterns that are texts: `<int>`, `<uuid>` and texts around such placeholders.

use std::sync::LazyLock;

use regex::Regex;

use super::full_match;
use crate::wire::json::Json;

/// Placeholders that may stand inside a longer text.
const PLACEHOLDERS: [(&str, &str); 11] = [
    ("uuid", "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"),
    ("timestamp", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"),
    ("signature", "[1-9A-HJ-NP-Za-km-z]{64,90}"),
    ("base58", "[1-9A-HJ-NP-Za-km-z]+"),
    ("did", "did:[a-z0-9]+:[A-Za-z0-9._:%-]+"),
    ("url", r#"https?://[^\s"]+"#),
    ("digits", r"\d+"),
    ("number", r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"),
    ("token", "[A-Za-z0-9_.~+/=-]+"),
    ("string", r"[\s\S]*"),
    ("nonempty", r"[\s\S]+"),
];

static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    let names: Vec<_> = PLACEHOLDERS.iter().map(|(name, _)| *name).collect();
    Regex::new(&format!("<({})>", names.join("|"))).expect("the pattern is a constant")
});

/// Whether `got` fits the text `pattern`.
pub(super) fn matches(pattern: &str, got: &Json) -> bool {
    if let Some(fits) = is_of_type(pattern, got) {
        return fits;
    }
    let Some(got) = got.as_str() else { return false };
    let mut whole = String::new();
    let mut end = 0;
    for found in PLACEHOLDER.captures_iter(pattern) {
        let (Some(all), Some(name)) = (found.get(0), found.get(1)) else { continue };
        let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name.as_str());
        whole.push_str(&regex::escape(&pattern[end..all.start()]));
        whole.push_str("(?:");
        whole.push_str(known.map_or("", |(_, expression)| expression));
        whole.push(')');
        end = all.end();
    }
    if end == 0 {
        return pattern == got;
    }
    whole.push_str(&regex::escape(&pattern[end..]));
    // Only a pattern of absurd length is refused, and then nothing fits it.
    full_match(&whole).is_ok_and(|regex| regex.is_match(got))
}

/// Whether `got` is of the type that `name` says, such as `<int>`; `None` if that
/// names no type.
pub(super) fn is_of_type(name: &str, got: &Json) -> Option<bool> {
    Some(match name {
        "<any>" => true,
        "<string>" => matches!(got, Json::String(_)),
        "<int>" => matches!(got, Json::Int(_)),
        "<float>" => matches!(got, Json::Int(_) | Json::Float(_)),
        "<bool>" => matches!(got, Json::Bool(_)),
        "<object>" => matches!(got, Json::Object(_)),
        "<array>" => matches!(got, Json::Array(_)),
        "<null>" => matches!(got, Json::Null),
        _ => return None,
    })
}
