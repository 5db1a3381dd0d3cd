//! What a call to a locked agent carries: a token and a signature.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bindu_did::key_dir::Identity;
use bindu_did::{Did, SigningKey, request, target};
use bindu_http::HttpError;
use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::ClientError;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// The headers that a signature is made of, and the token's. No caller sets them by hand where
/// the client sets them.
const DID: HeaderName = HeaderName::from_static("x-did");
const SIGNATURE: HeaderName = HeaderName::from_static("x-did-signature");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-did-timestamp");
const TARGET: HeaderName = HeaderName::from_static("x-did-target");
const TARGET_SIGNATURE: HeaderName = HeaderName::from_static("x-did-target-signature");

/// An access token. Wiped when dropped; `Debug` prints `[redacted]`.
///
/// It is a [`TokenSource`] too, of a token that is renewed by someone else:
///
/// ```
/// use bindu_client::{Client, Token};
///
/// let agent = Client::builder("https://localhost:3773").tokens(Token::new("ory_at_…"));
/// # let _ = agent;
/// assert_eq!(format!("{:?}", Token::new("ory_at_…")), "[redacted]");
/// ```
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A token as the authorization server gave it, without `Bearer`.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(Zeroizing::new(token.into()))
    }

    /// The text itself. Whoever calls this must not log it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The header's value.
    fn bearer(&self) -> Result<HeaderValue, ClientError> {
        let text = Zeroizing::new(format!("Bearer {}", self.0.as_str()));
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            ClientError::Input("the token holds characters that no header can carry".to_owned())
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What a client asks of a [`TokenSource`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TokenAsk {
    /// The agent has just refused the token it got: that one will not do. Asked at most once
    /// for each call.
    pub fresh: bool,
    /// The token that was refused, if [`fresh`](Self::fresh). Whoever has got another since,
    /// for another call, need not get one more.
    pub refused: Option<Token>,
}

/// Where access tokens come from.
///
/// Asked before every request, so it keeps what it got until that expires. With the feature
/// `hydra`, `bindu_hydra` is one; [`Token`] is one; an async closure is one:
///
/// ```
/// use bindu_client::{Client, Token, TokenAsk};
///
/// let agent = Client::builder("https://localhost:3773").tokens(async |ask: TokenAsk| {
///     let token = if ask.fresh { "new" } else { "kept" };
///     Ok(Token::new(token))
/// });
/// # let _ = agent;
/// ```
pub trait TokenSource: Send + Sync + 'static {
    /// A token that is good now, as far as is known.
    ///
    /// # Errors
    ///
    /// Why there is none; the call then fails with [`ClientError::Token`].
    fn token(&self, ask: TokenAsk) -> BoxFuture<'_, Result<Token, BoxError>>;
}

impl TokenSource for Token {
    fn token(&self, _: TokenAsk) -> BoxFuture<'_, Result<Token, BoxError>> {
        std::future::ready(Ok(self.clone())).boxed()
    }
}

impl<F, Fut> TokenSource for F
where
    F: Fn(TokenAsk) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Token, BoxError>> + Send + 'static,
{
    fn token(&self, ask: TokenAsk) -> BoxFuture<'_, Result<Token, BoxError>> {
        self(ask).boxed()
    }
}

/// Who a client is to the agents it calls.
#[derive(Clone)]
pub(crate) enum Signer {
    Identity(Arc<Identity>),
    Key(Arc<SigningKey>, Did),
}

impl Signer {
    pub(crate) fn did(&self) -> &Did {
        match self {
            Self::Identity(identity) => identity.did(),
            Self::Key(_, did) => did,
        }
    }

    fn key(&self) -> &SigningKey {
        match self {
            Self::Identity(identity) => identity.key(),
            Self::Key(key, _) => key,
        }
    }
}

/// What every request of a client bears.
#[derive(Default)]
pub(crate) struct Credentials {
    pub(crate) signer: Option<Signer>,
    pub(crate) tokens: Option<Arc<dyn TokenSource>>,
}

