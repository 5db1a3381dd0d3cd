//! One call to Hydra: sent, sent again where that is harmless, and its answer understood.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bindu_http::HttpError;
use bindu_http::client::{Client, RetryPolicy, retry_after};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::breaker::Breaker;
use crate::{Config, HydraError};

/// The least that a caller is told to wait.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// The longest `Retry-After` of Hydra that is waited for.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// How much of an error description is kept, in characters.
const DESCRIPTION_CHARS: usize = 300;

/// Whether a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// A request of a stranger waits for it: one time limit for all.
    Quick,
    /// The start of the agent waits for it: several attempts with pauses.
    Patient,
}

/// What is asked.
pub(crate) struct Call<'a> {
    pub(crate) doing: &'static str,
    pub(crate) method: Method,
    /// Path and query, with a leading slash.
    pub(crate) path: String,
    pub(crate) content: Content,
    /// Whether an answer of 2xx must be JSON.
    pub(crate) wants_json: bool,
    /// What must not be repeated in an error.
    pub(crate) secrets: &'a [&'a str],
}

/// The body of a request.
pub(crate) enum Content {
    None,
    Form(String),
    Json(Vec<u8>),
}

/// An answer with a status other than 429 and 5xx.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The body; `null` if it is not JSON.
    pub(crate) body: Value,
    /// Whether an earlier attempt may have reached Hydra without our knowing.
    pub(crate) repeated: bool,
}

impl Answer {
    /// The error that this answer is.
    pub(crate) fn refused(&self, call: &Call<'_>) -> HydraError {
        let text = |name| self.body.get(name).and_then(Value::as_str).filter(|s| !s.is_empty());
        let clean = |text: &str| -> Box<str> {
            let mut text = text.to_owned();
            for secret in call.secrets.iter().filter(|secret| !secret.is_empty()) {
                text = text.replace(secret, "[redacted]");
            }
            text.chars().filter(|c| !c.is_control()).take(DESCRIPTION_CHARS).collect()
        };
        HydraError::Refused {
            doing: call.doing,
            status: self.status.as_u16(),
            code: text("error").map(clean),
            description: text("error_description").map(clean),
        }
    }
}

/// One of Hydra's two APIs.
#[derive(Debug)]
pub(crate) struct Endpoint {
    name: &'static str,
    /// Without a slash at its end.
    base: String,
    breaker: Breaker,
}

impl Endpoint {
    pub(crate) fn new(name: &'static str, url: &Url, config: &Config) -> Result<Self, HydraError> {
        let refuse = |why| Err(HydraError::Config { setting: name, why });
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("it is neither http nor https");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("it holds a user name or a password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return refuse("it has a query or a fragment");
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        if base.parse::<Uri>().is_err() {
            return refuse("it is not an address that HTTP can use");
        }
        let breaker = Breaker::new(config.failure_threshold, config.probe_interval);
        Ok(Self { name, base, breaker })
    }
}

/// What sends calls.
#[derive(Debug)]
pub(crate) struct Caller {
    http: Client,
    timeout: Duration,
    retries: RetryPolicy,
    turns: Semaphore,
}

impl Caller {
    pub(crate) fn new(http: Client, config: &Config) -> Self {
        Self {
            http,
            timeout: config.timeout,
            retries: RetryPolicy {
                max_attempts: config.attempts.max(1),
                min_delay: config.min_delay,
                max_delay: config.max_delay,
                max_retry_after: LONGEST_WAIT,
                ..RetryPolicy::default()
            },
            turns: Semaphore::new(config.max_concurrent.clamp(1, Semaphore::MAX_PERMITS)),
        }
    }

    /// Sends a call and returns any answer but 429 and 5xx.
    pub(crate) async fn send(
        &self,
        endpoint: &Endpoint,
        patience: Patience,
        call: &Call<'_>,
    ) -> Result<Answer, HydraError> {
        let sent = match patience {
            Patience::Quick => self.send_quickly(endpoint, call).await,
            Patience::Patient => self.send_patiently(endpoint, call).await,
        };
        sent.map_err(|failure| failure.into_error(call.doing))
    }

    async fn send_quickly(&self, endpoint: &Endpoint, call: &Call<'_>) -> Result<Answer, Failure> {
        // Nobody queues up for a server that is away.
        endpoint.breaker.look(Instant::now()).map_err(Failure::unsent)?;
        let both = async {
            // Never closed, so there is always a turn to come.
            let _turn = self.turns.acquire().await;
            endpoint.breaker.admit(Instant::now()).map_err(Failure::unsent)?;
            let failure = match self.attempt(endpoint, call).await {
                Err(failure) if failure.connection_failed() => failure,
                outcome => return outcome,
            };
            endpoint.failed(&failure);
            sleep(Duration::from_millis(fastrand::u64(20..100))).await;
            // Away by now: one probe in a while is enough.
            if endpoint.breaker.admit(Instant::now()).is_err() {
                return Err(failure);
            }
            let answer = self.attempt(endpoint, call).await?;
            Ok(Answer { repeated: true, ..answer })
        };
        let outcome = timeout(self.timeout, both)
            .await
            .unwrap_or_else(|_| Err(Failure::new(Cause::Timeout(self.timeout))));
        endpoint.report(&outcome);
        outcome
    }

