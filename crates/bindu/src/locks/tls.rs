//! The agent's certificate.

use std::collections::HashSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bindu_auth::Proof;
use bindu_did::Did;
use bindu_http::BoxError;
use bindu_hydra::Keys;
use bindu_mtls::{Acceptor, Certificates, ClientCert, Config, PeerIdentity, PeerRules, RootSource};
use bindu_protocol::AgentCard;
use bindu_server::{AgentServer, Metrics};
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use super::hydra::Membership;
use crate::StartError;
use crate::door::{Ground, Serving};
use crate::settings::{self, MtlsMode, Settings};

const WHAT: &str = "the agent's certificate";

fn failed(source: impl Into<Box<dyn Error + Send + Sync>>) -> StartError {
    StartError::Backend { what: WHAT, source: source.into() }
}

/// The certificate that the settings ask for, by step-ca or from files.
pub(super) async fn certificates(
    ground: &Ground<'_>,
    membership: Option<&Membership>,
) -> Result<Option<Certificates>, StartError> {
    let mtls = &ground.settings.mtls;
    if !mtls.is_on() {
        return Ok(None);
    }
    let config = config(ground)?;
    if mtls.cert_file.is_some() {
        return Certificates::from_files(config).await.map(Some).map_err(failed);
    }
    let (membership, audience) = (membership.cloned(), mtls.oidc_audience.clone());
    let ask = move || token(membership.clone(), audience.clone());
    match Certificates::open(config, ask).await {
        Ok(certificates) => Ok(Some(certificates)),
        // What another start would not mend either stops this one.
        Err(error) if mtls.allow_plaintext_fallback && error.is_retryable() => {
            let error = &error as &dyn Error;
            tracing::error!(error, "there is no certificate: the agent serves WITHOUT TLS");
            Ok(None)
        }
        Err(error) => Err(failed(error)),
    }
}

/// A token for step-ca, which takes each one once. Asked for only when a certificate is needed: one
/// on disk that has long enough to live needs neither step-ca nor Hydra.
async fn token(membership: Option<Membership>, audience: String) -> Result<String, BoxError> {
    let tokens = membership.and_then(|it| it.tokens());
    let tokens = tokens.ok_or("the agent is not registered with Hydra, whose token it needs")?;
    let token = tokens.one_time_token(&["openid"], Some(&audience)).await?;
    Ok(token.reveal().to_owned())
}

fn config(ground: &Ground<'_>) -> Result<Config, StartError> {
    let Ground { settings, resolved, identity, base, .. } = ground;
    let mtls = &settings.mtls;
    let directory = base.join(&settings.did.pki_dir);
    let mut config = Config::new(identity.did().clone());
    config.peers = PeerRules {
        issuer: mtls.oidc_issuer.clone().unwrap_or_else(|| resolved.hydra.public_url.clone()),
        denied: denied(settings)?,
        identity: match mtls.peer_identity {
            settings::PeerIdentity::Did => PeerIdentity::Did,
            settings::PeerIdentity::Hostname => PeerIdentity::Hostname,
            settings::PeerIdentity::Both => PeerIdentity::Either,
        },
        ..PeerRules::default()
    };
    if let (Some(cert), Some(key), Some(ca)) = (&mtls.cert_file, &mtls.key_file, &mtls.ca_file) {
        // Joined to an absolute path, the directory goes.
        let file = |file: &Path| base.join(file).to_string_lossy().into_owned();
        config.directory = std::path::absolute(base).map_err(failed)?;
        (config.cert_file, config.key_file, config.bundle_file) = (file(cert), file(key), file(ca));
        return Ok(config);
    }
    config.directory = directory;
    config.cert_file.clone_from(&mtls.cert_filename);
    config.key_file.clone_from(&mtls.key_filename);
    config.bundle_file.clone_from(&mtls.ca_bundle_filename);
    config.csr_file.clone_from(&mtls.csr_filename);
    config.ca_url = mtls.ca_url.parse().map_err(failed)?;
    config.roots = match (&mtls.ca_root_fingerprint, &mtls.ca_root_file) {
        (Some(fingerprint), _) => RootSource::Pinned(fingerprint.parse().map_err(failed)?),
        (None, Some(file)) => RootSource::File(base.join(file)),
        (None, None) => RootSource::Url(mtls.ca_root_url.parse().map_err(failed)?),
    };
    config.verify_ca = mtls.verify_ssl;
    config.timeout = mtls.timeout;
    config.cert_ttl = mtls.ttl();
    config.renew_before = mtls.renew_before();
    config.hosts = url::Url::parse(ground.url)
        .ok()
        .and_then(|url| url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()))
        .into_iter()
        .collect();
    Ok(config)
}

