//! Where the token of a request stands.

use std::borrow::Cow;

use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

/// The bearer token (RFC 6750, sections 2.1 and 2.3): of the header, else of the query if there is
/// one to look at. Two headers are none: it is not for us to choose.
pub(crate) fn bearer<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Option<Cow<'a, str>> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) => in_header(field.to_str().ok()?).map(Cow::Borrowed),
        (Some(_), Some(_)) => None,
        (None, _) => in_query(query?),
    }
}

fn in_header(field: &str) -> Option<&str> {
    let mut words = field.split_ascii_whitespace();
    let (scheme, token) = (words.next()?, words.next()?);
    (scheme.eq_ignore_ascii_case("bearer") && words.next().is_none()).then_some(token)
}

fn in_query(query: &str) -> Option<Cow<'_, str>> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    let token = percent_decode_str(value).decode_utf8().ok()?;
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(fields: &[&'static str], query: Option<&str>) -> Option<String> {
        let fields =
            fields.iter().map(|field| (header::AUTHORIZATION, HeaderValue::from_static(field)));
        bearer(&fields.collect(), query).map(Cow::into_owned)
    }

    #[test]
    fn a_token_is_the_one_word_after_the_scheme() {
        assert_eq!(of(&["Bearer a.b-c"], None).as_deref(), Some("a.b-c"));
        assert_eq!(of(&["bEARER   a"], None).as_deref(), Some("a"));
        for field in ["", "Bearer", "Bearer ", "Bearer a b", "Basic a", "a"] {
            assert_eq!(of(&[field], None), None, "{field:?}");
        }
        assert_eq!(of(&["Bearer a", "Bearer b"], None), None);
    }

    #[test]
    fn a_query_counts_only_where_there_is_no_header() {
        assert_eq!(of(&[], Some("x=1&token=a%2Eb")).as_deref(), Some("a.b"));
        assert_eq!(of(&["Bearer h"], Some("token=q")).as_deref(), Some("h"));
        assert_eq!(of(&["Basic h"], Some("token=q")), None);
        assert_eq!(of(&[], Some("token=")), None);
        assert_eq!(of(&[], Some("tokens=a")), None);
    }
}