    async fn send_patiently(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
    ) -> Result<Answer, Failure> {
        let mut attempt = 1;
        loop {
            let outcome = timeout(self.timeout, self.attempt(endpoint, call))
                .await
                .unwrap_or_else(|_| Err(Failure::new(Cause::Timeout(self.timeout))));
            endpoint.report(&outcome);
            let failure = match outcome {
                Ok(answer) => return Ok(Answer { repeated: attempt > 1, ..answer }),
                Err(failure) => failure,
            };
            if attempt >= self.retries.max_attempts || !failure.may_pass() {
                return Err(failure);
            }
            let backoff = self.retries.backoff(attempt, fastrand::f64());
            let pause = failure.retry_after.map_or(backoff, |asked| asked.max(backoff));
            if pause > LONGEST_WAIT {
                return Err(failure);
            }
            tracing::info!(
                url = endpoint.name, doing = call.doing, attempt, ?pause, error = %failure,
                "hydra is not available, trying again"
            );
            sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, endpoint: &Endpoint, call: &Call<'_>) -> Result<Answer, Failure> {
        let request = call.request(endpoint).map_err(|error| Failure::new(Cause::Http(error)))?;
        let response =
            self.http.send(request).await.map_err(|error| Failure::new(Cause::Http(error)))?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let retry_after = retry_after(response.headers(), SystemTime::now());
            return Err(Failure { cause: Some(Cause::Status(status)), retry_after });
        }
        let body = match serde_json::from_slice(response.body()) {
            Ok(body) => body,
            Err(error) if call.wants_json && status.is_success() => {
                return Err(Failure::new(Cause::NotJson(error)));
            }
            Err(_) => Value::Null,
        };
        Ok(Answer { status, body, repeated: false })
    }
}

impl Call<'_> {
    fn request(&self, endpoint: &Endpoint) -> Result<Request<Bytes>, HttpError> {
        let (content_type, body) = match &self.content {
            Content::None => (None, Bytes::new()),
            Content::Form(form) => (
                Some(HeaderValue::from_static("application/x-www-form-urlencoded")),
                Bytes::copy_from_slice(form.as_bytes()),
            ),
            Content::Json(json) => {
                (Some(HeaderValue::from_static("application/json")), Bytes::copy_from_slice(json))
            }
        };
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("{}{}", endpoint.base, self.path))
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(body).map_err(|error| HttpError::Prepare(error.into()))
    }

    /// The error of an answer from which nothing can be concluded.
    pub(crate) fn not_understood(&self, answer: &Answer) -> HydraError {
        let source = Arc::new(answer.refused(self));
        HydraError::Unavailable {
            doing: self.doing,
            retry_after: SHORTEST_WAIT,
            source: Some(source),
        }
    }
}

impl Endpoint {
    fn report(&self, outcome: &Result<Answer, Failure>) {
        match outcome {
            Ok(_) if self.breaker.succeed() => {
                tracing::info!(url = self.name, "hydra is back");
            }
            Ok(_) => {}
            Err(failure) if failure.cause.is_none() => {}
            Err(failure) => self.failed(failure),
        }
    }

    fn failed(&self, failure: &Failure) {
        if self.breaker.fail(Instant::now()) {
            tracing::warn!(url = self.name, error = %failure, "hydra is away");
        }
    }
}

/// Why there is no answer that says anything.
#[derive(Debug)]
struct Failure {
    /// `None` if nothing was sent.
    cause: Option<Cause>,
    retry_after: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("{}", Chain(.0))]
    Http(HttpError),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("the answer is not JSON: {0}")]
    NotJson(serde_json::Error),
}

/// An error and its sources, in one line.
struct Chain<'a>(&'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl Failure {
    fn new(cause: Cause) -> Self {
        Self { cause: Some(cause), retry_after: None }
    }

    /// Hydra is away: nothing is sent for so long.
    fn unsent(wait: Duration) -> Self {
        Self { cause: None, retry_after: Some(wait) }
    }

    /// Whether the same call may succeed later.
    fn may_pass(&self) -> bool {
        match &self.cause {
            Some(Cause::Http(error)) => error.is_retryable(),
            Some(Cause::Timeout(_) | Cause::Status(_)) => true,
            Some(Cause::NotJson(_)) | None => false,
        }
    }

    /// Whether there was no connection, or it broke: as when Hydra is restarted.
    fn connection_failed(&self) -> bool {
        matches!(&self.cause, Some(Cause::Http(HttpError::Connect { .. } | HttpError::Io(_))))
    }

    fn into_error(self, doing: &'static str) -> HydraError {
        let retry_after = self.retry_after.unwrap_or_default();
        HydraError::Unavailable {
            doing,
            retry_after: retry_after.clamp(SHORTEST_WAIT, LONGEST_WAIT),
            source: self.cause.map(|cause| Arc::new(cause) as _),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => cause.fmt(f),
            None => f.write_str("nothing was sent"),
        }
    }
}

/// A form of these fields (WHATWG URL, section 5.2); those without a value are left out.
pub(crate) fn form(fields: &[(&str, Option<&str>)]) -> Content {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        if let Some(value) = value {
            form.append_pair(name, value);
        }
    }
    Content::Form(form.finish())
}
