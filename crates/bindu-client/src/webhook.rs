//! Receiving what agents post.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bindu_did::request::RequestError;
use bindu_did::webhook::{Claim, Verified};
use bindu_did::{Did, PublicKey, same_secret};
use bindu_protocol::StreamEvent;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::{ClientError, KeySource};

/// Where agents of A2A 0.3 put the token.
const TOKEN: HeaderName = HeaderName::from_static("x-a2a-notification-token");

/// How long a source of keys that failed is left alone, whoever posts meanwhile.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// Takes what agents post to a webhook, and believes none of it that is not proved.
///
/// It is no server: give it the headers and the body of each post, in whatever serves HTTP,
/// and answer with [`WebhookError::status`] if it refuses.
///
/// ```no_run
/// use bindu_client::{Client, WebhookReceiver};
/// use bindu_protocol::StreamEvent;
///
/// # async fn example(headers: http::HeaderMap, body: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
/// let agent = Client::connect("https://agent.example.com")?;
/// // Once, and shared by all posts: it remembers what came.
/// let receiver = WebhookReceiver::builder().agent(agent).token("what push_set was given").build();
///
/// let delivery = receiver.receive(&headers, body).await?;
/// if let StreamEvent::Status(update) = delivery.event {
///     println!("{}: {}", update.task_id, update.status.state);
/// }
/// # Ok(())
/// # }
/// ```
///
/// A post passes if its token is right, it is signed by an agent that one of the sources knows,
/// over the very bytes of the body, at most 300 seconds ago, and did not come before. The same
/// event may still come twice, newly signed, for delivery is at least once:
/// [`Delivery::event_id`] tells.
pub struct WebhookReceiver {
    sources: Vec<Source>,
    token: Option<Zeroizing<String>>,
    accept_unsigned: bool,
    seen: Mutex<Seen>,
}

struct Source {
    keys: Arc<dyn KeySource>,
    failed: Mutex<Option<Instant>>,
}

impl fmt::Debug for WebhookReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookReceiver")
            .field("sources", &self.sources.len())
            .field("token", &self.token.as_ref().map(|_| "[redacted]"))
            .field("accept_unsigned", &self.accept_unsigned)
            .finish_non_exhaustive()
    }
}

/// Makes a [`WebhookReceiver`].
#[must_use]
pub struct WebhookReceiverBuilder {
    sources: Vec<Source>,
    token: Option<Zeroizing<String>>,
    accept_unsigned: bool,
    remember: usize,
}

impl fmt::Debug for WebhookReceiverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookReceiverBuilder")
            .field("sources", &self.sources.len())
            .field("accept_unsigned", &self.accept_unsigned)
            .field("remember", &self.remember)
            .finish_non_exhaustive()
    }
}

impl WebhookReceiverBuilder {
    /// An agent that may post, and where its key is had. Called for each; a
    /// [`Client`](crate::Client) is one, and whatever else knows the keys of DIDs.
    pub fn agent(mut self, keys: impl KeySource) -> Self {
        self.sources.push(Source { keys: Arc::new(keys), failed: Mutex::default() });
        self
    }

    /// The token that the agents were given with the webhook's URL. Without one, the signature
    /// alone decides.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Zeroizing::new(token.into()));
        self
    }

    /// Takes posts that bear the right token and no signature at all, as agents of Bindu's
    /// Python reference send them: whoever reads such a post on its way can make up others.
    /// Without a [`token`](Self::token) this has no effect.
    pub const fn accept_unsigned(mut self, accept: bool) -> Self {
        self.accept_unsigned = accept;
        self
    }

    /// How many posts are remembered, each as long as its signature is good (10 minutes at
    /// most). When there are more, further ones are put off ([`WebhookError::Busy`]) rather
    /// than let in unwatched. Default 100,000.
    pub const fn remember(mut self, posts: usize) -> Self {
        self.remember = posts;
        self
    }

    /// The receiver.
    #[must_use]
    pub fn build(self) -> WebhookReceiver {
        WebhookReceiver {
            sources: self.sources,
            token: self.token,
            accept_unsigned: self.accept_unsigned,
            seen: Mutex::new(Seen { max: self.remember, until: HashMap::new() }),
        }
    }
}

/// One event that an agent posted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// Who signed it; `None` for one that was let in unsigned.
    pub from: Option<Did>,
    /// What happened. From agents of A2A 0.3 it is the task as it is after the change.
    pub event: StreamEvent,
    /// The event's name, the same at every attempt to deliver it. A2A 0.3 has none.
    pub event_id: Option<String>,
    /// The event's number among those of its task, from 1. A2A 0.3 has none.
    pub sequence: Option<u64>,
}

