mod builder;
mod discover;
mod message;
mod rest;
mod tasks;
mod transport;
mod verify;

use std::fmt;
use std::sync::{Arc, OnceLock};

use bindu_did::Did;
use bindu_did::pins::Pins;
#[cfg(feature = "mtls")]
use bindu_http::client::Config;
use bindu_http::client::{Client as HttpClient, Replay, RetryPolicy};
use bindu_protocol::{AgentCard, ContextId, Dialect};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::OnceCell;
use url::Url;

use crate::ClientError;
use crate::auth::{Credentials, Signer};
use crate::peer::{Expectations, Known};

#[cfg(feature = "mtls")]
use self::builder::mtls_http;
use self::discover::Endpoint;

pub use self::builder::ClientBuilder;
#[cfg(feature = "hydra")]
pub(crate) use self::builder::default_http;
pub(crate) use self::message::cannot_resubscribe;
pub(crate) use self::transport::{Opened, read_event};

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
    context: Option<ContextId>,
}

struct Shared {
    base: Url,
    http: HttpClient,
    #[cfg(feature = "mtls")]
    mtls: Option<(bindu_mtls::Connector, Config)>,
    /// What calls the agent and no other, once its DID is known; else `http`.
    only: OnceLock<HttpClient>,
    /// Who the agent is, once it has proved it: whom requests are signed for.
    agent: OnceLock<Did>,
    retry: RetryPolicy,
    send_replay: Replay,
    dialect: Option<Dialect>,
    endpoint: OnceCell<Endpoint>,
    card: OnceCell<Arc<AgentCard>>,
    credentials: Credentials,
    expected: Expectations,
    pins: Arc<Pins>,
    known: Known,
}

impl Shared {
    fn http(&self) -> &HttpClient {
        self.only.get().unwrap_or(&self.http)
    }

    /// From now on nobody but this DID is to answer, as far as certificates tell.
    #[cfg(feature = "mtls")]
    fn call_only(&self, did: &Did) {
        if let Some((connector, config)) = &self.mtls {
            self.only.get_or_init(|| mtls_http(connector.expecting(did.clone()), config.clone()));
        }
    }

    #[cfg(not(feature = "mtls"))]
    #[expect(clippy::unused_self, reason = "as with certificates")]
    const fn call_only(&self, _: &Did) {}

    /// Whether the agent is looked at before anything is entrusted to it.
    const fn looks_first(&self) -> bool {
        self.expected.look_first() || !self.credentials.is_empty()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.shared.base.as_str())
            .field("dialect", &self.shared.dialect)
            .field("endpoint", &self.shared.endpoint.get())
            .field("did", &self.shared.credentials.signer.as_ref().map(Signer::did))
            .finish_non_exhaustive()
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
        ClientBuilder::new(url.into())
    }

    /// The same client as part of a conversation: messages that name no context belong to this
    /// one. A handler that calls peers passes on the conversation it is in, so that what they
    /// remember of it is told apart from other conversations:
    ///
    /// ```
    /// # use bindu_protocol::ContextId;
    /// # let agent = bindu_client::Client::connect("http://localhost:3773")?;
    /// # let of_the_turn: ContextId = "c-1".parse()?;
    /// // In a handler: `turn.context_id()`.
    /// let peer = agent.with_conversation(&of_the_turn);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_conversation(&self, context: &ContextId) -> Self {
        Self { context: Some(context.clone()), ..self.clone() }
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
    use std::time::Duration;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn every_call_can_be_made_from_a_task_that_moves() {
        fn is_send<T: Send>(_: &T) {}
        let agent = Client::connect("http://h").unwrap();
        let id = "t".parse().unwrap();
        is_send(&agent.send("x"));
        is_send(&agent.send_and_wait("x", MINUTE));
        is_send(&agent.stream("x"));
        is_send(&agent.resubscribe(&id, None));
        is_send(&agent.wait(&id, MINUTE));
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
