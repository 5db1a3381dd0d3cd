//! From a request to a caller.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bindu_did::request::{self, RequestError, RequestSignature};
use bindu_did::{Did, PublicKey, Signature, target};
use bindu_hydra::{Introspection, Introspector, Keys};
use bindu_protocol::{Caller, Denied, Timestamp, TrustLevel};
use bindu_storage::ReplayGuard;
use http::{HeaderMap, HeaderValue};

use crate::doubt::Doubt;
use crate::path::PublicPaths;
use crate::token::bearer;
use crate::{Config, is_read};

/// What callers prove who they are with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Proof {
    /// A bearer token, and with it, where the token is that of a DID, a signature by that DID. A
    /// client certificate, if one is shown, must name the same DID.
    Token {
        /// Who knows about tokens.
        introspector: Introspector,
        /// Who knows the keys of DIDs.
        keys: Keys,
    },
    /// A client certificate that names a DID. Signature headers are verified if they come, and if
    /// there is somebody to ask for the key.
    Certificate {
        /// What such a caller may do.
        scopes: Vec<Box<str>>,
        /// Who knows the keys of DIDs.
        keys: Option<Keys>,
    },
}

/// What TLS told about the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate<'a> {
    /// It showed no certificate.
    #[default]
    Absent,
    /// It showed one that is good, and names this DID.
    Of(&'a str),
    /// It showed one that is good, and names no DID or several.
    Nameless,
    /// It showed one that was good when the connection was made, and has ended since.
    Expired,
}

/// The head of a request, as far as it matters here.
///
/// Its `Debug` shows neither header fields nor the query, where tokens stand.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// Whether the request's method is GET.
    pub is_get: bool,
    /// The path as it was sent.
    pub path: &'a str,
    /// The query as it was sent, without the question mark.
    pub query: Option<&'a str>,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// What TLS told about the client.
    pub certificate: Certificate<'a>,
    /// Where the request came from.
    pub remote: Option<IpAddr>,
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("path", &self.path)
            .field("certificate", &self.certificate)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// Who may call, and with what.
#[derive(Clone)]
pub struct Policy(Arc<Inner>);

