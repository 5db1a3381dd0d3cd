//! Variables, and the functions that make texts in requests and patterns.

use std::{collections::BTreeMap, sync::LazyLock};

use base64::{Engine, engine::general_purpose::STANDARD};
use regex::{Captures, Regex};
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;

use super::json::{Json, Style, insert};

/// The variables of one run of one transcript.
pub(super) type Env = BTreeMap<String, Json>;

static WHOLE: LazyLock<Regex> = LazyLock::new(|| regex(r"\A\$\{?(\w+)\}?\z"));
static INSIDE: LazyLock<Regex> = LazyLock::new(|| regex(r"\$\{(\w+)\}|\$(\w+)"));
static NEW_HEX: LazyLock<Regex> = LazyLock::new(|| regex(r"\A(.*)<new-hex:(\d+)>(.*)\z"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is a constant")
}

/// Fills `$name`, `${name}` and the `$` functions into a request or a pattern.
///
/// A text that is nothing but one variable becomes the variable's value with its
/// type; an unknown name stays as it is written.
pub(super) fn expand(value: &Json, env: &Env) -> Result<Json, String> {
    Ok(match value {
        Json::String(text) => expand_text(text, env),
        Json::Array(items) => {
            Json::Array(items.iter().map(|item| expand(item, env)).collect::<Result<_, _>>()?)
        }
        Json::Object(members) => match members.as_slice() {
            [(name, argument)] if name == "$base64json" => {
                let text = expand(argument, env)?.to_text(Style::EMBEDDED);
                Json::String(STANDARD.encode(text))
            }
            [(name, argument)] if name == "$base64" => match expand(argument, env)? {
                Json::String(text) => Json::String(STANDARD.encode(text)),
                _ => return Err("$base64 wants a text".to_owned()),
            },
            [(name, argument)] if name == "$json" => {
                Json::String(expand(argument, env)?.to_text(Style::EMBEDDED))
            }
            [(name, argument)] if name == "$repeat" => repeat(argument, env)?,
            _ => {
                let mut expanded = Vec::with_capacity(members.len());
                for (key, value) in members {
                    let key = expand_text(key, env).to_str();
                    insert(&mut expanded, key, expand(value, env)?);
                }
                Json::Object(expanded)
            }
        },
        _ => value.clone(),
    })
}

fn expand_text(text: &str, env: &Env) -> Json {
    if let Some(whole) = WHOLE.captures(text)
        && let Some(value) = env.get(&whole[1])
    {
        return value.clone();
    }
    let filled = INSIDE.replace_all(text, |found: &Captures<'_>| {
        let name = found.get(1).or_else(|| found.get(2)).map_or("", |name| name.as_str());
        env.get(name).map_or_else(|| found[0].to_owned(), Json::to_str)
    });
    Json::String(filled.into_owned())
}

fn repeat(argument: &Json, env: &Env) -> Result<Json, String> {
    let wrong = || "$repeat wants [text or list, count]".to_owned();
    let Some([unit, Json::Int(count)]) = argument.as_array() else { return Err(wrong()) };
    let count = usize::try_from((*count).max(0)).map_err(|_| wrong())?;
    match expand(unit, env)? {
        Json::String(text) => Ok(Json::String(text.repeat(count))),
        Json::Array(items) => {
            let copies = std::iter::repeat_n(items, count).flatten();
            Ok(Json::Array(copies.collect()))
        }
        _ => Err(wrong()),
    }
}

/// The value of a declared variable: a new UUID, a text with new hex digits, or
/// what is written.
pub(super) fn new_value(declared: &Json) -> Result<Json, String> {
    let Some(text) = declared.as_str() else { return Ok(declared.clone()) };
    if text == "<new-uuid>" {
        return Ok(Json::String(Uuid::new_v4().to_string()));
    }
    let Some(found) = NEW_HEX.captures(text) else { return Ok(declared.clone()) };
    let digits: usize = found[2].parse().map_err(|_| format!("too many digits in {text}"))?;
    Ok(Json::String(format!("{}{}{}", &found[1], new_hex(digits)?, &found[3])))
}

fn new_hex(digits: usize) -> Result<String, String> {
    let mut bytes = vec![0; digits.div_ceil(2)];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "no randomness to be had".to_owned())?;
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Ok(halves.filter_map(|half| char::from_digit(half.into(), 16)).take(digits).collect())
}

#[cfg(test)]
mod tests {
    use super::{Env, Json, expand, new_value};

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    fn env() -> Env {
        [("id", "\"abc\""), ("n", "7"), ("flag", "true"), ("list", "[1,\"x\"]"), ("none", "null")]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json(value)))
            .collect()
    }

    fn expanded(text: &str) -> Json {
        expand(&json(text), &env()).unwrap()
    }

    #[test]
    fn a_text_that_is_one_variable_takes_its_value_with_its_type() {
        assert_eq!(
            expanded(r#"["$id","${n}","$list","$none"]"#),
            json(r#"["abc",7,[1,"x"],null]"#)
        );
    }

    #[test]
    fn a_variable_inside_a_text_becomes_text() {
        assert_eq!(
            expanded(r#""/t/$id/${n}s/$flag/$list/$none""#),
            json(r#""/t/abc/7s/True/[1, 'x']/None""#)
        );
    }

    #[test]
    fn unknown_names_stay_as_written() {
        assert_eq!(
            expanded(r#"["$idx","a $nope ${id","$5"]"#),
            json(r#"["$idx","a $nope ${id","$5"]"#)
        );
    }

    #[test]
    fn names_of_members_are_filled_too() {
        assert_eq!(
            expanded(r#"{"k-$id":{"$in":["$id"]},"$n":1}"#),
            json(r#"{"k-abc":{"$in":["abc"]},"7":1}"#)
        );
    }

    #[test]
    fn functions_make_texts() {
        assert_eq!(
            expanded(r#"{"$json":{"b":"$n","a":"é"}}"#),
            json(r#""{\"b\":7,\"a\":\"\\u00e9\"}""#)
        );
        assert_eq!(expanded(r#"{"$base64":"$id"}"#), json(r#""YWJj""#));
        assert_eq!(expanded(r#"{"$base64json":{"a":1}}"#), json(r#""eyJhIjoxfQ==""#));
        assert_eq!(expanded(r#"{"$repeat":["$id",2]}"#), json(r#""abcabc""#));
        assert_eq!(expanded(r#"{"$repeat":["x",-1]}"#), json(r#""""#));
    }

    #[test]
    fn a_function_beside_other_members_is_only_a_name() {
        assert_eq!(expanded(r#"{"$base64":"x","b":1}"#), json(r#"{"$base64":"x","b":1}"#));
    }

    #[test]
    fn a_function_with_the_wrong_argument_is_an_error() {
        for text in [r#"{"$base64":1}"#, r#"{"$repeat":["x"]}"#, r#"{"$repeat":[1,2]}"#] {
            assert!(expand(&json(text), &env()).is_err(), "{text}");
        }
    }

    #[test]
    fn new_values_differ_every_time() {
        let new = |text: &str| new_value(&Json::string(text)).unwrap().to_str();
        let first = new("<new-uuid>");
        assert_eq!(first.len(), 36);
        assert_ne!(first, new("<new-uuid>"));
        let hex = new("did:x:<new-hex:7>:y");
        let middle = hex.strip_prefix("did:x:").and_then(|rest| rest.strip_suffix(":y")).unwrap();
        assert!(middle.len() == 7 && middle.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hex}");
        assert_eq!(new("plain"), "plain");
        assert_eq!(new_value(&Json::Int(3)), Ok(Json::Int(3)));
    }
}
