//! The agent's registration with Hydra.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bindu_http::client::{self, Client, Tls};
use bindu_hydra::{Config, CredentialsFile, Hydra, HydraError, Registration, Tokens, register};
#[cfg(feature = "client")]
use futures_util::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;

use crate::StartError;
use crate::door::Ground;

/// How long to wait before an agent that could not register tries it again.
const AGAIN: Duration = Duration::from_secs(30);

/// The file of the agent's secret, beside its keys.
const CREDENTIALS: &str = "oauth_credentials.json";

fn failed(what: &'static str) -> impl FnOnce(Box<dyn Error + Send + Sync>) -> StartError {
    move |source| StartError::Backend { what, source }
}

/// A way to Hydra.
pub(super) fn connect(ground: &Ground<'_>) -> Result<Hydra, StartError> {
    const WHAT: &str = "the connection to Hydra";
    let settings = &ground.resolved.hydra;
    let tls = if settings.verify_ssl {
        match &settings.ca_file {
            Some(file) => {
                let file = ground.base.join(file);
                let pem = fs::read(&file).map_err(|error| failed(WHAT)(error.into()))?;
                Some(Tls::with_roots(&pem, true).map_err(|error| failed(WHAT)(error.into()))?)
            }
            // Without roots there is still http.
            None => Tls::native_roots().ok(),
        }
    } else {
        Some(Tls::dangerously_unverified())
    };
    let timeouts = client::Config {
        timeout: settings.timeout,
        connect_timeout: settings.timeout.min(Duration::from_secs(5)),
        max_response_bytes: 1024 * 1024,
        max_idle_per_host: 32,
        ..client::Config::default()
    };
    let mut http = Client::builder().config(timeouts);
    if let Some(tls) = tls {
        http = http.connector(Arc::new(tls));
    }
    let url = |text: &str| url::Url::parse(text).map_err(|error| failed(WHAT)(error.into()));
    let mut config = Config::new(url(&settings.admin_url)?, url(&settings.public_url)?);
    config.timeout = settings.timeout;
    config.attempts = settings.max_retries.saturating_add(1);
    Hydra::new(&config, http.build()).map_err(|error| failed(WHAT)(error.into()))
}

/// The agent among Hydra's clients.
///
/// An agent that Hydra does not answer at its start goes without, and is registered as soon as
/// Hydra is back. Until then it calls nobody, and lets in whom its certificates alone let in.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    #[cfg_attr(
        not(any(feature = "client", feature = "mtls")),
        expect(dead_code, reason = "only certificates and calls need tokens")
    )]
    tokens: Arc<Mutex<Option<Tokens>>>,
    _later: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Membership {
    /// Registers the agent, or mends its registration. `None` if the settings forbid it.
    pub(super) async fn begin(
        hydra: &Hydra,
        ground: &Ground<'_>,
    ) -> Result<Option<Self>, StartError> {
        const WHAT: &str = "the registration with Hydra";
        if !ground.resolved.hydra.auto_register_agents {
            tracing::info!("HYDRA__AUTO_REGISTER_AGENTS is off: the agent does not register");
            return Ok(None);
        }
        let wanted = registration(ground);
        let file = CredentialsFile::at(path(ground));
        let tokens = Arc::new(Mutex::new(None));
        let later = match enter(hydra, &wanted, &file).await {
            Ok(entered) => {
                *tokens.lock().unwrap_or_else(PoisonError::into_inner) = Some(entered);
                None
            }
            Err(error @ HydraError::Unavailable { .. }) => {
                let error = &error as &dyn Error;
                tracing::warn!(error, "Hydra does not answer; the agent registers later");
                let (hydra, tokens) = (hydra.clone(), Arc::clone(&tokens));
                let entering = async move {
                    loop {
                        tokio::time::sleep(AGAIN.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
                        match enter(&hydra, &wanted, &file).await {
                            Ok(entered) => {
                                let mut tokens =
                                    tokens.lock().unwrap_or_else(PoisonError::into_inner);
                                *tokens = Some(entered);
                                return;
                            }
                            Err(error) => {
                                let is_final = !matches!(error, HydraError::Unavailable { .. });
                                let error = &error as &dyn Error;
                                if is_final {
                                    tracing::error!(error, "the agent cannot be registered");
                                    return;
                                }
                                tracing::warn!(error, "the agent is not registered yet");
                            }
                        }
                    }
                };
                Some(Arc::new(AbortOnDropHandle::new(tokio::spawn(entering))))
            }
            Err(error @ HydraError::ForeignKey { .. }) => {
                let hint = format!(
                    "{error}; if the agent's key was changed on purpose, start it once with \
                     HYDRA__ALLOW_KEY_ROTATION=true"
                );
                return Err(failed(WHAT)(hint.into()));
            }
            Err(error) => return Err(failed(WHAT)(error.into())),
        };
        Ok(Some(Self { tokens, _later: later }))
    }

    #[cfg(any(feature = "client", feature = "mtls"))]
    /// What the agent gets tokens with, once it is registered.
    pub(crate) fn tokens(&self) -> Option<Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tokens to call other agents with.
#[cfg(feature = "client")]
impl bindu_client::TokenSource for Membership {
    fn token(
        &self,
        ask: bindu_client::TokenAsk,
    ) -> BoxFuture<'_, Result<bindu_client::Token, bindu_http::BoxError>> {
        Box::pin(async move {
            let tokens = self.tokens().ok_or("the agent is not registered with Hydra yet")?;
            bindu_client::TokenSource::token(&tokens, ask).await
        })
    }
}

/// The file of the agent's secret.
fn path(ground: &Ground<'_>) -> PathBuf {
    ground.base.join(&ground.settings.did.pki_dir).join(CREDENTIALS)
}

/// What Hydra is to know of the agent.
fn registration(ground: &Ground<'_>) -> Registration {
    let (identity, hydra) = (ground.identity, &ground.resolved.hydra);
    let mut wanted = Registration::new(
        identity.did().clone(),
        identity.agent_id(),
        ground.config.name.clone(),
        identity.key().public_key(),
    );
    wanted.url = Some(ground.url.to_owned());
    wanted.scopes.clone_from(&hydra.default_agent_scopes);
    wanted.grant_types.clone_from(&hydra.default_grant_types);
    wanted.allow_key_change = hydra.allow_key_rotation || ground.config.recreate_keys;
    if ground.settings.mtls.is_on() && ground.settings.mtls.cert_file.is_none() {
        wanted.audience = Some(ground.settings.mtls.oidc_audience.clone());
        wanted.jwt_tokens = hydra.client_jwt_tokens;
    }
    wanted
}

/// Registers once.
async fn enter(
    hydra: &Hydra,
    wanted: &Registration,
    file: &CredentialsFile,
) -> Result<Tokens, HydraError> {
    // What had to be done, `bindu-hydra` logs.
    let registered = register(hydra, wanted, file, SystemTime::now()).await?;
    Ok(Tokens::new(hydra.clone(), registered.credentials))
}
