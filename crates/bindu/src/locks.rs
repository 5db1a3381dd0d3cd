//! Who may call: the parts that decide it, made of settings and joined to the server.

mod access;
mod hydra;
#[cfg(feature = "mtls")]
mod tls;

use std::sync::Arc;

use bindu_auth::{Policy, Proof};
use bindu_http::client::{Connector, Tls};
use bindu_http::server::Server;
use bindu_hydra::{Introspector, IntrospectorConfig, Keys, KeysConfig};
use bindu_server::{Authenticator, Builder, Decided};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::StartError;
use crate::backends::Backends;
use crate::card::Locked;
use crate::door::{Ground, Serving};
#[cfg(feature = "mtls")]
use crate::settings::MtlsMode;

use self::access::Access;
pub(crate) use self::hydra::Membership;

/// An agent's locks.
pub(crate) struct Locks {
    /// Who decides who may call; `None` if everybody may.
    authenticator: Option<Arc<dyn Authenticator>>,
    /// The certificate that the agent serves with; `None` for one that serves in the clear.
    #[cfg(feature = "mtls")]
    certificates: Option<bindu_mtls::Certificates>,
    /// What secures connections to others.
    connector: Option<Arc<dyn Connector>>,
    /// The agent's registration with Hydra, if it has one.
    membership: Option<Membership>,
}

impl Locks {
    /// Makes them: registers the agent with Hydra, and has its certificate issued, if the settings
    /// ask for it.
    pub(crate) async fn make(ground: &Ground<'_>, backends: &Backends) -> Result<Self, StartError> {
        let Ground { resolved, settings, identity, .. } = ground;
        let hydra = if resolved.auth { Some(hydra::connect(ground)?) } else { None };
        let membership = match &hydra {
            Some(hydra) => Membership::begin(hydra, ground).await?,
            None => None,
        };
        #[cfg(feature = "mtls")]
        let certificates = tls::certificates(ground, membership.as_ref()).await?;
        let keys = hydra.as_ref().map(|hydra| Keys::new(hydra.clone(), KeysConfig::default()));
        let by_token = || {
            let (hydra, keys) = (hydra.clone()?, keys.clone()?);
            let config = IntrospectorConfig {
                ttl: resolved.hydra.cache_ttl,
                max_entries: resolved.hydra.max_cache_size as u64,
                sensitive_scopes: resolved.hydra.sensitive_scopes.clone(),
                ..IntrospectorConfig::default()
            };
            Some(Proof::Token { introspector: Introspector::new(hydra, config), keys })
        };
        #[cfg(feature = "mtls")]
        let proof = tls::proof(settings, certificates.is_some(), keys.clone()).or_else(by_token);
        #[cfg(not(feature = "mtls"))]
        let proof = by_token();
        let authenticator = match proof {
            Some(proof) => {
                let replay = backends.replay_guard(settings, resolved, identity).await?;
                let policy = Policy::new(access::config(ground), proof, replay);
                Some(Arc::new(Access(policy)) as Arc<dyn Authenticator>)
            }
            None => None,
        };
        if authenticator.is_some() && !settings.auth.require_permissions {
            warn!("AUTH__REQUIRE_PERMISSIONS is off: any token may call any method");
        }
        #[cfg(feature = "mtls")]
        let own = certificates.clone().map(bindu_mtls::Connector::new);
        #[cfg(feature = "mtls")]
        let connector = own.map(|own| Arc::new(own) as Arc<dyn Connector>).or_else(public_roots);
        #[cfg(not(feature = "mtls"))]
        let connector = public_roots();
        Ok(Self {
            authenticator,
            #[cfg(feature = "mtls")]
            certificates,
            connector,
            membership,
        })
    }

    /// What secures connections to others.
    pub(crate) fn connector(&self) -> Option<Arc<dyn Connector>> {
        self.connector.clone()
    }

    /// What the card says of them.
    #[cfg_attr(not(feature = "mtls"), expect(clippy::unused_self, reason = "no certificate"))]
    pub(crate) fn told(&self, ground: &Ground<'_>) -> Locked {
        let Ground { resolved, settings, .. } = ground;
        #[cfg(feature = "mtls")]
        let is_alone = self.certificates.is_some() && settings.mtls.mode == MtlsMode::Mtls;
        #[cfg(not(feature = "mtls"))]
        let is_alone = false;
        let mut locked = Locked::default();
        if resolved.auth && !is_alone {
            locked.token_url = Some(format!("{}/oauth2/token", resolved.hydra.public_url));
            if settings.auth.require_permissions {
                locked.scopes.insert(bindu_auth::READ, "Reading what is the caller's own");
                locked.scopes.insert(bindu_auth::WRITE, "Sending, cancelling and changing");
            }
        }
        #[cfg(feature = "mtls")]
        if let Some(certificates) = &self.certificates {
            locked.certificate = is_alone || settings.mtls.require_client_cert;
            locked.fingerprint = Some(certificates.fingerprint().to_string());
        }
        locked
    }

    /// Says who may call.
    pub(crate) fn decide(&self, builder: Builder) -> Builder<Decided> {
        match &self.authenticator {
            Some(authenticator) => builder.auth(Arc::clone(authenticator)),
            None => builder.dangerously_open(),
        }
    }

    /// Serves behind them.
    #[cfg_attr(not(feature = "mtls"), expect(unused_variables, reason = "nothing is renewed"))]
    pub(crate) fn serve(
        self,
        ground: &Ground<'_>,
        server: Server,
        serving: Serving,
    ) -> (Kept, JoinHandle<()>) {
        let is_locked = self.authenticator.is_some();
        #[cfg(feature = "mtls")]
        let (tls, certificates) = match self.certificates {
            Some(certificates) => {
                let tls = tls::Kept::begin(certificates.clone(), ground.settings, &serving);
                (Some(tls), Some(certificates))
            }
            None => (None, None),
        };
        #[cfg(feature = "mtls")]
        let acceptor = tls.as_ref().map(tls::Kept::acceptor);
        let kept = Kept {
            #[cfg(feature = "mtls")]
            certificates,
            #[cfg(feature = "mtls")]
            _tls: tls,
            membership: self.membership,
        };
        #[cfg(feature = "mtls")]
        if let Some(acceptor) = acceptor {
            let server = server.with_acceptor(acceptor);
            let Serving { service, shutdown, .. } = serving;
            let serving = tokio::spawn(async move {
                server.serve(service, shutdown).await;
            });
            return (kept, serving);
        }
        if !is_locked {
            // Nobody asks who is at the other end.
            return (kept, serving.openly(server));
        }
        let Serving { service, shutdown, .. } = serving;
        let serving = tokio::spawn(async move {
            server.serve(service, shutdown).await;
        });
        (kept, serving)
    }
}

/// Locks in use. Dropped, nothing looks after them any more.
#[derive(Debug)]
pub(crate) struct Kept {
    #[cfg(feature = "mtls")]
    #[cfg_attr(not(feature = "client"), expect(dead_code, reason = "peers alone ask for it"))]
    pub(crate) certificates: Option<bindu_mtls::Certificates>,
    #[cfg(feature = "mtls")]
    _tls: Option<tls::Kept>,
    #[cfg_attr(not(feature = "client"), expect(dead_code, reason = "kept going, and not asked"))]
    pub(crate) membership: Option<Membership>,
}

/// Connections to whoever has a certificate that this system trusts.
fn public_roots() -> Option<Arc<dyn Connector>> {
    match Tls::native_roots() {
        Ok(tls) => Some(Arc::new(tls)),
        Err(error) => {
            warn!(%error, "https addresses cannot be called");
            None
        }
    }
}
