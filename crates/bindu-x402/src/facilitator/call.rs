//! One call: sent, led on within its host, and its answer read.

use std::time::Duration;

use bindu_http::client::Client;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use url::Url;

use super::FacilitatorError;
use crate::refusal::Detail;

/// How often an answer may lead elsewhere.
const MOST_REDIRECTS: usize = 3;

/// What a facilitator is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Supported,
    Verify,
    Settle,
}

impl Operation {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Verify => "verify",
            Self::Settle => "settle",
        }
    }

    /// The member whose `false` is an answer too, whatever the status.
    const fn verdict(self) -> Option<&'static str> {
        match self {
            Self::Supported => None,
            Self::Verify => Some("isValid"),
            Self::Settle => Some("success"),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Caller {
    http: Client,
    /// Without a slash at its end.
    base: String,
}

impl Caller {
    pub(super) fn new(url: &Url, http: Client) -> Result<Self, FacilitatorError> {
        let why = if !matches!(url.scheme(), "http" | "https") {
            Some("it is neither http nor https")
        } else if !url.username().is_empty() || url.password().is_some() {
            Some("it holds a user name or a password")
        } else if url.query().is_some() || url.fragment().is_some() {
            Some("it has a query or a fragment")
        } else {
            None
        };
        match why {
            Some(why) => Err(FacilitatorError::Config(why)),
            None => Ok(Self { http, base: url.as_str().trim_end_matches('/').to_owned() }),
        }
    }

    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        doing: Operation,
        body: Option<Vec<u8>>,
        limit: Duration,
    ) -> Result<T, FacilitatorError> {
        let body = body.map(Bytes::from);
        let answer = timeout(limit, self.exchange(doing, body))
            .await
            .map_err(|_| FacilitatorError::unknown(doing, NoAnswer::Late(limit)))??;
        read(doing, &answer)
    }

    async fn exchange(
        &self,
        doing: Operation,
        body: Option<Bytes>,
    ) -> Result<Response<Bytes>, FacilitatorError> {
        let address = format!("{}/{}", self.base, doing.as_str());
        let mut url: Url =
            address.parse().map_err(|error| FacilitatorError::not_sent(doing, error))?;
        for _ in 0..=MOST_REDIRECTS {
            let request = request(&url, body.as_ref())
                .map_err(|error| FacilitatorError::not_sent(doing, error))?;
            let answer = self.http.send(request).await.map_err(|error| {
                // A request that was led on has been seen by somebody.
                if error.was_not_sent() && url.as_str() == address {
                    FacilitatorError::not_sent(doing, error)
                } else {
                    FacilitatorError::unknown(doing, error)
                }
            })?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            url = led_on(&url, &answer, body.is_some())
                .map_err(|error| FacilitatorError::unknown(doing, error))?;
        }
        Err(FacilitatorError::unknown(doing, NoAnswer::Circles))
    }
}

/// Why an answer says nothing.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("nothing came within {0:?}")]
    Late(Duration),
    #[error("status {0} leads nowhere that may be followed")]
    Elsewhere(u16),
    #[error("one redirect follows another")]
    Circles,
    #[error("status {0}: {1}")]
    Status(u16, Detail),
    #[error("status {0}, and a yes")]
    YesAndNo(u16),
    #[error("what came is not what was asked for: {0}: {1}")]
    Shape(String, Detail),
}

fn request(url: &Url, body: Option<&Bytes>) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::builder()
        .method(if body.is_some() { Method::POST } else { Method::GET })
        .uri(url.as_str())
        .header(ACCEPT, HeaderValue::from_static("application/json"));
    if body.is_some() {
        request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    request.body(body.cloned().unwrap_or_default())
}

/// Where a redirect leads: on the same host only, or from it to its `www`, and with the same method.
fn led_on(from: &Url, answer: &Response<Bytes>, posts: bool) -> Result<Url, NoAnswer> {
    let status = answer.status();
    let nowhere = || NoAnswer::Elsewhere(status.as_u16());
    let keeps_method =
        matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
            || (!posts && matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND));
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let to = location.and_then(|to| from.join(to).ok()).ok_or_else(nowhere)?;
    let upgrades = from.scheme() == "http"
        && to.scheme() == "https"
        && from.port().is_none()
        && to.port().is_none()
        && from.host() == to.host();
    // Public facilitators lead from a bare name to its `www`, which has the same owner.
    let is_www = from.scheme() == "https"
        && to.scheme() == "https"
        && from.port() == to.port()
        && from.domain().zip(to.domain()).is_some_and(|(from, to)| to == format!("www.{from}"));
    let stays = from.origin() == to.origin() || upgrades || is_www;
    let is_clean = to.username().is_empty() && to.password().is_none();
    if keeps_method && stays && is_clean { Ok(to) } else { Err(nowhere()) }
}

fn read<T: DeserializeOwned>(
    doing: Operation,
    answer: &Response<Bytes>,
) -> Result<T, FacilitatorError> {
    let (status, body) = (answer.status(), answer.body());
    let detail = || Detail::new(&String::from_utf8_lossy(body));
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|error| {
            FacilitatorError::unknown(doing, NoAnswer::Shape(error.to_string(), detail()))
        });
    }
    let code = status.as_u16();
    if !status.is_client_error() || status == StatusCode::REQUEST_TIMEOUT {
        return Err(FacilitatorError::unknown(doing, NoAnswer::Status(code, detail())));
    }
    // Some say no with a status as well as in words.
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match doing.verdict().and_then(|member| value.get(member)?.as_bool()) {
        Some(true) => Err(FacilitatorError::unknown(doing, NoAnswer::YesAndNo(code))),
        Some(false) if let Ok(answer) = serde_json::from_value(value) => Ok(answer),
        _ => {
            Err(FacilitatorError::Refused { doing: doing.as_str(), status: code, detail: detail() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(from: &str, to: &str) -> bool {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
        answer.headers_mut().insert(LOCATION, to.parse().unwrap());
        led_on(&from.parse().unwrap(), &answer, true).is_ok()
    }

    #[test]
    fn a_redirect_stays_with_its_owner() {
        let from = "https://x402.example/facilitator/verify";
        for to in [
            "/elsewhere",
            "https://x402.example/other",
            "https://www.x402.example/facilitator/verify",
        ] {
            assert!(leads(from, to), "{to}");
        }
        for to in [
            "http://x402.example/",
            "http://www.x402.example/",
            "https://www.x402.example:444/",
            "https://wwwx402.example/",
            "https://www.other.example/",
            "https://a@www.x402.example/",
            "https://evil.example/www.x402.example",
        ] {
            assert!(!leads(from, to), "{to}");
        }
        assert!(!leads("https://127.0.0.1/", "https://www.127.0.0.1/"));
        assert!(!leads("http://x402.example/", "http://www.x402.example/"));
    }
}