struct Inner {
    config: Config,
    proof: Proof,
    public: PublicPaths,
    replay: Arc<dyn ReplayGuard>,
    doubt: Doubt,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Policy {
    /// A policy. `replay` remembers the signatures that were accepted; several replicas of an
    /// agent share it.
    #[must_use]
    pub fn new(config: Config, proof: Proof, replay: Arc<dyn ReplayGuard>) -> Self {
        let public = PublicPaths::new(&config.public_paths);
        let doubt = Doubt::new(config.max_refusals, config.refusal_pause);
        Self(Arc::new(Inner { config, proof, public, replay, doubt }))
    }

    /// Looks at the head of a request. `None` if the path is open to everybody.
    ///
    /// # Errors
    ///
    /// [`Denied`], for the first of these that fails: the certificate, the token, the signature's
    /// headers, its time, its key.
    pub async fn identify(
        &self,
        head: &Head<'_>,
        now: SystemTime,
    ) -> Result<Option<Claim>, Denied> {
        if self.0.public.contains(head.path) {
            return Ok(None);
        }
        match head.certificate {
            Certificate::Nameless => return Err(Denied::CertificateWithoutDid),
            Certificate::Expired => return Err(Denied::NoCertificate),
            Certificate::Absent | Certificate::Of(_) => {}
        }
        let claim = match &self.0.proof {
            Proof::Token { introspector, keys } => {
                self.by_token(head, introspector, keys, now).await?
            }
            Proof::Certificate { scopes, keys } => {
                self.by_certificate(head, scopes, keys.as_ref(), now).await?
            }
        };
        Ok(Some(claim))
    }

    async fn by_token(
        &self,
        head: &Head<'_>,
        introspector: &Introspector,
        keys: &Keys,
        now: SystemTime,
    ) -> Result<Claim, Denied> {
        let query = head.query.filter(|_| head.is_get && self.0.config.allow_query_token);
        let token = bearer(head.headers, query).ok_or(Denied::NoToken)?;
        let token = self.introspect(introspector, &token, head.remote).await?;
        let name = self.check_token(&token, now)?;
        if let Certificate::Of(did) = head.certificate
            && name.starts_with("did:")
            && did != name
        {
            return Err(Denied::DidMismatch);
        }
        let scopes = token.scopes.iter().map(|scope| scope.as_str().into()).collect();
        let signed = if name.starts_with("did:") {
            let signature = signature(head.headers).map_err(|_| Denied::SignatureMissing)?;
            Some(self.signer(head.headers, signature, name, keys, now).await?)
        } else {
            None
        };
        Ok(self.claim(name, scopes, signed))
    }

    async fn by_certificate(
        &self,
        head: &Head<'_>,
        scopes: &[Box<str>],
        keys: Option<&Keys>,
        now: SystemTime,
    ) -> Result<Claim, Denied> {
        let Certificate::Of(did) = head.certificate else { return Err(Denied::NoCertificate) };
        let signed = match (keys, signature(head.headers)) {
            (None, _) => None,
            (Some(_), Err(RequestError::Headers)) if !is_signed(head.headers) => None,
            (Some(keys), Ok(signature)) => {
                Some(self.signer(head.headers, signature, did, keys, now).await?)
            }
            (Some(_), Err(_)) => return Err(Denied::SignatureMissing),
        };
        Ok(self.claim(did, scopes.to_vec(), signed))
    }

    fn claim(&self, name: &str, scopes: Vec<Box<str>>, signed: Option<Signed>) -> Claim {
        let mut caller = Caller::named(name);
        caller.scopes = scopes;
        Claim { policy: self.clone(), caller, signed }
    }

    /// What is known of a token.
    async fn introspect(
        &self,
        introspector: &Introspector,
        token: &str,
        remote: Option<IpAddr>,
    ) -> Result<Arc<Introspection>, Denied> {
        if let Some(known) = introspector.remembered(token) {
            return Ok(known);
        }
        let _asking = self.0.doubt.ask(remote).await.ok_or(Denied::TooManyRefusals)?;
        let answer = introspector.introspect(token).await;
        if answer.as_ref().map_or(true, |answer| answer.active) {
            self.0.doubt.forgive(remote);
        }
        answer.map_err(|error| away(&error))
    }

    /// The name of the caller that a token is good for.
    fn check_token<'t>(
        &self,
        token: &'t Introspection,
        now: SystemTime,
    ) -> Result<&'t str, Denied> {
        if !token.is_access_token() {
            return Err(Denied::TokenInactive);
        }
        let subject = token.sub.as_deref().filter(|sub| !sub.is_empty());
        let subject = subject.ok_or(Denied::TokenIncomplete("subject (sub) claim"))?;
        let expires = token.exp.ok_or(Denied::TokenIncomplete("expiration (exp) claim"))?;
        if expires < seconds(now) {
            return Err(Denied::TokenExpired);
        }
        if let Some(audience) = &self.0.config.audience
            && !token.aud.contains(audience)
        {
            return Err(Denied::TokenAudience);
        }
        Ok(token.client_id.as_deref().filter(|id| !id.is_empty()).unwrap_or(subject))
    }

    /// The key that a signature must be by.
    async fn signer(
        &self,
        headers: &HeaderMap,
        signature: RequestSignature,
        did: &str,
        keys: &Keys,
        now: SystemTime,
    ) -> Result<Signed, Denied> {
        if signature.did != did {
            return Err(Denied::DidMismatch);
        }
        // Before anybody is asked for the key.
        let age = seconds(now).saturating_sub(signature.timestamp);
        let (max_age, max_skew) = (self.0.config.max_age, self.0.config.max_skew);
        let is_fresh = signature.is_fresh(seconds(now))
            && if age >= 0 {
                age.unsigned_abs() <= max_age.as_secs()
            } else {
                age.unsigned_abs() <= max_skew.as_secs()
            };
        if !is_fresh {
            tracing::info!(%did, reason = RequestError::OutOfWindow.reason(), "a signature is refused");
            return Err(invalid(&signature));
        }
        let target = self.target(headers, &signature)?;
        let key = keys.key(did).await.map_err(|error| away(&error))?;
        let key = key.ok_or(Denied::KeyUnavailable)?;
        Ok(Signed { signature, target, key, keys: keys.clone() })
    }

    /// The signature that says whom a request is for, if there is one.
    fn target(
        &self,
        headers: &HeaderMap,
        signature: &RequestSignature,
    ) -> Result<Option<Target>, Denied> {
        let Some(own) = &self.0.config.own_did else { return Ok(None) };
        let one = |name: &str| {
            let mut fields = headers.get_all(name).iter();
            let field = fields.next().map(text);
            field.filter(|_| fields.next().is_none())
        };
        let is_there = headers.contains_key(target::TARGET_HEADER)
            || headers.contains_key(target::SIGNATURE_HEADER);
        match (one(target::TARGET_HEADER), one(target::SIGNATURE_HEADER)) {
            (Some(named), Some(by)) if named == own => {
                Ok(Some(Target { did: own.clone(), signature: by.to_owned() }))
            }
            _ if is_there || self.0.config.require_target => {
                tracing::info!(did = %signature.did, reason = "target", "a signature is refused");
                Err(invalid(signature))
            }
            _ => Ok(None),
        }
    }
}

