//! Calling others: with deadlines, limits, and retries where they are harmless.

mod body;
mod connect;
mod pool;
mod retry;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri, Version};
use tokio::time::{Instant, sleep, timeout_at};

use crate::body::{BodyLimits, ReadBodyError, read_body_within};
use crate::clock::after;
use crate::error::{HttpError, Phase};
use crate::ssrf::AddressPolicy;

pub use self::body::IncomingBody;
pub use self::connect::{BoxIo, Connected, Connector, Io, PlainConnector, Target};
pub use self::retry::{Replay, RetryPolicy, retry_after};
#[cfg(feature = "tls")]
pub use self::tls::{Tls, TlsError, native_root_store};

use self::connect::Dialer;
use self::pool::{Key, Lease, Pool};

/// The limits of a [`Client`].
///
/// ```
/// # use std::time::Duration;
/// # use bindu_http::client::Config;
/// let config = Config { timeout: Duration::from_secs(5), ..Config::default() };
/// assert_eq!(config.max_response_bytes, 16 * 1024 * 1024);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long resolving, connecting and shaking hands may take together. A name of
    /// several addresses has them tried in turn, each in its share of what is left.
    /// Default 5 s.
    pub connect_timeout: Duration,
    /// How long a request may take from the call to the last byte of the response; for
    /// [`Client::send_streaming`], to the head of the response. Default 30 s.
    pub timeout: Duration,
    /// How long a response body may be silent. Streams of events carry comments so that
    /// this does not end them. Default 60 s.
    pub read_idle_timeout: Duration,
    /// The largest response body [`Client::send`] accepts, in bytes. Default 16 MiB.
    pub max_response_bytes: usize,
    /// Idle connections kept per host. Default 16.
    pub max_idle_per_host: usize,
    /// How long a connection is kept idle, at least; at most twice as long. Default 30 s,
    /// less than servers keep theirs.
    pub idle_timeout: Duration,
    /// The `User-Agent` of requests that have none. Default `bindu/` and our version.
    pub user_agent: HeaderValue,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            read_idle_timeout: Duration::from_mins(1),
            max_response_bytes: 16 * 1024 * 1024,
            max_idle_per_host: 16,
            idle_timeout: Duration::from_secs(30),
            user_agent: HeaderValue::from_static(concat!("bindu/", env!("CARGO_PKG_VERSION"))),
        }
    }
}

