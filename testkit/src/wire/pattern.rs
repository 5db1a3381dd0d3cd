//! Compares an answer with its pattern.

mod operator;
mod text;

use regex::Regex;

use super::{
    diff::{Diff, short, short_to},
    json::Json,
    signature,
};

/// What comparing needs beside the pattern and the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matcher<'a> {
    /// Whether a key may be spelled in camelCase or `snake_case`.
    pub(super) keys_either: bool,
    /// The agent's public key, or why there is none.
    pub(super) agent_key: &'a Result<Vec<u8>, String>,
}

impl Matcher<'_> {
    /// Adds to `diff` how `got` differs from `pattern`; `at` says where it stands,
    /// and `None` is a value that is not there.
    pub(super) fn compare(self, pattern: &Json, got: Option<&Json>, at: &str, diff: &mut Diff) {
        if let Some(members) = pattern.as_object()
            && operator::is_operator(members)
            && self.operator(members, pattern, got, at, diff)
        {
            return;
        }
        let Some(value) = got else { return diff.fail(at, pattern, None) };
        match (pattern, value) {
            (Json::String(wanted), _) => {
                if !text::matches(wanted, value) {
                    diff.fail(at, pattern, got);
                }
            }
            (Json::Object(wanted), Json::Object(_)) => {
                self.object(pattern, wanted, value, at, diff);
            }
            (Json::Array(wanted), Json::Array(items)) => self.array(wanted, items, at, diff),
            (Json::Object(_) | Json::Array(_), _) => diff.fail(at, pattern, got),
            _ => {
                if !pattern.equals(value) || !same_number(pattern, value) {
                    diff.fail(at, pattern, got);
                }
            }
        }
    }

    /// Whether `got` fits, without a word about how it does not.
    fn fits(self, pattern: &Json, got: &Json, at: &str) -> Option<Diff> {
        let mut diff = Diff::default();
        self.compare(pattern, Some(got), at, &mut diff);
        diff.errors.is_empty().then_some(diff)
    }

    fn object(
        self,
        pattern: &Json,
        wanted: &[(String, Json)],
        got: &Json,
        at: &str,
        diff: &mut Diff,
    ) {
        let mut seen = Vec::with_capacity(wanted.len());
        for (key, wanted) in wanted {
            let name = if got.get(key).is_some() || !self.keys_either {
                key.clone()
            } else {
                spellings(key)
                    .into_iter()
                    .find(|name| got.get(name).is_some())
                    .unwrap_or_else(|| key.clone())
            };
            self.compare(wanted, got.get(&name), &format!("{at}.{key}"), diff);
            seen.push(name);
        }
        for (key, value) in got.as_object().unwrap_or_default() {
            if !seen.contains(key) {
                let value = short_to(Some(value), 60);
                diff.warnings.push(format!("{at}.{key}: unexpected key, value {value}"));
            }
        }
        let asked = pattern.get("metadata").and_then(|metadata| metadata.get(signature::KEY));
        if asked.and_then(Json::as_str) == Some("<signature>")
            && let Err(error) = signature::check(got, self.agent_key)
        {
            diff.errors.push(format!("{at}.metadata[{}]: {error}", signature::KEY));
        }
    }

    /// Element by element; an optional one that does not fit is passed over.
    fn array(self, wanted: &[Json], got: &[Json], at: &str, diff: &mut Diff) {
        let mut next = 0;
        for wanted in wanted {
            let at = format!("{at}[{next}]");
            if let Some(optional) = wanted.only("$optional") {
                if got.get(next).is_some_and(|got| self.fits(optional, got, &at).is_some()) {
                    next += 1;
                }
            } else {
                self.compare(wanted, got.get(next), &at, diff);
                next += 1;
            }
        }
        if next < got.len() {
            let rest = Json::Array(got[next..].to_vec());
            diff.errors.push(format!(
                "{at}: {} element(s) too many: {}",
                got.len() - next,
                short(Some(&rest))
            ));
        }
    }
}

/// The camelCase and the `snake_case` spelling of a key.
fn spellings(key: &str) -> [String; 2] {
    let mut camel = String::with_capacity(key.len());
    let mut chars = key.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.next_if(|next| c == '_' && next.is_ascii_lowercase()) {
            Some(next) => camel.push(next.to_ascii_uppercase()),
            None => camel.push(c),
        }
    }
    let mut snake = String::with_capacity(key.len() + 2);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    [camel, snake]
}

/// A boolean is no number here, although Python says that `True == 1`.
fn same_number(a: &Json, b: &Json) -> bool {
    matches!(a, Json::Bool(_)) == matches!(b, Json::Bool(_))
}

/// Compiles a pattern that must match a whole text.
fn full_match(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!(r"\A(?:{pattern})\z"))
}

#[cfg(test)]
mod tests;
