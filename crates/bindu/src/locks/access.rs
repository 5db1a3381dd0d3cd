//! The policy of `bindu-auth` behind the seam of `bindu-server`.

use std::sync::Arc;
use std::time::SystemTime;

use bindu_auth::{Certificate, Claim, Config, Grant, Head, Policy};
use bindu_http::server::RemoteAddr;
use bindu_protocol::{Caller, Denied};
use bindu_server::Authenticator;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Method;
use http::request::Parts;

use crate::door::Ground;

/// What is asked of callers.
pub(super) fn config(ground: &Ground<'_>) -> Config {
    let auth = &ground.settings.auth;
    let defaults = Config::default();
    let permissions = auth.require_permissions.then(|| {
        let mut table = bindu_auth::permissions();
        table.extend(auth.permissions.clone());
        table
    });
    Config {
        public_paths: auth.public_endpoints.clone().unwrap_or(defaults.public_paths),
        permissions,
        allowed: auth.allowed(),
        denied: auth.denied_dids.iter().cloned().collect(),
        require_self_certified: auth.require_self_certified,
        own_did: Some(ground.identity.did().as_str().to_owned()),
        require_target: auth.require_target,
        audience: auth.require_audience.then(|| ground.identity.did().as_str().to_owned()),
        allow_query_token: auth.allow_query_token,
        max_age: auth.signature_max_age,
        max_skew: auth.signature_max_skew,
        replay_protection: auth.replay_protection,
        max_refusals: auth.max_refusals,
        refusal_pause: auth.refusal_pause,
        trust: auth.trust.clone(),
        operations: ground.resolved.operations.clone(),
        ..Config::default()
    }
}

/// A policy as the server asks it.
#[derive(Debug)]
pub(super) struct Access(pub(super) Policy);

impl Authenticator for Access {
    fn identify<'a>(
        &'a self,
        head: &'a Parts,
    ) -> BoxFuture<'a, Result<Option<Box<dyn bindu_server::Claim>>, Denied>> {
        Box::pin(async move {
            let head = Head {
                is_get: head.method == Method::GET,
                path: head.uri.path(),
                query: head.uri.query(),
                headers: &head.headers,
                certificate: certificate(head),
                remote: head.extensions.get::<RemoteAddr>().map(|remote| remote.0.ip()),
            };
            let claim = self.0.identify(&head, SystemTime::now()).await?;
            Ok(claim.map(|claim| Box::new(Claimed(claim)) as Box<dyn bindu_server::Claim>))
        })
    }
}

/// What TLS told about the client.
#[cfg(feature = "mtls")]
fn certificate(head: &Parts) -> Certificate<'_> {
    match head.extensions.get::<bindu_mtls::Peer>() {
        None => Certificate::Absent,
        Some(peer) if peer.not_after() < SystemTime::now() => Certificate::Expired,
        Some(peer) => peer.did().map_or(Certificate::Nameless, |did| Certificate::Of(did.as_str())),
    }
}

#[cfg(not(feature = "mtls"))]
fn certificate(_: &Parts) -> Certificate<'_> {
    Certificate::Absent
}

struct Claimed(Claim);

impl bindu_server::Claim for Claimed {
    fn max_body(&self) -> Option<usize> {
        self.0.max_body()
    }

    fn verify(
        self: Box<Self>,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Arc<dyn bindu_server::Grant>, Denied>> {
        Box::pin(async move {
            let grant = self.0.verify(&body, SystemTime::now()).await?;
            Ok(Arc::new(Granted(grant)) as Arc<dyn bindu_server::Grant>)
        })
    }
}

#[derive(Debug)]
struct Granted(Grant);

impl bindu_server::Grant for Granted {
    fn caller(&self) -> &Caller {
        self.0.caller()
    }

    fn permit<'a>(&'a self, method: &'a str) -> BoxFuture<'a, Result<(), Denied>> {
        Box::pin(self.0.permit(method, SystemTime::now()))
    }
}
