//! The `$` operators of a pattern.

use super::{Matcher, text};
use crate::wire::{
    diff::{Diff, short},
    json::Json,
    py_regex,
};

/// One or two members, each opening with `$`. The first names the operator.
pub(super) fn is_operator(members: &[(String, Json)]) -> bool {
    matches!(members.len(), 1 | 2) && members.iter().all(|(key, _)| key.starts_with('$'))
}

impl Matcher<'_> {
    /// Applies the operator; `false` if there is none of this name, and `pattern`
    /// is an object like any other.
    pub(super) fn operator(
        self,
        members: &[(String, Json)],
        pattern: &Json,
        got: Option<&Json>,
        at: &str,
        diff: &mut Diff,
    ) -> bool {
        let Some((name, argument)) = members.first() else { return false };
        let (name, absent) = (name.as_str(), got.is_none());
        match name {
            "$optional" => {
                if !absent {
                    self.compare(argument, got, at, diff);
                }
                return true;
            }
            "$absent" => {
                if !absent {
                    diff.errors.push(format!("{at}: expected to be absent, got {}", short(got)));
                }
                return true;
            }
            _ => {}
        }
        let Some(value) = got else {
            diff.fail(at, pattern, None);
            return true;
        };
        let items = value.as_array();
        let ok = match name {
            "$in" => {
                let fitting = list(argument).iter().find_map(|one| self.fits(one, value, at));
                let found = fitting.is_some();
                diff.warnings.extend(fitting.into_iter().flat_map(|fitting| fitting.warnings));
                found
            }
            "$regex" => match (value.as_str(), argument.as_str().map(py_regex::search)) {
                (Some(text), Some(Ok(regex))) => regex.is_match(text),
                (Some(_), Some(Err(error))) => {
                    diff.errors.push(format!("{at}: {error}"));
                    return true;
                }
                _ => false,
            },
            "$contains" => match (value.as_str(), argument.as_str()) {
                (Some(text), Some(wanted)) => text.contains(wanted),
                _ => false,
            },
            "$type" => {
                let name = format!("<{}>", argument.to_str());
                let Some(fits) = text::is_of_type(&name, value) else {
                    diff.errors.push(format!("{at}: no type is called {name}"));
                    return true;
                };
                fits
            }
            "$each" => {
                let least = pattern.get("$min").and_then(Json::as_f64).unwrap_or(0.0);
                #[expect(clippy::cast_precision_loss, reason = "lists are not that long")]
                let Some(items) = items.filter(|items| items.len() as f64 >= least) else {
                    diff.fail(at, pattern, got);
                    return true;
                };
                for (index, item) in items.iter().enumerate() {
                    self.compare(argument, Some(item), &format!("{at}[{index}]"), diff);
                }
                true
            }
            "$unordered" | "$includes" => {
                let wanted = list(argument);
                match items {
                    Some(items) if name == "$includes" || items.len() == wanted.len() => {
                        self.pick(wanted, items, at, diff);
                        true
                    }
                    _ => false,
                }
            }
            "$jsontext" => match value.as_str().map(Json::parse) {
                Some(Ok(inner)) => {
                    self.compare(argument, Some(&inner), &format!("{at}(json)"), diff);
                    true
                }
                _ => false,
            },
            _ => return false,
        };
        if !ok {
            diff.fail(at, pattern, got);
        }
        true
    }

    /// Finds an element for each of `wanted`, in any order; first come, first
    /// served, and none is taken twice.
    fn pick(self, wanted: &[Json], items: &[Json], at: &str, diff: &mut Diff) {
        let mut left: Vec<&Json> = items.iter().collect();
        for one in wanted {
            if let Some(found) = left.iter().position(|item| self.fits(one, item, at).is_some()) {
                // Python removes the first equal element, which may be another one
                // where `1`, `1.0` and `true` stand side by side.
                let equal = left.iter().position(|item| item.equals(left[found]));
                left.remove(equal.unwrap_or(found));
            } else {
                let all = Json::Array(items.to_vec());
                diff.errors.push(format!(
                    "{at}: no element matches {} in {}",
                    short(Some(one)),
                    short(Some(&all))
                ));
            }
        }
    }
}

fn list(argument: &Json) -> &[Json] {
    argument.as_array().unwrap_or_default()
}
