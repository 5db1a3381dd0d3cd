//! Requests that mean one thing to whoever decides, and another to whoever answers.

use serde_json::json;

use super::site::{Letter, Site, send};
use crate::caller::Result;

#[tokio::test]
async fn of_two_headers_none_counts() -> Result {
    let site = Site::start().await?;
    let ann = site.somebody("ann")?;
    let letter = ann.letter(&send());
    let good = format!("Bearer {}", ann.token);
    for (first, second) in
        [(good.as_str(), "Bearer made-up"), ("Bearer made-up", &good), (&good, &good), (&good, "")]
    {
        let letter = letter.clone().without("Authorization");
        let letter = letter.and("Authorization", first).and("authorization", second);
        assert_eq!(site.locked.post(&letter).await?.why(), (401, json!(-32009)), "{second}");
    }
    for name in ["X-DID", "X-DID-Signature", "X-DID-Timestamp"] {
        let own = letter.headers.iter().find(|(other, _)| other == name);
        let own = own.ok_or("it is signed")?.1.clone();
        for value in [own.as_str(), "1", ""] {
            for after in [true, false] {
                let mut letter = letter.clone();
                let place = if after { letter.headers.len() } else { 0 };
                letter.headers.insert(place, (name.to_lowercase(), value.to_owned()));
                let answer = site.locked.post(&letter).await?;
                assert_eq!(answer.why(), (403, json!("missing_signature_headers")), "{name}");
            }
        }
    }
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

#[tokio::test]
async fn headers_that_are_not_written_as_they_should_are_refused() -> Result {
    let site = Site::start().await?;
    let ann = site.somebody("ann")?;
    let letter = ann.letter(&send());
    let whole = String::from_utf8(letter.bytes("POST", "/"))?;
    let token = &ann.token;
    for (what, from, to) in [
        ("folded", format!("Bearer {token}"), format!("Bearer\r\n {token}")),
        ("folded by a tab", format!("Bearer {token}"), format!("Bearer\r\n\t{token}")),
        ("a blank before the colon", "Authorization:".into(), "Authorization :".into()),
        ("a blank before the name", "Authorization:".into(), " Authorization:".into()),
        ("a bare line feed inside", "Bearer ".into(), "Bearer \nX: ".into()),
        ("a bare carriage return inside", "Bearer ".into(), "Bearer \rX: ".into()),
        ("a zero byte", "Bearer ".into(), "Bearer \0".into()),
        ("no name", "Authorization:".into(), ":".into()),
        ("an underscore", "X-DID-Signature".into(), "X_DID_Signature".into()),
        ("two lengths", "Content-Length:".into(), "Content-Length: 5\r\nContent-Length:".into()),
        ("a signed length", "Content-Length: ".into(), "Content-Length: +".into()),
        ("two lengths in one", "Content-Length: ".into(), "Content-Length: 5, ".into()),
        ("an unknown coding", "Content-Length".into(), "Transfer-Encoding: gzip\r\nX".into()),
        (
            "chunked and then more",
            "Content-Length".into(),
            "Transfer-Encoding: chunked, x\r\nX".into(),
        ),
        (
            "a blank in the coding",
            "Content-Length".into(),
            "Transfer-Encoding : chunked\r\nX".into(),
        ),
    ] {
        assert!(whole.contains(&from), "{what}");
        let bytes = whole.replacen(&from, &to, 1);
        let answer = site.locked.raw(bytes.as_bytes()).await?;
        assert!(matches!(answer.status, 400 | 401 | 403), "{what}: {}", answer.text);
        assert_eq!(answer.statuses().len(), 1, "{what}: {}", answer.text);
    }
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

/// A proxy that goes by the length sends what follows the last chunk as part of one request; it is
/// one of its own, and has to show everything itself.
#[tokio::test]
async fn a_request_inside_another_has_to_show_its_own_keys() -> Result {
    let site = Site::start().await?;
    let ann = site.somebody("ann")?;
    let inner = String::from_utf8(Letter::plain(&send()).bytes("POST", "/"))?;
    // The length first, and the coding first.
    for order in [true, false] {
        let body = format!("0\r\n\r\n{inner}");
        let length = format!("Content-Length: {}\r\n", body.len());
        let coding = "Transfer-Encoding: chunked\r\n";
        let (one, two) = if order { (length.as_str(), coding) } else { (coding, length.as_str()) };
        let letter = ann.letter("");
        let bytes =
            format!("POST / HTTP/1.1\r\nHost: agent\r\n{}{one}{two}\r\n{body}", letter.lines());
        let answer = site.locked.raw(bytes.as_bytes()).await?;
        let statuses = answer.statuses();
        assert!(statuses.iter().all(|status| ["400", "401"].contains(status)), "{}", answer.text);
    }
    // What is signed as one body cannot be cut into two requests.
    let outer = ann.letter(&format!("{}{inner}", send()));
    let length = format!("Content-Length: {}", outer.body.len());
    let shorter = format!("Content-Length: {}", send().len());
    let bytes = String::from_utf8(outer.bytes("POST", "/"))?.replace(&length, &shorter);
    let bytes = bytes.replace("Connection: close\r\nAuth", "Auth");
    let answer = site.locked.raw(bytes.as_bytes()).await?;
    assert_eq!(answer.statuses(), ["403", "401"], "{}", answer.text);
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

#[tokio::test]
async fn no_header_moves_a_request_to_an_open_path() -> Result {
    let site = Site::start().await?;
    let body = send();
    for host in ["x/health?", "x/health#", "agent/.well-known/", "health", "", "x@y/health", "[::1"]
    {
        let bytes = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = site.locked.raw(bytes.as_bytes()).await?;
        assert!(matches!(answer.status, 400 | 401), "{host}: {}", answer.text);
    }
    for name in [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Path",
        "X-Forwarded-Prefix",
        "X-Forwarded-Uri",
        "Forwarded",
        "Referer",
    ] {
        let answer = site.locked.post(&Letter::plain(&body).and(name, "/health")).await?;
        assert_eq!(answer.status, 401, "{name}");
    }
    let open = Letter::plain(&body).and("X-HTTP-Method-Override", "POST");
    assert_eq!(site.locked.raw(&open.bytes("GET", "/agent/skills")).await?.status, 200);
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

#[tokio::test]
async fn no_path_is_open_to_who_decides_and_the_agent_s_own_to_who_answers() -> Result {
    let site = Site::start().await?;
    let letter = Letter::plain(&send());
    for path in [
        "//",
        "///",
        "/.",
        "/./",
        "/..",
        "/%2f",
        "/%2e",
        "/%2e%2e/",
        "/?/health",
        "/?x=/.well-known/agent.json",
        "/;/health",
        "/health/..",
        "/health/../",
        "/health/%2e%2e/",
        "/health%2f..%2f",
        "/health%00",
        "/health%0a",
        "/health;/..",
        "/.well-known/..",
        "/.well-known/../",
        "/.well-known/%2e%2e/",
        "/.well-known/..%2f",
        "/.well-known/%252e%252e%252f",
        "/.well-known/..;/",
        "/.well-known/.%2e/",
        "/.well-known\\..\\",
        "/agent/skills/../../",
        "/agent/skills/..%5c..%5c",
        "/agent/skills/%c0%ae%c0%ae/",
        "*",
        "http://agent/",
        "http://agent/health/..",
        "http://x/health?/",
        "http:///",
        "agent:80",
    ] {
        let answer = site.locked.raw(&letter.bytes("POST", path)).await?;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.text);
    }
    for path in
        ["/openapi.json/../health", "/health/../openapi.json", "/.well-known/../openapi.json"]
    {
        let answer = site.locked.raw(&Letter::plain("").bytes("GET", path)).await?;
        assert_eq!(answer.status, 401, "{path}: {}", answer.text);
    }
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

#[tokio::test]
async fn another_protocol_is_no_way_around() -> Result {
    let site = Site::start().await?;
    let upgrade = Letter::plain("")
        .and("Upgrade", "websocket")
        .and("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .and("Sec-WebSocket-Version", "13")
        .and("Sec-WebSocket-Protocol", "bearer-tok-service");
    assert_eq!(site.locked.raw(&upgrade.bytes("GET", "/")).await?.status, 401);
    let clear =
        Letter::plain(&send()).and("Upgrade", "h2c").and("HTTP2-Settings", "AAMAAABkAAQAAP__");
    assert_eq!(site.locked.post(&clear).await?.status, 401);
    let old = format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", send().len(), send());
    assert_eq!(site.locked.raw(old.as_bytes()).await?.status, 401);
    assert_eq!(site.locked.raw(b"POST /\r\n\r\n").await?.status, 400);
    assert_eq!(
        site.locked.raw(&Letter::plain("").bytes("CONNECT", "agent:443")).await?.status,
        401
    );
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}