/// The token for one request, taken before it is made.
pub(crate) struct Bearer(Option<(Token, HeaderValue)>);

impl Bearer {
    pub(crate) const NONE: Self = Self(None);

    /// What to ask for after an agent has refused this.
    pub(crate) fn refused(&self) -> TokenAsk {
        let refused = self.0.as_ref().map(|(token, _)| token.clone());
        TokenAsk { fresh: true, refused }
    }
}

impl Credentials {
    pub(crate) const fn is_empty(&self) -> bool {
        self.signer.is_none() && self.tokens.is_none()
    }

    /// Refuses headers that these credentials set themselves.
    pub(crate) fn refuse_overrides(&self, headers: &HeaderMap) -> Result<(), ClientError> {
        let mut ours = Vec::new();
        if self.signer.is_some() {
            ours.extend([DID, SIGNATURE, TIMESTAMP, TARGET, TARGET_SIGNATURE]);
        }
        if self.tokens.is_some() {
            ours.push(AUTHORIZATION);
        }
        match ours.into_iter().find(|name| headers.contains_key(name)) {
            None => Ok(()),
            Some(name) => Err(ClientError::Input(format!(
                "the header {name} is set by the client's identity and tokens, and by nobody else"
            ))),
        }
    }

    pub(crate) async fn bearer(&self, ask: TokenAsk) -> Result<Bearer, ClientError> {
        let Some(tokens) = &self.tokens else { return Ok(Bearer::NONE) };
        let token = tokens.token(ask).await.map_err(ClientError::Token)?;
        let value = token.bearer()?;
        Ok(Bearer(Some((token, value))))
    }

    /// Adds token and signature to a request whose body is final. Signed anew each time, and
    /// for the agent alone once it is known who that is.
    pub(crate) fn put(
        &self,
        bearer: &Bearer,
        agent: Option<&Did>,
        headers: &mut HeaderMap,
        body: &[u8],
    ) -> Result<(), HttpError> {
        if let Some((_, value)) = &bearer.0 {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let Some(signer) = &self.signer else { return Ok(()) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let wrong = |error| HttpError::Prepare(BoxError::from(error));
        let signature = request::sign(signer.key(), signer.did(), body, now).map_err(wrong)?;
        let mut put = |name, value: String| {
            let value = HeaderValue::try_from(value).map_err(|_| {
                HttpError::Prepare("the DID holds characters that no header can carry".into())
            })?;
            headers.insert(name, value);
            Ok::<_, HttpError>(())
        };
        if let Some(agent) = agent {
            let targeted = target::sign(signer.key(), &signature, body, agent).map_err(wrong)?;
            put(TARGET, agent.to_string())?;
            put(TARGET_SIGNATURE, targeted)?;
        }
        put(DID, signature.did)?;
        put(SIGNATURE, signature.signature)?;
        put(TIMESTAMP, signature.timestamp.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_no_header_can_carry_is_refused_and_not_told() {
        let error = Token::new("hunter2\r\nX-DID: me").bearer().err().unwrap().to_string();
        assert!(error.contains("no header can carry") && !error.contains("hunter2"), "{error}");
        assert!(Token::new("a").bearer().unwrap().is_sensitive());
    }

    #[test]
    fn the_signature_is_over_the_bytes_that_are_sent() {
        let key = Arc::new(SigningKey::from_seed(&[1; 32]));
        let public = key.public_key();
        let did = Did::from_key(&public);
        let credentials =
            Credentials { signer: Some(Signer::Key(key, did)), ..Credentials::default() };
        for body in [&b""[..], "{\"é\": 1}".as_bytes()] {
            let mut headers = HeaderMap::new();
            credentials.put(&Bearer::NONE, None, &mut headers, body).unwrap();
            let pairs =
                headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
            let read = request::RequestSignature::from_headers(pairs).unwrap();
            read.verify(&public, body, read.timestamp).unwrap();
        }
        let error = credentials.put(&Bearer::NONE, None, &mut HeaderMap::new(), b"\xff");
        assert!(matches!(error, Err(HttpError::Prepare(_))));
    }
}
