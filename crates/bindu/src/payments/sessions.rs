//! Payments that people sign in a browser, for programs that wait for them.

use std::time::Duration;

use bindu_http::Body;
use bindu_protocol::Timestamp;
use bindu_server::PaymentRoute;
use bindu_x402::page::{self, Page, Paywall};
use bindu_x402::{
    Networks, PaymentRequirements, Resource, Session, SessionConfig, SessionError, check, header,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;

/// How long a question about a session may wait for its answer.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

const UNKNOWN: &str = "Session not found or expired";

/// The sessions of one agent.
#[derive(Debug)]
pub(super) struct Sessions {
    kept: bindu_x402::Sessions,
    /// What the agent is called.
    agent: String,
    /// Where it is, and what is paid for.
    resource: Resource,
}

impl Sessions {
    pub(super) fn new(agent: &str, resource: &Resource, limit: usize) -> Self {
        let config = SessionConfig { limit, ..SessionConfig::default() };
        let kept = bindu_x402::Sessions::new(config);
        Self { kept, agent: agent.to_owned(), resource: resource.clone() }
    }

    pub(super) async fn serve(
        &self,
        offers: &[PaymentRequirements],
        networks: &Networks,
        route: PaymentRoute<'_>,
        head: &Parts,
    ) -> Response<Body> {
        match route {
            PaymentRoute::Start => self.start(),
            PaymentRoute::Capture => shown(&self.capture(offers, networks, head)),
            PaymentRoute::Status(id) => self.status(id, &head.uri).await,
        }
    }

    fn start(&self) -> Response<Body> {
        match self.kept.start(Timestamp::now()) {
            Ok(session) => json(StatusCode::OK, session.started_body(&self.resource.url)),
            Err(error @ SessionError::TooMany) => {
                refused(StatusCode::TOO_MANY_REQUESTS, &error.to_string())
            }
            Err(error) => {
                tracing::error!(%error, "a payment session cannot be started");
                refused(StatusCode::SERVICE_UNAVAILABLE, "Payment sessions not enabled")
            }
        }
    }

    async fn status(&self, id: &str, uri: &Uri) -> Response<Body> {
        let id = percent_decode_str(id).decode_utf8_lossy();
        let now = Timestamp::now();
        let Some(mut session) = self.kept.find(&id, now) else {
            return refused(StatusCode::NOT_FOUND, UNKNOWN);
        };
        let waits = parameter(uri, "wait").is_some_and(|it| matches!(it.as_str(), "true" | "1"));
        if waits && session.payload().is_none() {
            // One that is still without a payment then is told of as it is.
            match self.kept.wait(&id, now, LONGEST_WAIT).await {
                Some(paid) => session = paid,
                None if self.kept.find(&id, Timestamp::now()).is_none() => {
                    return refused(StatusCode::NOT_FOUND, UNKNOWN);
                }
                None => {}
            }
        }
        json(StatusCode::OK, session.status_body())
    }

    fn capture(&self, offers: &[PaymentRequirements], networks: &Networks, head: &Parts) -> Page {
        let id = parameter(&head.uri, "session_id").filter(|id| !id.is_empty());
        let Some(id) = id else { return page::failed(400, "Session ID required", None) };
        let now = Timestamp::now();
        let Some(session) = self.kept.find(&id, now) else {
            return page::failed(404, UNKNOWN, None);
        };
        if session.payload().is_some() {
            return page::paid(&session);
        }
        let Some(sent) = sent(head) else {
            return page::paywall(&Paywall {
                agent: &self.agent,
                session: &session,
                offers,
                networks,
                resource: Some(&self.resource),
                error: None,
            });
        };
        let captured = header::decode_or_json(&sent)
            .and_then(|payload| check(&payload, offers, now))
            .map_err(|refusal| refusal.to_string())
            .and_then(|checked| {
                let captured: Result<Session, _> = self.kept.capture(&id, &checked, now);
                captured.map_err(|error| error.to_string())
            });
        match captured {
            Ok(session) => page::paid(&session),
            // The session stays as it is: a person may try again.
            Err(why) => page::failed(400, &why, Some(&session)),
        }
    }
}

/// The payment that came with a request, in a header or in the query.
fn sent(head: &Parts) -> Option<Vec<u8>> {
    let header = |name: &str| {
        let value = head.headers.get(name)?.as_bytes().trim_ascii();
        (!value.is_empty()).then(|| value.to_vec())
    };
    header(header::PAYMENT_SIGNATURE).or_else(|| header(header::X_PAYMENT)).or_else(|| {
        let value = raw_parameter(&head.uri, "payment").filter(|value| !value.is_empty())?;
        let decode = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let plain = decode(value);
        // In a form a plus is a space; in base64 that somebody put there by hand it is a plus.
        let is_json = plain.trim_ascii_start().starts_with(b"{") || value.starts_with('+');
        Some(if is_json { decode(&value.replace('+', " ")) } else { plain })
    })
}

fn raw_parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let value = raw_parameter(uri, name)?.replace('+', " ");
    Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
}

fn shown(page: &Page) -> Response<Body> {
    let mut response = Response::new(Body::full(page.html.clone()));
    *response.status_mut() = StatusCode::from_u16(page.status).unwrap_or(StatusCode::OK);
    for (name, value) in page.headers() {
        put(response.headers_mut(), name, value);
    }
    response
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}

fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    put(response.headers_mut(), "content-type", "application/json");
    put(response.headers_mut(), "cache-control", "no-store");
    response
}

fn refused(status: StatusCode, error: &str) -> Response<Body> {
    json(status, serde_json::json!({ "error": error }).to_string())
}
