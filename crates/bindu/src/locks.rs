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
        Ok(Self {
            authenticator,
            #[cfg(feature = "mtls")]
            certificates,
            membership,
        })
    }

    /// What secures connections to receivers of webhooks: the system's roots and the name of the
    /// host. The agent's own certificate is not for addresses that strangers chose.
    #[expect(clippy::unused_self, reason = "an agent without locks has none")]
    pub(crate) fn connector(&self) -> Option<Arc<dyn Connector>> {
        match Tls::native_roots() {
            Ok(tls) => Some(Arc::new(tls)),
            Err(error) => {
                warn!(%error, "https webhooks cannot be called");
                None
            }
        }
    }

    /// What the agent calls others with, beside its key.
    #[cfg(feature = "client")]
    pub(crate) fn membership(&self) -> Option<Membership> {
        self.membership.clone()
    }

    /// The agent's certificate, to call others with.
    #[cfg(all(any(feature = "client", feature = "grpc"), feature = "mtls"))]
    pub(crate) fn certificates(&self) -> Option<bindu_mtls::Certificates> {
        self.certificates.clone()
    }

    /// The address that the card advertises: without TLS if there is none after all.
    #[cfg_attr(not(feature = "mtls"), expect(clippy::unused_self, reason = "no certificate"))]
    pub(crate) fn url(&self, ground: &Ground<'_>) -> String {
        #[cfg(feature = "mtls")]
        if self.certificates.is_none()
            && ground.settings.mtls.is_on()
            && let Some(rest) = ground.url.strip_prefix("https://")
        {
            return format!("http://{rest}");
        }
        ground.url.to_owned()
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

    /// Serves behind them. They are looked after for as long as the server runs.
    #[cfg_attr(not(feature = "mtls"), expect(unused_variables, reason = "nothing is renewed"))]
    pub(crate) fn serve(
        self,
        ground: &Ground<'_>,
        server: Server,
        serving: Serving,
    ) -> JoinHandle<()> {
        let membership = self.membership;
        #[cfg(feature = "mtls")]
        if let Some(certificates) = self.certificates {
            let tls = tls::Kept::begin(certificates, ground.settings, &serving);
            let server = server.with_acceptor(tls.acceptor());
            let Serving { service, shutdown, .. } = serving;
            return tokio::spawn(async move {
                let _kept = (membership, tls);
                server.serve(service, shutdown).await;
            });
        }
        if self.authenticator.is_none() {
            // Nobody asks who is at the other end.
            return serving.openly(server);
        }
        let Serving { service, shutdown, .. } = serving;
        tokio::spawn(async move {
            let _kept = membership;
            server.serve(service, shutdown).await;
        })
    }
}