/// An HTTP/1.1 client that keeps connections open between requests.
///
/// Clones share the connections; so one client is made per program, or per set of
/// rules. It never follows redirects, keeps no cookies, reads no proxy settings, and
/// speaks `https` only through a [`Connector`] that does, such as `Tls` (feature `tls`).
///
/// The tasks that drive connections end when the last clone, and the last response body
/// that is being read, is dropped.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    config: Config,
    dialer: Dialer,
    connector: Arc<dyn Connector>,
    pool: Pool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.0.config)
            .field("connector", &self.0.connector)
            .field("dialer", &self.0.dialer)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Client`] that differs from the default.
#[derive(Debug, Default)]
pub struct ClientBuilder {
    config: Config,
    connector: Option<Arc<dyn Connector>>,
    policy: Option<Arc<dyn AddressPolicy>>,
}

impl ClientBuilder {
    /// Sets the limits.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Replaces what turns a TCP connection into one that speaks HTTP: TLS goes here.
    #[must_use]
    pub fn connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.connector = Some(connector);
        self
    }

    /// Has every resolved address checked before it is connected to.
    ///
    /// If one address of a name is refused, the name is: which of them would be taken
    /// is otherwise the choice of whoever owns the name.
    #[must_use]
    pub fn address_policy(mut self, policy: Arc<dyn AddressPolicy>) -> Self {
        self.policy = Some(policy);
        self
    }

    /// The client. Makes no connection yet.
    #[must_use]
    pub fn build(self) -> Client {
        let pool = Pool::new(self.config.max_idle_per_host, self.config.idle_timeout);
        Client(Arc::new(Shared {
            config: self.config,
            dialer: Dialer { policy: self.policy },
            connector: self.connector.unwrap_or_else(|| Arc::new(PlainConnector)),
            pool,
        }))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Client {
    /// A client for HTTP in the clear, to any address.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self::builder().config(config).build()
    }

    /// Begins a client with a connector or an address policy of its own.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Sends a request, and reads the whole response. The URI must be absolute.
    ///
    /// Sent anew by itself only if an idle connection turned out to be closed before
    /// any of it was written.
    ///
    /// # Errors
    ///
    /// See [`HttpError`]. A response is not an error, whatever its status.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let deadline = after(Instant::now(), self.0.config.timeout);
        let response = self.head(request, deadline).await?;
        let (parts, body) = response.into_parts();
        let limit = self.0.config.max_response_bytes;
        let limits = BodyLimits {
            max_bytes: limit,
            stall_timeout: self.0.config.read_idle_timeout,
            total_timeout: deadline.saturating_duration_since(Instant::now()),
        };
        let body = match read_body_within(body, &limits).await {
            Ok(body) => body,
            Err(ReadBodyError::TooLarge { limit }) => return Err(HttpError::TooLarge { limit }),
            Err(ReadBodyError::Timeout) => return Err(HttpError::Timeout { phase: Phase::Body }),
            Err(ReadBodyError::Io(error)) => {
                return Err(match error.downcast::<HttpError>() {
                    Ok(error) => *error,
                    Err(error) => HttpError::Io(error),
                });
            }
        };
        Ok(Response::from_parts(parts, body))
    }

    /// Sends a request, and hands over the response as soon as its head is there: for
    /// streams of events. Then only silence ends it, not the deadline.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_streaming(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<IncomingBody>, HttpError> {
        self.head(request, after(Instant::now(), self.0.config.timeout)).await
    }

    /// Sends a request as [`send`](Self::send) does, several times if need be.
    ///
    /// `build` makes the request of each attempt, counted from 1, so that signatures and
    /// timestamps are fresh. The last attempt's answer or error is returned as it is.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); and what `build` returned.
    pub async fn send_with_retry(
        &self,
        policy: &RetryPolicy,
        replay: Replay,
        mut build: impl FnMut(u32) -> Result<Request<Bytes>, HttpError>,
    ) -> Result<Response<Bytes>, HttpError> {
        let mut attempt = 1;
        loop {
            let outcome = self.send(build(attempt)?).await;
            let pause = policy.pause(attempt, replay, &outcome, SystemTime::now(), fastrand::f64());
            let Some(pause) = pause else { return outcome };
            match &outcome {
                Ok(response) => {
                    tracing::debug!(attempt, status = %response.status(), ?pause, "trying again");
                }
                Err(error) => tracing::debug!(attempt, %error, ?pause, "trying again"),
            }
            sleep(pause).await;
            attempt += 1;
        }
    }

    /// Closes the connections that are not in use, for example because the certificate
    /// they were opened with has been replaced.
    pub fn close_idle(&self) {
        self.0.pool.clear();
    }

    async fn head(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> Result<Response<IncomingBody>, HttpError> {
        timeout_at(deadline, self.exchange(request))
            .await
            .unwrap_or(Err(HttpError::Timeout { phase: Phase::Response }))
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<IncomingBody>, HttpError> {
        let key = Key::of(request.uri())?;
        let mut request = self.prepare(request, &key)?.map(crate::Body::full);
        // A connection from the pool may have been closed at the other end.
        while let Some(mut lease) = self.0.pool.take(&key, self.0.connector.generation()).await {
            match lease.sender.try_send_request(request).await {
                Ok(response) => return Ok(self.receive(response, lease)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(sending(error.into_error())),
                },
            }
        }
        let mut lease = self.connect(key).await?;
        let response = lease.sender.send_request(request).await.map_err(sending)?;
        Ok(self.receive(response, lease))
    }

    /// What goes on the wire: the path, `Host` and `User-Agent`.
    fn prepare(&self, request: Request<Bytes>, key: &Key) -> Result<Request<Bytes>, HttpError> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().cloned();
        parts.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        parts.version = Version::HTTP_11;
        if !parts.headers.contains_key(HOST) {
            let host = HeaderValue::from_str(key.authority())
                .map_err(|_| HttpError::InvalidUrl("the host is no header value"))?;
            parts.headers.insert(HOST, host);
        }
        if !parts.headers.contains_key(USER_AGENT) {
            parts.headers.insert(USER_AGENT, self.0.config.user_agent.clone());
        }
        Ok(Request::from_parts(parts, body))
    }

    async fn connect(&self, key: Key) -> Result<Lease, HttpError> {
        let target = key.target();
        // Before it connects: a change meanwhile makes the connection an old one.
        let generation = self.0.connector.generation();
        let deadline = after(Instant::now(), self.0.config.connect_timeout);
        let connecting = async {
            let tcp = self.0.dialer.dial(&target, deadline).await?;
            let failed = |source| HttpError::Connect { host: key.authority().to_owned(), source };
            let connected = self.0.connector.connect(&target, tcp).await;
            let connected = connected.map_err(|error| match error.kind() {
                std::io::ErrorKind::Unsupported => {
                    HttpError::InvalidUrl("this client has no connector for the scheme")
                }
                _ => failed(error.into()),
            })?;
            pool::handshake(connected).await.map_err(|error| failed(error.into()))
        };
        let (sender, connection, extensions) = timeout_at(deadline, connecting)
            .await
            .unwrap_or(Err(HttpError::Timeout { phase: Phase::Connect }))?;
        Ok(Pool::adopt(&self.0, key, sender, connection, extensions, generation))
    }

    fn receive(
        &self,
        response: Response<hyper::body::Incoming>,
        lease: Lease,
    ) -> Response<IncomingBody> {
        let (mut parts, body) = response.into_parts();
        if let Some(extensions) = &lease.extensions {
            parts.extensions.extend(http::Extensions::clone(extensions));
        }
        let body = IncomingBody::new(body, lease, Arc::clone(&self.0));
        Response::from_parts(parts, body)
    }
}

fn sending(error: hyper::Error) -> HttpError {
    if error.is_parse() { HttpError::Protocol(error.into()) } else { HttpError::Io(error.into()) }
}
