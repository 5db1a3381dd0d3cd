//! Builds a step's request.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{
    http::Call,
    json::{Json, Style, insert},
    signature,
    template::{Env, expand},
};

/// The request of `step`, to be sent to `base` at the time `now`.
pub(super) fn build(step: &Json, base: &str, env: &Env, now: SystemTime) -> Result<Call, String> {
    let request = expand(step.get("request").ok_or("the step has no request")?, env)?;
    let mut headers = Vec::new();
    for (name, value) in request.get_truthy("headers").and_then(Json::as_object).unwrap_or_default()
    {
        headers.push((name.clone(), value.to_str()));
    }
    let mut body = None;
    if let Some(raw) = request.get("raw_body") {
        body = Some(raw.as_str().ok_or("raw_body is no text")?.to_owned());
    } else if let Some(value) = request.get("body") {
        body = Some(value.to_text(Style::BODY));
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
    }
    if let Some(sign) = step.get("sign") {
        let sign = expand(sign, env)?;
        for (name, value) in signed_headers(&sign, body.as_deref().unwrap_or_default(), now)? {
            insert(&mut headers, name.to_owned(), value);
        }
    }
    let text = |key: &str, default: &str| match request.get(key) {
        Some(Json::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("{key} is no text")),
        None => Ok(default.to_owned()),
    };
    Ok(Call {
        base: base.to_owned(),
        method: text("method", "POST")?,
        path: text("path", "/")?,
        headers,
        body: body.map(String::into_bytes),
    })
}

/// The X-DID headers of a step; `sign` says whose they are, and what about them is
/// to be wrong.
fn signed_headers(
    sign: &Json,
    body: &str,
    now: SystemTime,
) -> Result<Vec<(&'static str, String)>, String> {
    let seconds = now.duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?.as_secs();
    let timestamp = match sign.get("timestamp_offset") {
        None => i128::from(seconds),
        Some(Json::Int(offset)) => i128::from(seconds) + offset,
        Some(_) => return Err("timestamp_offset is no integer".to_owned()),
    };
    let did = sign.get("did").ok_or("sign names no did")?;
    let identity = sign.get("identity").and_then(Json::as_str).ok_or("sign names no identity")?;
    let payload = Json::Object(vec![
        ("body".to_owned(), sign.get("signed_body").cloned().unwrap_or(Json::string(body))),
        ("did".to_owned(), sign.get("signed_did").unwrap_or(did).clone()),
        ("timestamp".to_owned(), Json::Int(timestamp)),
    ]);
    let signature = match sign.get("signature") {
        Some(given) => given.to_str(),
        None => signature::sign_as(identity, &payload.to_text(Style::SIGNED))?,
    };
    let sent = sign.get("timestamp").map_or_else(|| timestamp.to_string(), Json::to_str);
    let mut headers =
        vec![("X-DID", did.to_str()), ("X-DID-Signature", signature), ("X-DID-Timestamp", sent)];
    let omitted = sign.get("omit").and_then(Json::as_array).unwrap_or_default();
    headers.retain(|(name, _)| !omitted.iter().any(|omitted| omitted.as_str() == Some(name)));
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Env, Json, build, signature};

    fn built(step: &str) -> (Vec<(String, String)>, Option<String>) {
        let env = Env::from([("id".to_owned(), Json::string("7"))]);
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let call = build(&Json::parse(step).unwrap(), "http://a", &env, now).unwrap();
        (call.headers, call.body.map(|body| String::from_utf8(body).unwrap()))
    }

    fn header(headers: &[(String, String)], name: &str) -> Option<String> {
        headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn a_body_is_sent_compact_and_in_order() {
        let (headers, body) = built(r#"{"request":{"body":{"z":"é","a":["$id",1.0]}}}"#);
        assert_eq!(body.as_deref(), Some(r#"{"z":"é","a":["7",1.0]}"#));
        assert_eq!(header(&headers, "Content-Type").as_deref(), Some("application/json"));
    }

    #[test]
    fn a_raw_body_is_sent_as_it_is() {
        let (headers, body) =
            built(r#"{"request":{"raw_body":"{\"a\": $id","headers":{"X-N":1}}}"#);
        assert_eq!(body.as_deref(), Some("{\"a\": 7"));
        assert_eq!(headers, [("X-N".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_content_type_of_ones_own_stays() {
        let (headers, _) =
            built(r#"{"request":{"body":1,"headers":{"content-type":"text/plain"}}}"#);
        assert_eq!(headers, [("content-type".to_owned(), "text/plain".to_owned())]);
    }

    #[test]
    fn the_signature_covers_body_did_and_timestamp() {
        let (headers, _) = built(
            r#"{"request":{"body":{"t":"é"}},"sign":{"identity":"caller-good","did":"did:bindu:x","timestamp_offset":-10}}"#,
        );
        let payload = r#"{"body": "{\"t\":\"\u00e9\"}", "did": "did:bindu:x", "timestamp": 990}"#;
        assert_eq!(
            header(&headers, "X-DID-Signature"),
            Some(signature::sign_as("caller-good", payload).unwrap())
        );
        assert_eq!(header(&headers, "X-DID-Timestamp").as_deref(), Some("990"));
    }

    #[test]
    fn every_part_of_the_signature_can_be_wrong_on_purpose() {
        let (headers, _) = built(
            r#"{"request":{"body":1},"sign":{"identity":"i","did":"did:a","signed_did":"did:b","signed_body":"2","timestamp":"later","omit":["X-DID"]}}"#,
        );
        let payload = r#"{"body": "2", "did": "did:b", "timestamp": 1000}"#;
        assert_eq!(header(&headers, "X-DID"), None);
        assert_eq!(
            header(&headers, "X-DID-Signature"),
            Some(signature::sign_as("i", payload).unwrap())
        );
        assert_eq!(header(&headers, "X-DID-Timestamp").as_deref(), Some("later"));
        let (headers, _) =
            built(r#"{"request":{},"sign":{"identity":"i","did":"d","signature":"no"}}"#);
        assert_eq!(header(&headers, "X-DID-Signature").as_deref(), Some("no"));
    }
}
