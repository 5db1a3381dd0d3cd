mod discover;
mod message;
mod rest;
mod tasks;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bindu_http::client::{Client as HttpClient, Config, Replay, RetryPolicy};
use bindu_protocol::{AgentCard, Dialect};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::OnceCell;
use url::Url;

use crate::ClientError;

use self::discover::Endpoint;

pub(crate) use self::message::cannot_resubscribe;
pub(crate) use self::transport::{Opened, read_event};

/// How long a request may take unless told otherwise: longer than agents make a caller wait
/// for an outcome (30 s in Bindu), so that it is they who end the wait, with an answer.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

/// One agent, as seen by who calls it.
///
/// Cheap to clone; clones share connections and what is known of the agent. Nothing is sent
/// before it is needed.
///
/// ```no_run
/// use std::time::Duration;
/// use bindu_client::Client;
///
/// # async fn example() -> Result<(), bindu_client::ClientError> {
/// let agent = Client::connect("http://localhost:3773")?;
/// let task = agent.send_task("hello").await?;
/// let done = agent.wait(&task.id, Duration::from_secs(60)).await?;
/// println!("{}", done.status.state);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    headers: HeaderMap,
}

struct Shared {
    base: Url,
    http: HttpClient,
    retry: RetryPolicy,
    send_replay: Replay,
    dialect: Option<Dialect>,
    endpoint: OnceCell<Endpoint>,
    card: OnceCell<Arc<AgentCard>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.shared.base.as_str())
            .field("dialect", &self.shared.dialect)
            .field("endpoint", &self.shared.endpoint.get())
            .finish_non_exhaustive()
    }
}

/// Makes a [`Client`] that differs from the default.
///
/// ```
/// use std::time::Duration;
/// use bindu_client::Client;
/// use bindu_protocol::Dialect;
///
/// let agent = Client::builder("http://localhost:3773")
///     .dialect(Dialect::V0_3)
///     .timeout(Duration::from_secs(120))
///     .build()?;
/// assert_eq!(agent.url().as_str(), "http://localhost:3773/");
/// # Ok::<(), bindu_client::ClientError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct ClientBuilder {
    url: String,
    http: Option<HttpClient>,
    timeout: Duration,
    retry: RetryPolicy,
    send_replay: Replay,
    dialect: Option<Dialect>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl ClientBuilder {
    /// Speaks this dialect. Without it, the agent's card is read first and decides.
    pub const fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = Some(dialect);
        self
    }

    /// Lets the card decide on the dialect: the default.
    pub const fn auto_dialect(mut self) -> Self {
        self.dialect = None;
        self
    }

    /// Sends through this HTTP client: with its TLS, its address rules, its limits. It brings
    /// its own time-outs, so that [`timeout`](Self::timeout) has no effect.
    pub fn http(mut self, http: HttpClient) -> Self {
        self.http = Some(http);
        self
    }

    /// How long one request may take, and a stream until it begins. Default 60 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often and how soon a request is sent again, and a broken stream resumed.
    pub const fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Whether a message may be sent again when it is not known if it arrived. Default
    /// [`Replay::Safe`]: every attempt carries the same message id, by which agents recognise
    /// a repeat. [`Replay::Unsafe`] is for agents that do not, and where twice is worse than
    /// not at all.
    pub const fn send_replay(mut self, replay: Replay) -> Self {
        self.send_replay = replay;
        self
    }

    /// Adds a header to every request, such as `Authorization`. It goes to this agent only.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The client. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Url`] if the URL is none, is not `http` or `https`, or holds credentials.
    pub fn build(self) -> Result<Client, ClientError> {
        let timeout = self.timeout;
        let http =
            self.http.unwrap_or_else(|| HttpClient::new(Config { timeout, ..Config::default() }));
        Ok(Client {
            shared: Arc::new(Shared {
                base: read_url(&self.url)?,
                http,
                retry: self.retry,
                send_replay: self.send_replay,
                dialect: self.dialect,
                endpoint: OnceCell::new(),
                card: OnceCell::new(),
            }),
            headers: self.headers.into_iter().collect(),
        })
    }
}

impl Client {
    /// An agent by its URL: the one its card names, or that of the host.
    ///
    /// # Errors
    ///
    /// As [`ClientBuilder::build`].
    pub fn connect(url: &str) -> Result<Self, ClientError> {
        Self::builder(url).build()
    }

