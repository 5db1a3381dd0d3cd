//! Addresses without their secrets.

/// A URL as it may be logged: what stands before the `@` of the host is replaced by `***`,
/// and so are the values of query parameters whose names speak of a secret.
///
/// Texts that are no URL come back as they are, so it can be applied to whatever is
/// supposed to be one.
///
/// ```
/// use bindu::logging::redact_url;
///
/// assert_eq!(redact_url("redis://:hunter2@cache:6379/0"), "redis://***@cache:6379/0");
/// assert_eq!(redact_url("https://host/x?token=abc&n=1"), "https://host/x?token=***&n=1");
/// ```
#[must_use]
pub fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password with a slash in it, not encoded, belongs to what is hidden.
    let end = match rest[end..].rfind('@') {
        Some(at) if !rest[..end].contains('@') => end + at + 1,
        _ => end,
    };
    let (authority, tail) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => authority.to_owned(),
    };
    let tail = match tail.split_once('?') {
        Some((path, query)) => format!("{path}?{}", redact_query(query)),
        None => tail.to_owned(),
    };
    format!("{scheme}://{authority}{tail}")
}

fn redact_query(query: &str) -> String {
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}=***"),
            _ => pair.to_owned(),
        })
        .collect();
    pairs.join("&")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "passwd", "secret", "token", "key", "signature"]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_url_is_left() {
        for (url, expected) in [
            ("postgres://ann:pw@db/x", "postgres://***@db/x"),
            ("postgres://ann@db/x", "postgres://***@db/x"),
            ("postgres://ann:p@w@db/x", "postgres://***@db/x"),
            ("postgres://ann:p/w@db/x", "postgres://***@db/x"),
            ("postgres://db/x?user=a&PASSWORD=pw", "postgres://db/x?user=a&PASSWORD=***"),
            ("https://host/in?api_key=k#f", "https://host/in?api_key=***"),
            ("https://host/users/@ann", "https://***@ann"),
            ("http://localhost:3773", "http://localhost:3773"),
            ("not a url", "not a url"),
        ] {
            assert_eq!(redact_url(url), expected, "{url}");
        }
    }
}