fn denied(settings: &Settings) -> Result<HashSet<Did>, StartError> {
    let dids = settings.auth.denied_dids.iter();
    dids.map(|did| did.parse().map_err(failed)).collect()
}

/// What callers prove who they are with, where that is their certificate.
pub(super) fn proof(settings: &Settings, has_tls: bool, keys: Option<Keys>) -> Option<Proof> {
    let mtls = &settings.mtls;
    let alone = match mtls.mode {
        MtlsMode::Mtls => true,
        MtlsMode::Hybrid => keys.is_none() && mtls.require_client_cert,
        MtlsMode::Off => false,
    };
    // Without TLS there are no certificates, and tokens must do.
    (mtls.is_on() && has_tls && alone).then(|| Proof::Certificate {
        scopes: mtls.default_scopes.iter().map(|scope| scope.as_str().into()).collect(),
        keys,
    })
}

/// A certificate in use: renewed, reloaded, shown on the card and counted.
#[derive(Debug)]
pub(super) struct Kept {
    acceptor: Acceptor,
    _keeping: AbortOnDropHandle<()>,
    _showing: AbortOnDropHandle<()>,
    _reloading: AbortOnDropHandle<()>,
}

impl Kept {
    pub(super) fn begin(
        certificates: Certificates,
        settings: &Settings,
        serving: &Serving,
    ) -> Self {
        // Required, TLS asks before there is a path: open ones are then closed to strangers too.
        let client_cert = if settings.mtls.require_client_cert {
            ClientCert::Required
        } else {
            ClientCert::Optional
        };
        let keeping = {
            let certificates = certificates.clone();
            AbortOnDropHandle::new(tokio::spawn(async move { certificates.keep().await }))
        };
        let service = serving.service.clone();
        let (card, metrics) = (serving.card.clone(), Arc::clone(&serving.metrics));
        let showing = show(certificates.clone(), service, card, metrics);
        let showing = AbortOnDropHandle::new(tokio::spawn(showing));
        let reloading = AbortOnDropHandle::new(tokio::spawn(reload(certificates.clone())));
        let acceptor = Acceptor::new(certificates, client_cert);
        Self { acceptor, _keeping: keeping, _showing: showing, _reloading: reloading }
    }

    pub(super) fn acceptor(&self) -> Acceptor {
        self.acceptor.clone()
    }
}

/// Keeps the card and the counters up to date.
async fn show(
    certificates: Certificates,
    service: AgentServer,
    mut card: AgentCard,
    metrics: Arc<Metrics>,
) {
    let mut changed = certificates.changed();
    let mut look = tokio::time::interval(Duration::from_secs(10));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let fingerprint = Some(certificates.fingerprint().to_string());
        if let Some(trust) = &mut card.agent_trust
            && trust.certificate_fingerprint != fingerprint
        {
            trust.certificate_fingerprint = fingerprint;
            if let Err(error) = service.set_card(card.clone()) {
                let error = &error as &dyn Error;
                tracing::error!(error, "the card still shows the old certificate");
            }
        }
        let renewed = (certificates.renewals(), certificates.failures());
        metrics.certificate(certificates.not_after(), renewed.0, renewed.1);
        tokio::select! {
            heard = changed.changed() => if heard.is_err() { return },
            _ = look.tick() => {}
        }
    }
}

/// Looks at the files at once when the process is told to by SIGHUP.
#[cfg(unix)]
async fn reload(certificates: Certificates) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut told) = signal(SignalKind::hangup()) else { return };
    while told.recv().await.is_some() {
        match certificates.reload().await {
            Ok(true) => tracing::info!("the certificate's files were read again"),
            Ok(false) => tracing::info!("the certificate's files have not changed"),
            Err(error) => {
                let error = &error as &dyn Error;
                tracing::warn!(error, "the certificate's files cannot be used");
            }
        }
    }
}

#[cfg(not(unix))]
async fn reload(_: Certificates) {}