    /// Begins a client that differs from the default.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            http: None,
            timeout: DEFAULT_TIMEOUT,
            retry: RetryPolicy::default(),
            send_replay: Replay::Safe,
            dialect: None,
            headers: Vec::new(),
        }
    }

    /// The URL the client was made with.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.shared.base
    }

    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        self.shared.retry.clone()
    }

    /// The same client as part of a trace: every request carries this `traceparent` header
    /// (W3C Trace Context, section 3.2). A handler that calls peers passes on what it was
    /// given.
    ///
    /// ```
    /// # let agent = bindu_client::Client::connect("http://localhost:3773")?;
    /// let traced = agent.with_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")?;
    /// assert!(agent.with_traceparent("anything").is_err());
    /// # Ok::<(), bindu_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ClientError::Input`] if the value is none of that form.
    pub fn with_traceparent(&self, value: &str) -> Result<Self, ClientError> {
        let header = is_traceparent(value).then(|| HeaderValue::from_str(value).ok()).flatten();
        let header = header.ok_or_else(|| {
            ClientError::Input(format!(
                "{value:?} is no traceparent: it has the form 00-<32 hex digits>-<16>-<2>"
            ))
        })?;
        let mut traced = self.clone();
        traced.headers.insert(HeaderName::from_static("traceparent"), header);
        Ok(traced)
    }
}

fn read_url(text: &str) -> Result<Url, ClientError> {
    let refuse = |reason| ClientError::Url { url: text.to_owned(), reason };
    let mut url =
        Url::parse(text).map_err(|_| refuse("write it as http://host:port or https://host"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("put http:// or https:// in front"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not echoed: it holds a password.
        return Err(ClientError::Url {
            url: format!("{}://…@{}", url.scheme(), url.host_str().unwrap_or_default()),
            reason: "leave out user and password",
        });
    }
    if url.query().is_some() {
        return Err(refuse("leave out the query"));
    }
    url.set_fragment(None);
    Ok(url)
}

fn is_traceparent(value: &str) -> bool {
    let fields: Vec<&str> = value.split('-').collect();
    let [version, trace, parent, flags] = fields.as_slice() else { return false };
    let hex = |field: &str, length: usize| {
        field.len() == length && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let set = |field: &str| field.bytes().any(|b| b != b'0');
    hex(version, 2)
        && *version != "ff"
        && hex(trace, 32)
        && set(trace)
        && hex(parent, 16)
        && set(parent)
        && hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(url: &str) -> String {
        read_url(url).unwrap_err().to_string()
    }

    #[test]
    fn a_url_that_cannot_be_called_says_what_to_write() {
        assert!(reason("localhost:3773").contains("put http:// or https:// in front"));
        assert!(reason("agent").contains("write it as http://host:port"));
        assert!(reason("http://h/?a=b").contains("leave out the query"));
        let secret = reason("http://ann:hunter2@h/");
        assert!(secret.contains("leave out user and password") && !secret.contains("hunter2"));
        assert_eq!(read_url("http://h/a#b").unwrap().as_str(), "http://h/a");
    }

    #[test]
    fn every_call_can_be_made_from_a_task_that_moves() {
        fn is_send<T: Send>(_: &T) {}
        let agent = Client::connect("http://h").unwrap();
        let id = "t".parse().unwrap();
        is_send(&agent.send("x"));
        is_send(&agent.send_and_wait("x", DEFAULT_TIMEOUT));
        is_send(&agent.stream("x"));
        is_send(&agent.resubscribe(&id, None));
        is_send(&agent.wait(&id, DEFAULT_TIMEOUT));
        is_send(&agent.push_list(&id));
        is_send(&agent.card());
        is_send(&agent.skills());
    }

    #[test]
    fn traceparents_are_checked() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert!(is_traceparent(&format!("00-{trace}-b7ad6b7169203331-01")));
        for wrong in [
            format!("ff-{trace}-b7ad6b7169203331-01"),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()),
            format!("00-{trace}-b7ad6b7169203331-01-"),
            String::new(),
        ] {
            assert!(!is_traceparent(&wrong), "{wrong}");
        }
    }
}
