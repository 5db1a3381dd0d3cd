//! How a client is made.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bindu_did::key_dir::Identity;
use bindu_did::pins::Pins;
use bindu_did::{Did, SigningKey};
use bindu_http::client::{Client as HttpClient, Config, Replay, RetryPolicy};
use bindu_protocol::Dialect;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::OnceCell;
use url::Url;

use super::verify::is_in_the_open;
use super::{Client, Shared};
use crate::auth::{Credentials, Signer};
use crate::peer::{Expectations, Known};
use crate::{ClientError, TokenSource};

/// How long a request may take unless told otherwise: longer than agents make a caller wait
/// for an outcome (30 s in Bindu), so that it is they who end the wait, with an answer.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

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
#[must_use]
pub struct ClientBuilder {
    url: String,
    http: Option<HttpClient>,
    timeout: Duration,
    retry: RetryPolicy,
    send_replay: Replay,
    dialect: Option<Dialect>,
    headers: Vec<(HeaderName, HeaderValue)>,
    credentials: Credentials,
    expected: Expectations,
    #[cfg(feature = "mtls")]
    mtls: Option<bindu_mtls::Connector>,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither headers nor tokens: they are secrets.
        f.debug_struct("ClientBuilder")
            .field("url", &self.url)
            .field("dialect", &self.dialect)
            .field("did", &self.credentials.signer.as_ref().map(Signer::did))
            .finish_non_exhaustive()
    }
}