/// Who a caller says to be, by the head of the request.
#[derive(Debug)]
pub struct Claim {
    policy: Policy,
    caller: Caller,
    signed: Option<Signed>,
}

#[derive(Debug)]
struct Target {
    did: String,
    signature: String,
}

#[derive(Debug)]
struct Signed {
    signature: RequestSignature,
    target: Option<Target>,
    key: PublicKey,
    keys: Keys,
}

impl Claim {
    /// The largest body that may come with it, in bytes; `None` if its size does not matter.
    #[must_use]
    pub fn max_body(&self) -> Option<usize> {
        self.signed.is_some().then_some(self.policy.0.config.max_signed_body)
    }

    /// Looks at the body, as it was sent.
    ///
    /// # Errors
    ///
    /// [`Denied`], for the first of these that fails: the signature, the lists of callers.
    pub async fn verify(mut self, body: &[u8], now: SystemTime) -> Result<Grant, Denied> {
        if let Some(signed) = &mut self.signed {
            signed.check(body, seconds(now)).await?;
        }
        let Config { allowed, denied, require_self_certified, .. } = &self.policy.0.config;
        let name = self.caller.name.as_deref().unwrap_or_default();
        let is_admitted = allowed.as_ref().is_none_or(|allowed| allowed.contains(name))
            && !denied.contains(name)
            && (!require_self_certified
                || !name.starts_with("did:")
                // Without a signature there is no key that the DID could be a fingerprint of.
                || self.signed.as_ref().is_some_and(Signed::is_certified));
        if !is_admitted {
            tracing::info!(caller = name, "a caller is not admitted");
            return Err(Denied::NotAdmitted);
        }
        let signature = self.signed.map(|signed| signed.signature);
        Ok(Grant { policy: self.policy, caller: self.caller, signature })
    }
}

impl Signed {
    async fn check(&mut self, body: &[u8], now: i64) -> Result<(), Denied> {
        let mut outcome = self.signature.verify(&self.key, body, now);
        if outcome == Err(RequestError::Mismatch) {
            // The key may have changed since it was looked up.
            let key = self.keys.key_again(&self.signature.did).await;
            if let Some(key) = key.map_err(|error| away(&error))?
                && key != self.key
            {
                self.key = key;
                outcome = self.signature.verify(&self.key, body, now);
            }
        }
        if let (Ok(()), Some(Target { did, signature })) = (&outcome, &self.target) {
            outcome = target::verify(&self.key, &self.signature, body, did, signature);
        }
        outcome.map_err(|error| {
            tracing::info!(did = %self.signature.did, reason = error.reason(), "a signature is refused");
            invalid(&self.signature)
        })
    }

