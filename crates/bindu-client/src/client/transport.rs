//! Requests out, answers in.

use std::time::{Duration, SystemTime};

use bindu_http::client::{IncomingBody, Replay, retry_after};
use bindu_http::sse::{CONTENT_TYPE as EVENT_STREAM, LAST_EVENT_ID, SseStream};
use bindu_http::{BodyLimits, HttpError, read_body_within};
use bindu_protocol::{Json, RequestId, RpcError, StreamEvent};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::Client;
use crate::ClientError;
use crate::auth::{Bearer, TokenAsk};
use crate::error::{excerpt, is_passing};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_OR_EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream, application/json");

/// What is read of a plain answer where a stream was asked for, in bytes.
const MAX_PLAIN_ANSWER: usize = 16 * 1024 * 1024;

#[derive(Serialize)]
struct Envelope<'a> {
    jsonrpc: &'static str,
    id: &'a RequestId,
    method: &'static str,
    params: &'a Json,
}

/// A JSON-RPC response, or at least something that may be one.
#[derive(Deserialize)]
struct Answer {
    jsonrpc: Option<IgnoredAny>,
    #[serde(default)]
    id: RequestId,
    /// A result may be `null`, which is not the same as none.
    #[serde(default, deserialize_with = "there")]
    result: Option<Json>,
    error: Option<Json>,
}

fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// How an agent answered a request for a stream.
pub(crate) enum Opened {
    Stream(Box<SseStream<IncomingBody>>),
    /// One event, and no stream around it.
    Single(Box<StreamEvent>),
}

/// Whether a request says who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bears {
    Nothing,
    /// The token and the signature, as far as the client has them.
    Credentials,
}

/// What one request is made of, besides what shows who sends it.
#[derive(Clone, Copy)]
struct Draft<'a> {
    method: &'a Method,
    url: &'a Url,
    accept: &'a HeaderValue,
    last_event_id: &'a str,
    bears: Bears,
}

impl<'a> Draft<'a> {
    fn post(url: &'a Url, accept: &'a HeaderValue) -> Self {
        let bears = Bears::Credentials;
        Self { method: &Method::POST, url, accept, last_event_id: "", bears }
    }
}

impl Client {
    /// Calls a method, and reads its result.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &Json,
        replay: Replay,
    ) -> Result<T, ClientError> {
        let url = &self.endpoint().await?.url;
        let mut id = RequestId::NULL;
        let build = |_| {
            // A new id each time: an agent that refuses repeats must not take it for one.
            id = RequestId::random();
            Ok(Some(envelope(&id, method, params)?))
        };
        let response = self.attempt(Draft::post(url, &JSON), replay, build).await?;
        let result = result_of(method, &response)?;
        if result.id != id {
            let reason =
                format!("it answers request {}, not {}", result.id.as_json(), id.as_json());
            return Err(ClientError::protocol(method, reason));
        }
        read(method, &result.json)
    }

    /// Calls something that is no JSON-RPC.
    pub(super) async fn exchange(
        &self,
        method: Method,
        url: &Url,
        body: Option<&Bytes>,
        replay: Replay,
        bears: Bears,
    ) -> Result<Response<Bytes>, ClientError> {
        let draft = Draft { method: &method, url, accept: &JSON, last_event_id: "", bears };
        self.attempt(draft, replay, |_| Ok(body.cloned())).await
    }

    /// Sends a request, several times if need be; once more with a new token if the agent
    /// refuses the one it got. `body` makes the body of each attempt.
    async fn attempt(
        &self,
        draft: Draft<'_>,
        replay: Replay,
        mut body: impl FnMut(u32) -> Result<Option<Bytes>, HttpError>,
    ) -> Result<Response<Bytes>, ClientError> {
        let (mut ask, mut refused) = (TokenAsk::default(), false);
        loop {
            let bearer = self.bearer(draft, ask).await?;
            let build = |attempt| self.request(draft, body(attempt)?, &bearer);
            let sent = self.shared.http().send_with_retry(&self.shared.retry, replay, build).await;
            let response = sent?;
            if refused || !self.may_be_stale(draft, response.status()) {
                return Ok(response);
            }
            (ask, refused) = (bearer.refused(), true);
        }
    }

    async fn bearer(&self, draft: Draft<'_>, ask: TokenAsk) -> Result<Bearer, ClientError> {
        match draft.bears {
            Bears::Nothing => Ok(Bearer::NONE),
            Bears::Credentials => self.shared.credentials.bearer(ask).await,
        }
    }

    /// Whether another token may open what was refused.
    fn may_be_stale(&self, draft: Draft<'_>, status: StatusCode) -> bool {
        status == StatusCode::UNAUTHORIZED
            && draft.bears == Bears::Credentials
            && self.shared.credentials.tokens.is_some()
    }

    /// Calls a method that answers with a stream, once.
    pub(crate) async fn open(
        &self,
        method: &'static str,
        params: &Json,
        last_event_id: &str,
    ) -> Result<Opened, ClientError> {
        let url = &self.endpoint().await?.url;
        let accept = JSON_OR_EVENTS;
        let draft = Draft { last_event_id, ..Draft::post(url, &accept) };
        let (mut ask, mut refused) = (TokenAsk::default(), false);
        let response = loop {
            let bearer = self.bearer(draft, ask).await?;
            let body = envelope(&RequestId::random(), method, params)?;
            let request = self.request(draft, Some(body), &bearer)?;
            let response = self.shared.http().send_streaming(request).await?;
            if refused || !self.may_be_stale(draft, response.status()) {
                break response;
            }
            (ask, refused) = (bearer.refused(), true);
        };
        if response.status().is_success() && is_event_stream(&response) {
            return Ok(Opened::Stream(Box::new(SseStream::new(response.into_body()))));
        }
        let (parts, body) = response.into_parts();
        let limits = BodyLimits {
            max_bytes: MAX_PLAIN_ANSWER,
            stall_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_mins(1),
        };
        let body = read_body_within(body, &limits)
            .await
            .map_err(|error| ClientError::protocol(method, error))?;
        let result = result_of(method, &Response::from_parts(parts, body))?;
        read(method, &result.json).map(|event| Opened::Single(Box::new(event)))
    }

    /// As [`open`](Self::open), several times if need be.
    pub(crate) async fn open_with_retry(
        &self,
        method: &'static str,
        params: &Json,
        last_event_id: &str,
        replay: Replay,
    ) -> Result<Opened, ClientError> {
        let policy = &self.shared.retry;
        let mut attempt = 1;
        loop {
            let error = match self.open(method, params, last_event_id).await {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            let harmless = match &error {
                ClientError::Http(error) => replay == Replay::Safe || error.was_not_sent(),
                ClientError::Status { status, .. } => {
                    replay == Replay::Safe && (policy.retry_status)(*status)
                }
                _ => false,
            };
            if attempt >= policy.max_attempts || !error.is_retryable() || !harmless {
                return Err(error);
            }
            let mut pause = policy.backoff(attempt, fastrand::f64());
            if let ClientError::Status { retry_after: Some(asked), .. } = error {
                if asked > policy.max_retry_after {
                    return Err(error);
                }
                pause = pause.max(asked);
            }
            tracing::debug!(attempt, %error, ?pause, "opening a stream again");
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// One request, signed over the very bytes that are sent, at this moment.
    fn request(
        &self,
        draft: Draft<'_>,
        body: Option<Bytes>,
        bearer: &Bearer,
    ) -> Result<Request<Bytes>, HttpError> {
        let mut request = Request::builder().method(draft.method).uri(draft.url.as_str());
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers.clone());
            headers.insert(ACCEPT, draft.accept.clone());
            if body.is_some() {
                headers.insert(CONTENT_TYPE, JSON);
            }
            let last = draft.last_event_id;
            if let (false, Ok(id)) = (last.is_empty(), HeaderValue::from_str(last)) {
                headers.insert(LAST_EVENT_ID, id);
            }
            if draft.bears == Bears::Credentials {
                let body = body.as_deref().unwrap_or_default();
                self.shared.credentials.put(bearer, self.shared.agent.get(), headers, body)?;
            }
        }
        request.body(body.unwrap_or_default()).map_err(|error| HttpError::Prepare(error.into()))
    }
}