impl ClientBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            http: None,
            timeout: DEFAULT_TIMEOUT,
            retry: RetryPolicy::default(),
            send_replay: Replay::Safe,
            dialect: None,
            headers: Vec::new(),
            credentials: Credentials::default(),
            expected: Expectations::default(),
            #[cfg(feature = "mtls")]
            mtls: None,
        }
    }

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

    /// Signs every request as this identity: its DID, and a signature over the very bytes of
    /// the body at this very second, made anew for each attempt (the headers `X-DID`,
    /// `X-DID-Signature` and `X-DID-Timestamp`). To an agent whose DID is known a second
    /// signature says that it is meant, so that it cannot pass the request on as ours
    /// ([`bindu_did::target`]).
    ///
    /// [`key_dir::read`](bindu_did::key_dir::read) finds the one that an agent has.
    pub fn identity(mut self, identity: Arc<Identity>) -> Self {
        self.credentials.signer = Some(Signer::Identity(identity));
        self
    }

    /// As [`identity`](Self::identity), for a caller that has only a key and the DID it is
    /// registered under.
    pub fn signing_key(mut self, key: Arc<SigningKey>, did: Did) -> Self {
        self.credentials.signer = Some(Signer::Key(key, did));
        self
    }

    /// Sends an access token with every request, as `Authorization: Bearer`. If the agent
    /// refuses it (401), a fresh one is asked for, and the request sent once more.
    pub fn tokens(mut self, tokens: impl TokenSource) -> Self {
        self.credentials.tokens = Some(Arc::new(tokens));
        self
    }

    /// The DID that the agent must have. Checked before anything is entrusted to it.
    pub fn expect_did(mut self, did: Did) -> Self {
        self.expected.did = Some(did);
        self
    }

    /// Refuses agents whose DID is no fingerprint of their key, instead of trusting the first
    /// meeting. Default `false`.
    pub const fn require_self_certified(mut self, require: bool) -> Self {
        self.expected.require_self_certified = require;
        self
    }

    /// Where the keys of agents are kept that do not prove them by their DID. One store for
    /// all clients of a program, in a file if it is to outlive the program. Default: one in
    /// memory for this client alone.
    pub fn pins(mut self, pins: Arc<Pins>) -> Self {
        self.expected.pins = Some(pins);
        self
    }

    /// Whether signatures in answers are checked; one that is wrong is then
    /// [`ClientError::Forged`]. Default: as far as the agent's key is known, which it is to a
    /// client that has an identity, tokens, pins or expectations, or after
    /// [`Client::peer`]. `true` has the client find out the key in any case. What bears no
    /// signature passes.
    pub const fn verify_artifacts(mut self, verify: bool) -> Self {
        self.expected.verify_artifacts = Some(verify);
        self
    }

    /// Calls over TLS with a client certificate, and with trust in the private authority that
    /// agents have theirs from. Once the agent's DID is known, from its card or from
    /// [`expect_did`](Self::expect_did), only a server whose certificate names that DID is
    /// spoken to; one with a public certificate must have the URL's host in it. Has no effect
    /// beside [`http`](Self::http).
    #[cfg(feature = "mtls")]
    pub fn mtls(mut self, connector: bindu_mtls::Connector) -> Self {
        self.mtls = Some(connector);
        self
    }

    /// The client. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Url`] if the URL is none, is not `http` or `https`, or holds credentials;
    /// [`ClientError::Input`] if a [`header`](Self::header) is one that identity or tokens set.
    pub fn build(self) -> Result<Client, ClientError> {
        let timeout = self.timeout;
        let base = read_url(&self.url)?;
        let headers: HeaderMap = self.headers.into_iter().collect();
        self.credentials.refuse_overrides(&headers)?;
        if is_in_the_open(&base) && (!self.credentials.is_empty() || self.expected.look_first()) {
            tracing::warn!(
                url = %base,
                "calling an agent over http: whoever is on the way can read the token, and pretend \
                 to be the agent; use https"
            );
        }
        let config = Config { timeout, ..Config::default() };
        #[cfg(feature = "mtls")]
        let mtls = match (&self.http, self.mtls) {
            (None, Some(connector)) => Some((connector, config.clone())),
            _ => None,
        };
        #[cfg(feature = "mtls")]
        let over_mtls = mtls.clone().map(|(connector, config)| {
            let connector = match &self.expected.did {
                Some(did) => connector.expecting(did.clone()),
                None => connector,
            };
            mtls_http(connector, config)
        });
        #[cfg(not(feature = "mtls"))]
        let over_mtls = None;
        let http = match self.http.or(over_mtls) {
            Some(http) => http,
            None => default_http(config, &base)?,
        };
        let pins = self.expected.pins.clone().unwrap_or_else(|| Arc::new(Pins::in_memory()));
        Ok(Client {
            shared: Arc::new(Shared {
                base,
                http,
                #[cfg(feature = "mtls")]
                mtls,
                only: OnceLock::new(),
                agent: OnceLock::new(),
                retry: self.retry,
                send_replay: self.send_replay,
                dialect: self.dialect,
                endpoint: OnceCell::new(),
                card: OnceCell::new(),
                credentials: self.credentials,
                expected: self.expected,
                pins,
                known: Known::default(),
            }),
            headers,
            context: None,
        })
    }
}

#[cfg(feature = "mtls")]
pub(super) fn mtls_http(connector: bindu_mtls::Connector, config: Config) -> HttpClient {
    HttpClient::builder().config(config).connector(Arc::new(connector)).build()
}

/// `https` through TLS that trusts what the system trusts, if this build has TLS.
#[cfg(feature = "tls")]
pub(crate) fn default_http(config: Config, url: &Url) -> Result<HttpClient, ClientError> {
    use bindu_http::client::Tls;

    if url.scheme() != "https" {
        return Ok(HttpClient::new(config));
    }
    let tls = Tls::native_roots().map_err(|error| {
        ClientError::Input(format!("no TLS, as this system has no root certificates: {error}"))
    })?;
    Ok(HttpClient::builder().config(config).connector(Arc::new(tls)).build())
}

#[cfg(not(feature = "tls"))]
#[expect(clippy::unnecessary_wraps, reason = "as with TLS")]
pub(crate) fn default_http(config: Config, _: &Url) -> Result<HttpClient, ClientError> {
    Ok(HttpClient::new(config))
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
}