    fn is_certified(&self) -> bool {
        self.signature.did.parse::<Did>().is_ok_and(|did| did.is_self_certified(&self.key))
    }
}

/// Who a caller is, and what it may do.
#[derive(Debug)]
pub struct Grant {
    policy: Policy,
    caller: Caller,
    signature: Option<RequestSignature>,
}

impl Grant {
    /// The caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Whether this request may call a JSON-RPC method. Asked once for a request: a signature
    /// under which something was changed is not accepted again.
    ///
    /// # Errors
    ///
    /// [`Denied`], for the first of these that fails: scopes, trust, the signature's being new.
    pub async fn permit(&self, method: &str, now: SystemTime) -> Result<(), Denied> {
        let config = &self.policy.0.config;
        if let Some(wanted) = config.permissions.as_ref().and_then(|table| table.get(method))
            && !wanted.is_empty()
            && !wanted.iter().any(|scope| self.caller.scopes.iter().any(|has| **has == **scope))
        {
            let wanted = wanted.iter().map(|scope| scope.as_str().into()).collect();
            return Err(Denied::MissingPermissions(wanted));
        }
        if let Some(wanted) = config.operations.get(method) {
            let name = self.caller.name.as_deref().unwrap_or_default();
            let trust = config.trust.get(name).copied().unwrap_or(TrustLevel::Guest);
            if trust < *wanted {
                return Err(Denied::TrustTooLow);
            }
        }
        match &self.signature {
            Some(signature) if config.replay_protection && !is_read(method) => {
                self.once(signature, now).await
            }
            _ => Ok(()),
        }
    }

    async fn once(&self, signature: &RequestSignature, now: SystemTime) -> Result<(), Denied> {
        // By its bytes: HTTP/2 carries blanks behind a value, and base58 is read without them.
        let exact = signature.signature.parse::<Signature>().map(|exact| exact.to_base58());
        let exact = exact.map_err(|_| invalid(signature))?;
        let key = format!("{exact}\n{}", signature.did);
        // For as long as its time would be taken, and a second for the rounding.
        let window = i64::try_from(request::WINDOW).unwrap_or(i64::MAX);
        let until = signature.timestamp.saturating_add(window).saturating_add(1);
        let until = UNIX_EPOCH + std::time::Duration::from_secs(until.max(0).unsigned_abs());
        let seen = self.policy.0.replay.first(&key, now.into(), Timestamp::from(until)).await;
        match seen {
            Ok(true) => Ok(()),
            Ok(false) => {
                tracing::info!(did = %signature.did, reason = "replay", "a signature is refused");
                Err(invalid(signature))
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "it cannot be told whether a signature is new");
                Err(Denied::Unavailable)
            }
        }
    }
}

/// The signature's headers.
fn signature(headers: &HeaderMap) -> Result<RequestSignature, RequestError> {
    let fields = headers.iter().filter_map(|(name, value)| {
        name.as_str().starts_with("x-did").then_some((name.as_str(), text(value)))
    });
    RequestSignature::from_headers(fields)
}

/// A field as text; DIDs may hold letters outside ASCII. What is no text is as good as nothing.
fn text(value: &HeaderValue) -> &str {
    str::from_utf8(value.as_bytes()).unwrap_or_default()
}

fn is_signed(headers: &HeaderMap) -> bool {
    [request::DID_HEADER, request::SIGNATURE_HEADER, request::TIMESTAMP_HEADER]
        .iter()
        .any(|name| headers.contains_key(*name))
}

fn invalid(signature: &RequestSignature) -> Denied {
    Denied::SignatureInvalid { did: signature.did.as_str().into(), timestamp: signature.timestamp }
}

/// Whoever knows cannot be asked. What went wrong is for the operator, not for the caller.
fn away(error: &bindu_hydra::HydraError) -> Denied {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "tokens and keys cannot be looked up");
    Denied::Unavailable
}

fn seconds(now: SystemTime) -> i64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
