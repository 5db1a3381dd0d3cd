//! Event streams as a list of values.

use std::sync::LazyLock;

use regex::Regex;

use super::json::{Json, insert};

static BLANK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\r?\n\r?\n").expect("the pattern is a constant"));

/// Reads the events of a stream that has ended.
///
/// An event of `data` alone is the JSON it holds (or the text, if it is none);
/// any other is an object of its fields. `id` and `retry` say where and when to
/// resume and are never part of an event.
pub(super) fn parse(text: &str) -> Vec<Json> {
    BLANK.split(text).filter_map(event).collect()
}

fn event(block: &str) -> Option<Json> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in split_lines(block).filter(|line| !line.is_empty() && !line.starts_with(':')) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match fields.iter_mut().find(|(known, _)| name == "data" && known == name) {
            Some((_, data)) => {
                data.push('\n');
                data.push_str(value);
            }
            None => insert(&mut fields, name.to_owned(), value.to_owned()),
        }
    }
    fields.retain(|(name, _)| name != "id" && name != "retry");
    match fields.as_slice() {
        [] => None,
        [(name, data)] if name == "data" => {
            Some(Json::parse(data).unwrap_or_else(|_| Json::string(data)))
        }
        _ => {
            let members = fields.into_iter().map(|(name, value)| {
                let value = match name.as_str() {
                    "data" => Json::parse(&value).unwrap_or(Json::String(value)),
                    _ => Json::String(value),
                };
                (name, value)
            });
            Some(Json::Object(members.collect()))
        }
    }
}

/// Python's `splitlines`, which knows more line ends than the event stream format
/// does. A stream that sends one of them unescaped inside its JSON is reported.
fn split_lines(block: &str) -> impl Iterator<Item = &str> {
    // The empty line between \r and \n is skipped with the other empty lines.
    block.split(|c| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{Json, parse};

    fn events(text: &str) -> Json {
        Json::Array(parse(text))
    }

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    #[test]
    fn an_event_of_data_alone_is_its_json() {
        assert_eq!(events("data: {\"a\":1}\n\ndata:[2]\r\n\r\n"), json(r#"[{"a":1},[2]]"#));
    }

    #[test]
    fn data_that_is_no_json_is_text() {
        assert_eq!(events("data: hello: you\n\ndata\n\n"), json(r#"["hello: you",""]"#));
    }

    #[test]
    fn other_fields_make_an_object() {
        assert_eq!(
            events("event: x\ndata: 1\n\nevent: y\n\nevent: z\ndata: no\n\n"),
            json(r#"[{"event":"x","data":1},{"event":"y"},{"event":"z","data":"no"}]"#)
        );
    }

    #[test]
    fn ids_retries_and_comments_are_dropped() {
        assert_eq!(events(": ping\n\nid: 7\nretry: 5\ndata: 1\n\nid: 8\n\n"), json("[1]"));
    }

    #[test]
    fn lines_of_data_are_joined() {
        assert_eq!(events("data: [1,\ndata: 2]\n\n"), json("[[1,2]]"));
        assert_eq!(events("data: a\ndata:  b\n\n"), json(r#"["a\n b"]"#));
    }

    #[test]
    fn a_line_separator_inside_data_breaks_the_line() {
        assert_eq!(events("data: \"a\u{2028}b\"\n\n"), json(r#"[{"data":"\"a","b\"":""}]"#));
    }

    #[test]
    fn an_empty_stream_has_no_events() {
        assert_eq!(events(""), json("[]"));
    }
}
