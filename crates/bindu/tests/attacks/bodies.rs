//! Bodies that are too large, do not end, or end too early.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::site::{Letter, Site, heard, raw_and_no_more, send};
use crate::caller::Result;

/// The largest signed body.
const LARGEST: usize = 2 * 1024 * 1024;

/// A message of so many bytes, by blanks at its end.
fn of(length: usize) -> String {
    let mut body = send();
    body.extend(std::iter::repeat_n(' ', length - body.len()));
    body
}

#[tokio::test]
async fn a_signed_body_has_two_mebibytes_and_no_byte_more() -> Result {
    let site = Site::start().await?;
    let ann = site.somebody("ann")?;
    for is_chunked in [false, true] {
        let bytes =
            |letter: &Letter| if is_chunked { letter.chunked() } else { letter.bytes("POST", "/") };
        let answer = site.locked.raw(&bytes(&ann.letter(&of(LARGEST)))).await?;
        assert_eq!(answer.status, 200, "chunked: {is_chunked}: {}", answer.text);
        let answer = site.locked.raw(&bytes(&ann.letter(&of(LARGEST + 1)))).await?;
        assert_eq!(answer.why(), (403, json!("payload_too_large")), "chunked: {is_chunked}");
    }
    assert_eq!(site.locked.runs(), 2);
    Ok(())
}

#[tokio::test]
async fn an_unsigned_body_has_the_limit_of_the_server() -> Result {
    let site = Site::with(&[("LIMITS__MAX_BODY_BYTES", "4000")]).await?;
    for (length, status) in [(4000, 200), (4001, 413)] {
        let letter = Letter::bearing("tok-service", &of(length));
        for bytes in [letter.bytes("POST", "/"), letter.chunked()] {
            let answer = site.locked.raw(&bytes).await?;
            assert_eq!(answer.status, status, "{length}: {}", answer.text);
        }
    }
    Ok(())
}

/// The answer to a head whose body never comes.
async fn without_body(site: &Site, letter: &Letter, length: u64) -> Result<(u16, String)> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n{}Content-Length: {length}\r\n\r\n",
        letter.lines()
    );
    let mut stream = TcpStream::connect(site.locked.address()).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(tokio::io::AsyncReadExt::read_u8(&mut stream).await?);
    }
    let line = String::from_utf8(line)?;
    Ok((line.get(9..12).unwrap_or_default().parse()?, line))
}

#[tokio::test]
async fn nobody_is_made_to_read_what_will_be_refused() -> Result {
    let site = Site::start().await?;
    let ann = site.somebody("ann")?.letter("");
    let gigabyte = 1 << 30;
    let other = site.somebody("bob")?.did.to_string();
    for (what, letter, length, status) in [
        ("no token", Letter::plain(""), gigabyte, 401),
        ("an unknown token", Letter::bearing("made-up", ""), gigabyte, 401),
        ("no signature", ann.clone().without("X-DID-Signature"), gigabyte, 403),
        ("another's name", ann.clone().changed("X-DID", &other), 100, 403),
        ("too old", ann.clone().changed("X-DID-Timestamp", "1"), 100, 403),
        ("larger than a signed one may be", ann.clone(), LARGEST as u64 + 1, 403),
        ("beyond all numbers", ann.clone(), u64::MAX - 2, 403),
    ] {
        let (found, line) = without_body(&site, &letter, length).await?;
        assert_eq!(found, status, "{what}: {line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_ends_too_early_runs_nothing() -> Result {
    let site = Site::start().await?;
    let ann = site.somebody("ann")?;
    let letter = ann.letter(&send());
    let whole = [letter.bytes("POST", "/"), letter.chunked()];
    for whole in whole {
        for missing in [1, 8, letter.body.len()] {
            let bytes = &whole[..whole.len() - missing];
            let answer = raw_and_no_more(site.locked.address(), bytes).await?;
            assert!(matches!(answer.status, 0 | 400), "{missing}: {}", answer.text);
        }
    }
    // A whole message that is shorter than what was signed.
    let (short, long) = (send(), of(5000));
    let mut cut = ann.letter(&long);
    cut.body = short;
    assert_eq!(site.locked.post(&cut).await?.why(), (403, json!("invalid_signature")));
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}

#[tokio::test]
async fn who_never_ends_is_cut_and_holds_up_nobody() -> Result {
    let site = Site::with(&[("LIMITS__HEADER_TIMEOUT", "200ms")]).await?;
    let ann = site.somebody("ann")?;
    // A head without an end, and a body without an end, which has half a minute.
    let mut head = TcpStream::connect(site.locked.address()).await?;
    head.write_all(b"POST / HTTP/1.1\r\nHost: agent\r\nX: ").await?;
    let letter = ann.letter(&send());
    let bytes = letter.bytes("POST", "/");
    let mut body = TcpStream::connect(site.locked.address()).await?;
    body.write_all(&bytes[..bytes.len() - 1]).await?;

    assert_eq!(site.locked.post(&ann.letter(&send())).await?.status, 200);
    let cut = heard(&mut head).await?;
    assert!(matches!(cut.status, 0 | 408), "{}", cut.text);
    assert_eq!(site.locked.runs(), 1);
    // It was only slow.
    body.write_all(&bytes[bytes.len() - 1..]).await?;
    assert_eq!(heard(&mut body).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn json_that_is_made_to_hurt_is_refused() -> Result {
    let site = Site::start().await?;
    let ann = site.somebody("ann")?;
    let deep = "[".repeat(1_000_000);
    let params = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"message/send","params":{deep}"#);
    for body in [deep.as_str(), &params, "", "{}", "null", "\u{0}", r#"{"jsonrpc":"2.0""#] {
        let answer = site.locked.post(&ann.letter(body)).await?;
        let code = answer.json()["error"]["code"].as_i64();
        assert!(matches!(code, Some(-32700 | -32600)), "{body:.60}: {:.300}", answer.text);
    }
    // Bytes that are no text cannot have been signed.
    let letter = ann.letter(&send());
    let mut bytes = letter.bytes("POST", "/");
    let last = bytes.len() - 3;
    bytes[last] = 0xff;
    assert_eq!(site.locked.raw(&bytes).await?.why(), (403, json!("invalid_signature")));
    assert_eq!(site.locked.runs(), 0);
    Ok(())
}