/// Why a post is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// The token is missing, or another.
    #[error("the token is missing or wrong")]
    Token,
    /// The signature is missing, stale or not that of the agent over this body.
    #[error("the signature is not good")]
    Signature(#[from] RequestError),
    /// No source knows the agent that claims to have signed.
    #[error("{0} is nobody we know")]
    Unknown(Did),
    /// The agent that claims to have signed is not trusted: its key changed, for example.
    #[error("the sender is not trusted")]
    Untrusted(#[source] ClientError),
    /// The key cannot be had at the moment.
    #[error("the sender's key cannot be had now")]
    Unavailable(#[source] ClientError),
    /// The very same post came before.
    #[error("this post came before")]
    Replayed,
    /// More posts came lately than are remembered.
    #[error("too many posts came lately")]
    Busy,
    /// The body is no event.
    #[error("the body is no event of a task: {0}")]
    Body(String),
}

impl WebhookError {
    /// What to answer. An agent of Bindu posts again after 425 and 503, with a new signature,
    /// and gives up after the others.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Token | Self::Signature(RequestError::Headers) => StatusCode::UNAUTHORIZED,
            Self::Signature(_) | Self::Unknown(_) | Self::Untrusted(_) => StatusCode::FORBIDDEN,
            // Not "conflict": if the first was not dealt with, the next attempt is to come.
            Self::Replayed => StatusCode::TOO_EARLY,
            Self::Unavailable(_) | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl WebhookReceiver {
    /// Begins a receiver. Without an [`agent`](WebhookReceiverBuilder::agent) it knows nobody.
    pub const fn builder() -> WebhookReceiverBuilder {
        WebhookReceiverBuilder {
            sources: Vec::new(),
            token: None,
            accept_unsigned: false,
            remember: 100_000,
        }
    }

    /// Judges a post by its headers and the bytes of its body, which must be all there are.
    ///
    /// # Errors
    ///
    /// [`WebhookError`].
    pub async fn receive(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Delivery, WebhookError> {
        self.receive_at(headers, body, SystemTime::now()).await
    }

    /// As [`receive`](Self::receive), for a post that came at `now`.
    ///
    /// # Errors
    ///
    /// [`WebhookError`].
    pub async fn receive_at(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Delivery, WebhookError> {
        self.check_token(headers)?;
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(seconds).unwrap_or(i64::MAX);
        let from = if self.lets_in_unsigned(headers) {
            None
        } else {
            // What is no text is not missing, and not skipped where it comes twice.
            let texts = headers.iter().map(|(name, value)| {
                // A DID need not be ASCII.
                (name.as_str(), str::from_utf8(value.as_bytes()).unwrap_or_default())
            });
            let claim = Claim::read(texts, now)?;
            let key = self.key(claim.did()).await?;
            let verified = claim.verify(&key, body)?;
            self.remember(&verified, now)?;
            Some(verified.did().clone())
        };
        read(from, body)
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), WebhookError> {
        let Some(expected) = &self.token else { return Ok(()) };
        let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let own = headers.get_all(TOKEN).iter().filter_map(|value| value.to_str().ok());
        // All are compared, whether or not one fits.
        let fits = bearer.chain(own).fold(false, |fits, given| same_secret(given, expected) | fits);
        if fits { Ok(()) } else { Err(WebhookError::Token) }
    }

    fn lets_in_unsigned(&self, headers: &HeaderMap) -> bool {
        let signed = ["x-did", "x-did-signature", "x-did-timestamp"];
        self.accept_unsigned
            && self.token.is_some()
            && !signed.iter().any(|name| headers.contains_key(*name))
    }

    /// The first source that knows the DID decides. One that fails says nothing of the others.
    async fn key(&self, did: &Did) -> Result<PublicKey, WebhookError> {
        let mut failure = None;
        for source in &self.sources {
            if source.is_left_alone() {
                let reason = ClientError::Input("the source of keys failed just now".to_owned());
                failure = Some(WebhookError::Unavailable(reason));
                continue;
            }
            match source.keys.key(did).await {
                Ok(Some(key)) => return Ok(key),
                Ok(None) => {}
                Err(error) => {
                    source.leave_alone();
                    failure = Some(if error.is_retryable() {
                        WebhookError::Unavailable(error)
                    } else {
                        WebhookError::Untrusted(error)
                    });
                }
            }
        }
        Err(failure.unwrap_or_else(|| WebhookError::Unknown(did.clone())))
    }

    fn remember(&self, post: &Verified, now: i64) -> Result<(), WebhookError> {
        // Nothing here can panic half way.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.first_time(post, now)
    }
}

impl Source {
    fn is_left_alone(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|failed| failed.elapsed() < LEFT_ALONE)
    }

    fn leave_alone(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// The posts that came, each as long as its signature is good.
struct Seen {
    max: usize,
    /// The last second in which the signature is good.
    until: HashMap<[u8; 64], i64>,
}

impl Seen {
    fn first_time(&mut self, post: &Verified, now: i64) -> Result<(), WebhookError> {
        let signature = post.signature().as_bytes();
        if self.until.contains_key(signature) {
            return Err(WebhookError::Replayed);
        }
        if self.until.len() >= self.max {
            self.until.retain(|_, until| *until >= now);
        }
        if self.until.len() >= self.max {
            return Err(WebhookError::Busy);
        }
        self.until.insert(*signature, post.expires());
        Ok(())
    }
}

fn read(from: Option<Did>, body: &[u8]) -> Result<Delivery, WebhookError> {
    #[derive(Deserialize)]
    struct Numbered {
        event_id: Option<String>,
        sequence: Option<u64>,
    }
    let wrong = |error: serde_json::Error| WebhookError::Body(error.to_string());
    let event = serde_json::from_slice(body).map_err(wrong)?;
    let Numbered { event_id, sequence } = serde_json::from_slice(body).map_err(wrong)?;
    Ok(Delivery { from, event, event_id, sequence })
}