fn envelope(id: &RequestId, method: &'static str, params: &Json) -> Result<Bytes, HttpError> {
    serde_json::to_vec(&Envelope { jsonrpc: "2.0", id, method, params })
        .map(Bytes::from)
        .map_err(|error| HttpError::Prepare(error.into()))
}

fn is_event_stream<B>(response: &Response<B>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_owned();
    let wanted = EVENT_STREAM.to_str().map(essence).unwrap_or_default();
    kind.is_some_and(|kind| essence(kind).eq_ignore_ascii_case(&wanted))
}

struct Found {
    id: RequestId,
    json: Json,
}

/// The result in a response, whatever its HTTP status: dialects differ in which they give an
/// error, but an error object says more than a status.
fn result_of(what: &'static str, response: &Response<Bytes>) -> Result<Found, ClientError> {
    let status = response.status();
    let answer = serde_json::from_slice::<Answer>(response.body());
    match answer {
        Ok(Answer { error: Some(error), .. }) if !is_passing(status) => {
            Err(match error.parse::<RpcError>() {
                Ok(error) => ClientError::Rpc(error),
                Err(_) => status_error(response),
            })
        }
        _ if !status.is_success() => Err(status_error(response)),
        Ok(Answer { result: Some(json), id, .. }) => Ok(Found { id, json }),
        Ok(_) => Err(ClientError::protocol(what, "it has neither result nor error")),
        Err(error) => Err(ClientError::protocol(what, error)),
    }
}

fn read<T: DeserializeOwned>(what: &'static str, json: &Json) -> Result<T, ClientError> {
    json.parse().map_err(|error| ClientError::protocol(what, error))
}

/// One event's data: a JSON-RPC response, as A2A has it, or the event alone.
pub(crate) fn read_event(data: &[u8]) -> Result<StreamEvent, ClientError> {
    let what = "event stream";
    let answer: Answer =
        serde_json::from_slice(data).map_err(|error| ClientError::protocol(what, error))?;
    if answer.jsonrpc.is_none() {
        return serde_json::from_slice(data).map_err(|error| ClientError::protocol(what, error));
    }
    match (answer.result, answer.error) {
        (_, Some(error)) => Err(ClientError::Rpc(read(what, &error)?)),
        (Some(result), None) => read(what, &result),
        (None, None) => Err(ClientError::protocol(what, "it has neither result nor error")),
    }
}

pub(super) fn status_error(response: &Response<Bytes>) -> ClientError {
    ClientError::Status {
        status: response.status(),
        body: excerpt(response.body()),
        retry_after: retry_after(response.headers(), SystemTime::now()),
    }
}
